// Acquiring a lock that survives the death of its holder, and waiting for it.

import { EDEADLK, ipcError } from "../libc/errno.ts";
import type { Operations } from "../semaphore/operations.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import type { Limits } from "../wait/options.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import type { LockSet } from "./lock_set.ts";

/**
 * One way to acquire a lock. The thread of JavaScript that waits acquires by itself:
 * what another thread acquires for a Worker that is terminated would stay locked.
 */
export abstract class Acquisition<Guard> {
  readonly set: LockSet;
  readonly #queue: WaiterQueue | undefined;

  /** Of the waiters in a queue one at a time waits in the kernel. */
  constructor(set: LockSet, queue?: WaiterQueue) {
    this.set = set;
    this.#queue = queue;
  }

  /** Acquires without waiting; undefined when it would have to wait. */
  abstract tryOnce(): Guard | undefined;

  /** Operations that wait until a try may succeed, and change nothing. */
  abstract readonly waiting: Operations;

  /** Whether blocking would deadlock: this thread holds a guard of the lock. */
  get wouldDeadlock(): boolean {
    return false;
  }

  /** When to try again even if the wait has not ended. */
  retryAt(): number {
    return Infinity;
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
        set.block(this.waiting, Math.min(deadline, this.retryAt()));
      },
      deadline,
    );
  }

  /** Waits without blocking the thread. */
  wait(limits: Limits): Promise<Guard> {
    const { subject, closing } = this.set;
    const source = new PoolSource(subject, closing, () => this.#blockingCall());
    return attempt(source, () => this.tryOnce(), limits, this.#queue);
  }

  #blockingCall(): BlockingCall {
    this.set.operate(this.waiting.trying); // throws what the call on the pool cannot
    return this.set.blockingCall(this.waiting, this.retryAt());
  }
}
