// Yielding to the event loop. What is ready at once is delivered in microtasks; a loop
// of such deliveries would keep timers, signals and all other I/O waiting for ever.

const CHECK_EVERY = 64; // deliveries: reading the clock costs as much as a small one
const LONGEST = 1; // ms without a yield
let deliveries = 0;
let last = 0;

// Not declared globals in every configuration of the type checker.
const { setImmediate = setTimeout, process } = globalThis as {
  setImmediate?: (callback: () => void) => unknown;
  process?: { nextTick?(callback: () => void): void };
};
// Taken once: a program may replace it.
const nextTick = process?.nextTick ?? setImmediate;

/** Counts deliveries; true when the event loop has not run for a millisecond. */
export function isOverdue(count = 1): boolean {
  deliveries += count;
  if (deliveries < CHECK_EVERY) return false;
  deliveries = 0;
  return performance.now() - last >= LONGEST;
}

let yielding: Promise<void> | undefined; // one for all that yield meanwhile

/** Resolves when the event loop has run: timers, signals, I/O. */
export function yieldToEventLoop(): Promise<void> {
  return yielding ??= new Promise((resolve) =>
    setImmediate(() => {
      last = performance.now();
      yielding = undefined;
      resolve();
    })
  );
}

/** Resolves when all continuations have run, those included that yield meanwhile. */
export async function yieldToContinuations(): Promise<void> {
  while (yielding !== undefined) await yielding;
  await new Promise<void>((resolve) => nextTick(resolve));
}
