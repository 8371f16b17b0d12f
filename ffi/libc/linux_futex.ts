// <linux/futex.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

// Without FUTEX_PRIVATE_FLAG, so that other processes are in it.
const functions = {
  // long syscall(long number, unsigned int *uaddr, int futex_op, unsigned int val, const struct timespec *timeout)
  futex: {
    name: "syscall",
    parameters: ["i64", "usize", "i32", "u32", "buffer"],
    result: "i64",
  },
  // long syscall(long number, unsigned int *uaddr, int futex_op, unsigned int val, unsigned long val2, unsigned int *uaddr2, unsigned int val3)
  futex_two: {
    name: "syscall",
    parameters: ["i64", "usize", "i32", "u32", "usize", "usize", "u32"],
    result: "i64",
  },
  // The same as futex, on a thread of the pool.
  futex_nonblocking: {
    name: "syscall",
    parameters: ["i64", "usize", "i32", "u32", "buffer"],
    result: "i64",
    nonblocking: true,
  },
  // long syscall(long number, struct futex_waitv *waiters, unsigned int n, unsigned int flags, struct timespec *timeout, clockid_t clockid)
  futex_waitv: {
    name: "syscall",
    parameters: ["i64", "buffer", "u32", "u32", "buffer", "i32"],
    result: "i64",
  },
  // On a thread of the pool:
  // long syscall(long number, struct futex_waitv *waiters, unsigned int n, unsigned int flags, struct timespec *timeout, clockid_t clockid)
  futex_waitv_nonblocking: {
    name: "syscall",
    parameters: ["i64", "buffer", "u32", "u32", "buffer", "i32"],
    result: "i64",
    nonblocking: true,
  },
  // long syscall(long number, int pid, struct robust_list_head **head_ptr, size_t *len_ptr)
  get_robust_list: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "buffer"],
    result: "i64",
  },
} as const;

export const linuxFutex: Header<typeof functions> = header(functions);

export const FUTEX_WAIT = 0;
export const FUTEX_WAKE = 1;
export const FUTEX_CMP_REQUEUE = 4;
export const FUTEX_WAKE_OP = 5;
export const FUTEX_LOCK_PI = 6;
export const FUTEX_UNLOCK_PI = 7;
export const FUTEX_TRYLOCK_PI = 8;
/** FUTEX_LOCK_PI with a timeout on CLOCK_MONOTONIC. Since Linux 5.14. */
export const FUTEX_LOCK_PI2 = 13;
/** In the word of a mutex: there may be waiters. */
export const FUTEX_WAITERS = 0x80000000;
/** In the word of a mutex: its owner has ended without unlocking it. */
export const FUTEX_OWNER_DIED = 0x40000000;
/** In the word of a mutex: the thread that owns it. */
export const FUTEX_TID_MASK = 0x3fffffff;
export const FUTEX_OP_ADD = 1;
export const FUTEX_OP_OR = 2;
/** FUTEX2_SIZE_U32: a word of 32 bits, of processes. */
export const FUTEX_32 = 2;
/** The most words of one futex_waitv. */
export const FUTEX_WAITV_MAX = 128;

const futexWaitvFields = {
  val: "u64",
  uaddr: "u64",
  flags: "u32",
  __reserved: "u32",
} as const;

/** struct futex_waitv */
export const futexWaitv: CStruct<typeof futexWaitvFields> = cStruct(
  futexWaitvFields,
);
