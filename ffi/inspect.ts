/**
 * What processes share on this system, and who holds it: the objects of all mechanisms,
 * the processes that have them open, mapped or locked, and a verdict on each.
 *
 * **Choose it** to find out why a queue is stuck, what a crash has left behind, or which
 * process holds a lock. The command {@link [cli] @linux/ipc/cli} shows the same in a
 * terminal.
 *
 * **Choose something else** to watch one object that the program has open: `stat()` and
 * the properties of its class cost much less.
 *
 * ```ts
 * import { inspect } from "@linux/ipc/inspect";
 *
 * const { objects, processes, unseen } = inspect();
 * for (const { ref, verdict, holders } of objects) {
 *   if (verdict.state === "in use") continue;
 *   console.log(ref, verdict.state, verdict.reason, holders.length);
 * }
 * for (const { what, reason } of unseen) console.log(`not seen: ${what}: ${reason}`);
 * console.log(processes.size);
 * ```
 *
 * **It changes nothing** but the times of the last reading of POSIX queues. It reads /proc,
 * asks the kernel, and opens POSIX queues, the files of /dev/shm and memory files, to read.
 * It attaches no segment: what is at its beginning is read in a process that has it. Links
 * of /proc are read and not followed, but for those that lead to no path: of memory files
 * and of files without a name. No FIFO or device is opened, and a process that is stopped
 * delays nothing.
 *
 * **It is not one moment.** Processes go on while they are looked at, so what was opened
 * or closed meanwhile may be missing or be shown still.
 *
 * **It needs privileges to see all.** Without them the descriptors of other users'
 * processes are hidden: {@linkcode IpcSnapshot.unseen} says what is missing, and verdicts
 * take it into account.
 *
 * @module
 */

import { choose } from "./arguments.ts";
import { KINDS, takeSnapshot } from "./inspect/snapshot.ts";
import type { InspectOptions, IpcKind, IpcSnapshot } from "./inspect/types.ts";

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
export type * from "./inspect/types.ts";
export type {
  /** The number of waiters of one semaphore of a set, in all processes together. */
  SysvSemaphoreWaiters,
} from "./semaphore/sysv_set.ts";

const BY_NAME = Object.fromEntries(KINDS.map((kind) => [kind, kind]));

/** The kinds that are asked for. */
function kindsOf(options: InspectOptions | undefined): ReadonlySet<IpcKind> {
  const kinds = options?.kinds ?? KINDS;
  if (!Array.isArray(kinds)) {
    throw new TypeError('Argument "kinds" must be an array of kinds');
  }
  return new Set(kinds.map((kind) => choose("kinds", kind, BY_NAME)));
}

/**
 * `readdir("/proc")` and much more: takes a snapshot of everything that processes share,
 * with the processes that hold it.
 *
 * It blocks the thread: for a hundredth of a second on a usual system, for a second or
 * two with a thousand processes that have 50,000 descriptors.
 *
 * @param options `kinds`.
 * @returns The objects, the processes, the deadlocks, and what could not be seen.
 * @throws {TypeError} If there is no such kind.
 * @throws {Deno.errors.NotSupported} If /proc is not mounted.
 * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
 *
 * @example Who holds a semaphore
 * ```ts
 * import { inspect } from "@linux/ipc/inspect";
 * import { PosixSemaphore } from "@linux/ipc/semaphore";
 * import { assertEquals } from "@std/assert";
 *
 * using semaphore = PosixSemaphore.create(null, 3);
 * const { objects } = inspect({ kinds: ["posix-semaphore"] });
 * PosixSemaphore.unlink(semaphore.name!);
 * const found = objects.find(({ name }) => name === semaphore.name)!;
 * assertEquals(found.kind === "posix-semaphore" && found.value, 3);
 * assertEquals(found.holders.map(({ pid }) => pid), [Deno.pid]);
 * assertEquals(found.verdict.state, "in use");
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man5/proc.5.html | proc(5)}
 */
export function inspect(options?: InspectOptions): IpcSnapshot {
  return takeSnapshot(kindsOf(options));
}
