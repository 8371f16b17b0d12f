// Counters that wake processes: eventfd(2).

import { checkInteger } from "../arguments.ts";
import { heldObjects } from "../inspect/held.ts";
import type { IpcHolder } from "../inspect/types.ts";
import { internal } from "../internal.ts";
import {
  Descriptor,
  isExclusive,
  makeExclusive,
} from "../kernel/descriptor.ts";
import { descriptorOfKind } from "../kernel/descriptor_kind.ts";
import {
  descriptorOf,
  DescriptorOwner,
  type FromFdOptions,
} from "../kernel/descriptor_owner.ts";
import {
  check,
  EAGAIN,
  errno,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { POLLOUT } from "../libc/poll.ts";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  sysEventfd,
} from "../libc/sys_eventfd.ts";
import { unistd } from "../libc/unistd.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff, sleepSync } from "../wait/backoff.ts";
import { withoutBlocking } from "../wait/nowait.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { eventsNow } from "../wait/poll.ts";
import { read, readSync, tryRead } from "../wait/transfer.ts";
import { WaiterQueue } from "../wait/waiters.ts";

const SIZE = 8; // bytes of a uint64_t
const MAX_VALUE = 0xffff_ffff_ffff_fffen;

// Of calls that do not await.
const word = new BigUint64Array(1);
const bytes = new Uint8Array(word.buffer);

/** An entry of {@linkcode EventFd.list}. */
export interface EventFdEntry {
  /** `eventfd:[ID]`, with the number that the kernel gives to each. */
  readonly name: string;
  /** The counter; null if it cannot be read. */
  readonly value: bigint | null;
  /** Whether a read takes 1 only: `EFD_SEMAPHORE`; null before Linux 6.5. */
  readonly semaphore: boolean | null;
  /** The processes that have it. */
  readonly holders: readonly IpcHolder[];
}

/** Options of {@linkcode EventFd.create}. */
export interface EventFdOptions {
  /**
   * `EFD_SEMAPHORE`: each read takes 1, instead of all.
   *
   * @default {false}
   */
  semaphore?: boolean | undefined;
}

/** The value of a write as a uint64_t. */
function valueOf(value: unknown = 1n): bigint {
  if (typeof value === "bigint") {
    if (value >= 0n && value <= MAX_VALUE) return value;
    throw new RangeError(
      `Argument "value" must be from 0 to ${MAX_VALUE} (eventfd(2)): ${value}`,
    );
  }
  const origin = "an exact number; a bigint can be larger";
  checkInteger("value", value, 0, Number.MAX_SAFE_INTEGER, origin);
  return BigInt(value);
}

/**
 * write(2) that does not wait. There is no flag of a single call for it. O_NONBLOCK is
 * seen by the other processes that share the eventfd: a read that begins there in that
 * moment would fail. So it is used only where poll(2) does not tell of enough room.
 */
function writeNow(fd: number, value: bigint): number {
  const { write } = unistd();
  word[0] = value;
  const isShared = !isExclusive(fd);
  if (isShared && value <= 1n && (eventsNow(fd, POLLOUT) & POLLOUT) !== 0) {
    return write(fd, bytes, SIZE);
  }
  return withoutBlocking(fd, () => write(fd, bytes, SIZE));
}

/**
 * A counter in the kernel, on which processes wait until it is not zero: a wake-up that
 * is not lost, and costs one descriptor.
 *
 * It is passed over a socket, or inherited; C programs use `eventfd_read` and
 * `eventfd_write`.
 *
 * Asynchronous reads are served in the order of their calls, and so are writes; `readSync`,
 * `tryRead`, `writeSync` and `tryWrite` do not queue.
 *
 * An eventfd that was handed on stays blocking there. A write of 1 here asks `poll(2)`
 * first: if another process fills the counter up to 2^64-2 between the two calls, the write
 * blocks this thread until a read.
 *
 * @example Wake a process
 * ```ts
 * import { EventFd } from "@linux/ipc/descriptor";
 * import { assertEquals } from "@std/assert";
 *
 * using event = EventFd.create();
 * event.writeSync(2); // usually in another process
 * event.writeSync(3);
 * assertEquals(await event.read(), 5n);
 * assertEquals(event.tryRead(), undefined); // zero again
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
 */
