// Taking a lock that survives its holder's death, and waiting for it.

import { EDEADLK, ipcError } from "../libc/errno.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { type Limits, remaining } from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import type { LockSet, Operations } from "./lock_set.ts";

/**
 * One way to take a lock. Who takes is always the thread of JavaScript that asked
 * for it: what another thread took for a Worker that ends would stay locked.
 */
export abstract class Taking<Guard> {
  readonly set: LockSet;
  readonly #queue: WaiterQueue | undefined;

  /** Of those in a queue one at a time waits in the kernel. */
  constructor(set: LockSet, queue?: WaiterQueue) {
    this.set = set;
    this.#queue = queue;
  }

  /** Takes it without waiting; undefined when it cannot be had now. */
  abstract attempt(): Guard | undefined;

  /** What waits until it may be had, without taking anything. */
  abstract readonly waiting: Operations;

  /** Whether a guard of this thread is in the way: it stays while the thread blocks. */
  get isInItsOwnWay(): boolean {
    return false;
  }

  /** When to try again even if nothing has happened. */
  retryAt(): number {
    return Infinity;
  }

  /** Waits for it, blocking this thread. */
  waitSync(deadline: number): Guard {
    const { set } = this;
    return attemptSync(
      set.subject,
      () => {
        const guard = this.attempt();
        if (guard !== undefined || !this.isInItsOwnWay) return guard;
        throw ipcError(EDEADLK, "semop", set.subject);
      },
      () => {
        const until = Math.min(deadline, this.retryAt());
        set.wait(
          this.waiting,
          until === Infinity ? until : remaining(until),
        );
      },
      deadline,
    );
  }

  /** Waits for it. */
  wait(limits: Limits): Promise<Guard> {
    const { set } = this;
    const callOf = () => set.waitingFor(this.waiting, this.retryAt());
    const source = new PoolSource(set.subject, set.closing, callOf);
    return attempt(source, () => this.attempt(), limits, this.#queue);
  }
}
