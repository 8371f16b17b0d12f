// <linux/futex.h>

import { header } from "./library.ts";
import { machine } from "./machine.ts";

// Without FUTEX_PRIVATE_FLAG, so that other processes are in it.
export const linuxFutex = header({
  // long syscall(long number, unsigned int *uaddr, int futex_op, unsigned int val, const struct timespec *timeout)
  futex: {
    name: "syscall",
    parameters: ["i64", "usize", "i32", "u32", "buffer"],
    result: "i64",
  },
  // The same, on a thread of the pool.
  futex_nonblocking: {
    name: "syscall",
    parameters: ["i64", "usize", "i32", "u32", "buffer"],
    result: "i64",
    nonblocking: true,
  },
});

export const FUTEX_WAIT = 0;
export const FUTEX_WAKE = 1;

/** Its number, of <sys/syscall.h>. */
export const { SYS_futex } = machine;
