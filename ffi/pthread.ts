/**
 * The locks of C in shared memory: `pthread_mutex_t`, `pthread_cond_t`,
 * `pthread_rwlock_t` and `pthread_barrier_t`, process-shared, as C and C++ programs put
 * them beside their data (and Boost.Interprocess, too).
 *
 * **Choose it** where C programs take part which have such a lock, or where a lock must be
 * fast: a {@linkcode PthreadMutex} that is free takes no system call. A robust one survives
 * the death of its owner.
 *
 * **Choose something else** between programs of this module alone: a `SharedMutex` needs no
 * memory, works across PID namespaces, and is fair; a `SharedCondition` survives the death of
 * its waiters; docs/which-lock.md compares them.
 *
 * The process needs glibc as its C library, and so do its peers; with musl, `init()` and `at()`
 * throw `NotSupported`.
 *
 * Each object is at an offset of a memory: a System V segment, POSIX shared memory, a memory
 * map, or a memory file. `init()` makes it, `at()` finds one that is there. The field types
 * ({@linkcode pthreadMutex} ...) have the sizes and alignments of C, so that a struct has the
 * layout of the C header.
 *
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { PthreadMutex, pthreadMutex } from "@linux/ipc/pthread";
 * import { i32, struct } from "@linux/ipc/struct";
 *
 * // struct shared { pthread_mutex_t lock; int count; };
 * const layout = struct({ lock: pthreadMutex, count: i32 });
 * using memory = SysvSharedMemory.create(null, layout.size);
 * const shared = memory.view(0, layout);
 * const mutex = PthreadMutex.init(memory, layout.offsets.lock); // or at(), if C has done it
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.ownerDied) guard.markConsistent(); // after a repair of the data
 *   shared.count++;
 *   console.log(shared.count);
 * } // unlocks, also when the block throws
 * memory.remove(); // the last program removes the segment
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export type { AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryAdvice } from "./memory/pages.ts";
export type { RangeOptions } from "./memory/range.ts";
export type { MemoryHandle } from "./memory/share.ts";
export type { CType, Fields, FieldViews, Layout, Struct } from "./struct.ts";
export {
  PthreadBarrier,
  type PthreadBarrierOptions,
} from "./pthread/barrier.ts";
export {
  PthreadCondition,
  type PthreadConditionOptions,
} from "./pthread/condition.ts";
export { PthreadMutex, type PthreadMutexOptions } from "./pthread/mutex.ts";
export type { PthreadGuard } from "./pthread/mutex_guard.ts";
export type { PthreadMutexType } from "./pthread/mutex_kind.ts";
export {
  PthreadRwLock,
  type PthreadRwLockGuard,
  type PthreadRwLockOptions,
} from "./pthread/rw_lock.ts";
export {
  pthreadBarrier,
  pthreadCondition,
  pthreadMutex,
  pthreadRwLock,
  type PthreadType,
} from "./pthread/types.ts";
