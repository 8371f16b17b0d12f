// Socket activation: the descriptors that systemd passes, as sd_listen_fds(3).

import { checkInteger } from "../arguments.ts";
import { closeOnExec } from "../kernel/descriptor.ts";

/** A descriptor that the service manager has passed. */
export interface ListenFd {
  /** The number, for `fromFd()` of its class. */
  readonly fd: number;
  /** `FileDescriptorName=` of the socket unit; `"unknown"` if it has none. */
  readonly name: string;
}

const SD_LISTEN_FDS_START = 3;
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/**
 * `sd_listen_fds_with_names(1, &names)`: returns the descriptors that systemd, or
 * another service manager with this protocol, has passed to this process (socket
 * activation). It sets close-on-exec on them, and removes the variables `LISTEN_PID`,
 * `LISTEN_FDS` and `LISTEN_FDNAMES`, so that no child process inherits them; a second
 * call returns an empty array.
 *
 * Requires `--allow-env` for these variables.
 *
 * @returns The descriptors, in the order of the socket unit; empty if no service
 * manager has passed any to this process.
 * @throws {TypeError} If a variable is malformed.
 * @throws {RangeError} If a variable is out of range.
 * @throws {IpcError} EBADF if a descriptor is not open.
 *
 * @example A service that also starts without systemd
 * ```ts
 * import { listenFds, UnixListener } from "@linux/ipc/socket";
 *
 * const [passed] = listenFds();
 * using listener = passed === undefined
 *   ? UnixListener.listen(null)
 *   : UnixListener.fromFd(passed.fd);
 * console.log(listener.localAddress);
 * ```
 *
 * @see {@link https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html | sd_listen_fds(3)}
 */
export function listenFds(): ListenFd[] {
  const [pid, fds, names] = VARIABLES.map((name) => Deno.env.get(name));
  for (const name of VARIABLES) Deno.env.delete(name);
  if (pid === undefined || fds === undefined) return [];
  if (integer("LISTEN_PID", pid, 1) !== Deno.pid) return [];
  const count = integer("LISTEN_FDS", fds, 0, INT_MAX - SD_LISTEN_FDS_START);
  if (count === 0) return []; // "".split(":") would be one name
  const labels = names?.split(":");
  if (labels !== undefined && labels.length !== count) {
    throw new TypeError(
      `Variable "LISTEN_FDNAMES" must have ${count} names: ${names}`,
    );
  }
  // The last one first: if LISTEN_FDS is too large, this fails before the loop runs.
  const last = SD_LISTEN_FDS_START + count - 1;
  closeOnExec(last, `descriptor ${last} (LISTEN_FDS is ${count})`);
  return Array.from({ length: count }, (_, index) => {
    const fd = SD_LISTEN_FDS_START + index;
    closeOnExec(fd, `descriptor ${fd}`);
    return { fd, name: labels?.[index] ?? "unknown" };
  });
}

const INT_MAX = 0x7fff_ffff;

function integer(
  name: string,
  text: string,
  min: number,
  max = INT_MAX,
): number {
  if (!/^\d+$/.test(text)) {
    throw new TypeError(`Variable "${name}" must be a number: ${text}`);
  }
  checkInteger(name, Number(text), min, max, "int");
  return Number(text);
}
