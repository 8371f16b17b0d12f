// Waiting for the semaphore set of a lock.

import { EDEADLK, ipcError } from "../libc/errno.ts";
import type { Operations } from "../semaphore/operations.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import type { Limits } from "../wait/options.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import type { LockSet } from "./lock_set.ts";

// How long a call on the pool keeps its place among the waiters, and its thread, too,
// after it was abandoned.
const PLACE = 1000; // ms

/**
 * One wait. The thread of JavaScript that waits acquires by itself: what another thread
 * acquires for a Worker that is terminated would stay locked.
 */
export abstract class Acquisition<Guard> {
  readonly set: LockSet;

  constructor(set: LockSet) {
    this.set = set;
  }

  /** Acquires without waiting; undefined when it would have to wait. */
  abstract tryOnce(): Guard | undefined;

  /** Operations that wait until a try may succeed. */
  abstract readonly waiting: Operations;

  /** Notes that these operations, which were `waiting`, are done. */
  protected waited(_operations: Operations): void {}

  /** Whether blocking would deadlock: this thread holds a guard of the lock. */
  get wouldDeadlock(): boolean {
    return false;
  }

  /** When to try again even if the wait has not ended. */
  retryAt(): number {
    return Infinity;
  }

  /** Whether the kernel serves these waiters in order, so that the call is long. */
  protected get hasPlace(): boolean {
    return false;
  }

  /** Waits, blocking this thread. */
  waitSync(deadline: number): Guard {
    const { set } = this;
    return attemptSync(
      set.subject,
      () => {
        const guard = this.tryOnce();
        if (guard !== undefined || !this.wouldDeadlock) return guard;
        throw ipcError(EDEADLK, "semop", set.subject);
      },
      () => {
        const { waiting } = this;
        const until = Math.min(deadline, this.retryAt());
        if (set.block(waiting, until)) this.waited(waiting);
      },
      deadline,
    );
  }

  /** Waits without blocking the thread. Of those in a queue one is in the kernel. */
  wait(limits: Limits, queue?: WaiterQueue): Promise<Guard> {
    const { subject, closing } = this.set;
    const source = new PoolSource(subject, closing, () => this.#blockingCall());
    return attempt(source, () => this.tryOnce(), limits, queue);
  }

  #blockingCall(): BlockingCall {
    const { set, waiting: first } = this;
    // Throws what the call on the pool cannot.
    if (set.operate(first.trying)) this.waited(first);
    const { waiting } = this;
    const done = () => this.waited(waiting);
    return this.hasPlace
      ? { ...set.blockingCall(waiting, Infinity, done), slice: PLACE }
      : set.blockingCall(waiting, this.retryAt(), done);
  }
}
