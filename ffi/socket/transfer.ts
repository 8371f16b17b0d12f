// Sending and receiving on a socket: blocking, trying, waiting. MSG_DONTWAIT applies to
// one call; O_NONBLOCK would change the socket for all processes that share it.

import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { MSG_DONTWAIT } from "../libc/sys_socket.ts";
import { attempt, attemptSync, promised } from "../wait/attempt.ts";
import { type Limits, limitsOf, type WaitOptions } from "../wait/options.ts";
import { readySync } from "../wait/poll.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import {
  descriptorOf,
  type SocketDescriptor,
  type UnixSocket,
} from "./socket.ts";

/**
 * One call of send or recv; undefined if it would block. Without flags it does not
 * (MSG_DONTWAIT).
 */
export type TryWith<Moved, T> = (
  socket: SocketDescriptor,
  moved: Moved,
  flags?: number,
) => T | undefined;

/** Blocks this thread until a try may succeed, or the deadline passes. */
type Block<Moved> = (
  socket: SocketDescriptor,
  moved: Moved,
  deadline: number,
) => void;

const waitForBytes: Block<unknown> = (socket, _, deadline) =>
  readySync(socket, POLLIN, deadline);

const waitForRoom: Block<unknown> = (socket, _, deadline) =>
  readySync(socket, POLLOUT, deadline);

/** Receives in the order of the calls, without blocking the thread. */
export function receive<Moved, T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
): Promise<T> {
  const source = socket.receives;
  return attempt(source, tryWith, limits, source.queue, socket, moved);
}

/**
 * Reads and checks the options of a method that receives or peeks, then receives. `peek`
 * is MSG_PEEK or 0.
 */
export function receiveWith<Options extends WaitOptions, Moved, T>(
  owner: UnixSocket,
  options: Options | undefined,
  tryWith: TryWith<Moved, T>,
  movedOf: (options: Options | undefined, peek: number) => Moved,
  peek = 0,
): Promise<T> {
  return promised(() => {
    const limits = limitsOf(options);
    const socket = descriptorOf(owner);
    return receive(socket, limits, tryWith, movedOf(options, peek));
  });
}

/** Sends in the order of the calls, without blocking the thread. */
export function send<Moved, T>(
  socket: SocketDescriptor,
  limits: Limits,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
): Promise<T> {
  const source = socket.sends;
  return attempt(source, tryWith, limits, source.queue, socket, moved);
}

/** Receives, blocking this thread: without a deadline in the call itself. */
export function receiveSync<Moved, T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
): T {
  const got = deadline === Infinity ? tryWith(socket, moved, 0) : undefined;
  if (got !== undefined) return got;
  return wait(socket, deadline, tryWith, moved, waitForBytes);
}

/** Sends, blocking this thread: without a deadline in the call itself. */
export function sendSync<Moved, T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
  queue: WaiterQueue | null = socket.sends.queue,
  block: Block<Moved> = waitForRoom,
): T {
  if (mustQueue(socket, queue)) {
    throw new Error("Cannot send now: an asynchronous send is pending");
  }
  const got = deadline === Infinity ? tryWith(socket, moved, 0) : undefined;
  if (got !== undefined) return got;
  return wait(socket, deadline, tryWith, moved, block);
}

/** The rest of a call that blocks: it has a deadline, or its socket has O_NONBLOCK. */
function wait<Moved, T>(
  socket: SocketDescriptor,
  deadline: number,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
  block: Block<Moved>,
): T {
  const flags = deadline === Infinity ? 0 : MSG_DONTWAIT;
  return attemptSync(
    socket.subject,
    () => tryWith(socket, moved, flags),
    (deadline) => block(socket, moved, deadline),
    deadline,
  );
}

/** Sends without waiting; undefined while another send waits, too. */
export function trySend<Moved, T>(
  socket: SocketDescriptor,
  tryWith: TryWith<Moved, T>,
  moved: Moved,
  queue: WaiterQueue | null = socket.sends.queue,
): T | undefined {
  if (mustQueue(socket, queue)) return undefined;
  return tryWith(socket, moved);
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
