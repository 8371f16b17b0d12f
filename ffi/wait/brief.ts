// Waiting on this thread, for a moment. A peer that is asked often answers within
// microseconds, and to wait for that through another thread takes several times
// as long.

import { sched } from "../libc/sched.ts";

const MOMENT = 0.05; // ms
const MAX_PENALTY = 255;

// Every moment spent in vain doubles the number of waits that are not tried, so
// that where answers take longer next to nothing is lost.
let penalty = 0;
let skip = 0;

/**
 * Holds this thread for about 50 microseconds at most, until `look` says true, if
 * that is likely to be of use.
 *
 * It looks again and again, leaving the processor to whoever wants it in between:
 * a peer on the same one can answer only then. (A timeout of poll would do the
 * same, but a timer that short costs more than all the rest.)
 */
export function waitBriefly(look: () => boolean): boolean {
  if (look()) return true; // says nothing about the next time: no moment was spent
  if (skip > 0) {
    skip--;
    return false;
  }
  const end = performance.now() + MOMENT;
  let found = false;
  while (!found && performance.now() < end) {
    sched().sched_yield();
    found = look();
  }
  if (found && performance.now() < end) {
    penalty >>= 1;
  } else { // late is in vain, too: the processor was somebody else's for long
    penalty = Math.min(penalty * 2 + 1, MAX_PENALTY);
    skip = penalty;
  }
  return found;
}
