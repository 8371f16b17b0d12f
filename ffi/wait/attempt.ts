// The wait loop: try, and wait until another try may succeed. There is no other.
//
// Each await is a place where the object can be closed or resized, the signal aborted,
// and a descriptor's number given to another. So a round begins with a check of the
// signal, and with a try, which checks the object. The first try is made at once, in
// the call itself. After a try that succeeded nothing is checked any more: what was
// taken is delivered.

import type { WaitLiveness } from "../kernel/liveness.ts";
import {
  type Armed,
  heed,
  type Heeded,
  type Limited,
  type Settle,
} from "./cancellable.ts";
import { isOver, type Limits, timeoutError } from "./options.ts";
import { isAborted, reasonOf, throwIfAborted } from "./signal.ts";
import { spin } from "./spin.ts";
import type { WaiterQueue } from "./waiters.ts";
import { isOverdue, yieldToEventLoop } from "./yield.ts";

/** A wait, as its source sees it. */
export interface Pending extends Settle {
  /** On the clock of `performance.now()`. */
  readonly deadline: number;
  /** Tries; true when that has ended the wait. Else it is still armed. */
  retry(): boolean;
}

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
   * Calls `wait.resolve` when a try may succeed: once, and not before this returns. It
   * returns how to take that back; undefined if there is no need to.
   */
  arm(wait: Pending): Armed | undefined;
  /** Notes after a wait that there is no other try, whether the last one succeeded or not. */
  ended?(): void;
}

/**
 * Makes the call without waiting; undefined when it would have to wait. What it is made
 * for are arguments: a closure with them would take memory in each call, needed or not.
 */
export type TryOnce<T, Target = unknown, Moved = unknown> = (
  target: Target,
  moved: Moved,
) => T | undefined;

/** One round: undefined when another one has to wait. */
function round<T, Target, Moved>(
  source: Source,
  tryOnce: TryOnce<T, Target, Moved>,
  { deadline, signal }: Limits,
  target: Target,
  moved: Moved,
  first: boolean,
  inTime: boolean,
): T | undefined {
  throwIfAborted(signal);
  if (inTime && source.isDeferred()) return undefined;
  let got = tryOnce(target, moved);
  if (got === undefined && first && source.spins) {
    got = spun(tryOnce, target, moved, deadline);
  }
  if (got !== undefined) source.served();
  else if (!inTime || isOver(deadline)) throw timeoutError(source.subject);
  return got;
}

function spun<T, Target, Moved>(
  tryOnce: TryOnce<T, Target, Moved>,
  target: Target,
  moved: Moved,
  deadline: number,
): T | undefined {
  let got: T | undefined;
  spin(() => (got = tryOnce(target, moved)) !== undefined, deadline);
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

/**
 * Calls `tryOnce` until it succeeds, without blocking the thread. `target` and `moved`
 * are its arguments.
 */
export function attempt<T, Target = unknown, Moved = unknown>(
  source: Source,
  tryOnce: TryOnce<T, Target, Moved>,
  limits: Limits,
  queue?: WaiterQueue,
  target?: Target,
  moved?: Moved,
): Promise<T> {
  // First: the order is that of the calls.
  if (queue !== undefined && !queue.tryEnter()) {
    return new Wait(source, tryOnce, limits, queue, target!, moved!).enter();
  }
  let got: T | undefined;
  try {
    got = round(source, tryOnce, limits, target!, moved!, true, true);
  } catch (error) {
    if (isOverdue()) return late<T>(queue, undefined, error);
    queue?.leave();
    return Promise.reject(error);
  }
  if (got === undefined) {
    return new Wait(source, tryOnce, limits, queue, target!, moved!).begin();
  }
  if (isOverdue()) return late(queue, got);
  queue?.leave();
  return Promise.resolve(got);
}

/** Returns what was got, or else the error, when the event loop has run. */
function late<T>(
  queue: WaiterQueue | undefined,
  got: T | undefined,
  error?: unknown,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  yieldToEventLoop().then(() => {
    if (got === undefined) reject(error);
    else resolve(got);
    queue?.leave();
  });
  return promise;
}

/** The rounds after the first one, or all of them where others are before it. */
class Wait<T, Target, Moved> implements Pending, Limited {
  readonly #source: Source;
  readonly #tryOnce: TryOnce<T, Target, Moved>;
  readonly #limits: Limits;
  readonly #queue: WaiterQueue | undefined;
  readonly #target: Target;
  readonly #moved: Moved;
  /** What the caller awaits. */
  readonly #promise: Promise<T>;
  #resolve!: (got: T) => void;
  #reject!: (reason: unknown) => void;
  #liveness: WaitLiveness | undefined;
  #heeded: Heeded | undefined;
  #hasTurn = false;
  #isOver = false;
  armed: Armed | undefined;
  isTrying = false;

  constructor(
    source: Source,
    tryOnce: TryOnce<T, Target, Moved>,
    limits: Limits,
    queue: WaiterQueue | undefined,
    target: Target,
    moved: Moved,
  ) {
    this.#source = source;
    this.#tryOnce = tryOnce;
    this.#limits = limits;
    this.#queue = queue;
    this.#target = target;
    this.#moved = moved;
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get deadline(): number {
    return this.#limits.deadline;
  }

  /** Waits for its turn. */
  enter(): Promise<T> {
    const { signal } = this.#limits;
    if (signal !== undefined && isAborted(signal)) {
      this.fail(reasonOf(signal));
    } else {
      this.#heeded = heed(this.#limits, this);
      this.armed = this.#queue!.join(this);
    }
    return this.#promise;
  }

  /** Waits after a first try. */
  begin(): Promise<T> {
    this.#hasTurn = true;
    this.#heeded = heed(this.#limits, this);
    this.#arm();
    return this.#promise;
  }

  resolve(): void {
    if (!this.#isOver && !this.#try(true)) this.#arm();
  }

  reject(reason: unknown): void {
    if (!this.#isOver) this.fail(reason);
  }

  retry(): boolean {
    return this.#try(true);
  }

  over(): void {
    this.#isOver = true;
    this.#heeded?.forget();
  }

  expired(): void {
    if (this.#hasTurn) this.#try(false);
    else this.fail(timeoutError(this.#source.subject));
  }

  fail(reason: unknown): void {
    this.#end();
    this.#reject(reason);
    this.#leave();
  }

  /** True when that has ended the wait. */
  #try(inTime: boolean): boolean {
    const first = !this.#hasTurn;
    this.#hasTurn = true;
    this.isTrying = true;
    let got: T | undefined;
    try {
      got = round(
        this.#source,
        this.#tryOnce,
        this.#limits,
        this.#target,
        this.#moved,
        first,
        inTime,
      );
    } catch (error) {
      this.fail(error);
      return true;
    }
    this.isTrying = false;
    if (got === undefined) return false;
    this.#end();
    this.#resolve(got);
    this.#leave();
    return true;
  }

  #arm(): void {
    try {
      throwIfAborted(this.#limits.signal);
      if (this.#liveness === undefined) {
        this.#liveness = this.#source.liveness;
        this.#liveness.begin();
      }
      this.armed = this.#source.arm(this);
    } catch (error) {
      this.fail(error); // the object is closed
    }
  }

  #end(): void {
    this.over();
    this.#liveness?.end();
    this.#source.ended?.();
  }

  /** After the promise is settled: the next one may be served at once. */
  #leave(): void {
    if (this.#hasTurn) this.#queue?.leave();
  }
}

/** Calls `tryOnce` until it succeeds, blocking this thread in `block` between tries. */
export function attemptSync<T>(
  subject: string,
  tryOnce: () => T | undefined,
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
