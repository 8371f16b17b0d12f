// Who is at the other side: SO_PEERCRED, SO_PEERPIDFD, SCM_CREDENTIALS.

import type { Descriptor } from "../kernel/descriptor.ts";
import { SO_PEERCRED, SO_PEERPIDFD, ucred } from "../libc/sys_socket.ts";
import { option, readOption } from "./options.ts";

/**
 * A process and the user it runs as.
 *
 * Of a peer (`peerCredentials`) the kernel has noted them itself, when the connection
 * was made. With a message comes what its sender says: the kernel lets it name another
 * process with CAP_SYS_ADMIN, and other users and groups with CAP_SETUID and CAP_SETGID.
 * Root can forge them; a process without privileges cannot.
 */
export interface Credentials {
  /** The process id; 0 if it is in a PID namespace that is not visible here. */
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
