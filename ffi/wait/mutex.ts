// One at a time, in the order of their coming.

import { cancellable, type Settle } from "./cancellable.ts";

/** Keeps the parts of what one task sends together when another sends, too. */
export class Mutex {
  #held = false;
  readonly #line = new Set<Settle>();

  /** Whether somebody has it. */
  get held(): boolean {
    return this.#held;
  }

  /** Takes it; undefined when it was free, so that nobody waits for nothing. */
  acquire(
    subject: string,
    deadline: number,
    signal?: AbortSignal,
  ): Promise<void> | undefined {
    if (!this.#held) {
      this.#held = true;
      return undefined;
    }
    return cancellable(subject, deadline, signal, (settle) => {
      this.#line.add(settle);
      return () => this.#line.delete(settle);
    });
  }

  /** Gives it to the next in line. */
  release(): void {
    const [next] = this.#line;
    if (next === undefined) {
      this.#held = false;
      return;
    }
    this.#line.delete(next);
    next.resolve();
  }
}
