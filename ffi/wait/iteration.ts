// One thing after another, as an async iterable.

import { ClosedError } from "../errors.ts";

/**
 * Yields the results of `next`, until it gives null, which is the end of the
 * other side, or until its object is closed, which is the end of this one.
 */
export async function* untilClosed<T>(
  next: () => Promise<T | null>,
): AsyncGenerator<T, void, unknown> {
  for (;;) {
    let item;
    try {
      item = await next();
    } catch (error) {
      if (error instanceof ClosedError) return;
      throw error;
    }
    if (item === null) return;
    yield item;
  }
}
