// <sys/stat.h>

import { check, type Subject } from "./errno.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "./fcntl.ts";
import { type Header, header } from "./library.ts";
import { SYS_statx } from "./sys_syscall.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int mkfifo(const char *pathname, mode_t mode)
  mkfifo: { parameters: ["buffer", "u32"], result: "i32" },
  // int chmod(const char *pathname, mode_t mode)
  chmod: { parameters: ["buffer", "u32"], result: "i32" },
  // int fchmod(int fd, mode_t mode)
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  // int fchmodat(int dirfd, const char *pathname, mode_t mode, int flags)
  fchmodat: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // int statx(int dirfd, const char *pathname, int flags, unsigned mask, struct statx *buf)
  statx: {
    parameters: ["i32", "buffer", "i32", "u32", "buffer"],
    result: "i32",
    optional: true,
  },
  // The same, for a C library without it: musl before 1.2.4.
  // long syscall(long number, int dirfd, const char *pathname, int flags, unsigned mask, struct statx *buf)
  statx_by_number: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32", "u32", "buffer"],
    result: "i32",
  },
} as const;

export const sysStat: Header<typeof functions> = header(functions);

const NUMBER = BigInt(SYS_statx);

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const STATX_MODE = 2;
export const STATX_INO = 0x100;
export const STATX_BASIC_STATS = 0x7ff;

const statxTimestampFields = { tv_sec: "i64", tv_nsec: "u32" } as const;
const statxTimestamp: CStruct<typeof statxTimestampFields> = cStruct(
  statxTimestampFields,
);

const statxFields = {
  stx_mask: "u32",
  stx_blksize: "u32",
  stx_attributes: "u64",
  stx_nlink: "u32",
  stx_uid: "u32",
  stx_gid: "u32",
  stx_mode: "u16",
  stx_ino: "u64",
  stx_size: "u64",
  stx_blocks: "u64",
  stx_attributes_mask: "u64",
  stx_atime: statxTimestamp as typeof statxTimestamp,
  stx_btime: statxTimestamp as typeof statxTimestamp,
  stx_ctime: statxTimestamp as typeof statxTimestamp,
  stx_mtime: statxTimestamp as typeof statxTimestamp,
  stx_rdev_major: "u32",
  stx_rdev_minor: "u32",
  stx_dev_major: "u32",
  stx_dev_minor: "u32",
  stx_spare: 112, // newer kernels put more fields here
} as const;

/** struct statx: the one stat of Linux with the same layout on every machine. */
export const statx: CStruct<typeof statxFields> = cStruct(statxFields);

/** The status of a file: its statx, of which mostly a field or two are read. */
export type FileStatus = ReturnType<typeof statx.view>;

/** statx(2), by its number where the C library has no function. */
export function callStatx(
  fd: number,
  path: Uint8Array<ArrayBuffer>,
  flags: number,
  mask: number,
  status: Uint8Array<ArrayBuffer>,
): number {
  const { statx: call } = sysStat();
  return call === null
    ? sysStat().statx_by_number(NUMBER, fd, path, flags, mask, status)
    : call(fd, path, flags, mask, status);
}

function statusOf(
  fd: number,
  path: Uint8Array<ArrayBuffer>,
  flags: number,
  subject: Subject,
): FileStatus {
  const status = new Uint8Array(statx.size);
  const result = callStatx(fd, path, flags, STATX_BASIC_STATS, status);
  check(result, "statx", subject);
  return statx.view(status);
}

/** The status of an open descriptor. */
export function statusOfFd(fd: number, subject: Subject): FileStatus {
  const nothing = new Uint8Array(1); // ""
  return statusOf(fd, nothing, AT_EMPTY_PATH, subject);
}

/** The status of what a path names, a symbolic link itself included. */
export function statusOfPath(
  path: Uint8Array<ArrayBuffer>,
  subject: Subject,
): FileStatus {
  return statusOf(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, subject);
}

/** `fchmod`: sets the permission bits of an open file. The umask does not apply. */
export function setMode(fd: number, mode: number, subject: Subject): void {
  check(sysStat().fchmod(fd, mode | 0), "fchmod", subject);
}

/** The permission bits, and whose they are. */
export function permissionsOf(
  { stx_mode, stx_uid, stx_gid }: FileStatus,
): Record<"mode" | "uid" | "gid", number> {
  return { mode: stx_mode & 0o777, uid: stx_uid, gid: stx_gid };
}

/** Whether two statuses are of one file. */
export function isSameFile(a: FileStatus, b: FileStatus): boolean {
  return a.stx_ino === b.stx_ino && a.stx_dev_major === b.stx_dev_major &&
    a.stx_dev_minor === b.stx_dev_minor;
}