export class EventFd extends DescriptorOwner {
  readonly #writes = new WaiterQueue();

  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "EventFd", descriptor);
  }

  /**
   * `eventfd(initial, EFD_CLOEXEC)`: creates a counter.
   *
   * @param initial The value, from 0 to 4294967295; by default 0.
   * @param options `semaphore`.
   * @returns The counter.
   * @throws {RangeError} If the value is out of range.
   * @throws {IpcError} EMFILE, ENFILE, ENOMEM.
   *
   * @example A semaphore without a name
   * ```ts
   * import { EventFd } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * using permits = EventFd.create(2, { semaphore: true });
   * assertEquals(permits.readSync(), 1n);
   * assertEquals(permits.readSync(), 1n);
   * assertEquals(permits.tryRead(), undefined);
   * permits.writeSync(); // gives one back
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  static create(initial?: number, options?: EventFdOptions): EventFd {
    const value = initial ?? 0;
    checkInteger("initial", value, 0, 0xffff_ffff, "unsigned int");
    const semaphore = options?.semaphore ? EFD_SEMAPHORE : 0;
    const flags = EFD_CLOEXEC | EFD_NONBLOCK | semaphore;
    const fd = check(sysEventfd().eventfd(value, flags), "eventfd");
    const event = new EventFd(internal, new Descriptor(fd, "eventfd"));
    makeExclusive(fd); // until it is handed on
    return event;
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of an eventfd that was passed or
   * inherited. No other object may own the descriptor.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The counter, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not an eventfd, or belongs to an object of this module on
   * this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   * @throws {Deno.errors.NotSupported} If /proc, which alone tells that it is an eventfd,
   * is not mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): EventFd {
    return new EventFd(internal, descriptorOfKind(fd, "eventfd", options));
  }

  /**
   * `/proc/PID/fdinfo`: lists the eventfds that processes have. Without CAP_SYS_PTRACE those of other
   * users' processes are hidden: `inspect()` of `@linux/ipc/inspect` says how many.
   *
   * @returns The counters, in no particular order.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example What the counters of this process are at
   * ```ts
   * import { EventFd } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * using event = EventFd.create(7);
   * const own = EventFd.list().find(({ holders }) =>
   *   holders.some(({ pid, fds }) => pid === Deno.pid && fds.includes(event.fd))
   * );
   * assertEquals([own?.value, own?.semaphore], [7n, false]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html | proc_pid_fdinfo(5)}
   */
  static list(): EventFdEntry[] {
    return heldObjects("eventfd", "list eventfds").map((
      { name, value, semaphore, holders },
    ) => ({
      name,
      value: value === null ? null : BigInt(value),
      semaphore,
      holders,
    }));
  }

  /**
   * `read(2)`, waiting without blocking the thread until the counter is not zero; it is
   * zero afterwards. A semaphore gives 1, and is one less.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The value.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  async read(options?: WaitOptions): Promise<bigint> {
    const value = new BigUint64Array(1);
    const bytes = new Uint8Array(value.buffer);
    await read(descriptorOf(this), bytes, options);
    return value[0]!;
  }

  /**
   * `read(2)`, blocking this thread until the counter is not zero.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The value, or 1 of a semaphore.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  readSync(options?: SyncWaitOptions): bigint {
    readSync(descriptorOf(this), bytes, options);
    return word[0]!;
  }

  /**
   * `read(2)` without waiting.
   *
   * @returns The value, or 1 of a semaphore; undefined if the counter is zero.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  tryRead(): bigint | undefined {
    const count = tryRead(descriptorOf(this), bytes);
    return count === undefined ? undefined : word[0]!;
  }

  /**
   * `write(2)`: adds to the counter. That waits only while the sum is above 2^64-2, without
   * blocking the thread. No event tells of its end, so it is tried every 1 to 20
   * milliseconds.
   *
   * @param value What to add, from 0 to 2^64-2; by default 1.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {RangeError} If the value is out of range.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  async write(
    value?: number | bigint,
    options?: WaitOptions,
  ): Promise<void> {
    const amount = valueOf(value);
    const limits = limitsOf(options);
    const { subject, liveness } = descriptorOf(this);
    const source = new Backoff(subject, liveness);
    const tryOnce = () => this.#tryWrite(amount);
    await attempt(source, tryOnce, limits, this.#writes);
  }

  /**
   * `write(2)`: adds to the counter, blocking this thread while the sum is above 2^64-2:
   * it is tried every 1 to 20 milliseconds.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param value What to add, from 0 to 2^64-2; by default 1.
   * @param options `timeout` in milliseconds.
   * @throws {RangeError} If the value is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  writeSync(value?: number | bigint, options?: SyncWaitOptions): void {
    const amount = valueOf(value);
    const deadline = deadlineOf(options);
    const { subject } = descriptorOf(this);
    const tryOnce = () => this.#tryWrite(amount);
    attemptSync(subject, tryOnce, sleepSync(), deadline);
  }

  /**
   * `write(2)` without waiting.
   *
   * @param value What to add, from 0 to 2^64-2; by default 1.
   * @returns False if the sum would be above 2^64-2; nothing is added then.
   * @throws {RangeError} If the value is out of range.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/eventfd.2.html | eventfd(2)}
   */
  tryWrite(value?: number | bigint): boolean {
    return this.#tryWrite(valueOf(value)) ?? false;
  }

  #tryWrite(value: bigint): true | undefined {
    const { fd, subject } = descriptorOf(this);
    for (;;) {
      if (writeNow(fd, value) !== -1) return true;
      const error = errno();
      if (error === EAGAIN) return undefined;
      if (!isInterruption(error)) throw ipcError(error, "write", subject);
    }
  }
}
