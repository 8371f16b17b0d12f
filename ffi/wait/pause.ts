// Waiting for what no event tells of: looking again, less and less often.

import { cancellable } from "./cancellable.ts";

const LONGEST = 20; // ms: how late a change may be noticed

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
    await cancellable(subject, deadline, signal, ({ resolve }) => {
      const timer = setTimeout(resolve, pause);
      return () => clearTimeout(timer);
    });
  }
}
