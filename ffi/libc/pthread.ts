// <pthread.h>: mutexes, conditions, read-write locks and barriers.

import { type Header, header } from "./library.ts";
import { machine } from "./machine.ts";

// These functions return an error number, and leave errno alone.
const functions = {
  // int pthread_mutexattr_init(pthread_mutexattr_t *attr)
  pthread_mutexattr_init: { parameters: ["buffer"], result: "i32" },
  // int pthread_mutexattr_settype(pthread_mutexattr_t *attr, int kind)
  pthread_mutexattr_settype: { parameters: ["buffer", "i32"], result: "i32" },
  // int pthread_mutexattr_setpshared(pthread_mutexattr_t *attr, int pshared)
  pthread_mutexattr_setpshared: {
    parameters: ["buffer", "i32"],
    result: "i32",
  },
  // int pthread_mutexattr_setrobust(pthread_mutexattr_t *attr, int robustness)
  pthread_mutexattr_setrobust: { parameters: ["buffer", "i32"], result: "i32" },
  // int pthread_mutexattr_setprotocol(pthread_mutexattr_t *attr, int protocol)
  pthread_mutexattr_setprotocol: {
    parameters: ["buffer", "i32"],
    result: "i32",
  },
  // int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
  pthread_mutex_init: { parameters: ["usize", "buffer"], result: "i32" },
  // int pthread_mutex_trylock(pthread_mutex_t *mutex)
  pthread_mutex_trylock: { parameters: ["usize"], result: "i32" },
  // int pthread_condattr_init(pthread_condattr_t *attr)
  pthread_condattr_init: { parameters: ["buffer"], result: "i32" },
  // int pthread_condattr_setpshared(pthread_condattr_t *attr, int pshared)
  pthread_condattr_setpshared: { parameters: ["buffer", "i32"], result: "i32" },
  // int pthread_condattr_setclock(pthread_condattr_t *attr, clockid_t clock_id)
  pthread_condattr_setclock: { parameters: ["buffer", "i32"], result: "i32" },
  // int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
  pthread_cond_init: { parameters: ["usize", "buffer"], result: "i32" },
  // int pthread_cond_signal(pthread_cond_t *cond)
  pthread_cond_signal: { parameters: ["usize"], result: "i32" },
  // int pthread_rwlockattr_init(pthread_rwlockattr_t *attr)
  pthread_rwlockattr_init: { parameters: ["buffer"], result: "i32" },
  // int pthread_rwlockattr_setpshared(pthread_rwlockattr_t *attr, int pshared)
  pthread_rwlockattr_setpshared: {
    parameters: ["buffer", "i32"],
    result: "i32",
  },
  // int pthread_rwlockattr_setkind_np(pthread_rwlockattr_t *attr, int pref)
  pthread_rwlockattr_setkind_np: {
    parameters: ["buffer", "i32"],
    result: "i32",
    optional: true, // not in musl
  },
  // int pthread_rwlock_init(pthread_rwlock_t *rwlock, const pthread_rwlockattr_t *attr)
  pthread_rwlock_init: { parameters: ["usize", "buffer"], result: "i32" },
  // int pthread_rwlock_tryrdlock(pthread_rwlock_t *rwlock)
  pthread_rwlock_tryrdlock: { parameters: ["usize"], result: "i32" },
  // int pthread_rwlock_trywrlock(pthread_rwlock_t *rwlock)
  pthread_rwlock_trywrlock: { parameters: ["usize"], result: "i32" },
  // int pthread_rwlock_unlock(pthread_rwlock_t *rwlock)
  pthread_rwlock_unlock: { parameters: ["usize"], result: "i32" },
  // int pthread_barrierattr_init(pthread_barrierattr_t *attr)
  pthread_barrierattr_init: { parameters: ["buffer"], result: "i32" },
  // int pthread_barrierattr_setpshared(pthread_barrierattr_t *attr, int pshared)
  pthread_barrierattr_setpshared: {
    parameters: ["buffer", "i32"],
    result: "i32",
  },
  // int pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attr, unsigned int count)
  pthread_barrier_init: {
    parameters: ["usize", "buffer", "u32"],
    result: "i32",
  },
} as const;

export const pthread: Header<typeof functions> = header(functions);

/** sizeof (pthread_mutex_t) */
export const SIZEOF_PTHREAD_MUTEX_T: number = machine.SIZEOF_PTHREAD_MUTEX_T;
/** _Alignof (pthread_mutex_t) */
export const ALIGNOF_PTHREAD_MUTEX_T = 8;
/** sizeof (pthread_cond_t) */
export const SIZEOF_PTHREAD_COND_T = 48;
/** _Alignof (pthread_cond_t) */
export const ALIGNOF_PTHREAD_COND_T = 8;
/** sizeof (pthread_rwlock_t) */
export const SIZEOF_PTHREAD_RWLOCK_T = 56;
/** _Alignof (pthread_rwlock_t) */
export const ALIGNOF_PTHREAD_RWLOCK_T = 8;
/** sizeof (pthread_barrier_t) */
export const SIZEOF_PTHREAD_BARRIER_T = 32;
/** _Alignof (pthread_barrier_t) */
export const ALIGNOF_PTHREAD_BARRIER_T = 8;
/** At least the size of any of the attributes. */
const ATTRIBUTES = 16; // bytes

export const PTHREAD_PROCESS_SHARED = 1;
export const PTHREAD_MUTEX_NORMAL = 0;
export const PTHREAD_MUTEX_RECURSIVE = 1;
export const PTHREAD_MUTEX_ERRORCHECK = 2;
export const PTHREAD_MUTEX_ADAPTIVE_NP = 3;
export const PTHREAD_MUTEX_ROBUST = 1;
export const PTHREAD_PRIO_INHERIT = 1;
export const PTHREAD_RWLOCK_PREFER_READER_NP = 0;
export const PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP = 2;

// The fields of glibc's structs, in bytes. musl has others.
export const OFFSETOF_MUTEX_LOCK = 0;
export const OFFSETOF_MUTEX_COUNT = 4;
export const OFFSETOF_MUTEX_OWNER = 8;
export const OFFSETOF_MUTEX_NUSERS = 12;
export const OFFSETOF_MUTEX_KIND = 16;
export const OFFSETOF_MUTEX_NEXT = 32;
export const OFFSETOF_RWLOCK_READERS = 0;
export const OFFSETOF_RWLOCK_WRPHASE_FUTEX = 8;
export const OFFSETOF_RWLOCK_WRITERS_FUTEX = 12;
export const OFFSETOF_RWLOCK_CUR_WRITER = 24;
export const OFFSETOF_RWLOCK_SHARED = 28;
export const OFFSETOF_RWLOCK_FLAGS = 48;

/** Memory for a pthread_...attr_t. */
export function attributes(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(ATTRIBUTES);
}
