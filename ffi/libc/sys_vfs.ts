// <sys/vfs.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int fstatfs(int fd, struct statfs *buf)
  fstatfs: { parameters: ["i32", "buffer"], result: "i32" },
  // int statfs(const char *path, struct statfs *buf)
  statfs: { parameters: ["buffer", "buffer"], result: "i32" },
} as const;

export const sysVfs: Header<typeof functions> = header(functions);

/**
 * sizeof (struct statfs), an array of longs: f_type, f_bsize, f_blocks, f_bfree,
 * f_bavail, f_files, f_ffree and more.
 */
export const SIZEOF_STATFS = 120;
/** From <linux/magic.h>. */
export const TMPFS_MAGIC = 0x01021994;
export const HUGETLBFS_MAGIC = 0x958458f6;
