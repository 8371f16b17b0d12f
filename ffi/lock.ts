/**
 * Locks that survive the death of their holder, on System V semaphores:
 * `semget(2)`, `semop(2)`.
 *
 * **Choose a lock** to guard data that several processes change, in shared memory or
 * in a file, also when one of them is killed in the middle of a change: the kernel
 * unlocks for the dead, and the next owner is told. A {@linkcode SharedMutex} is held
 * by one process at a time, a {@linkcode SharedRwLock} by many that read or one that
 * writes, and with a {@linkcode SharedCondition} a process waits until the data
 * fulfils a predicate.
 *
 * **Choose something else** where C programs have a lock of their own in the memory,
 * or where nothing has to survive: a `PosixSemaphore` with the value 1 costs no system
 * call while it is free.
 *
 * ```ts
 * import { SharedMutex } from "@linux/ipc/lock";
 *
 * using mutex = SharedMutex.openOrCreate(0x70000003);
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.previousOwnerDied) guard.markConsistent(); // after a repair
 *   console.log("alone");
 * } // unlocked here, also when this throws
 * mutex.remove(); // the last one removes the lock
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ftok } from "./ftok.ts";
export type { SharedMutexGuard, SharedReadGuard } from "./lock/guard.ts";
export {
  SharedMutex,
  type SharedMutexCreateOptions,
} from "./lock/shared_mutex.ts";
export {
  SharedRwLock,
  type SharedRwLockCreateOptions,
} from "./lock/shared_rw_lock.ts";
export {
  SharedCondition,
  type SharedConditionCreateOptions,
} from "./lock/shared_condition.ts";
