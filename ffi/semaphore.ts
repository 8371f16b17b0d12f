/**
 * Semaphores: `sem_open(3)`, `sem_init(3)` and `semget(2)`. A semaphore is a number that
 * processes add to and subtract from, and wait for while it is 0.
 *
 * **Choose a semaphore** to limit how many processes do something at a time: with the
 * value 1 it guards data in shared memory, with n it hands out n permits. Or to notify:
 * one process releases, another one acquires.
 *
 * **POSIX or System V?** A {@linkcode PosixSemaphore} has a name like a file's, or a
 * place in shared memory, and makes no system call while there are no waiters. But the
 * permit of a process that dies is lost. Of a {@linkcode SysvSemaphoreSet} the kernel
 * gives the permits of dead processes back. It also does several operations together,
 * all or none, and can wait until a value is 0.
 *
 * **To guard data** that a killed process may leave half written, take a lock of
 * `@linux/ipc/lock`: it tells the next owner that the last one died.
 *
 * **Choose something else** when the data itself can be sent: a pipe, a queue or
 * a socket carries it and wakes the receiver at once.
 *
 * ```ts
 * import { PosixSemaphore } from "@linux/ipc/semaphore";
 *
 * // At most two of these programs work at the same time.
 * using semaphore = PosixSemaphore.openOrCreate("/two-workers", 2);
 * {
 *   using _permit = semaphore.acquireSync();
 *   console.log("working");
 * } // released here, also when the work throws
 * PosixSemaphore.unlink("/two-workers"); // the last program removes the name
 * ```
 *
 * The same, where the permit of a killed program is given back:
 *
 * ```ts
 * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
 *
 * using set = SysvSemaphoreSet.openOrCreate(0x70000002, [2]);
 * {
 *   using _permit = await set.semaphore(0).acquire({ timeout: 1000 });
 *   console.log("working");
 * }
 * set.remove(); // the last program removes the set
 * ```
 *
 * @module
 */

export type { SysvChange, SysvTarget } from "./kernel/sysv_object.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ftok } from "./ftok.ts";
export {
  PosixSemaphore,
  type PosixSemaphoreCreateOptions,
  type PosixSemaphoreEntry,
} from "./semaphore/posix.ts";
export type { SemaphorePermit } from "./semaphore/permit.ts";
export type { SysvSemaphoreOperation } from "./semaphore/operations.ts";
export { SysvSemaphore, type SysvSemaphoreOptions } from "./semaphore/sysv.ts";
export {
  SysvSemaphoreSet,
  type SysvSemaphoreSetCreateOptions,
  type SysvSemaphoreSetOpenOptions,
  type SysvSemaphoreWaiters,
} from "./semaphore/sysv_set.ts";
export type {
  SysvSemaphoreSetEntry,
  SysvSemaphoreSetStat,
} from "./semaphore/sysv_stat.ts";
