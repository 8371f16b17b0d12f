/**
 * Semaphores: `sem_open(3)`, `sem_init(3)` and `semget(2)`, a count that processes take
 * from and give back to, and wait for when there is nothing left.
 *
 * **Choose a semaphore** to let only so many at a time into something: one, and
 * it guards data in shared memory; n, and it hands out n places. Or let one
 * process tell another that something is there: one releases, the other acquires.
 *
 * **POSIX or System V?** A {@linkcode PosixSemaphore} has a name like a file's, or a
 * place in shared memory, and costs no system call where nobody has to wait. But a
 * process that dies with a permit never gives it back. From a
 * {@linkcode SysvSemaphoreSet} the kernel takes back what the dead had: choose it
 * when places must not stay taken. It also does operations on several semaphores at
 * once, all or none, and can wait until a count is 0.
 *
 * **To guard data** that a killed process may have left half-written, take a lock of
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
 * PosixSemaphore.unlink("/two-workers"); // the last one removes the name
 * ```
 *
 * The same, where a worker that is killed makes room for the next:
 *
 * ```ts
 * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
 *
 * using set = SysvSemaphoreSet.openOrCreate(0x70000002, [2]);
 * {
 *   using _permit = await set.semaphore(0).acquire({ timeout: 1000 });
 *   console.log("working");
 * }
 * set.remove(); // the last one removes the set
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ftok } from "./ftok.ts";
export {
  PosixSemaphore,
  type PosixSemaphoreCreateOptions,
} from "./semaphore/posix.ts";
export type { SemaphorePermit } from "./semaphore/permit.ts";
export {
  SysvSemaphore,
  type SysvSemaphoreOperation,
  type SysvSemaphoreOptions,
  SysvSemaphoreSet,
  type SysvSemaphoreSetChange,
  type SysvSemaphoreSetCreateOptions,
  type SysvSemaphoreSetEntry,
  type SysvSemaphoreSetOpenOptions,
  type SysvSemaphoreSetStat,
  type SysvSemaphoreWaiters,
} from "./semaphore/sysv.ts";
