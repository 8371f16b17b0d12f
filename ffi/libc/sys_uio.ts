// <sys/uio.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // long syscall(long number, int fd, const struct iovec *iov, int iovcnt, off_t offset, unsigned long offset_high, int flags)
  preadv2: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32", "i64", "u32", "i32"],
    result: "i32",
  },
  // long syscall(long number, int fd, const struct iovec *iov, int iovcnt, off_t offset, unsigned long offset_high, int flags)
  pwritev2: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32", "i64", "u32", "i32"],
    result: "i32",
  },
  // ssize_t process_vm_readv(pid_t pid, const struct iovec *local_iov, unsigned long liovcnt, const struct iovec *remote_iov, unsigned long riovcnt, unsigned long flags)
  process_vm_readv: {
    parameters: ["i32", "buffer", "usize", "buffer", "usize", "usize"],
    result: "i32",
  },
  // ssize_t process_vm_writev(pid_t pid, const struct iovec *local_iov, unsigned long liovcnt, const struct iovec *remote_iov, unsigned long riovcnt, unsigned long flags)
  process_vm_writev: {
    parameters: ["i32", "buffer", "usize", "buffer", "usize", "usize"],
    result: "i32",
  },
} as const;

export const sysUio: Header<typeof functions> = header(functions);

/** Fails with EAGAIN instead of blocking, with or without O_NONBLOCK. */
export const RWF_NOWAIT = 8;

const iovecFields = { iov_base: "u64", iov_len: "u64" } as const;

/** struct iovec */
export const iovec: CStruct<typeof iovecFields> = cStruct(iovecFields);
