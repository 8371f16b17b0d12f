// <semaphore.h>

import { type Header, header } from "./library.ts";

const functions = {
  // sem_t *sem_open(const char *name, int oflag, mode_t mode, unsigned int value)
  sem_open: { parameters: ["buffer", "i32", "u32", "u32"], result: "usize" },
  // int sem_close(sem_t *sem)
  sem_close: { parameters: ["usize"], result: "i32" },
  // int sem_unlink(const char *name)
  sem_unlink: { parameters: ["buffer"], result: "i32" },
  // int sem_init(sem_t *sem, int pshared, unsigned int value)
  sem_init: { parameters: ["usize", "i32", "u32"], result: "i32" },
  // int sem_wait(sem_t *sem)
  sem_wait: { parameters: ["usize"], result: "i32" },
  // int sem_trywait(sem_t *sem)
  sem_trywait: { parameters: ["usize"], result: "i32" },
  // int sem_clockwait(sem_t *sem, clockid_t clockid, const struct timespec *abstime)
  sem_clockwait: {
    parameters: ["usize", "i32", "buffer"],
    result: "i32",
    optional: true, // not in musl, nor in glibc before 2.30
  },
  // int sem_timedwait(sem_t *sem, const struct timespec *abs_timeout)
  sem_timedwait: { parameters: ["usize", "buffer"], result: "i32" },
  // int sem_post(sem_t *sem)
  sem_post: { parameters: ["usize"], result: "i32" },
  // int sem_getvalue(sem_t *sem, int *sval)
  sem_getvalue: { parameters: ["usize", "buffer"], result: "i32" },
} as const;

export const semaphore: Header<typeof functions> = header(functions);

/** sizeof (sem_t) */
export const SIZEOF_SEM_T = 32;
/** _Alignof (sem_t) */
export const ALIGNOF_SEM_T = 8;
/** The maximum value of a POSIX semaphore. */
export const SEM_VALUE_MAX = 0x7fffffff;
