// What ends an asynchronous wait before its time: a deadline and a signal.

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

/** A wait that its limits can end. */
export interface Limited {
  /** What to take back at that end. */
  readonly armed: Armed | undefined;
  /** Whether a try is made right now: what it takes is delivered, whatever ends meanwhile. */
  readonly isTrying: boolean;
  /** Notes that it is over, or about to be. */
  over(): void;
  /** The deadline has passed. */
  expired(): void;
  /** Ends with an error. */
  fail(reason: unknown): void;
}

/** The deadline and the signal of a wait that has begun. */
export class Heeded implements Expiring {
  readonly #limits: Limits;
  readonly #wait: Limited;
  readonly #unlisten: (() => void) | undefined;

  constructor(limits: Limits, wait: Limited) {
    this.#limits = limits;
    this.#wait = wait;
    const { deadline, signal } = limits;
    if (deadline !== Infinity) addDeadline(this);
    if (signal !== undefined) {
      this.#unlisten = onAbort(signal, () => this.#abort());
    }
  }

  get deadline(): number {
    return this.#limits.deadline;
  }

  expire(): void {
    this.#takeBack(() => this.#wait.expired());
  }

  #abort(): void {
    if (this.#wait.isTrying) return; // checked before it waits again
    this.#takeBack(() => this.#wait.fail(reasonOf(this.#limits.signal!)));
  }

  async #takeBack(end: () => void): Promise<void> {
    this.#wait.over();
    const left = this.#wait.armed?.takeBack();
    if (left instanceof Promise) await left;
    end();
  }

  /** Heeds nothing any more. */
  forget(): void {
    if (this.deadline !== Infinity) removeDeadline(this);
    this.#unlisten?.();
  }
}

/** What heeds the limits of a wait from now on; undefined if it has none. */
export function heed(limits: Limits, wait: Limited): Heeded | undefined {
  return limits === NO_LIMITS ? undefined : new Heeded(limits, wait);
}

/** A wait for something that comes once. */
class Once implements Limited, Settle {
  readonly armed: Armed | undefined;
  readonly isTrying = false;
  readonly #heeded: Heeded | undefined;
  readonly #resolve: (inTime: boolean) => void;
  readonly #reject: (reason: unknown) => void;
  #isOver = false;

  constructor(
    limits: Limits,
    begin: (settle: Settle) => Armed,
    resolve: (inTime: boolean) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#heeded = heed(limits, this);
    this.armed = begin(this);
  }

  resolve(): void {
    if (this.#isOver) return;
    this.over();
    this.#resolve(true);
  }

  reject(reason: unknown): void {
    if (!this.#isOver) this.fail(reason);
  }

  over(): void {
    this.#isOver = true;
    this.#heeded?.forget();
  }

  expired(): void {
    this.#resolve(false);
  }

  fail(reason: unknown): void {
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
