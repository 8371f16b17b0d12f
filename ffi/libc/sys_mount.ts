// <sys/mount.h>: a mount without a place in the tree of files. Old C libraries lack
// these functions, so they are system calls here.

import { type Header, header } from "./library.ts";
import { SYS_fsconfig, SYS_fsmount, SYS_fsopen } from "./sys_syscall.ts";

const functions = {
  // long syscall(long number, const char *fsname, unsigned int flags)
  fsopen: {
    name: "syscall",
    parameters: ["i64", "buffer", "u32"],
    result: "i64",
  },
  // long syscall(long number, int fd, unsigned int cmd, const char *key, const void *value, int aux)
  fsconfig: {
    name: "syscall",
    parameters: ["i64", "i32", "u32", "buffer", "buffer", "i32"],
    result: "i64",
  },
  // long syscall(long number, int fd, unsigned int flags, unsigned int attr_flags)
  fsmount: {
    name: "syscall",
    parameters: ["i64", "i32", "u32", "u32"],
    result: "i64",
  },
} as const;

const sysMount: Header<typeof functions> = header(functions);

export const FSOPEN_CLOEXEC = 1;
export const FSMOUNT_CLOEXEC = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const MOUNT_ATTR_NOSUID = 2;
export const MOUNT_ATTR_NODEV = 4;
export const MOUNT_ATTR_NOEXEC = 8;

/** `fsopen(2)`: a context to make a mount of a file system. */
export function fsopen(name: Uint8Array<ArrayBuffer>): number {
  const number = BigInt(SYS_fsopen);
  return Number(sysMount().fsopen(number, name, FSOPEN_CLOEXEC));
}

/** `fsconfig(fd, FSCONFIG_CMD_CREATE)` */
export function fsconfigCreate(fd: number): number {
  const number = BigInt(SYS_fsconfig);
  const { fsconfig } = sysMount();
  return Number(fsconfig(number, fd, FSCONFIG_CMD_CREATE, null, null, 0));
}

/** `fsmount(2)`: the mount, which is in no tree of files, and goes away when closed. */
export function fsmount(fd: number, attributes: number): number {
  const number = BigInt(SYS_fsmount);
  return Number(sysMount().fsmount(number, fd, FSMOUNT_CLOEXEC, attributes));
}
