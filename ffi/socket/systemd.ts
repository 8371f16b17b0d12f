// What a service says to systemd, and gets from it: sd_listen_fds(3), sd_notify(3),
// sd_watchdog_enabled(3).

import { checkInteger, cString } from "../arguments.ts";
import { closeOnExec, Descriptor } from "../kernel/descriptor.ts";
import { check } from "../libc/errno.ts";
import { O_CLOEXEC } from "../libc/fcntl.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { MSG_DONTWAIT } from "../libc/sys_socket.ts";
import { monotonicIn, timespec } from "../libc/time.ts";
import { unistd } from "../libc/unistd.ts";
import { attempt } from "../wait/attempt.ts";
import type { DescriptorLike } from "../wait/descriptors.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  timeoutUntil,
  type WaitOptions,
} from "../wait/options.ts";
import { read, readSync } from "../wait/transfer.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { describeName, encodeAddress } from "./address.ts";
import { connectedTo } from "./datagram.ts";
import { type Outgoing, outgoingOf, sendOnce } from "./message.ts";
import { sendSync } from "./transfer.ts";

/** A descriptor that the service manager has passed. */
export interface ListenFd {
  /**
   * The number, for `fromFd()` of its class, or for `adoptDescriptor()` of
   * {@link [descriptor] @linux/ipc/descriptor}, which finds the class.
   */
  readonly fd: number;
  /** `FileDescriptorName=` of the socket unit; `"unknown"` if it has none. */
  readonly name: string;
}

const SD_LISTEN_FDS_START = 3;
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/**
 * `sd_listen_fds_with_names(1, &names)`: returns the descriptors that systemd, or another
 * service manager with this protocol, has passed to this process (socket activation).
 *
 * It sets close-on-exec on them, and removes the variables `LISTEN_PID`, `LISTEN_FDS` and
 * `LISTEN_FDNAMES`, so that no child process inherits them; a second call returns an
 * empty array.
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
  const [pid, fds, names] = VARIABLES.map((name) => runtime.variable(name));
  for (const name of VARIABLES) runtime.deleteVariable(name);
  if (pid === undefined || fds === undefined) return [];
  if (integer("LISTEN_PID", pid, 1) !== runtime.pid) return [];
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

/** Options of {@linkcode sdNotify}. */
export interface SdNotifyOptions {
  /**
   * Descriptors for the service manager to store, with `FDSTORE=1`; at most 253. They
   * stay open here.
   *
   * @default {[]}
   */
  descriptors?: readonly DescriptorLike[] | undefined;
}

const MAX_STATE = 4096; // bytes: systemd ignores longer notifications
const BARRIER = "BARRIER=1";
const sends = new WaiterQueue(); // each has its own socket

/** A notification, checked, and where it is sent to. */
interface Notification {
  readonly outgoing: Outgoing;
  readonly address: Uint8Array<ArrayBuffer>;
  /** The pipe whose write end a barrier passes. */
  readonly pipe: readonly [Descriptor, Descriptor] | undefined;
}

/** pipe2(pipefd, O_CLOEXEC) */
function barrierPipe(): readonly [Descriptor, Descriptor] {
  const fds = new Int32Array(2);
  check(unistd().pipe2(fds, O_CLOEXEC), "pipe2", BARRIER);
  return [new Descriptor(fds[0]!, BARRIER), new Descriptor(fds[1]!, BARRIER)];
}

/** Checks a state; returns its assignments. */
function assignmentsOf(state: string): Map<string, string> {
  const { length } = cString("state", state); // with its NUL
  checkInteger("state.length", length - 1, 1, MAX_STATE, "bytes of UTF-8");
  const lines = state.replace(/\n$/, "").split("\n");
  return new Map(lines.map((line) => {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(line) ?? [];
    if (name !== undefined) return [name, value!];
    throw new TypeError(
      `Argument "state" must have lines of the form NAME=VALUE: ${
        JSON.stringify(line)
      }`,
    );
  }));
}

/** The state to send: a reload has the time at which it began. */
function completed(state: string, assignments: Map<string, string>): string {
  const reloads = assignments.get("RELOADING") === "1";
  if (!reloads || assignments.has("MONOTONIC_USEC")) return state;
  const { tv_sec, tv_nsec } = timespec.decode(monotonicIn(0));
  const usec = tv_sec * 1_000_000n + tv_nsec / 1000n;
  return `MONOTONIC_USEC=${usec}\n${state}`;
}

