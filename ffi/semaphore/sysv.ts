// One semaphore of a System V semaphore set, with permits.

import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { GETNCNT, GETVAL, SEM_UNDO, sysSem } from "../libc/sys_sem.ts";
import { promised } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { Handoff } from "./handoff.ts";
import { Operations } from "./operations.ts";
import { permit, type SemaphorePermit } from "./permit.ts";
import type { SetHandle } from "./sysv_handle.ts";

/**
 * Options of {@linkcode SysvSemaphoreSet.prototype.semaphore | SysvSemaphoreSet.semaphore}.
 */
export interface SysvSemaphoreOptions {
  /**
   * `SEM_UNDO`: when this process ends, also when it is killed, the kernel gives back
   * what it has acquired and not released, and takes away what it has released without
   * acquiring it.
   *
   * So it is for processes that give back what they take.
   *
   * Choose false where one process releases what another one acquires, as to notify. Otherwise
   * both fail with ERANGE when they have done so 32767 times (SEMAEM; to release, once
   * more), and the value is changed back when one of them ends.
   *
   * @default {true}
   */
  undo?: boolean | undefined;
}

const NOTE_EVERY = 5; // ms
// To read the clock takes a tenth of the time of a release. While releases come thick and
// fast, it is read at every 16th.
const FAST = 1; // ms
const SKIPPED = 15;

/** Makes a semaphore of an open set. For this module alone. */
export let semaphoreOf: (
  handle: SetHandle,
  index: number,
  undo: boolean,
) => SysvSemaphore;

/**
 * One semaphore of a {@linkcode SysvSemaphoreSet}, with permits. Made by
 * {@linkcode SysvSemaphoreSet.prototype.semaphore | SysvSemaphoreSet.semaphore}.
 *
 * The kernel hands a released permit to those that block, in their order. Asynchronous
 * calls compete with processes that acquire again at once: one of this module lets others
 * go first every 5 milliseconds, for a millisecond at most.
 *
 * It holds nothing of its own and has no `close()`: it is usable until its set is
 * closed.
 *
 * @example At most two at a time
 * ```ts
 * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
 * import { assertEquals } from "@std/assert";
 *
 * using set = SysvSemaphoreSet.create(null, [2]);
 * const places = set.semaphore(0);
 * {
 *   using _one = places.acquireSync();
 *   using _two = places.acquireSync();
 *   assertEquals(places.tryAcquire(), undefined);
 * }
 * assertEquals(places.value, 2);
 * set.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SysvSemaphore {
  readonly #index: number;
  readonly #handle: SetHandle;
  readonly #acquire: Operations;
  readonly #release: Operations;
  readonly #queue = new WaiterQueue();
  readonly #permit = () => permit(this.#giveBack);
  readonly #giveBack = () => {
    if (this.#skip > 0) this.#skip--;
    else this.#noteWaiters();
    this.#handle.tryOnce(this.#release);
  };
  readonly #handoff = new Handoff();
  #noteAt = 0;
  #readAt = 0; // when the clock was read last
  #skip = 0;

  /** @ignore */
  private constructor(
    token: symbol,
    handle: SetHandle,
    index: number,
    undo: boolean,
  ) {
    checkInternal(token, "SysvSemaphore", "SysvSemaphoreSet.semaphore()");
    const flags = undo ? SEM_UNDO : 0;
    this.#index = index;
    this.#handle = handle;
    this.#acquire = Operations.of([index, -1, flags]);
    this.#release = Operations.of([index, +1, flags]);
  }

  static {
    semaphoreOf = (handle, index, undo) =>
      new SysvSemaphore(internal, handle, index, undo);
  }

  /** The index of the semaphore in the set, from 0. */
  get index(): number {
    return this.#index;
  }

  /**
   * `semctl(id, index, GETVAL)`: the current value. Another process may have changed it
   * by the time it is returned.
   *
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   */
  get value(): number {
    return this.#handle.get(this.#index, GETVAL);
  }

  /**
   * `semop` of -1: takes a permit, blocking this thread until the value is above 0.
   * Code of this thread that would release a permit cannot run meanwhile.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The permit. Dispose of it to give it back. A permit that is not disposed
   * of is given back when this process ends, unless `undo` is false.
   * @throws {ClosedError} If the set is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the set may not be changed; ERANGE if this process has
   * acquired 32767 more than it has released (see the option `undo`); EIDRM if the set
   * was removed, before or during the wait; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  acquireSync(options?: SyncWaitOptions): SemaphorePermit {
    const deadline = options === undefined ? Infinity : deadlineOf(options);
    if (this.#handoff.isDue) this.#handOff(deadline);
    this.#handle.waitSync(this.#acquire, deadline);
    return permit(this.#giveBack);
  }

  /**
   * `semop` of -1 with `IPC_NOWAIT`: takes a permit if the value is above 0.
   *
   * @returns The permit; undefined when the value is 0.
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} EACCES if the set may not be changed; ERANGE if this process has
   * acquired 32767 more than it has released (see the option `undo`); EIDRM if the set
   * was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryAcquire(): SemaphorePermit | undefined {
    if (!this.#handle.tryOnce(this.#acquire)) return undefined;
    return permit(this.#giveBack);
  }

  /**
   * `semtimedop` of -1: takes a permit, waiting without blocking the thread until the
   * value is above 0.
   *
   * It waits as {@linkcode SysvSemaphoreSet.prototype.operate | SysvSemaphoreSet.operate}
   * does. Calls through one object are served in their order.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The permit. Dispose of it to give it back. A permit that is not disposed
   * of is given back when this process ends, unless `undo` is false.
   * @throws {ClosedError} If the set is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the set may not be changed; ERANGE if this process has
   * acquired 32767 more than it has released (see the option `undo`); EIDRM if the set
   * was removed, before or during the wait; ENOMEM.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  acquire(options?: WaitOptions): Promise<SemaphorePermit> {
    return promised(() => {
      const limits = limitsOf(options);
      this.#handOff(limits.deadline);
      const acquire = this.#acquire;
      return this.#handle.wait(acquire, this.#permit, limits, this.#queue);
    });
  }

  /**
   * `semop` of +1: adds 1 to the value, and wakes a waiter. Unless `undo` is false, the
   * kernel takes it away again when this process ends without having acquired as often.
   *
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} ERANGE if the value is 32767, or if this process has released
   * 32768 more than it has acquired (see the option `undo`): the limit of the error tells
   * which; EACCES if the set may not be changed; EIDRM if it was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  release(): void {
    this.#giveBack();
  }

  static {
    inspectAs(this, (semaphore) => {
      const { id, closing } = semaphore.#handle;
      return { set: id, index: semaphore.#index, closed: closing.closed };
    });
  }

  /**
   * Notes now and then, because it takes a system call, whether there are waiters. The
   * kernel hands a permit to those that block. Those that do not come too late, if this
   * process acquires again at once.
   */
  #noteWaiters(): void {
    const now = performance.now();
    if (now < this.#readAt + FAST) this.#skip = SKIPPED;
    this.#readAt = now;
    if (now < this.#noteAt) return;
    this.#noteAt = now + NOTE_EVERY;
    const { id } = this.#handle;
    const count = sysSem().semctl(id, this.#index, GETNCNT); // best effort
    this.#handoff.released(count > 0);
  }

  #handOff(deadline: number): void {
    const { id, closing } = this.#handle;
    if (closing.closed || this.#queue.busy) return;
    const { semctl } = sysSem();
    const isTaken = () => semctl(id, this.#index, GETVAL) <= 0;
    this.#handoff.wait(isTaken, deadline);
  }
}
