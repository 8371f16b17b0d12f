// Trying, and trying again when the socket is ready: the three ways to wait.

import type { Descriptor } from "../libc/descriptor.ts";
import { MSG_DONTWAIT } from "../libc/sys_socket.ts";
import {
  deadlineOf,
  remaining,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";
import { poll } from "../libc/poll.ts";
import { waitBriefly } from "../wait/brief.ts";
import { ready, readySync } from "../wait/poller.ts";
import { isOverdue, turn } from "../wait/turn.ts";

/**
 * One try with these flags of send and recv; undefined when it would have to
 * wait. MSG_DONTWAIT, unlike O_NONBLOCK, leaves alone what a socket may share
 * with other processes.
 */
export type Attempt<Result> = (flags: number) => Result | undefined;

/** The flags of a try after which this thread may block until the deadline. */
export function blockingFlags(deadline: number): number {
  return deadline === Infinity ? 0 : MSG_DONTWAIT;
}

/**
 * Tries again, blocking this thread, after a first try that would have to wait.
 * (The first one is the caller's, so that what is ready costs as little as in C.)
 */
export function retrySync<Result>(
  descriptor: Descriptor,
  events: number,
  deadline: number,
  attempt: Attempt<Result>,
): Result {
  const flags = blockingFlags(deadline);
  for (;;) {
    readySync(descriptor, events, deadline);
    const result = attempt(flags);
    if (result !== undefined) return result;
  }
}

/** Tries until it succeeds, waiting without blocking the thread. */
export async function attemptAsync<Result>(
  descriptor: Descriptor,
  events: number,
  options: WaitOptions | undefined,
  attempt: Attempt<Result>,
): Promise<Result> {
  const deadline = deadlineOf(options);
  options?.signal?.throwIfAborted();
  let result: Result | undefined;
  const look = () => (result = attempt(MSG_DONTWAIT)) !== undefined;
  while (!waitBriefly(look, deadline)) {
    await ready(descriptor, events, deadline, options?.signal);
  }
  if (isOverdue()) await turn();
  return result!;
}

const LONGEST = 20; // ms: how late a change may be noticed
const nothing = new Uint8Array(0);

/** As `until` of wait/pause.ts, blocking this thread. */
export function untilSync(
  look: () => boolean,
  subject: string,
  deadline: number,
): void {
  for (let pause = 1; !look(); pause = Math.min(pause * 2, LONGEST)) {
    const left = remaining(deadline);
    if (left === 0) throw timeoutError(subject);
    poll().poll(nothing, 0, Math.min(pause, left));
  }
}
