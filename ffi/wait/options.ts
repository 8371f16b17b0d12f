// How long a wait may take, and what ends it before that.

import { checkSignal, throwIfAborted } from "./signal.ts";

/**
 * Options of a wait that does not block the thread.
 *
 * All waits for descriptors on a thread share two descriptors of their own. They are
 * opened with the first wait, and closed with the last descriptor that was waited for. If
 * this process may open no more, the wait ends with an `IpcError`, EMFILE. What is ready
 * at once needs no wait.
 */
export interface WaitOptions {
  /**
   * The maximum time to wait, in milliseconds; 0 tries once. After that, and never
   * early, the wait ends with a `DOMException` named `TimeoutError`. A negative number
   * and NaN are a `RangeError`.
   *
   * @default {Infinity}
   */
  timeout?: number | undefined;
  /** Ends the wait with the signal's reason when it is aborted. */
  signal?: AbortSignal | undefined;
}

/**
 * Options of a wait that blocks the thread.
 *
 * A Worker that blocks cannot be ended by `terminate()`: while it blocks, the process
 * ends only by `Deno.exit()`. Give a `timeout` there.
 */
export interface SyncWaitOptions {
  /**
   * The maximum time to wait, in milliseconds; 0 tries once. After that, and never
   * early, the wait ends with a `DOMException` named `TimeoutError`. A negative number
   * and NaN are a `RangeError`.
   *
   * @default {Infinity}
   */
  timeout?: number | undefined;
}

/** The end of a wait: the caller's options, read once. */
export interface Limits {
  /** On the clock of `performance.now()`. */
  readonly deadline: number;
  readonly signal: AbortSignal | undefined;
}

/** The limits of a wait without a timeout and a signal. */
export const NO_LIMITS: Limits = { deadline: Infinity, signal: undefined };

/** Reads and checks the options of a wait. Throws the reason of an aborted signal. */
export function limitsOf(options: WaitOptions | undefined): Limits {
  if (options === undefined) return NO_LIMITS;
  const { timeout, signal } = options;
  const deadline = deadlineAfter(timeout);
  if (signal !== undefined) {
    checkSignal(signal);
    throwIfAborted(signal);
  }
  return { deadline, signal };
}

/** The moment, on the clock of `performance.now()`, that ends a wait. */
export function deadlineOf(options: SyncWaitOptions | undefined): number {
  return deadlineAfter(options?.timeout);
}

function deadlineAfter(timeout: unknown): number {
  if (timeout === undefined || timeout === Infinity) return Infinity;
  if (typeof timeout !== "number") {
    throw new TypeError(
      `Argument "timeout" must be a number of milliseconds: ${String(timeout)}`,
    );
  }
  if (!(timeout >= 0)) {
    throw new RangeError(
      `Argument "timeout" must be at least 0 milliseconds: ${timeout}`,
    );
  }
  return performance.now() + timeout;
}

/** The error of a wait that took too long. */
export function timeoutError(subject: string): DOMException {
  return new DOMException(`Timed out waiting for ${subject}`, "TimeoutError");
}

/** The most milliseconds that an int holds, of poll as of setTimeout. */
const MAX_TIMER = 0x7fff_ffff;

/**
 * The whole milliseconds that are left, rounded up; at most what an int holds, so a
 * wait that is longer has several parts.
 */
export function remaining(deadline: number): number {
  if (deadline === Infinity) return MAX_TIMER;
  const left = Math.ceil(deadline - performance.now());
  return Math.min(Math.max(left, 0), MAX_TIMER);
}

/** Whether the deadline has passed. */
export function isOver(deadline: number): boolean {
  return deadline !== Infinity && performance.now() >= deadline;
}

/**
 * When a read of several parts is given up although each of them comes at once. Never, if
 * the deadline has passed already: then what is there is read.
 */
export function lastMoment(deadline: number): number {
  return isOver(deadline) ? Infinity : deadline;
}

/** The milliseconds that are left, as the option of another wait. */
export function timeoutUntil(deadline: number): number {
  return deadline === Infinity
    ? Infinity
    : Math.max(deadline - performance.now(), 0);
}
