/**
 * Locks that survive the death of their holder, on System V semaphores:
 * `semget(2)`, `semop(2)`.
 *
 * **Choose a lock** to guard data that several processes change, in shared memory or
 * in a file. If a process is killed during a change, the kernel unlocks the lock, and the
 * next owner is told. A {@linkcode SharedMutex} is held by one process at a time, a
 * {@linkcode SharedRwLock} by many readers or one writer, and with a
 * {@linkcode SharedCondition} a process waits until the data fulfils a predicate.
 *
 * **Choose something else** where C programs have a lock of their own in the memory,
 * or where no state must survive: a `PosixSemaphore` with the value 1 makes no system
 * call while there are no waiters.
 *
 * ```ts
 * import { SharedMutex } from "@linux/ipc/lock";
 *
 * using mutex = SharedMutex.openOrCreate(0x70000003);
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.ownerDied) guard.markConsistent(); // after a repair of the data
 *   console.log("locked");
 * } // unlocks, also when the block throws
 * mutex.remove(); // the last program removes the lock
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
  /** An entry of `SysvSemaphoreSet.list()`. */
  SysvSemaphoreSetEntry,
  /** The status of a System V semaphore set: `struct semid_ds`. */
  SysvSemaphoreSetStat,
} from "./semaphore/sysv_stat.ts";
export {
  /** `ftok(path, id)`: returns a key for System V objects. */
  ftok,
} from "./ftok.ts";
export type {
  /** The guard of an exclusive owner. */
  LockGuard,
  /** The guard of a reader. */
  ReadGuard,
} from "./lock/guard.ts";
export type {
  /** Options of `create()` and `openOrCreate()` of the locks. */
  LockCreateOptions,
} from "./lock/lock_set.ts";
export type {
  /**
   * The base class of `SharedMutex`, `SharedRwLock` and `SharedCondition`: a System V
   * semaphore set.
   */
  SharedLock,
} from "./lock/shared_lock.ts";
export {
  /**
   * A robust mutex between processes: it survives the death of its owner, also by `kill
   * -9`.
   */
  SharedMutex,
} from "./lock/shared_mutex.ts";
export {
  /**
   * A robust reader-writer lock between processes: many readers hold it at a time, or
   * one writer.
   */
  SharedRwLock,
} from "./lock/shared_rw_lock.ts";
export {
  /**
   * A robust condition variable between processes: waits, under a `SharedMutex`, until
   * a predicate on the data holds.
   */
  SharedCondition,
} from "./lock/shared_condition.ts";
