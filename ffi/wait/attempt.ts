// The wait loop: try, and wait until another try may succeed. There is no other.
//
// Each await is a place where the object can be closed or resized, the signal aborted,
// and a descriptor's number given to another. So a round begins with a check of the
// signal, and with a try, which checks the object. The first try is made at once, in
// the call itself. After a try that succeeded nothing is checked any more: what was
// taken is delivered.

import { isOver, type Limits, timeoutError } from "./options.ts";
import { throwIfAborted } from "./signal.ts";
import { spin } from "./spin.ts";
import type { WaiterQueue } from "./waiters.ts";
import { isOverdue, yieldToEventLoop } from "./yield.ts";

/** What tells when a try may succeed. */
export interface Source {
  /** Name used in error messages. */
  readonly subject: string;
  /** Whether the first try is repeated on this thread for some microseconds. */
  readonly spins: boolean;
  /** Whether others wait that were not served since this one was. */
  isDeferred(): boolean;
  /** Notes that a try has succeeded. */
  served(): void;
  /** Resolves to true when a try may succeed, to false when the deadline has passed. */
  ready(limits: Limits): Promise<boolean>;
  /** Notes that there is no other try, whether the last one has succeeded or not. */
  ended?(): void;
}

/** Makes the call without waiting; undefined when it would have to wait. */
export type TryOnce<T> = () => T | undefined;

/** Calls `tryOnce` until it succeeds, without blocking the thread. */
export async function attempt<T>(
  source: Source,
  tryOnce: TryOnce<T>,
  limits: Limits,
  queue?: WaiterQueue,
): Promise<T> {
  const { deadline, signal } = limits;
  const turn = queue?.enter(limits); // first: the order is that of the calls
  if (turn !== undefined && !await turn) throw timeoutError(source.subject);
  try {
    let inTime = true;
    for (let first = true;; first = false) {
      throwIfAborted(signal);
      if (!inTime || !source.isDeferred()) {
        let got = tryOnce();
        if (got === undefined && first && source.spins) {
          spin(() => (got = tryOnce()) !== undefined, deadline);
        }
        if (got !== undefined) {
          source.served();
          return got;
        }
        if (!inTime || isOver(deadline)) throw timeoutError(source.subject);
      }
      inTime = await source.ready(limits);
    }
  } finally {
    source.ended?.();
    if (isOverdue()) await yieldToEventLoop(); // before the next in the queue is served
    queue?.leave();
  }
}

/** Calls `tryOnce` until it succeeds, blocking this thread in `block` between tries. */
export function attemptSync<T>(
  subject: string,
  tryOnce: TryOnce<T>,
  block: (deadline: number) => void,
  deadline: number,
): T {
  for (;;) {
    const got = tryOnce();
    if (got !== undefined) return got;
    if (isOver(deadline)) throw timeoutError(subject);
    block(deadline);
  }
}
