// <unistd.h>

import { cPath, PATH_MAX } from "../arguments.ts";
import { check } from "./errno.ts";
import { type Header, header } from "./library.ts";

const functions = {
  // ssize_t read(int fd, void *buf, size_t count)
  read: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count)
  write: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // ssize_t pread(int fd, void *buf, size_t count, off_t offset)
  pread: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  // ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset)
  pwrite: { parameters: ["i32", "buffer", "u32", "i64"], result: "i32" },
  // int fsync(int fd)
  fsync: { parameters: ["i32"], result: "i32" },
  // int fdatasync(int fd)
  fdatasync: { parameters: ["i32"], result: "i32" },
  // int isatty(int fd)
  isatty: { parameters: ["i32"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // int pipe2(int pipefd[2], int flags)
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // int unlink(const char *pathname)
  unlink: { parameters: ["buffer"], result: "i32" },
  // int link(const char *oldpath, const char *newpath)
  link: { parameters: ["buffer", "buffer"], result: "i32" },
  // ssize_t readlink(const char *pathname, char *buf, size_t bufsiz)
  readlink: { parameters: ["buffer", "buffer", "u32"], result: "i32" },
  // ssize_t readlinkat(int dirfd, const char *pathname, char *buf, size_t bufsiz)
  readlinkat: {
    parameters: ["i32", "buffer", "buffer", "u32"],
    result: "i32",
  },
  // int ftruncate(int fd, off_t length)
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // long syscall(long number, int fd, void *dirp, size_t count)
  getdents64: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "u32"],
    result: "i32",
  },
  // off_t lseek(int fd, off_t offset, int whence)
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // pid_t getpid(void)
  getpid: { parameters: [], result: "i32" },
  // pid_t gettid(void)
  gettid: { parameters: [], result: "i32" },
  // uid_t getuid(void)
  getuid: { parameters: [], result: "u32" },
  // gid_t getgid(void)
  getgid: { parameters: [], result: "u32" },
  // uid_t geteuid(void)
  geteuid: { parameters: [], result: "u32" },
  // long sysconf(int name)
  sysconf: { parameters: ["i32"], result: "i64" },
} as const;

export const unistd: Header<typeof functions> = header(functions);

/**
 * The most that one read or write moves: larger requests are cut by the kernel
 * to this (MAX_RW_COUNT), so a count fits 32 bits and a result fits an i32. The kernel
 * cuts to whole pages: a little less where pages are larger than 4 KiB.
 */
export const MAX_COUNT = 0x7fff_f000;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const _SC_PAGESIZE = 30;

let size = 0;

/** The size of a page of memory, in bytes. */
export function pageSize(): number {
  return size ||= Number(unistd().sysconf(_SC_PAGESIZE));
}

/** The target of a symbolic link. */
export function linkedTo(path: string): string {
  const target = new Uint8Array(PATH_MAX);
  const { readlink } = unistd();
  const size = check(
    readlink(cPath(path), target, target.length),
    "readlink",
    path,
  );
  return new TextDecoder().decode(target.subarray(0, size));
}
