// Backing off: trying again, less and less often, where no event tells. All that back
// off on a thread share one timer, and at most about a tenth of its time.

import { alwaysRefed, type Liveness, startTimer } from "../kernel/liveness.ts";
import { poll } from "../libc/poll.ts";
import type { Pending, Source } from "./attempt.ts";
import type { Armed } from "./cancellable.ts";
import { remaining } from "./options.ts";
import { isOverdue, yieldToEventLoop } from "./yield.ts";

const LONGEST = 20; // ms: how late a change may be noticed
const SHARE = 10; // a sweep that takes long is repeated after this many times as long

/** A wait that tries again when it is due. */
interface Paused {
  due: number;
  readonly backoff: Backoff;
  readonly retry: () => boolean;
}

const paused = new Set<Paused>();
let interval = LONGEST; // ms, between two sweeps
let sweeping = false;
let next = Infinity; // when the timer ends
let clear: () => void = () => {};

/** Starts the timer, unless it ends before that. */
function schedule(due: number): void {
  if (sweeping || due >= next) return;
  clear();
  next = due;
  clear = startTimer(sweep, Math.max(due - performance.now(), 0));
}

function endTimer(): void {
  clear();
  next = Infinity;
}

/** Tries again all that is due. */
async function sweep(): Promise<void> {
  sweeping = true;
  const start = performance.now();
  for (const one of paused) {
    if (one.due <= start) tryAgain(one);
    if (isOverdue()) await yieldToEventLoop();
  }
  interval = Math.max(LONGEST, SHARE * (performance.now() - start));
  sweeping = false;
  next = Infinity;
  let first = Infinity;
  for (const { due } of paused) first = Math.min(first, due);
  schedule(first);
}

function tryAgain(one: Paused): void {
  if (one.retry()) paused.delete(one);
  else one.due = dueAfter(one.backoff.nextPause());
}

/** The end of a pause; the longest ones end together. */
function dueAfter(pause: number): number {
  const now = performance.now();
  if (pause < LONGEST) return now + pause;
  return (Math.floor(now / interval) + 1) * interval;
}

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

  arm(wait: Pending): Armed {
    return this.pause(() => wait.retry());
  }

  /** Calls `retry` when it is due, until it returns true. */
  pause(retry: () => boolean): Armed {
    const due = dueAfter(this.nextPause());
    const one: Paused = { due, backoff: this, retry };
    paused.add(one);
    schedule(due);
    return {
      takeBack() {
        paused.delete(one);
        if (paused.size === 0 && !sweeping) endTimer();
      },
    };
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
