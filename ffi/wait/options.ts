// How long a wait may take, and what ends it before that.

/**
 * What ends a wait that does not block the thread.
 *
 * All waits for descriptors on a thread share two more descriptors, which are opened
 * with the first wait and closed with the last: where there are none left, the wait
 * ends with an `IpcError` EMFILE. What is ready at once needs no wait.
 */
export interface WaitOptions {
  /**
   * The most milliseconds to wait; 0 tries once. When they are over, the wait
   * ends with a `DOMException` named `TimeoutError`, never early. A negative number
   * and NaN are a `RangeError`.
   *
   * @default {Infinity}
   */
  timeout?: number | undefined;
  /** Ends the wait with the signal's reason when it is aborted. */
  signal?: AbortSignal | undefined;
}

/** What ends a wait that blocks the thread. */
export interface SyncWaitOptions {
  /**
   * The most milliseconds to wait; 0 tries once. When they are over, the wait
   * ends with a `DOMException` named `TimeoutError`, never early. A negative number
   * and NaN are a `RangeError`.
   *
   * @default {Infinity}
   */
  timeout?: number | undefined;
}

/** The moment, on the clock of `performance.now()`, that ends a wait. */
export function deadlineOf(options: SyncWaitOptions | undefined): number {
  const timeout = options?.timeout;
  if (timeout === undefined) return Infinity;
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

/** What a wait that took too long ends with. */
export function timeoutError(subject: string): DOMException {
  return new DOMException(`Timed out waiting for ${subject}`, "TimeoutError");
}

/** The most milliseconds that an int holds, of poll as of setTimeout. */
export const MAX_TIMER = 0x7fff_ffff;

/** The whole milliseconds that are left, rounded up; at most what an int holds. */
export function remaining(deadline: number): number {
  if (deadline === Infinity) return MAX_TIMER; // the clock takes its time
  const left = Math.ceil(deadline - performance.now());
  return Math.min(Math.max(left, 0), MAX_TIMER);
}
