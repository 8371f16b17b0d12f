// The types of C's objects as fields of structs.

import { copyOf } from "../arguments.ts";
import {
  ALIGNOF_PTHREAD_BARRIER_T,
  ALIGNOF_PTHREAD_COND_T,
  ALIGNOF_PTHREAD_MUTEX_T,
  ALIGNOF_PTHREAD_RWLOCK_T,
  SIZEOF_PTHREAD_BARRIER_T,
  SIZEOF_PTHREAD_COND_T,
  SIZEOF_PTHREAD_MUTEX_T,
  SIZEOF_PTHREAD_RWLOCK_T,
} from "../libc/pthread.ts";
import { bytesOf, cannotWrite, type CType, ours } from "../struct/type.ts";

/**
 * The type of a field that is an object of C. Its value is a copy of its bytes, for
 * diagnosis. It cannot be written: C has no copies of these objects.
 */
export type PthreadType = CType<
  Uint8Array<ArrayBuffer>,
  Uint8Array<ArrayBuffer>,
  never
>;

function objectType(
  name: string,
  size: number,
  alignment: number,
  instead: string,
): PthreadType {
  const get = (memory: DataView, offset: number) =>
    copyOf(bytesOf(memory, offset, size));
  return ours({
    name,
    size,
    alignment,
    get,
    live: get,
    set(_memory: DataView, _offset: number, _value: never, path: string) {
      throw new TypeError(
        cannotWrite(path, `a ${name} is not copied; use ${instead}.init()`),
      );
    },
  });
}

/**
 * `pthread_mutex_t`, as a field of a struct: for the layout of a C header.
 *
 * The field cannot be written: `PthreadMutex.init()` or a C program initialises the
 * mutex, at `layout.offsets`. So of such a struct use `view()`, not `encode()` or `write()`.
 *
 * @example The offset of a mutex
 * ```ts
 * import { pthreadMutex } from "@linux/ipc/pthread";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const layout = struct({ count: i32, lock: pthreadMutex });
 * assertEquals(layout.offsets, { count: 0, lock: 8 });
 * ```
 */
export const pthreadMutex: PthreadType = objectType(
  "pthread_mutex_t",
  SIZEOF_PTHREAD_MUTEX_T,
  ALIGNOF_PTHREAD_MUTEX_T,
  "PthreadMutex",
);

/** `pthread_cond_t`, as a field of a struct: see {@linkcode pthreadMutex}. */
export const pthreadCondition: PthreadType = objectType(
  "pthread_cond_t",
  SIZEOF_PTHREAD_COND_T,
  ALIGNOF_PTHREAD_COND_T,
  "PthreadCondition",
);

/** `pthread_rwlock_t`, as a field of a struct: see {@linkcode pthreadMutex}. */
export const pthreadRwLock: PthreadType = objectType(
  "pthread_rwlock_t",
  SIZEOF_PTHREAD_RWLOCK_T,
  ALIGNOF_PTHREAD_RWLOCK_T,
  "PthreadRwLock",
);

/** `pthread_barrier_t`, as a field of a struct: see {@linkcode pthreadMutex}. */
export const pthreadBarrier: PthreadType = objectType(
  "pthread_barrier_t",
  SIZEOF_PTHREAD_BARRIER_T,
  ALIGNOF_PTHREAD_BARRIER_T,
  "PthreadBarrier",
);
