// connect(2).

import { check, EAGAIN, EINTR, errno, ipcError } from "../libc/errno.ts";
import { F_SETFL, fcntl } from "../libc/fcntl.ts";
import { SOCK_NONBLOCK, sysSocket } from "../libc/sys_socket.ts";
import {
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { until } from "../wait/pause.ts";
import { describeAddress, encodeAddress, type UnixAddress } from "./address.ts";
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

/** From now on the socket may block: MSG_DONTWAIT says where it must not. */
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
  const subject = describeAddress(address);
  const deadline = deadlineOf(options);
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
  const subject = describeAddress(address);
  const deadline = deadlineOf(options);
  options?.signal?.throwIfAborted();
  const descriptor = openSocket(type | SOCK_NONBLOCK, subject);
  try {
    // No event tells that a backlog has room again.
    const connected = () => connectOnce(descriptor, to);
    await until(connected, subject, deadline, options?.signal);
    makeBlocking(descriptor);
    return descriptor;
  } catch (error) {
    descriptor.close();
    throw error;
  }
}