/** Checks a notification. Undefined without a service manager. */
function notificationOf(
  state: string,
  options: SdNotifyOptions | undefined,
): Notification | undefined {
  const assignments = assignmentsOf(state);
  const isBarrier = assignments.has("BARRIER");
  const stores = assignments.get("FDSTORE") === "1";
  const fdName = assignments.get("FDNAME");
  const isAlone = assignments.size === 1 && assignments.get("BARRIER") === "1";
  if (isBarrier && !isAlone) {
    throw new TypeError(
      'Argument "state" must be "BARRIER=1" alone, without another assignment',
    );
  }
  if (fdName !== undefined && !/^[ -9;-~]{0,255}$/.test(fdName)) {
    throw new TypeError(
      'Argument "state" must have an FDNAME of at most 255 printable ASCII ' +
        `characters without ":": ${JSON.stringify(fdName)}`,
    );
  }
  const data = new TextEncoder().encode(completed(state, assignments));
  const given = outgoingOf(data, options);
  if (stores !== (given.descriptors !== null)) {
    throw new TypeError(
      'Argument "descriptors" must be passed with FDSTORE=1, and not without',
    );
  }
  const path = runtime.variable("NOTIFY_SOCKET");
  if (path === undefined || path === "") return undefined;
  if (!/^[/@]/.test(path)) {
    throw new TypeError(
      'Variable "NOTIFY_SOCKET" must be an absolute path, or an abstract name ' +
        `after "@": ${path}`,
    );
  }
  const address = encodeAddress(path);
  if (!isBarrier) return { outgoing: given, address, pipe: undefined };
  const pipe = barrierPipe();
  const outgoing = outgoingOf(data, { descriptors: [pipe[1]] });
  return { outgoing, address, pipe };
}

function closePipe({ pipe }: Notification): void {
  for (const end of pipe ?? []) end.close();
}

/**
 * `sd_notify(0, state)`: tells the service manager about the state of this service,
 * waiting without blocking the thread while its queue is full.
 *
 * Notifications are sent in the order of the calls. The socket of the service manager is
 * that of the variable `NOTIFY_SOCKET`: a path, or an abstract name after "@".
 *
 * The usual assignments are `READY=1`, `STOPPING=1`, `RELOADING=1`, `STATUS=text`,
 * `MAINPID=pid` and `WATCHDOG=1` (see {@linkcode watchdogTimeout}). Three have an effect
 * here, too:
 *
 * - `FDSTORE=1`, with `descriptors`: the service manager keeps the descriptors until the
 *   next start of the service, which {@linkcode listenFds} then returns, under the name
 *   of `FDNAME=name`.
 * - `BARRIER=1`, alone: waits until the service manager has processed all earlier
 *   notifications, which it tells by closing a descriptor. A short-lived process needs
 *   that before it ends, or its notifications may be ignored.
 * - `RELOADING=1`: `MONOTONIC_USEC=`, which systemd requires with it, is added.
 *
 * Requires `--allow-env` for `NOTIFY_SOCKET`. The variable stays set, and child processes
 * inherit it.
 *
 * @param state Assignments, one a line; at most 4096 bytes.
 * @param options `descriptors`, `timeout` in milliseconds, and `signal`.
 * @returns Whether there is a service manager: false if `NOTIFY_SOCKET` is not set.
 * @throws {TypeError} If `state` is not a list of assignments, has `BARRIER` among others
 * or a malformed `FDNAME`; if there are descriptors without `FDSTORE=1` or the reverse;
 * or if `NOTIFY_SOCKET` is of another kind, such as `vsock:`.
 * @throws {RangeError} If `state` is empty or too long, there are more than 253
 * descriptors, or the address in `NOTIFY_SOCKET` is too long.
 * @throws {ClosedError} If an object with a descriptor is closed.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} ENOENT, ECONNREFUSED or EACCES if the service manager does not
 * receive at that address, EBADF if a descriptor is not open, EMFILE.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example A service that tells when it is ready
 * ```ts
 * import { sdNotify } from "@linux/ipc/socket";
 *
 * await sdNotify("READY=1\nSTATUS=Accepting connections");
 * ```
 *
 * @see {@link https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html | sd_notify(3)}
 */
