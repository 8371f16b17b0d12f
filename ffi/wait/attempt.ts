// The wait loop: try, and wait until another try may succeed. There is no other.
//
// Each await is a place where the object can be closed or resized, the signal aborted,
// and a descriptor's number given to another. So a round begins with a check of the
// signal, and with a try, which checks the object. The first try is made at once, in
// the call itself. After a try that succeeded nothing is checked any more: what was
// taken is delivered.

import type { WaitLiveness } from "../kernel/liveness.ts";
import type { Settle } from "./cancellable.ts";
import { isOver, type Limits, NO_LIMITS, timeoutError } from "./options.ts";
import { throwIfAborted } from "./signal.ts";
import { spin } from "./spin.ts";
import type { WaiterQueue } from "./waiters.ts";
import { isOverdue, yieldToEventLoop } from "./yield.ts";

/** Tells when a try may succeed. */
export interface Source {
  /** Name used in error messages. */
  readonly subject: string;
  /** Whether the first try is repeated on this thread for some microseconds. */
  readonly spins: boolean;
  /** Whether the wait keeps the program alive. */
  readonly liveness: WaitLiveness;
  /** Whether others wait that were not served since this one was. */
  isDeferred(): boolean;
  /** Notes that a try has succeeded. */
  served(): void;
  /**
   * Resolves to true when a try may succeed, or a `retry` has returned true; to false
   * when the deadline has passed.
   */
  ready(limits: Limits, retry: () => boolean): Promise<boolean>;
  /**
   * Calls `settle.resolve` when a try may succeed: `ready` without a promise, for waits
   * without limits. Sources that have `ended` do not have it.
   */
  arm?(settle: Settle): void;
  /** Notes after a wait that there is no other try, whether the last one succeeded or not. */
  ended?(): void;
}

/** Makes the call without waiting; undefined when it would have to wait. */
export type TryOnce<T> = () => T | undefined;

/** One round: undefined when another one has to wait. */
function round<T>(
  source: Source,
  tryOnce: TryOnce<T>,
  { deadline, signal }: Limits,
  first: boolean,
  inTime = true,
): T | undefined {
  throwIfAborted(signal);
  if (inTime && source.isDeferred()) return undefined;
  let got = tryOnce();
  if (got === undefined && first && source.spins) {
    spin(() => (got = tryOnce()) !== undefined, deadline);
  }
  if (got !== undefined) source.served();
  else if (!inTime || isOver(deadline)) throw timeoutError(source.subject);
  return got;
}

/** Returns what `begin` returns, and what it throws as a rejection. */
export function promised<T>(begin: () => Promise<T>): Promise<T> {
  try {
    return begin();
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Calls `tryOnce` until it succeeds, without blocking the thread. */
export function attempt<T>(
  source: Source,
  tryOnce: TryOnce<T>,
  limits: Limits,
  queue?: WaiterQueue,
): Promise<T> {
  const turn = queue?.enter(limits); // first: the order is that of the calls
  if (turn !== undefined) return wait(source, tryOnce, limits, queue, turn);
  let got: T | undefined;
  try {
    got = round(source, tryOnce, limits, true);
  } catch (error) {
    if (isOverdue()) return late(() => Promise.reject(error), queue);
    queue?.leave();
    return Promise.reject(error);
  }
  if (got === undefined) {
    if (limits !== NO_LIMITS || source.arm === undefined) {
      return wait(source, tryOnce, limits, queue);
    }
    return new Promise((resolve, reject) =>
      new UnlimitedWait(source, tryOnce, queue, resolve, reject).begin()
    );
  }
  if (isOverdue()) return late(() => got, queue);
  queue?.leave();
  return Promise.resolve(got);
}

/** The rounds after the first one, without limits: called back, not resumed. */
class UnlimitedWait<T> implements Settle {
  readonly #source: Source;
  readonly #tryOnce: TryOnce<T>;
  readonly #queue: WaiterQueue | undefined;
  readonly #deliver: (got: T) => void;
  readonly #fail: (reason: unknown) => void;

  constructor(
    source: Source,
    tryOnce: TryOnce<T>,
    queue: WaiterQueue | undefined,
    deliver: (got: T) => void,
    fail: (reason: unknown) => void,
  ) {
    this.#source = source;
    this.#tryOnce = tryOnce;
    this.#queue = queue;
    this.#deliver = deliver;
    this.#fail = fail;
  }

  begin(): void {
    this.#source.liveness.begin();
    this.#arm();
  }

  resolve(): void {
    let got: T | undefined;
    try {
      got = round(this.#source, this.#tryOnce, NO_LIMITS, false);
    } catch (error) {
      this.reject(error);
      return;
    }
    if (got === undefined) {
      this.#arm();
    } else {
      this.#end();
      this.#deliver(got);
    }
  }

  reject(reason: unknown): void {
    this.#end();
    this.#fail(reason);
  }

  #arm(): void {
    try {
      this.#source.arm!(this);
    } catch (error) {
      this.reject(error); // the object is closed
    }
  }

  #end(): void {
    this.#source.liveness.end();
    this.#queue?.leave();
  }
}

/** The outcome of the first round, when the event loop has run. */
async function late<T>(
  outcome: () => T | Promise<T>,
  queue: WaiterQueue | undefined,
): Promise<T> {
  await yieldToEventLoop(); // before the next in the queue is served
  queue?.leave();
  return await outcome();
}

/** The rounds after the first one, or all of them when it is this wait's turn. */
async function wait<T>(
  source: Source,
  tryOnce: TryOnce<T>,
  limits: Limits,
  queue?: WaiterQueue,
  turn?: Promise<boolean>,
): Promise<T> {
  if (turn !== undefined && !await turn) throw timeoutError(source.subject);
  const { liveness } = source;
  let waits = false;
  let got: T | undefined;
  const retry = () => {
    try {
      got = tryOnce();
    } catch {
      return true; // the next round throws it
    }
    return got !== undefined;
  };
  try {
    if (turn !== undefined) got = round(source, tryOnce, limits, true);
    while (got === undefined) {
      if (!waits) liveness.begin();
      waits = true;
      const inTime = await source.ready(limits, retry);
      got ??= round(source, tryOnce, limits, false, inTime);
    }
    return got;
  } finally {
    if (waits) liveness.end();
    source.ended?.();
    if (isOverdue()) await yieldToEventLoop();
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
