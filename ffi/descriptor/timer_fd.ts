// Timers that are descriptors: timerfd_create(2).

import { choose, show } from "../arguments.ts";
import { internal } from "../internal.ts";
import { Descriptor, makeExclusive } from "../kernel/descriptor.ts";
import { descriptorOfKind } from "../kernel/descriptor_kind.ts";
import {
  descriptorOf,
  DescriptorOwner,
  type FromFdOptions,
} from "../kernel/descriptor_owner.ts";
import { check } from "../libc/errno.ts";
import {
  sysTimerfd,
  TFD_CLOEXEC,
  TFD_NONBLOCK,
  TFD_TIMER_ABSTIME,
} from "../libc/sys_timerfd.ts";
import {
  CLOCK_BOOTTIME,
  CLOCK_BOOTTIME_ALARM,
  CLOCK_MONOTONIC,
  CLOCK_REALTIME,
  CLOCK_REALTIME_ALARM,
  itimerspec,
  time,
  timespec,
} from "../libc/time.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import { read, readSync, tryRead } from "../wait/transfer.ts";

/**
 * The clock of a timer.
 *
 * - `"monotonic"`: is never set, and stands still while the machine is suspended.
 * - `"boottime"`: the same, but goes on while it is suspended.
 * - `"realtime"`: the time of day, which can be set.
 * - `"boottime-alarm"`, `"realtime-alarm"`: these also wake the machine, which needs
 *   CAP_WAKE_ALARM.
 */
export type TimerClock =
  | "monotonic"
  | "boottime"
  | "realtime"
  | "boottime-alarm"
  | "realtime-alarm";

const CLOCKS: Record<TimerClock, number> = {
  monotonic: CLOCK_MONOTONIC,
  boottime: CLOCK_BOOTTIME,
  realtime: CLOCK_REALTIME,
  "boottime-alarm": CLOCK_BOOTTIME_ALARM,
  "realtime-alarm": CLOCK_REALTIME_ALARM,
};

/** Options of {@linkcode TimerFd.create}. */
export interface TimerFdOptions {
  /**
   * The clock.
   *
   * @default {"monotonic"}
   */
  clock?: TimerClock | undefined;
}

/** When a timer expires: one of `after` and `at`, or `interval` alone. */
export interface TimerSetting {
  /**
   * The milliseconds from now to the first expiration, fractions included.
   *
   * @default {`interval`, without `at`}
   */
  after?: number | undefined;
  /**
   * `TFD_TIMER_ABSTIME`: the moment of the first expiration, in milliseconds on the
   * timer's clock, as {@linkcode TimerFd.prototype.now | TimerFd.now} tells it, or a
   * `Date` for the time of day.
   *
   * A moment in the past expires at once.
   */
  at?: number | Date | undefined;
  /**
   * The milliseconds between expirations; 0 for a timer that expires once.
   *
   * @default {0}
   */
  interval?: number | undefined;
}

/** What a timer is going to do. */
export interface TimerStatus {
  /** The milliseconds to the next expiration; 0 if the timer is disarmed. */
  readonly remaining: number;
  /** The milliseconds between expirations; 0 if the timer expires once. */
  readonly interval: number;
}

const MAX_MILLISECONDS = Number.MAX_SAFE_INTEGER;
const NANOSECONDS = 1_000_000n; // in a millisecond
const SECOND = 1_000_000_000n; // nanoseconds

/** Milliseconds as a timespec, rounded up to nanoseconds. */
function timespecOf(name: string, milliseconds: unknown) {
  if (typeof milliseconds !== "number") {
    throw new TypeError(
      `Argument "${name}" must be a number of milliseconds: ${
        show(milliseconds)
      }`,
    );
  }
  if (!(milliseconds >= 0 && milliseconds <= MAX_MILLISECONDS)) {
    throw new RangeError(
      `Argument "${name}" must be from 0 to ${MAX_MILLISECONDS} milliseconds: ` +
        milliseconds,
    );
  }
  const whole = Math.floor(milliseconds);
  const rest = BigInt(Math.ceil((milliseconds - whole) * 1e6));
  const nanoseconds = BigInt(whole) * NANOSECONDS + rest;
  return { tv_sec: nanoseconds / SECOND, tv_nsec: nanoseconds % SECOND };
}

