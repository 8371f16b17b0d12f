// What every asynchronous wait has in common: a deadline and a signal that end it.

import { type Limits, remaining } from "./options.ts";
import { startTimer } from "../kernel/liveness.ts";
import { isAborted, onAbort, reasonOf } from "./signal.ts";

/** How a wait ends by what it waits for. */
export interface Settle {
  /** It may be there now. */
  readonly resolve: () => void;
  /** It will never be there. */
  readonly reject: (reason: unknown) => void;
}

/** Begins a wait, and returns how to take it back, which may take its time. */
type Begin = (settle: Settle) => () => unknown;

/**
 * A promise for what `begin` waits for: true when it may be there, false when the
 * deadline has passed. When the signal is aborted, it is rejected with the reason.
 * In both cases the wait is taken back.
 */
export function cancellable(
  { deadline, signal }: Limits,
  begin: Begin,
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    if (signal !== undefined && isAborted(signal)) {
      reject(reasonOf(signal));
      return;
    }
    if (deadline === Infinity && signal === undefined) {
      begin({ resolve: () => resolve(true), reject });
      return;
    }
    let clearTimer: (() => void) | undefined;
    let unlisten: (() => void) | undefined;
    let settled = false;
    const takeBack = begin({
      resolve() {
        forget();
        resolve(true);
      },
      reject(reason) {
        forget();
        reject(reason);
      },
    });
    if (settled) return;
    if (deadline !== Infinity) {
      clearTimer = startTimer(expire, remaining(deadline));
    }
    if (signal !== undefined) unlisten = onAbort(signal, abort);

    function forget(): void {
      settled = true;
      clearTimer?.();
      unlisten?.();
    }
    async function takeBackThen(settle: () => void): Promise<void> {
      forget();
      const left = takeBack();
      if (left instanceof Promise) await left;
      settle();
    }
    function abort(): void {
      takeBackThen(() => reject(reasonOf(signal!)));
    }
    function expire(): void {
      const left = remaining(deadline); // timers may fire early, or be cut short
      if (left > 0) clearTimer = startTimer(expire, left);
      else takeBackThen(() => resolve(false));
    }
  });
}
