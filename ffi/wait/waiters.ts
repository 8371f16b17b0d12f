// The waiters of one object: one at a time, in the order of their calls.

import { type Armed, cancellable, type Settle } from "./cancellable.ts";
import type { Limits } from "./options.ts";
import { isOverdue, yieldToEventLoop } from "./yield.ts";

/**
 * A first-in, first-out queue. Its head alone waits in the kernel, so the waiters of
 * one object are served in order, and cost one wait together. Of several writes it
 * keeps the parts of one together.
 */
export class WaiterQueue {
  #busy = false;
  #isServing = false;
  #hasLeft = false;
  readonly #waiting = new Set<Settle>();

  /** Whether it has a head. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Joins the queue if it is empty: the caller is its head now. */
  tryEnter(): boolean {
    if (this.#busy) return false;
    return this.#busy = true;
  }

  /** Joins the queue, which has a head. Resolves `settle` when that is the head. */
  join(settle: Settle): Armed {
    this.#waiting.add(settle);
    return { takeBack: () => void this.#waiting.delete(settle) };
  }

  /**
   * Joins the queue. Undefined when the caller is its head now; else a promise, which
   * resolves to true when it is, and to false when the deadline has passed.
   */
  enter(limits: Limits): Promise<boolean> | undefined {
    if (this.tryEnter()) return undefined;
    return cancellable(limits, (settle) => this.join(settle));
  }

  /** Leaves the queue: the next one is its head. */
  leave(): void {
    if (this.#waiting.size === 0) {
      this.#busy = false;
      return;
    }
    this.#hasLeft = true;
    if (this.#isServing) return; // the next one has left at once
    this.#isServing = true;
    while (this.#hasLeft) {
      this.#hasLeft = false;
      if (this.#waiting.size === 0) this.#busy = false;
      else if (!isOverdue()) this.#serve();
      else yieldToEventLoop().then(() => this.leave());
    }
    this.#isServing = false;
  }

  #serve(): void {
    const [next] = this.#waiting;
    this.#waiting.delete(next!);
    next!.resolve();
  }
}