type Timespec = ReturnType<typeof timespecOf>;

function isZero({ tv_sec, tv_nsec }: Timespec): boolean {
  return tv_sec === 0n && tv_nsec === 0n;
}

function millisecondsOf({ tv_sec, tv_nsec }: Timespec): number {
  return Number(tv_sec) * 1000 + Number(tv_nsec) / 1e6;
}

/** Reads a setting once; returns the flags and the itimerspec. */
function settingOf(setting: TimerSetting) {
  if (typeof setting !== "object" || setting === null) {
    throw new TypeError('Argument "setting" must be an object');
  }
  const { after, at, interval = 0 } = setting;
  if (after !== undefined && at !== undefined) {
    throw new TypeError(
      'Argument "setting" must not have both "after" and "at"',
    );
  }
  const it_interval = timespecOf("interval", interval);
  const isDate = at instanceof Date;
  const moment = isDate ? Date.prototype.getTime.call(at) : at;
  if (moment === undefined && after === undefined && isZero(it_interval)) {
    throw new TypeError(
      'Argument "setting" must have "after", "at" or "interval"',
    );
  }
  const it_value = moment !== undefined
    ? timespecOf("at", moment)
    : timespecOf("after", after ?? interval);
  // All zero would disarm the timer.
  if (isZero(it_value)) it_value.tv_nsec = 1n;
  return {
    isDate,
    flags: moment !== undefined ? TFD_TIMER_ABSTIME : 0,
    value: itimerspec.encode({ it_interval, it_value }),
  };
}

/** The number of expirations, which read(2) has stored. */
function expirations(value: BigUint64Array): number {
  return Number(value[0]!);
}

/**
 * A timer in the kernel that is waited for like a pipe: beside other descriptors with
 * `waitAny`, or by another process to which it is passed.
 *
 * **Choose something else** for a timer of this program alone: `setTimeout`, or the
 * `timeout` that every wait takes.
 *
 * @example Every ten milliseconds
 * ```ts
 * import { TimerFd } from "@linux/ipc/descriptor";
 *
 * using timer = TimerFd.create();
 * timer.arm({ interval: 10 });
 * for (let round = 0; round < 3; round++) {
 *   console.log(await timer.read()); // 1, or more if some were missed
 * }
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/timerfd_create.2.html | timerfd_create(2)}
 */
export class TimerFd extends DescriptorOwner {
  readonly #clock: TimerClock | undefined;

  /** @ignore */
  private constructor(
    token: typeof internal,
    descriptor: Descriptor,
    clock?: TimerClock,
  ) {
    super(token, "TimerFd", descriptor);
    this.#clock = clock;
  }

  /**
   * `timerfd_create(clock, TFD_CLOEXEC)`: creates a timer, which is disarmed.
   *
   * @param options `clock`.
   * @returns The timer.
   * @throws {TypeError} If there is no such clock.
   * @throws {IpcError} EPERM without CAP_WAKE_ALARM for a clock that needs it, EMFILE,
   * ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_create.2.html | timerfd_create(2)}
   */
  static create(options?: TimerFdOptions): TimerFd {
    const { clock = "monotonic" } = options ?? {};
    const id = choose("clock", clock, CLOCKS);
    const { timerfd_create } = sysTimerfd();
    const flags = TFD_CLOEXEC | TFD_NONBLOCK;
    const fd = check(timerfd_create(id, flags), "timerfd_create");
    const descriptor = new Descriptor(fd, "timerfd");
    const timer = new TimerFd(internal, descriptor, clock);
    makeExclusive(fd); // until it is handed on
    return timer;
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of a timer that was passed or
   * inherited. No other object may own the descriptor.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The timer, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a timerfd, or belongs to an object of this module on
   * this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): TimerFd {
    return new TimerFd(internal, descriptorOfKind(fd, "timerfd", options));
  }

