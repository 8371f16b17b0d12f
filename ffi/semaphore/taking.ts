// Taking a lock that survives its holder's death, and waiting for it.

import { EDEADLK, ipcError } from "../libc/errno.ts";
import { type Blocking, type LaneCall, waitInLane } from "../wait/lanes.ts";
import type { Mutex } from "../wait/mutex.ts";
import { remaining, timeoutError } from "../wait/options.ts";
import type { LockSet, Operations } from "./lock_set.ts";

/**
 * One way to take a lock. Who takes is always the thread of JavaScript that asked
 * for it: what another thread took for a Worker that ends would stay locked.
 */
export abstract class Taking<Guard>
  implements LaneCall<Guard>, Blocking<Guard> {
  readonly set: LockSet;

  constructor(set: LockSet) {
    this.set = set;
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

  get subject(): string {
    return this.set.subject;
  }

  get blocking(): Blocking<Guard> {
    return this;
  }

  block(milliseconds: number): Promise<undefined> {
    return this.set.block(this.waiting, milliseconds);
  }

  /** Waits for it, blocking this thread. */
  waitSync(deadline: number): Guard {
    for (;;) {
      const guard = this.attempt();
      if (guard !== undefined) return guard;
      if (this.isInItsOwnWay) throw ipcError(EDEADLK, "semop", this.subject);
      if (remaining(deadline) === 0) throw timeoutError(this.subject);
      const until = Math.min(deadline, this.retryAt());
      this.set.wait(
        this.waiting,
        until === Infinity ? until : remaining(until),
      );
    }
  }

  /** Waits for it; of those in a line one at a time does so on another thread. */
  async wait(
    line: Mutex,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<Guard> {
    signal?.throwIfAborted();
    this.set.checkOpen();
    const free = line.acquire(this.subject, deadline, signal);
    if (free !== undefined) await free;
    try {
      return await waitInLane(this, deadline, signal);
    } finally {
      line.release();
    }
  }
}
