// Backing off: trying again, less and less often, where no event tells.

import { alwaysRefed, type Liveness, startTimer } from "../kernel/liveness.ts";
import { poll } from "../libc/poll.ts";
import type { Source } from "./attempt.ts";
import { cancellable } from "./cancellable.ts";
import { type Limits, remaining } from "./options.ts";

const LONGEST = 20; // ms: how late a change may be noticed

/** Tries after 1, 2, 4 ... and from then on every 20 milliseconds. */
export class Backoff implements Source {
  readonly subject: string;
  readonly spins = false;
  readonly liveness: Liveness;
  #pause = 1;

  constructor(subject: string, liveness: Liveness = alwaysRefed) {
    this.subject = subject;
    this.liveness = liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  ready(limits: Limits): Promise<boolean> {
    const pause = this.nextPause();
    return cancellable(limits, ({ resolve }) => {
      return startTimer(resolve, pause);
    });
  }

  /** The milliseconds until the next try. */
  nextPause(): number {
    const pause = this.#pause;
    this.#pause = Math.min(pause * 2, LONGEST);
    return pause;
  }
}

const nothing = new Uint8Array(0);

/** Blocks this thread between tries: for 1, 2, 4 ... and from then on 20 milliseconds. */
export function sleepSync(): (deadline: number) => void {
  let pause = 1;
  return (deadline) => {
    poll().poll(nothing, 0, Math.min(pause, remaining(deadline)));
    pause = Math.min(pause * 2, LONGEST);
  };
}