  /**
   * `timerfd_settime(2)`: sets when the timer expires, instead of what was set before.
   * Expirations that were not read are forgotten.
   *
   * @param setting `after` or `at`, and `interval`.
   * @throws {TypeError} If it has both or none, or a `Date` for another clock than the time
   * of day.
   * @throws {RangeError} If a number is negative, NaN or too large.
   * @throws {ClosedError} If this timer is closed.
   *
   * @example A moment of the day
   * ```ts
   * import { TimerFd } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * using timer = TimerFd.create({ clock: "realtime" });
   * timer.arm({ at: new Date() });
   * assertEquals(await timer.read(), 1);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_settime.2.html | timerfd_settime(2)}
   */
  arm(setting: TimerSetting): void {
    const { isDate, flags, value } = settingOf(setting);
    const isOther = this.#clock !== undefined &&
      !this.#clock.startsWith("realtime");
    if (isDate && isOther) {
      throw new TypeError(
        `Argument "at" must be a number: the clock of this timer is ${this.#clock}`,
      );
    }
    this.#set(flags, value);
  }

  /**
   * `timerfd_settime(2)` with zeroes: the timer does not expire any more. Expirations that
   * were not read are forgotten.
   *
   * @throws {ClosedError} If this timer is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_settime.2.html | timerfd_settime(2)}
   */
  disarm(): void {
    this.#set(0, new Uint8Array(itimerspec.size));
  }

  /**
   * `timerfd_gettime(2)`: what the timer is going to do.
   *
   * @throws {ClosedError} If this timer is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_gettime.2.html | timerfd_gettime(2)}
   */
  get status(): TimerStatus {
    const { fd, subject } = descriptorOf(this);
    const bytes = new Uint8Array(itimerspec.size);
    const { timerfd_gettime } = sysTimerfd();
    check(timerfd_gettime(fd, bytes), "timerfd_gettime", subject);
    const { it_value, it_interval } = itimerspec.decode(bytes);
    return {
      remaining: millisecondsOf(it_value),
      interval: millisecondsOf(it_interval),
    };
  }

  /**
   * `clock_gettime(2)`: the present time of the timer's clock, for `at`.
   *
   * @returns Milliseconds, with fractions.
   * @throws {TypeError} If this timer was taken over: nothing tells its clock.
   * @throws {ClosedError} If this timer is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/clock_gettime.2.html | clock_gettime(2)}
   */
  now(): number {
    descriptorOf(this).checkOpen();
    const clock = this.#clock;
    if (clock === undefined) {
      throw new TypeError(
        "Cannot tell the time of a timer that was taken over: its clock is not known",
      );
    }
    const bytes = new Uint8Array(timespec.size);
    check(time().clock_gettime(CLOCKS[clock], bytes), "clock_gettime", clock);
    return millisecondsOf(timespec.decode(bytes));
  }

  /**
   * `read(2)`, waiting without blocking the thread until the timer has expired.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns How often it has expired since it was armed, or read the last time.
   * @throws {ClosedError} If this timer is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_create.2.html | timerfd_create(2)}
   */
  async read(options?: WaitOptions): Promise<number> {
    const value = new BigUint64Array(1);
    const bytes = new Uint8Array(value.buffer);
    await read(descriptorOf(this), bytes, options);
    return expirations(value);
  }

  /**
   * `read(2)`, blocking this thread until the timer has expired. A timer that is disarmed
   * blocks until another process arms it.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns How often it has expired since it was armed, or read the last time.
   * @throws {ClosedError} If this timer is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_create.2.html | timerfd_create(2)}
   */
  readSync(options?: SyncWaitOptions): number {
    const value = new BigUint64Array(1);
    const bytes = new Uint8Array(value.buffer);
    readSync(descriptorOf(this), bytes, options);
    return expirations(value);
  }

  /**
   * `read(2)` without waiting.
   *
   * @returns How often it has expired; undefined if it has not.
   * @throws {ClosedError} If this timer is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/timerfd_create.2.html | timerfd_create(2)}
   */
  tryRead(): number | undefined {
    const value = new BigUint64Array(1);
    const bytes = new Uint8Array(value.buffer);
    const count = tryRead(descriptorOf(this), bytes);
    return count === undefined ? undefined : expirations(value);
  }

  #set(flags: number, value: Uint8Array<ArrayBuffer>): void {
    const { fd, subject } = descriptorOf(this);
    const { timerfd_settime } = sysTimerfd();
    const result = timerfd_settime(fd, flags, value, null);
    check(result, "timerfd_settime", subject);
  }
}
