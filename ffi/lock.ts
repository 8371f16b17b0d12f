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
 *   if (guard.previousOwnerDied) guard.markConsistent(); // after a repair of the data
 *   console.log("locked");
 * } // unlocks, also when the block throws
 * mutex.remove(); // the last program removes the lock
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export type {
  SysvSemaphoreSetEntry,
  SysvSemaphoreSetStat,
} from "./semaphore/sysv_stat.ts";
export { ftok } from "./ftok.ts";
export type { LockGuard, ReadGuard } from "./lock/guard.ts";
export type { LockCreateOptions } from "./lock/lock_set.ts";
export type { SharedLock } from "./lock/shared_lock.ts";
export { SharedMutex } from "./lock/shared_mutex.ts";
export { SharedRwLock } from "./lock/shared_rw_lock.ts";
export { SharedCondition } from "./lock/shared_condition.ts";
