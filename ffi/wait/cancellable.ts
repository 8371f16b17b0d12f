// What every asynchronous wait has in common: a deadline and a signal that end it.

import { addDeadline, type Expiring, removeDeadline } from "./deadlines.ts";
import { type Limits, NO_LIMITS } from "./options.ts";
import { isAborted, onAbort, reasonOf } from "./signal.ts";

/** How a wait is told of what it waits for. */
export interface Settle {
  /** It may be there now. */
  resolve(): void;
  /** It will never be there. */
  reject(reason: unknown): void;
}

/** A wait that has begun. */
export interface Armed {
  /** Takes it back: it is told nothing any more. Returns a promise if that takes time. */
  takeBack(): unknown;
}

/** A wait that its deadline and its signal can end, once it has begun. */
export abstract class Cancellable implements Settle, Expiring {
  protected readonly limits: Limits;
  /** What to take back at that end. */
  protected armed: Armed | undefined;
  /** Whether a try is made right now: what it takes is delivered, whatever ends meanwhile. */
  protected isTrying = false;
  #isOver = false; // or about to be
  #unlisten: (() => void) | undefined;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  get deadline(): number {
    return this.limits.deadline;
  }

  /** What it waits for may be there. */
  protected abstract ready(): void;
  /** The deadline has passed. */
  protected abstract expired(): void;
  /** Ends with an error. */
  protected abstract fail(reason: unknown): void;

  resolve(): void {
    if (!this.#isOver) this.ready();
  }

  reject(reason: unknown): void {
    if (!this.#isOver) this.fail(reason);
  }

  /** Begins to heed the deadline and the signal. */
  protected heed(): void {
    if (this.limits === NO_LIMITS) return;
    const { deadline, signal } = this.limits;
    if (deadline !== Infinity) addDeadline(this);
    if (signal !== undefined) {
      this.#unlisten = onAbort(signal, () => this.#abort());
    }
  }

  /** Heeds nothing any more. */
  protected over(): void {
    this.#isOver = true;
    if (this.limits === NO_LIMITS) return;
    if (this.limits.deadline !== Infinity) removeDeadline(this);
    this.#unlisten?.();
  }

  expire(): void {
    this.#takeBack(() => this.expired());
  }

  #abort(): void {
    if (this.isTrying) return; // checked before it waits again
    this.#takeBack(() => this.fail(reasonOf(this.limits.signal!)));
  }

  async #takeBack(end: () => void): Promise<void> {
    this.over();
    const left = this.armed?.takeBack();
    if (left instanceof Promise) await left;
    end();
  }
}

/** A wait for something that comes once. */
class Once extends Cancellable {
  readonly #resolve: (inTime: boolean) => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    limits: Limits,
    begin: (settle: Settle) => Armed,
    resolve: (inTime: boolean) => void,
    reject: (reason: unknown) => void,
  ) {
    super(limits);
    this.#resolve = resolve;
    this.#reject = reject;
    this.heed();
    this.armed = begin(this);
  }

  protected ready(): void {
    this.over();
    this.#resolve(true);
  }

  protected expired(): void {
    this.#resolve(false);
  }

  protected fail(reason: unknown): void {
    this.over();
    this.#reject(reason);
  }
}

/**
 * A promise for what `begin` waits for: true when it may be there, false when the
 * deadline has passed. When the signal is aborted, it is rejected with the reason.
 * In both cases the wait is taken back.
 */
export function cancellable(
  limits: Limits,
  begin: (settle: Settle) => Armed,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const { signal } = limits;
    if (signal !== undefined && isAborted(signal)) reject(reasonOf(signal));
    else new Once(limits, begin, resolve, reject);
  });
}
