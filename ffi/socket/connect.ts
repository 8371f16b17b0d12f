// connect(2) of stream and seqpacket sockets, which waits while the backlog of the
// server is full.

import { check, EAGAIN, EINTR, errno, ipcError } from "../libc/errno.ts";
import { F_SETFL, fcntl } from "../libc/fcntl.ts";
import { SOCK_NONBLOCK, sysSocket } from "../libc/sys_socket.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff, sleepSync } from "../wait/backoff.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import {
  describeName,
  encodeAddress,
  isTooLong,
  type UnixAddress,
} from "./address.ts";
import { reach } from "./long_path.ts";
import { openSocket, type SocketDescriptor } from "./socket.ts";

/** One connect(2); undefined if the backlog of the server is full. */
export function connectOnce(
  descriptor: SocketDescriptor,
  to: Uint8Array<ArrayBuffer>,
): true | undefined {
  const { fd, subject } = descriptor;
  if (isTooLong(to)) descriptor.longPeerName = to;
  return reach(to, subject, (address) => {
    const { connect } = sysSocket();
    for (;;) {
      if (connect(fd, address, address.length) === 0) return true;
      const error = errno();
      if (error === EAGAIN) return undefined;
      if (error !== EINTR) throw ipcError(error, "connect", subject);
    }
  });
}

/** Clears O_NONBLOCK. The socket is not shared yet. */
function makeBlocking({ fd, subject }: SocketDescriptor): void {
  check(fcntl().fcntl(fd, F_SETFL, 0), "fcntl", subject);
}

/** Connects a new socket, blocking this thread while the backlog is full. */
export function connectSync(
  type: number,
  address: UnixAddress,
  options: SyncWaitOptions | undefined,
): SocketDescriptor {
  const to = encodeAddress(address);
  const deadline = deadlineOf(options);
  const subject = describeName(to);
  // A blocking connect(2) is woken when there is room, but has no timeout.
  const flags = deadline === Infinity ? 0 : SOCK_NONBLOCK;
  const descriptor = openSocket(type | flags, subject);
  try {
    const tryOnce = () => connectOnce(descriptor, to);
    attemptSync(subject, tryOnce, sleepSync(), deadline);
    if (flags !== 0) makeBlocking(descriptor);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}

/** Connects a new socket, waiting while the backlog is full. */
export async function connect(
  type: number,
  address: UnixAddress,
  options: WaitOptions | undefined,
): Promise<SocketDescriptor> {
  const to = encodeAddress(address);
  const limits = limitsOf(options);
  const subject = describeName(to);
  const descriptor = openSocket(type | SOCK_NONBLOCK, subject);
  try {
    // No event tells that a backlog has room again.
    const tryOnce = () => connectOnce(descriptor, to);
    await attempt(new Backoff(subject), tryOnce, limits);
    makeBlocking(descriptor);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}
