// Waiting on this thread, for a moment. A peer that is asked often answers within
// microseconds, and to wait for that through another thread takes several times
// as long.

import { poll, pollfd } from "../libc/poll.ts";
import { sched } from "../libc/sched.ts";
import { isOverdue } from "./turn.ts";

/** A descriptor and the events (POLLIN, POLLOUT) that are waited for. */
interface Request {
  readonly fd: number;
  readonly events: number;
}

const MOMENT = 0.05; // ms
const MAX_REQUESTS = 64;
const MAX_PENALTY = 255;
const table = new Uint8Array(pollfd.size * MAX_REQUESTS);
const rows = Array.from(
  { length: MAX_REQUESTS },
  (_, index) => pollfd.view(table, index * pollfd.size),
);

// Every moment spent in vain doubles the number of waits that are not tried, so
// that where answers take longer next to nothing is lost.
let penalty = 0;
let skip = 0;

/**
 * Holds this thread for about 50 microseconds at most, until one of the requests
 * is ready, and tells those that are. Does nothing where that was of no use
 * lately, and when the event loop must have its turn.
 */
export function waitBriefly(
  requests: readonly Request[],
  tell: (fd: number, events: number) => void,
): void {
  const { length } = requests;
  if (length === 0 || length > MAX_REQUESTS || isOverdue()) return;
  if (skip > 0) {
    skip--;
    return;
  }
  requests.forEach(({ fd, events }, index) => {
    rows[index]!.fd = fd;
    rows[index]!.events = events;
  });
  if (spin(length)) {
    penalty >>= 1;
  } else {
    penalty = Math.min(penalty * 2 + 1, MAX_PENALTY);
    skip = penalty;
  }
  for (let index = 0; index < length; index++) {
    const { fd, revents } = rows[index]!;
    if (revents !== 0) tell(fd, revents);
  }
}

/**
 * Looks again and again, leaving the processor to whoever wants it in between: a
 * peer on the same one can answer only then. (A timeout of poll would do the same,
 * but a timer that short costs more than all the rest.)
 */
function spin(length: number): boolean {
  const end = performance.now() + MOMENT;
  for (;;) {
    const count = poll().poll(table, length, 0);
    if (performance.now() > end) return false; // late, even if there is something
    if (count !== 0) return true; // or an error, which whoever tries will meet
    sched().sched_yield();
  }
}
