// Handing a permit over to those who wait for it. A process that releases a permit while
// others wait, and acquires again at once, would starve them: they have to wake up first.

import { sched } from "../libc/sched.ts";

const LONGEST = 1; // ms
const MAX_PENALTY = 255;

/** The handoff of one object to those that waited when it released a permit. */
export class Handoff {
  #isDue = false;
  // Each time that the permit is not taken doubles the number of times that this object
  // does not wait: the waiters may be stopped, or dead.
  #penalty = 0;
  #skip = 0;

  /** Whether there were waiters at the last release. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** Notes a release, and whether there were waiters. */
  released(hadWaiters: boolean): void {
    this.#isDue = hadWaiters;
  }

  /** Blocks until another process has taken the permit, for at most a millisecond. */
  wait(isTaken: () => boolean, deadline: number): void {
    if (!this.#isDue) return;
    this.#isDue = false;
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    const end = Math.min(performance.now() + LONGEST, deadline);
    let taken = isTaken();
    while (!taken && performance.now() < end) {
      sched().sched_yield();
      taken = isTaken();
    }
    this.#penalty = taken ? 0 : Math.min(2 * this.#penalty + 1, MAX_PENALTY);
    this.#skip = this.#penalty;
  }
}
