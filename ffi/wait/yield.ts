// Yielding to the event loop. What is ready at once is delivered in microtasks; a loop
// of such deliveries would keep timers, signals and all other I/O waiting for ever.

import { sleepMicroseconds } from "../libc/time.ts";

const CHECK_EVERY = 64; // deliveries: reading the clock costs as much as a small one
const LONGEST = 1; // ms without a yield
const REST = 200; // microseconds: most threads of the pool return within that time
let deliveries = 0;
let last = 0;

/** Globals that not every configuration of the type checker declares. */
interface Globals {
  setImmediate?(callback: () => void): unknown;
  process?: { nextTick?(callback: () => void): void };
}

// Read at the first use, because Deno loads what is behind them then, and once, because
// a program may replace them.
let taken: { setImmediate: Later; nextTick: Later } | undefined;
type Later = (callback: () => void) => unknown;

function later() {
  if (taken !== undefined) return taken;
  const { setImmediate = setTimeout, process } = globalThis as Globals;
  return taken = { setImmediate, nextTick: process?.nextTick ?? setImmediate };
}

let look: (() => void) | undefined;

/**
 * Has `callback` called every now and then between deliveries: what waits for descriptors
 * is served beside a loop that never waits. There is one, the reactor's.
 */
export function lookBetween(callback: (() => void) | undefined): void {
  look = callback;
}

/**
 * Counts deliveries; true when the event loop has not run for a millisecond, and from
 * then on until it has.
 */
export function isOverdue(count = 1): boolean {
  deliveries += count;
  if (deliveries < CHECK_EVERY) return false;
  if (performance.now() - last >= LONGEST) return true;
  deliveries = 0;
  look?.();
  return false;
}

let yielding: Promise<void> | undefined; // one for all that yield meanwhile

/** Resolves when the event loop has run: timers, signals, I/O. */
export function yieldToEventLoop(): Promise<void> {
  return yielding ??= new Promise((resolve) =>
    later().setImmediate(() => {
      last = performance.now();
      deliveries = 0;
      yielding = undefined;
      resolve();
    })
  );
}

/** Resolves when all continuations have run, those included that yield meanwhile. */
export async function yieldToContinuations(): Promise<void> {
  while (yielding !== undefined) await yielding;
  await new Promise<void>((resolve) => later().nextTick(resolve));
}

/**
 * Rests while a thread of the pool returns from a call that was ended. Deno's test
 * runner reports calls that are pending at the end of a test, and gives them no time.
 */
export function letReturn(): void {
  sleepMicroseconds(REST);
}
