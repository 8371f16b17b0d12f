// One thing after another, as an async iterable.

import { ClosedError } from "../errors.ts";
import { promised } from "./attempt.ts";

type Step<T> = IteratorResult<T, void>;

/**
 * Yields the results of a function. An async generator takes 1.7 times as long for each,
 * and its `return()` would wait for a `next()` that is pending.
 */
class Results<T> implements AsyncGenerator<T, void, unknown> {
  readonly #next: () => Promise<T | null>;
  #isOver = false;

  constructor(next: () => Promise<T | null>) {
    this.#next = next;
  }

  readonly #got = (item: T | null): Step<T> => {
    return item === null ? this.#end() : { done: false, value: item };
  };

  readonly #failed = (error: unknown): Step<T> => {
    const end = this.#end();
    if (error instanceof ClosedError) return end;
    throw error;
  };

  #end(): Step<T> {
    this.#isOver = true;
    return { done: true, value: undefined };
  }

  next(): Promise<Step<T>> {
    if (this.#isOver) return Promise.resolve(this.#end());
    return promised(this.#next).then(this.#got, this.#failed);
  }

  return(): Promise<Step<T>> {
    return Promise.resolve(this.#end());
  }

  throw(reason: unknown): Promise<Step<T>> {
    this.#end();
    return Promise.reject(reason);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}

/**
 * Yields the results of `next`, until it gives null, which is the end of the
 * other side, or until its object is closed, which is the end of this one.
 */
export function untilClosed<T>(
  next: () => Promise<T | null>,
): AsyncGenerator<T, void, unknown> {
  return new Results(next);
}
