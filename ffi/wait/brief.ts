// Waiting on this thread, for a moment. A peer that is asked often answers within
// microseconds, and to wait for that through another thread takes several times
// as long.

import { sched } from "../libc/sched.ts";

const MOMENT = 0.05; // ms: who answers within that is worth being looked at
// ms: how long that is found out. Of two sides that both wait through other threads
// each sees the other as slow as that makes it, and only patience shows otherwise.
const PATIENCE = 0.2;
const MAX_PENALTY = 255;
const MAX_LATE = 2 * MAX_PENALTY; // looks, in which the other side will look, too

// Every moment spent in vain doubles the number of waits that are not tried, so
// that where answers take longer next to nothing is lost.
let penalty = 0;
let skip = 0;
let late = 0;

/**
 * Looks whether what one waits for is there; if not, and if it is likely to come soon,
 * holds this thread for about 50 microseconds, now and then for 200, until it is or
 * the deadline has passed.
 *
 * It looks again and again, leaving the processor to whoever wants it in between:
 * a peer on the same one can answer only then. (A timeout of poll would do the
 * same, but a timer that short costs more than all the rest.)
 */
export function waitBriefly(look: () => boolean, deadline: number): boolean {
  if (look()) return true; // says nothing about the next time: no moment was spent
  if (skip > 0) {
    skip--;
    return false;
  }
  const start = performance.now();
  const most = Math.min(PATIENCE, deadline - start);
  if (most <= 0) return false;
  let elapsed = 0;
  let found = false;
  while (!found && elapsed < most) {
    sched().sched_yield();
    found = look();
    elapsed = performance.now() - start;
  }
  if (found && elapsed < MOMENT) {
    penalty >>= 1;
    late = 0;
  } else if (!found || ++late > MAX_LATE) {
    penalty = Math.min(penalty * 2 + 1, MAX_PENALTY);
    skip = penalty;
  }
  return found;
}
