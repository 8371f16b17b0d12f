// <fcntl.h>

import { type CStruct, cStruct } from "./c_struct.ts";
import { type Header, header } from "./library.ts";
import { machine } from "./machine.ts";

const functions = {
  // int open(const char *pathname, int flags, mode_t mode)
  open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int openat(int dirfd, const char *pathname, int flags, mode_t mode)
  openat: { parameters: ["i32", "buffer", "i32", "u32"], result: "i32" },
  // int fcntl(int fd, int op, int arg)
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // The same with a struct flock, for locks.
  // int fcntl(int fd, int op, struct flock *lock)
  fcntl_lock: {
    name: "fcntl",
    parameters: ["i32", "i32", "buffer"],
    result: "i32",
  },
  // int posix_fallocate(int fd, off_t offset, off_t len)
  posix_fallocate: { parameters: ["i32", "i64", "i64"], result: "i32" },
  // ssize_t splice(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len, unsigned int flags)
  splice: {
    parameters: ["i32", "buffer", "i32", "buffer", "u32", "u32"],
    result: "i32",
  },
  // ssize_t tee(int fd_in, int fd_out, size_t len, unsigned int flags)
  tee: { parameters: ["i32", "i32", "u32", "u32"], result: "i32" },
} as const;

export const fcntl: Header<typeof functions> = header(functions);

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0x40;
export const O_EXCL = 0x80;
export const O_NOCTTY = 0x100;
export const O_TRUNC = 0x200;
export const O_APPEND = 0x400;
export const O_NONBLOCK = 0x800;
export const O_CLOEXEC = 0x80000;
export const O_PATH = 0x200000;
export const O_DIRECT: number = machine.O_DIRECT;
export const O_DIRECTORY: number = machine.O_DIRECTORY;
export const O_NOFOLLOW: number = machine.O_NOFOLLOW;

export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const F_SETLKW = 7;
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_OFD_SETLKW = 38;
export const F_SETSIG = 10;
export const F_SETLEASE = 1024;
export const F_GETLEASE = 1025;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const F_GETPIPE_SZ = 1032;
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;
export const FD_CLOEXEC = 1;

export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

const flockFields = {
  l_type: "i16",
  l_whence: "i16",
  l_start: "i64",
  l_len: "i64",
  l_pid: "i32",
} as const;

/** struct flock */
export const flock: CStruct<typeof flockFields> = cStruct(flockFields);

export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_WRITE = 8;
export const F_SEAL_FUTURE_WRITE = 0x10;
/** Since Linux 6.3, of <linux/fcntl.h>; older headers do not have it. */
export const F_SEAL_EXEC = 0x20;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
/** What is cached is enough: a server of the file that does not answer is not asked. */
export const AT_STATX_DONT_SYNC = 0x4000;

export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
