// Processes as descriptors: pidfd_open(2).

import { checkInteger } from "../arguments.ts";
import { internal } from "../internal.ts";
import { Descriptor } from "../kernel/descriptor.ts";
import { descriptorOfKind } from "../kernel/descriptor_kind.ts";
import {
  descriptorOf,
  DescriptorOwner,
  type FromFdOptions,
} from "../kernel/descriptor_owner.ts";
import { readProc } from "../kernel/proc.ts";
import { check } from "../libc/errno.ts";
import {
  linuxPidfd,
  OFFSETOF_PIDFD_INFO_EXIT_CODE,
  OFFSETOF_PIDFD_INFO_MASK,
  PIDFD_GET_INFO,
  PIDFD_INFO_EXIT,
  PIDFD_INFO_SIZE_VER0,
} from "../libc/linux_pidfd.ts";
import { POLLIN } from "../libc/poll.ts";
import { sysIoctl } from "../libc/sys_ioctl.ts";
import { SYS_pidfd_open, SYS_pidfd_send_signal } from "../libc/sys_syscall.ts";
import {
  CLD_EXITED,
  OFFSETOF_SI_CODE,
  OFFSETOF_SI_PID,
  OFFSETOF_SI_STATUS,
  P_PIDFD,
  SIZEOF_SIGINFO_T,
  sysWait,
  WEXITED,
  WNOHANG,
  WNOWAIT,
} from "../libc/sys_wait.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { eventsNow, readySync } from "../wait/poll.ts";
import { DescriptorSource } from "../wait/reactor.ts";

/**
 * How a process has ended.
 *
 * Both are null where the kernel does not tell: before Linux 6.15 for a process that is
 * not a child, or that the runtime has reaped already; and for a child of another process
 * until that one has waited for it.
 */
export interface ExitStatus {
  /** The exit code; null after a signal. */
  readonly code: number | null;
  /** The number of the signal that has ended the process; null after an exit. */
  readonly signal: number | null;
}

const UNKNOWN: ExitStatus = Object.freeze({ code: null, signal: null });
const MAX_SIGNAL = 64; // SIGRTMAX

/** The status of a child that waits to be reaped, which it still does afterwards. */
function statusOfChild(fd: number): ExitStatus | undefined {
  const info = new Int32Array(SIZEOF_SIGINFO_T / 4);
  const options = WEXITED | WNOHANG | WNOWAIT;
  if (sysWait().waitid(P_PIDFD, fd, info, options) === -1) return undefined;
  if (info[OFFSETOF_SI_PID / 4] === 0) return undefined;
  const status = info[OFFSETOF_SI_STATUS / 4]!;
  return info[OFFSETOF_SI_CODE / 4] === CLD_EXITED
    ? { code: status, signal: null }
    : { code: null, signal: status };
}

/** The status of a process that was reaped. */
function statusOfReaped(fd: number): ExitStatus | undefined {
  const info = new DataView(new ArrayBuffer(PIDFD_INFO_SIZE_VER0));
  const bytes = new Uint8Array(info.buffer);
  info.setUint32(OFFSETOF_PIDFD_INFO_MASK, PIDFD_INFO_EXIT, true);
  if (sysIoctl().ioctl(fd, PIDFD_GET_INFO, bytes) === -1) return undefined;
  const mask = info.getUint32(OFFSETOF_PIDFD_INFO_MASK, true);
  if ((mask & PIDFD_INFO_EXIT) === 0) return undefined;
  const status = info.getInt32(OFFSETOF_PIDFD_INFO_EXIT_CODE, true);
  const signal = status & 0x7f; // WTERMSIG(status)
  return signal === 0
    ? { code: (status >> 8) & 0xff, signal: null }
    : { code: null, signal };
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: Descriptor) => PidFd;

/** Takes ownership of a process descriptor that the kernel has just opened. */
export function pidFdOver(fd: number): PidFd {
  return make(new Descriptor(fd, `pidfd ${fd}`));
}

/**
 * A process, as a descriptor: it stands for that process even if its number is used
 * again, and is readable when the process has ended. The process need not be a child.
 *
 * @example A process that ends
 * ```ts
 * import { PidFd } from "@linux/ipc/descriptor";
 *
 * const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
 * using process = PidFd.open(child.pid);
 * process.signal(15); // SIGTERM
 * console.log(await process.exited({ timeout: 5000 })); // { code: null, signal: 15 }
 * await child.status;
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/pidfd_open.2.html | pidfd_open(2)}
 */
export class PidFd extends DescriptorOwner {
  readonly #exits: DescriptorSource;

