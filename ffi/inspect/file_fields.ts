// What the status of a file tells of the object that it is.

import { deviceName } from "../kernel/mount_table.ts";
import { type FileStatus, permissionsOf } from "../libc/sys_stat.ts";
import type { IpcKind } from "./types.ts";

const SEMAPHORE = "sem."; // the prefix of glibc

/** The POSIX objects that are files, by device and inode. */
export type PosixFiles = Map<string, string>;

/** The key of a file among others. */
export function fileKey(device: string, inode: number | bigint): string {
  return `${device} ${inode}`;
}

/** A time in a status. */
export function dateIn(
  { tv_sec, tv_nsec }: FileStatus["stx_ctime"],
): Date {
  return new Date(Number(tv_sec) * 1000 + Math.floor(tv_nsec / 1e6));
}

/** What a status tells of any file. */
export function fileFields(
  status: FileStatus,
): Record<"uid" | "gid" | "mode" | "size" | "inode", number> & {
  changed: Date;
} {
  return {
    ...permissionsOf(status),
    size: Number(status.stx_size),
    changed: dateIn(status.stx_ctime),
    inode: Number(status.stx_ino),
  };
}

/** The device of a status, by its name. */
export function deviceOf(status: FileStatus): string {
  return deviceName(status.stx_dev_major, status.stx_dev_minor);
}

/** The kind of the object of a file there. */
export function kindOfFile(name: string): IpcKind {
  return name.startsWith(SEMAPHORE) ? "posix-semaphore" : "posix-memory";
}

/** The name that a program uses for a file there. */
export function nameOfFile(name: string): string {
  return `/${name.startsWith(SEMAPHORE) ? name.slice(SEMAPHORE.length) : name}`;
}
