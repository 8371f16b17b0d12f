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
 * {@link [lock] @linux/ipc/lock}: it tells the next owner that the last one died.
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

export type {
  /** The fields that `change()` of a System V object sets; absent ones stay. */
  SysvChange,
  /** A System V object: by its key, or by its identifier. */
  SysvTarget,
} from "./kernel/sysv_object.ts";
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
export {
  /** `ftok(path, id)`: returns a key for System V objects. */
  ftok,
} from "./ftok.ts";
export {
  /** A POSIX semaphore: with a name, or in shared memory. */
  PosixSemaphore,
  /** Options of `PosixSemaphore.create` and `openOrCreate()`. */
  type PosixSemaphoreCreateOptions,
  /** An entry of `PosixSemaphore.list`. */
  type PosixSemaphoreEntry,
} from "./semaphore/posix.ts";
export type {
  /** A permit that was taken from a semaphore. */
  SemaphorePermit,
} from "./semaphore/permit.ts";
export type {
  /** One of the operations that are done together: `struct sembuf`. */
  SysvSemaphoreOperation,
} from "./semaphore/operations.ts";
export {
  /** One semaphore of a `SysvSemaphoreSet`, with permits. */
  SysvSemaphore,
  /** Options of `SysvSemaphoreSet.semaphore`. */
  type SysvSemaphoreOptions,
} from "./semaphore/sysv.ts";
export {
  /** A System V semaphore set. */
  SysvSemaphoreSet,
  /** Options of `SysvSemaphoreSet.create` and `openOrCreate()`. */
  type SysvSemaphoreSetCreateOptions,
  /** Options of `SysvSemaphoreSet.open`. */
  type SysvSemaphoreSetOpenOptions,
  /** The number of waiters of one semaphore of a set, in all processes together. */
  type SysvSemaphoreWaiters,
} from "./semaphore/sysv_set.ts";
export type {
  /** An entry of `SysvSemaphoreSet.list()`. */
  SysvSemaphoreSetEntry,
  /** The status of a System V semaphore set: `struct semid_ds`. */
  SysvSemaphoreSetStat,
} from "./semaphore/sysv_stat.ts";
