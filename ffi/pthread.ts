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
 * its waiters; [which lock](/docs/which-lock.md) compares them.
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

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export type {
  /** The words of a memory, for `Atomics`. */
  AtomicWords,
  /**
   * Mapped memory: the base of `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`.
   */
  Memory,
} from "./memory/memory.ts";
export type {
  /** How memory will be used, for `Memory.advise`: `MADV_...`. */
  MemoryAdvice,
} from "./memory/pages.ts";
export type {
  /** A range of bytes in a file, or in a mapping. */
  RangeOptions,
} from "./memory/range.ts";
export type {
  /**
   * Memory on its way to another thread: the result of `Memory.share`, for one
   * `postMessage` and one `Memory.adopt`.
   */
  MemoryHandle,
} from "./memory/share.ts";
export type {
  /**
   * A C type: its size, its alignment, and how its values move between JavaScript and
   * memory.
   */
  CType,
  /** The declaration of a struct or a union: its fields, in the order of C. */
  Fields,
  /** The live view of a struct or a union with these fields. */
  FieldViews,
  /** The conversions between the bytes of a struct or a union and JavaScript values. */
  Layout,
  /**
   * A C struct, made by `struct()`: its layout, and the conversions between its bytes
   * and JavaScript values.
   */
  Struct,
} from "./struct.ts";
export {
  /**
   * A barrier of C, `pthread_barrier_t`, at an offset of a memory: where a number of
   * processes or threads wait for each other.
   */
  PthreadBarrier,
  /** Options of `PthreadBarrier.init`. */
  type PthreadBarrierOptions,
} from "./pthread/barrier.ts";
export {
  /**
   * A condition variable of C, `pthread_cond_t`, at an offset of a memory, with a
   * `PthreadMutex`.
   */
  PthreadCondition,
  /** Options of `PthreadCondition.init`. */
  type PthreadConditionOptions,
} from "./pthread/condition.ts";
export {
  /**
   * A mutex of C, `pthread_mutex_t`, at an offset of a memory: the lock that C and C++
   * programs put beside the data that they share, Boost.Interprocess included.
   */
  PthreadMutex,
  /** Options of `PthreadMutex.init`. */
  type PthreadMutexOptions,
} from "./pthread/mutex.ts";
export type {
  /** The guard of the owner of a `PthreadMutex`. */
  PthreadGuard,
} from "./pthread/mutex_guard.ts";
export type {
  /**
   * What a thread may do that locks a mutex which it has locked: nothing (`"normal"`,
   * `"errorcheck"`, and `"adaptive"`, whose waiters spin in C), or lock it once more
   * (`"recursive"`).
   */
  PthreadMutexType,
} from "./pthread/mutex_kind.ts";
export {
  /**
   * A read-write lock of C, `pthread_rwlock_t`, at an offset of a memory: many readers,
   * or one writer.
   */
  PthreadRwLock,
  /** The guard of a reader or a writer of a `PthreadRwLock`. */
  type PthreadRwLockGuard,
  /** Options of `PthreadRwLock.init`. */
  type PthreadRwLockOptions,
} from "./pthread/rw_lock.ts";
export {
  /** `pthread_barrier_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadBarrier,
  /** `pthread_cond_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadCondition,
  /** `pthread_mutex_t`, as a field of a struct: for the layout of a C header. */
  pthreadMutex,
  /** `pthread_rwlock_t`, as a field of a struct: see `pthreadMutex`. */
  pthreadRwLock,
  /** The type of a field that is an object of C. */
  type PthreadType,
} from "./pthread/types.ts";
