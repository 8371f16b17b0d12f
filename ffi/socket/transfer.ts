// Sending and receiving on a socket: blocking, trying, waiting. MSG_DONTWAIT applies to
// one call; O_NONBLOCK would change the socket for all processes that share it.

import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { MSG_DONTWAIT } from "../libc/sys_socket.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import type { Limits } from "../wait/options.ts";
import { readySync } from "../wait/reactor.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import type { SocketDescriptor } from "./socket.ts";

/**
 * One call with these flags of send or recv, MSG_DONTWAIT by default; undefined if it
 * would block.
 */
export type TryWith<T> = (flags?: number) => T | undefined;

/** Receives in the order of the calls, without blocking the thread. */
export function receive<T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<T>,
): Promise<T> {
  const source = socket.receives;
  return attempt(source, tryWith, limits, source.queue);
}

/** Sends in the order of the calls, without blocking the thread. */
export function send<T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<T>,
): Promise<T> {
  const source = socket.sends;
  return attempt(source, tryWith, limits, source.queue);
}

/** Receives, blocking this thread: without a deadline in the call itself. */
export function receiveSync<T>(
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
export function sendSync<T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<T>,
  block: (deadline: number) => void = (deadline) =>
    readySync(socket, POLLOUT, deadline),
  queue: WaiterQueue | null = socket.sends.queue,
): T {
  if (mustQueue(socket, queue)) {
    throw new Error("Cannot send now: an asynchronous send is pending");
  }
  const flags = blockingFlags(deadline);
  return attemptSync(socket.subject, () => tryWith(flags), block, deadline);
}

/** Sends without waiting; undefined while another send waits, too. */
export function trySend<T>(
  socket: SocketDescriptor,
  tryWith: TryWith<T>,
  queue: WaiterQueue | null = socket.sends.queue,
): T | undefined {
  return mustQueue(socket, queue) ? undefined : tryWith();
}

/** Whether a send would overtake another one. */
function mustQueue(
  socket: SocketDescriptor,
  queue: WaiterQueue | null,
): boolean {
  if (queue === null || !queue.busy) return false;
  socket.checkOpen(); // sends that were pending at close() may not have ended yet
  return true;
}

function blockingFlags(deadline: number): number {
  return deadline === Infinity ? 0 : MSG_DONTWAIT;
}
