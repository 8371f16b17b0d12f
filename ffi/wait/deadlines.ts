// The deadlines of all waits of a thread: one timer, for the first of them. Most waits
// end before theirs, and to start and to clear a timer costs more than a small read.

import { startTimer } from "../kernel/liveness.ts";
import { remaining } from "./options.ts";

/** What has a deadline. */
export interface Expiring {
  /** On the clock of `performance.now()`. */
  readonly deadline: number;
  /** Called once, when the deadline has passed. */
  expire(): void;
}

const pending = new Set<Expiring>();
let next = Infinity; // the deadline that the timer is for
let clear: () => void = () => {};

function schedule(deadline: number): void {
  clear();
  next = deadline;
  clear = startTimer(check, remaining(deadline));
}

/**
 * Expires what has to, in the order of the deadlines. Timers may fire early, and what
 * this one was for may have ended.
 */
function check(): void {
  const now = performance.now();
  const expired: Expiring[] = [];
  let first = Infinity;
  for (const one of pending) {
    if (one.deadline <= now) expired.push(one);
    else first = Math.min(first, one.deadline);
  }
  next = Infinity;
  if (first < Infinity) schedule(first);
  expired.sort((a, b) => a.deadline - b.deadline);
  for (const one of expired) {
    if (pending.delete(one)) one.expire();
  }
}

/** Calls `expire` when the deadline has passed. */
export function addDeadline(one: Expiring): void {
  pending.add(one);
  if (one.deadline < next) schedule(one.deadline);
}

/** Takes that back. */
export function removeDeadline(one: Expiring): void {
  if (!pending.delete(one) || pending.size > 0) return;
  clear();
  next = Infinity;
}
