// <sys/uio.h>

import { struct, u64 } from "../struct.ts";
import { header } from "./library.ts";

export const sysUio = header({
  // ssize_t preadv2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
  preadv2: {
    parameters: ["i32", "buffer", "i32", "i64", "i32"],
    result: "i32",
  },
  // ssize_t pwritev2(int fd, const struct iovec *iov, int iovcnt, off_t offset, int flags)
  pwritev2: {
    parameters: ["i32", "buffer", "i32", "i64", "i32"],
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
});

/** Fails with EAGAIN instead of blocking, with or without O_NONBLOCK. */
export const RWF_NOWAIT = 8;

/** struct iovec */
export const iovec = struct({ iov_base: u64, iov_len: u64 });
