// Waiting for what cannot be waited for: looking again, less and less often.

import { remaining, timeoutError } from "./options.ts";

const LONGEST = 20; // ms: how late a change may be noticed

/** Resolves after `milliseconds`; rejects when the signal is aborted. */
function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", abort, { once: true });
    function abort() {
      clearTimeout(timer);
      reject(signal!.reason);
    }
  });
}

/**
 * Resolves when `look` says true. It looks at once, then after 1, 2, 4 ... and
 * from then on every 20 milliseconds, so that waiting costs next to nothing.
 */
export async function until(
  look: () => boolean,
  subject: string,
  deadline: number,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  for (let pause = 1; !look(); pause = Math.min(pause * 2, LONGEST)) {
    const left = remaining(deadline);
    if (left === 0) throw timeoutError(subject);
    await sleep(Math.min(pause, left), signal);
  }
}
