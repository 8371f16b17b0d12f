// Yielding to the event loop. What is ready at once is delivered in microtasks; a loop
// of such deliveries would keep timers, signals and all other I/O waiting for ever.

const CHECK_EVERY = 64; // deliveries: reading the clock costs as much as a small one
const LONGEST = 1; // ms without a yield
let deliveries = 0;
let last = 0;

// Not a declared global in every configuration of the type checker.
const { setImmediate = setTimeout } = globalThis as {
  setImmediate?: (callback: () => void) => unknown;
};

/** Counts deliveries; true when the event loop has not run for a millisecond. */
export function isOverdue(count = 1): boolean {
  deliveries += count;
  if (deliveries < CHECK_EVERY) return false;
  deliveries = 0;
  return performance.now() - last >= LONGEST;
}

/** Resolves when the event loop has run: timers, signals, I/O. */
export function yieldToEventLoop(): Promise<void> {
  return new Promise((resolve) =>
    setImmediate(() => {
      last = performance.now();
      resolve();
    })
  );
}