export async function sdNotify(
  state: string,
  options?: SdNotifyOptions & WaitOptions,
): Promise<boolean> {
  const limits = limitsOf(options);
  const notification = notificationOf(state, options);
  if (notification === undefined) return false;
  const { outgoing, address, pipe } = notification;
  try {
    const socket = connectedTo(address, describeName(address));
    try {
      const tryOnce = () => sendOnce(socket, outgoing, MSG_DONTWAIT);
      await attempt(socket.sends, tryOnce, limits, sends);
      if (pipe === undefined) return true;
      const [reader, writer] = pipe;
      writer.close();
      const { deadline, signal } = limits;
      const left = { timeout: timeoutUntil(deadline), signal };
      await read(reader, new Uint8Array(1), left); // the end
      return true;
    } finally {
      socket[Symbol.dispose]();
    }
  } finally {
    closePipe(notification);
  }
}

/**
 * `sd_notify(0, state)`: as {@linkcode sdNotify}, blocking this thread while the queue of
 * the service manager is full, and with `BARRIER=1` until it has processed all earlier
 * notifications.
 *
 * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
 *
 * @param state Assignments, one a line; at most 4096 bytes.
 * @param options `descriptors`, and `timeout` in milliseconds.
 * @returns Whether there is a service manager: false if `NOTIFY_SOCKET` is not set.
 * @throws {Error} If an asynchronous notification is pending.
 * @throws As {@linkcode sdNotify}.
 *
 * @see {@link https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html | sd_notify(3)}
 */
export function sdNotifySync(
  state: string,
  options?: SdNotifyOptions & SyncWaitOptions,
): boolean {
  const deadline = deadlineOf(options);
  const notification = notificationOf(state, options);
  if (notification === undefined) return false;
  const { outgoing, address, pipe } = notification;
  try {
    const socket = connectedTo(address, describeName(address));
    try {
      sendSync(
        socket,
        deadline,
        sendOnce,
        outgoing,
        sends,
      );
      if (pipe === undefined) return true;
      const [reader, writer] = pipe;
      writer.close();
      const left = { timeout: timeoutUntil(deadline) };
      readSync(reader, new Uint8Array(1), left); // the end
      return true;
    } finally {
      socket[Symbol.dispose]();
    }
  } finally {
    closePipe(notification);
  }
}

/**
 * `sd_watchdog_enabled(0, &usec)`: the time after which the service manager considers
 * this service as hung, unless it is told `WATCHDOG=1` before. Tell it twice as often.
 *
 * Requires `--allow-env` for `WATCHDOG_USEC` and `WATCHDOG_PID`.
 *
 * @returns Milliseconds; undefined if the service manager does not watch this process.
 * @throws {TypeError} If a variable is malformed.
 * @throws {RangeError} If a variable is out of range.
 *
 * @example Tell that the event loop runs
 * ```ts
 * import { sdNotify, watchdogTimeout } from "@linux/ipc/socket";
 *
 * const timeout = watchdogTimeout();
 * if (timeout !== undefined) {
 *   setInterval(() => sdNotify("WATCHDOG=1"), timeout / 2);
 * }
 * ```
 *
 * @see {@link https://www.freedesktop.org/software/systemd/man/latest/sd_watchdog_enabled.html | sd_watchdog_enabled(3)}
 */
export function watchdogTimeout(): number | undefined {
  const usec = runtime.variable("WATCHDOG_USEC");
  const pid = runtime.variable("WATCHDOG_PID");
  if (usec === undefined) return undefined;
  const { MAX_SAFE_INTEGER } = Number;
  const timeout = integer("WATCHDOG_USEC", usec, 1, MAX_SAFE_INTEGER);
  const isOther = pid !== undefined &&
    integer("WATCHDOG_PID", pid, 1) !== runtime.pid;
  return isOther ? undefined : timeout / 1000;
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
  const value = Number(text);
  if (value >= min && value <= max) return value;
  throw new RangeError(
    `Variable "${name}" must be an integer from ${min} to ${max}: ${text}`,
  );
}
