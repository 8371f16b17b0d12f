// connect(2).

import { check, EAGAIN, EINTR, errno, ipcError } from "../libc/errno.ts";
import { F_SETFL, fcntl } from "../libc/fcntl.ts";
import { SOCK_NONBLOCK, sysSocket } from "../libc/sys_socket.ts";
import { attempt } from "../wait/attempt.ts";
import { Backoff } from "../wait/backoff.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { describeName, encodeAddress, type UnixAddress } from "./address.ts";
import { untilSync } from "./attempt.ts";
import { openSocket, type SocketDescriptor } from "./socket.ts";

/** connect(2) once; false when the server's backlog is full. */
export function connectOnce(
  descriptor: SocketDescriptor,
  to: Uint8Array<ArrayBuffer>,
): boolean {
  const { connect } = sysSocket();
  for (;;) {
    if (connect(descriptor.fd, to, to.length) === 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    if (number !== EINTR) {
      throw ipcError(number, "connect", descriptor.subject);
    }
  }
}

/** From now on the socket, which nothing shares yet, may block. */
function makeBlocking({ fd, subject }: SocketDescriptor): void {
  check(fcntl().fcntl(fd, F_SETFL, 0), "fcntl", subject);
}

/** A socket that is connected, blocking this thread while the backlog is full. */
export function connectSync(
  type: number,
  address: UnixAddress,
  options: SyncWaitOptions | undefined,
): SocketDescriptor {
  const to = encodeAddress(address);
  const deadline = deadlineOf(options);
  const subject = describeName(to);
  // Blocking, it is woken when there is room; but that has no timeout.
  const flags = deadline === Infinity ? 0 : SOCK_NONBLOCK;
  const descriptor = openSocket(type | flags, subject);
  try {
    untilSync(() => connectOnce(descriptor, to), subject, deadline);
    if (flags !== 0) makeBlocking(descriptor);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}

/** A socket that is connected, waiting while the backlog is full. */
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
    const connected = () => connectOnce(descriptor, to) || undefined;
    await attempt(new Backoff(subject), connected, limits);
    makeBlocking(descriptor);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}
