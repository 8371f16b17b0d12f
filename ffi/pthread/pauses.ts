// Blocking this thread between tries, where no event tells.

import { sleepMicroseconds } from "../libc/time.ts";
import { remaining } from "../wait/options.ts";

const FIRST = 50; // microseconds
const LONGEST = 20_000;

/** Blocks for 50 microseconds, then twice as long each time, up to 20 milliseconds. */
export function pauses(longest: number = LONGEST): (deadline: number) => void {
  let pause = FIRST;
  return (deadline) => {
    sleepMicroseconds(Math.min(pause, 1000 * remaining(deadline)));
    pause = Math.min(2 * pause, longest);
  };
}
