// The waits of sockets. MSG_DONTWAIT, unlike O_NONBLOCK, leaves alone what a socket may
// share with other processes.

import { poll, POLLIN, POLLOUT } from "../libc/poll.ts";
import { MSG_DONTWAIT } from "../libc/sys_socket.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff } from "../wait/backoff.ts";
import { type Limits, remaining } from "../wait/options.ts";
import { DescriptorSource, readySync } from "../wait/reactor.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import type { SocketDescriptor } from "./socket.ts";

/** One try with these flags of send or recv; undefined when it would have to wait. */
export type TryWith<T> = (flags: number) => T | undefined;

/** Receives, in the order of the calls, without blocking the thread. */
export function receiving<T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<T>,
): Promise<T> {
  return attempt(
    new DescriptorSource(socket, POLLIN),
    () => tryWith(MSG_DONTWAIT),
    limits,
    socket.receives,
  );
}

/** Sends, in the order of the calls, without blocking the thread. */
export function sending<T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<T>,
): Promise<T> {
  return attempt(
    new DescriptorSource(socket, POLLOUT),
    () => tryWith(MSG_DONTWAIT),
    limits,
    socket.sends,
  );
}

/** Receives, blocking this thread: without a deadline in the call itself. */
export function receivingSync<T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<T>,
): T {
  const flags = blockingFlags(deadline);
  return attemptSync(
    socket.subject,
    () => tryWith(flags),
    (deadline) => readySync(socket, POLLIN, deadline),
    deadline,
  );
}

/** Sends, blocking this thread: without a deadline in the call itself. */
export function sendingSync<T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<T>,
  block: (deadline: number) => void = (deadline) =>
    readySync(socket, POLLOUT, deadline),
  queue: WaiterQueue | null = socket.sends,
): T {
  if (mustQueue(socket, queue)) {
    throw new Error("Cannot send now: an asynchronous send is pending");
  }
  const flags = blockingFlags(deadline);
  return attemptSync(socket.subject, () => tryWith(flags), block, deadline);
}

/** Sends if that is possible at once, and no other send waits. */
export function sendingNow<T>(
  socket: SocketDescriptor,
  tryWith: TryWith<T>,
  queue: WaiterQueue | null = socket.sends,
): T | undefined {
  return mustQueue(socket, queue) ? undefined : tryWith(MSG_DONTWAIT);
}

/** Whether a send would overtake another. */
function mustQueue(
  socket: SocketDescriptor,
  queue: WaiterQueue | null,
): boolean {
  if (queue === null || !queue.busy) return false;
  socket.checkOpen(); // those that were pending at close() may not have ended yet
  return true;
}

function blockingFlags(deadline: number): number {
  return deadline === Infinity ? 0 : MSG_DONTWAIT;
}

const nothing = new Uint8Array(0);

/** Looks again and again, with pauses, blocking this thread. */
export function untilSync(
  look: () => boolean,
  subject: string,
  deadline: number,
): void {
  const backoff = new Backoff(subject);
  attemptSync(
    subject,
    () => look() || undefined,
    (deadline) => {
      const pause = Math.min(backoff.nextPause(), remaining(deadline));
      poll().poll(nothing, 0, pause);
    },
    deadline,
  );
}
