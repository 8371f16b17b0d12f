// What a caller has while it holds a lock, or a permit: it gives that back once.

import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";

/** Whether a guard has given back what it held. For this module alone. */
export let isReleased: (guard: Guard) => boolean;

/**
 * A guard, and the base class of those that tell more than whether they are released. Other
 * locks use it itself: to construct a derived class takes longer.
 */
export class Guard implements Disposable {
  readonly #name: string;
  #giveBack: (() => void) | undefined;

  /** Internal. `name` is the type that `Deno.inspect` shows. */
  constructor(token: symbol, name: string, giveBack: () => void) {
    if (token !== internal) {
      checkInternal(token, name, "the methods that lock or acquire");
    }
    this.#name = name;
    this.#giveBack = giveBack;
  }

  static {
    isReleased = (guard) => guard.#giveBack === undefined;
    inspectAs(
      this,
      (guard) => ({ released: guard.#giveBack === undefined }),
      (guard) => guard.#name,
    );
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #release(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    if (giveBack !== undefined) giveBack();
  }
}