  static {
    make = (descriptor) => new PidFd(internal, descriptor);
  }

  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "PidFd", descriptor);
    this.#exits = new DescriptorSource(descriptor, POLLIN);
  }

  /**
   * `pidfd_open(pid, 0)`: opens a process. If the process is not a child, its number may
   * have been used again before this call; `UnixConnection.peerPidfd` has no such race.
   *
   * @param pid The process id: that of its main thread.
   * @returns The process. It need not be closed before it ends.
   * @throws {RangeError} If `pid` is not an integer from 1 to 2147483647.
   * @throws {IpcError} ESRCH if there is no such process, EINVAL or ENOENT if it is the
   * id of another thread, ENOSYS before Linux 5.3, EMFILE, ENFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pidfd_open.2.html | pidfd_open(2)}
   */
  static open(pid: number): PidFd {
    checkInteger("pid", pid, 1, 0x7fff_ffff, "pid_t");
    const subject = `process ${pid}`;
    const number = BigInt(SYS_pidfd_open);
    const fd = Number(linuxPidfd().pidfd_open(number, pid, 0));
    check(fd, "pidfd_open", subject);
    return new PidFd(internal, new Descriptor(fd, subject));
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of a process descriptor that was
   * passed or inherited, or is of `clone(2)`. No other object may own the descriptor.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The process, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a process descriptor, or belongs to an object of
   * this module on this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): PidFd {
    return new PidFd(internal, descriptorOfKind(fd, "pidfd", options));
  }

  /**
   * `/proc/self/fdinfo`: the process id; null if the process has ended and was reaped, is
   * not visible in this PID namespace, or /proc is not mounted.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EMFILE, ENFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pidfd_open.2.html | pidfd_open(2)}
   */
  get pid(): number | null {
    const { fd } = descriptorOf(this);
    const text = readProc(`/proc/self/fdinfo/${fd}`);
    const pid = Number(text?.match(/^Pid:\s*(-?\d+)$/m)?.[1] ?? 0);
    return pid > 0 ? pid : null;
  }

  /**
   * `pidfd_send_signal(fd, signal, NULL, 0)`: sends a signal. It cannot reach another
   * process whose number is the same.
   *
   * @param signal The number, such as 15 for SIGTERM; `constants.signals` of `node:os`
   * has all. 0 sends nothing, and checks only that this process may.
   * @throws {RangeError} If the number is not an integer from 0 to 64.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ESRCH if the process has ended and was reaped, EPERM if this
   * process may not send it a signal, EINVAL if there is no such signal, or the process
   * is not visible in this PID namespace.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html | pidfd_send_signal(2)}
   */
  signal(signal: number): void {
    checkInteger("signal", signal, 0, MAX_SIGNAL, "0 to SIGRTMAX");
    const { fd, subject } = descriptorOf(this);
    const { pidfd_send_signal } = linuxPidfd();
    const number = BigInt(SYS_pidfd_send_signal);
    const result = pidfd_send_signal(number, fd, signal, null, 0);
    check(Number(result), "pidfd_send_signal", subject);
  }

  /**
   * `poll(2)`, without blocking the thread, until the process has ended; then `waitid(2)`
   * with `WNOWAIT`, or `ioctl(fd, PIDFD_GET_INFO, ...)`, for its status.
   *
   * A child is not reaped: that is left to the code that has started it.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The status, as far as the kernel tells it.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/waitid.2.html | waitid(2)}
   */
  async exited(options?: WaitOptions): Promise<ExitStatus> {
    const limits = limitsOf(options);
    return await attempt(this.#exits, () => this.#tryExited(), limits);
  }

  /**
   * `poll(2)`, blocking this thread until the process has ended; then its status, as of
   * {@linkcode PidFd.prototype.exited | PidFd.exited}.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The status, as far as the kernel tells it.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/waitid.2.html | waitid(2)}
   */
  exitedSync(options?: SyncWaitOptions): ExitStatus {
    const deadline = deadlineOf(options);
    const descriptor = descriptorOf(this);
    return attemptSync(
      descriptor.subject,
      () => this.#tryExited(),
      (deadline) => readySync(descriptor, POLLIN, deadline),
      deadline,
    );
  }

  /**
   * `waitid(2)` with `WNOWAIT`, or `ioctl(fd, PIDFD_GET_INFO, ...)`: the status, if the
   * process has ended.
   *
   * @returns The status, as far as the kernel tells it; undefined if the process runs.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/waitid.2.html | waitid(2)}
   */
  tryExited(): ExitStatus | undefined {
    return this.#tryExited();
  }

  #tryExited(): ExitStatus | undefined {
    const { fd } = descriptorOf(this);
    if ((eventsNow(fd, POLLIN) & POLLIN) === 0) return undefined;
    return statusOfChild(fd) ?? statusOfReaped(fd) ?? UNKNOWN;
  }
}
