// The file system of a file: its kind and its limits; the limit of this process for the
// size of files; and the files of /dev/shm.

import { cPath } from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { namesIn } from "../libc/dirent.ts";
import { EFBIG, ENOENT, ipcError, unless } from "../libc/errno.ts";
import { resourceLimit, RLIMIT_FSIZE } from "../libc/sys_resource.ts";
import {
  HUGETLBFS_MAGIC,
  SIZEOF_STATFS,
  sysVfs,
  TMPFS_MAGIC,
} from "../libc/sys_vfs.ts";
import { notMounted } from "./not_mounted.ts";

/** Where shm_open and sem_open keep their objects, in glibc and musl. */
export const SHM_DIRECTORY = "/dev/shm";

/** The names of the files there, which an action needs. */
export function filesOfShm(action: string): string[] {
  const files = unless(ENOENT, () => namesIn(SHM_DIRECTORY));
  if (files === undefined) throw notMounted(action, SHM_DIRECTORY);
  return files;
}

/** `struct statfs`, all zero if the call fails: it explains another error only. */
function statusOf(file: number | string): BigInt64Array {
  const statfs = new BigInt64Array(SIZEOF_STATFS / 8);
  const { fstatfs, statfs: call } = sysVfs();
  if (typeof file === "number") fstatfs(file, statfs);
  else call(cPath(file), statfs);
  return statfs;
}

/** Whether the file is in memory only: an object of /dev/shm, or a memory file. */
export function isInMemory(fd: number): boolean {
  return statusOf(fd)[0] === BigInt(TMPFS_MAGIC);
}

/** The size of the huge pages of a file; undefined if it is not on hugetlbfs. */
export function hugePageOf(fd: number): bigint | undefined {
  const [type, block] = statusOf(fd);
  return type === BigInt(HUGETLBFS_MAGIC) ? block : undefined;
}

/**
 * The limit behind ENOSPC: the number of files of a file system, if none is left, or
 * else its size. The file is a descriptor or the path of a directory.
 */
export function spaceLimit(file: number | string): SystemLimit {
  const [type, block, blocks, , , files, freeFiles] = statusOf(file);
  const isTmpfs = type === BigInt(TMPFS_MAGIC);
  if (files! > 0n && freeFiles === 0n) {
    const remedy = isTmpfs ? " (mount option nr_inodes)" : "";
    return {
      name: `most files of the file system${remedy}`,
      value: Number(files),
    };
  }
  const remedy = isTmpfs
    ? " (mount option size; for /dev/shm in a container, docker run --shm-size)"
    : "";
  const value = Number(block! * blocks!);
  return { name: `size of the file system${remedy}`, value };
}

/** Rejects a size above RLIMIT_FSIZE, for which the kernel would send SIGXFSZ. */
export function checkFileSize(
  size: number,
  syscall: string,
  subject: string,
): void {
  const limit = resourceLimit("RLIMIT_FSIZE", RLIMIT_FSIZE);
  if (size > limit.value) throw ipcError(EFBIG, syscall, subject, limit);
}
