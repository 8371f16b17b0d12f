// Waiting for what has no descriptor: semaphores, System V queues, futexes. A call
// that blocks in the kernel takes a thread of the runtime's pool, so only a few may
// do that at a time. Whoever comes when all lanes are taken looks again and again.

import { waitBriefly } from "./brief.ts";
import { MAX_TIMER, remaining, timeoutError } from "./options.ts";
import { until } from "./pause.ts";
import { isOverdue, turn } from "./turn.ts";

/** A call that may have to wait, in the two ways in which it can be made. */
export interface LaneCall<T> {
  /** What errors call it. */
  readonly subject: string;
  /**
   * Makes the call without waiting, on this thread; undefined when it would have to
   * wait. Throws what the kernel refuses, and when its object is closed.
   */
  attempt(): T | undefined;
  /**
   * How it blocks in the kernel; undefined where that could not be ended. Asked for
   * only when it has to.
   */
  readonly blocking: Blocking<T> | undefined;
}

/** A call that blocks on a thread of the pool. */
export interface Blocking<T> {
  /**
   * Makes the call, which may block for that many milliseconds, or until it is
   * interrupted; undefined when it got nothing. It never throws, because errno stays
   * on that thread: the next attempt tells why.
   */
  block(milliseconds: number): Promise<T | undefined>;
  /** For a call without a timeout: ends the blocking, if it has begun. */
  readonly interrupt?: () => void;
  /** Aborted when the object is closed, for a call that can be interrupted. */
  readonly closed?: AbortSignal;
}

// Of the 32 threads of the pool, for each thread of JavaScript.
const MAX_LANES = 4;
// How late an end by the signal, the deadline or close() may be noticed. What the
// call got in that time is delivered, so nothing that was taken is ever lost.
const SLICE = 50; // ms
const INTERRUPT_AGAIN = 5; // ms
let taken = 0;

/** How many lanes are taken on this thread. For tests. */
export function lanesTaken(): number {
  return taken;
}

/** Waits until the call gets something. */
export async function waitInLane<T>(
  call: LaneCall<T>,
  deadline: number,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  let got: T | undefined;
  const look = () => (got = call.attempt()) !== undefined;
  const found = waitBriefly(look, deadline);
  if (isOverdue()) await turn();
  if (found) return got!;
  signal?.throwIfAborted(); // if it was in that turn
  const { blocking } = call;
  if (blocking === undefined || taken === MAX_LANES) {
    await until(look, call.subject, deadline, signal);
    return got!;
  }
  taken++;
  try {
    return await block(call, blocking, deadline, signal);
  } finally {
    taken--;
  }
}

async function block<T>(
  call: LaneCall<T>,
  blocking: Blocking<T>,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (;;) {
    const left = remaining(deadline);
    if (left === 0) throw timeoutError(call.subject);
    const blocked = blocking.interrupt === undefined
      ? blocking.block(Math.min(left, SLICE))
      : interruptible(blocking, blocking.interrupt, left, signal);
    const got = await blocked ?? call.attempt();
    if (got !== undefined) return got;
    signal?.throwIfAborted();
  }
}

/** Blocks until there is something, or until something ends the wait. */
async function interruptible<T>(
  { block, closed }: Blocking<T>,
  interrupt: () => void,
  left: number,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  let again: ReturnType<typeof setInterval> | undefined;
  const timer = left === MAX_TIMER ? undefined : setTimeout(stop, left);
  signal?.addEventListener("abort", stop);
  closed?.addEventListener("abort", stop);
  try {
    return await block(left);
  } finally {
    clearTimeout(timer);
    clearInterval(again);
    signal?.removeEventListener("abort", stop);
    closed?.removeEventListener("abort", stop);
  }

  function stop(): void {
    // The thread may be on its way into the call, where nothing interrupts it yet.
    again ??= setInterval(interrupt, INTERRUPT_AGAIN);
    interrupt();
  }
}
