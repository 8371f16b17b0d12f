// What every asynchronous wait has in common: a deadline and a signal that end it.

import { remaining, timeoutError } from "./options.ts";

/** How a wait ends by what it waits for. */
export interface Settle {
  /** It is there. */
  readonly resolve: () => void;
  /** It will never be there. */
  readonly reject: (reason: unknown) => void;
}

/**
 * A promise for what `begin` waits for. If the deadline passes or the signal is
 * aborted first, what `begin` returned takes the wait back, and the promise is
 * rejected.
 */
export function cancellable(
  subject: string,
  deadline: number,
  signal: AbortSignal | undefined,
  begin: (settle: Settle) => () => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    let timer: ReturnType<typeof setTimeout> | undefined;
    const takeBack = begin({
      resolve() {
        forget();
        resolve();
      },
      reject(reason) {
        forget();
        reject(reason);
      },
    });
    if (deadline !== Infinity) timer = setTimeout(expire, remaining(deadline));
    signal?.addEventListener("abort", abort);

    function forget(): void {
      if (timer !== undefined) clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
    function abort(): void {
      forget();
      takeBack();
      reject(signal!.reason);
    }
    function expire(): void {
      const left = remaining(deadline); // timers may fire early, or be cut short
      if (left > 0) {
        timer = setTimeout(expire, left);
        return;
      }
      forget();
      takeBack();
      reject(timeoutError(subject));
    }
  });
}
