// The identity of the peer: SO_PEERCRED and SO_PEERPIDFD.

import type { Descriptor } from "../kernel/descriptor.ts";
import { SO_PEERCRED, SO_PEERPIDFD, ucred } from "../libc/sys_socket.ts";
import { option, readOption } from "./socket_option.ts";

/**
 * A process, its user and its group.
 *
 * The kernel itself records those of a peer (`peerCredentials`) when the connection is
 * made. Those of a message are set by its sender and checked by the kernel: another
 * process id needs CAP_SYS_ADMIN, another user CAP_SETUID, another group CAP_SETGID. So
 * root can forge them; a process without privileges cannot.
 */
export interface Credentials {
  /** The process id; 0 if the process is not visible in this PID namespace. */
  readonly pid: number;
  /** The user id. */
  readonly uid: number;
  /** The group id. */
  readonly gid: number;
}

/** getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ...) */
export function peerCredentials({ fd, subject }: Descriptor): Credentials {
  const bytes = new Uint8Array(ucred.size);
  readOption(fd, SO_PEERCRED, bytes, subject);
  return ucred.decode(bytes);
}

/** getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, ...): a new descriptor. */
export function peerPidfd({ fd, subject }: Descriptor): number {
  return option(fd, SO_PEERPIDFD, subject);
}
