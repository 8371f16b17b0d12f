/**
 * Semaphores: `sem_open(3)` and `sem_init(3)`, a count that processes take from
 * and give back to, and wait for when there is nothing left.
 *
 * **Choose a semaphore** to let only so many at a time into something: one, and
 * it guards data in shared memory; n, and it hands out n places. Or let one
 * process tell another that something is there: one releases, the other acquires.
 *
 * **Choose something else** when the data itself can be sent (a pipe, a queue or
 * a socket carries it and wakes the receiver at once), and keep in mind that a
 * process which dies with a permit never gives it back.
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
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export {
  PosixSemaphore,
  type PosixSemaphoreCreateOptions,
  type SemaphorePermit,
} from "./semaphore/posix.ts";
