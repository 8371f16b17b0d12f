// The waiters of one object: one at a time, in the order of their calls.

import { cancellable, type Settle } from "./cancellable.ts";
import type { Limits } from "./options.ts";

/**
 * A first-in, first-out queue. Its head alone waits in the kernel, so the waiters of
 * one object are served in order, and cost one wait together. Of several writes it
 * keeps the parts of one together.
 */
export class WaiterQueue {
  #busy = false;
  readonly #waiting = new Set<Settle>();

  /** Whether it has a head. */
  get busy(): boolean {
    return this.#busy;
  }

  /**
   * Joins the queue. Undefined when the caller is its head now; else a promise, which
   * resolves to true when it is, and to false when the deadline has passed.
   */
  enter(limits: Limits): Promise<boolean> | undefined {
    if (!this.#busy) {
      this.#busy = true;
      return undefined;
    }
    return cancellable(limits, (settle) => {
      this.#waiting.add(settle);
      return () => this.#waiting.delete(settle);
    });
  }

  /** Leaves the queue: the next one is its head. */
  leave(): void {
    if (this.#waiting.size === 0) {
      this.#busy = false;
      return;
    }
    const [next] = this.#waiting;
    this.#waiting.delete(next!);
    next!.resolve();
  }
}
