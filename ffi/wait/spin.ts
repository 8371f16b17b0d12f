// Spinning: a peer that is asked often answers within microseconds, and to wait for
// that through another thread takes several times as long.

import { sched } from "../libc/sched.ts";

const SHORT = 0.05; // ms: an answer within this time makes spinning worth while
// ms: the longest spin. Of two sides that both wait through other threads each sees the
// other as slow as that makes it, and only a longer spin shows otherwise.
const LONGEST = 0.2;
const MAX_PENALTY = 255;
const MAX_LATE = 2 * MAX_PENALTY; // late answers in a row before spinning is given up

// Each spin in vain doubles the number of waits that do not spin, so that where answers
// take longer next to nothing is lost.
let penalty = 0;
let skip = 0;
let late = 0;

/**
 * Calls `tryOnce` until it returns true, for about 50 microseconds, now and then for
 * 200, or until the deadline; does nothing where spinning was in vain lately. Between
 * two tries it yields the processor: a peer on the same one can answer only then.
 */
export function spin(
  tryOnce: () => boolean,
  deadline: number = Infinity,
): boolean {
  if (skip > 0) {
    skip--;
    return false;
  }
  const start = performance.now();
  const most = Math.min(LONGEST, deadline - start);
  if (most <= 0) return false;
  let elapsed = 0;
  let found = false;
  while (!found && elapsed < most) {
    sched().sched_yield();
    found = tryOnce();
    elapsed = performance.now() - start;
  }
  if (found && elapsed < SHORT) {
    penalty >>= 1;
    late = 0;
  } else if (!found || ++late > MAX_LATE) {
    penalty = Math.min(penalty * 2 + 1, MAX_PENALTY);
    skip = penalty;
  }
  return found;
}
