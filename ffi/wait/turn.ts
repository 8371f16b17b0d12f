// Leaving the event loop its turn. Whatever is ready at once is delivered without
// going through the event loop; a loop of such deliveries would keep timers,
// signals and all other I/O waiting for ever.

const LOOK_EVERY = 64; // deliveries: the clock costs as much as a small one
const LONGEST = 1; // ms
let streak = 0;
let last = 0;

/** Counts a delivery; true when the event loop must have its turn. */
export function isOverdue(): boolean {
  if (++streak < LOOK_EVERY) return false;
  streak = 0;
  const now = performance.now();
  if (now - last < LONGEST) return false;
  last = now;
  return true;
}

/** Resolves when the event loop has had its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
