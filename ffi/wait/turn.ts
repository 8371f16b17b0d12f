// Leaving the event loop its turn. Whatever is ready at once is delivered without
// going through the event loop; a loop of such deliveries would keep timers,
// signals and all other I/O waiting for ever.

const MAX_STREAK = 64;
let streak = 0;

/** Counts a delivery; true when the event loop must have its turn. */
export function isOverdue(): boolean {
  if (++streak < MAX_STREAK) return false;
  streak = 0;
  return true;
}

/** Resolves when the event loop has had its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
