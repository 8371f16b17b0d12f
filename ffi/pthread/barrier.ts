// PthreadBarrier: C's barrier in shared memory.
//
// pthread_barrier_wait has no timeout and cannot be cancelled, so libc is not called for
// that: this is what glibc does since 2.25, and an arrival can be taken back as long as the
// round is not complete. Arrivals are numbered from 1; those up to `current_round` may leave.

import { checkInteger } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Mapping } from "../kernel/mapping.ts";
import {
  EAGAIN,
  EINVAL,
  errno,
  ETIMEDOUT,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { FUTEX_WAIT, FUTEX_WAKE, linuxFutex } from "../libc/linux_futex.ts";
import {
  ALIGNOF_PTHREAD_BARRIER_T,
  attributes,
  pthread,
  PTHREAD_PROCESS_SHARED,
  SIZEOF_PTHREAD_BARRIER_T,
} from "../libc/pthread.ts";
import { SYS_futex } from "../libc/sys_syscall.ts";
import { durationOf } from "../libc/time.ts";
import type { Memory } from "../memory/memory.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { FutexSource, type FutexWord } from "../wait/futexes.ts";
import {
  deadlineOf,
  limitsOf,
  remaining,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { checkCode } from "./check_code.ts";
import { Located, notShared, type ObjectType, Place } from "./place.ts";

const FUTEX = BigInt(SYS_futex);
const WAITING = "pthread_barrier_wait"; // name used in error messages
const SLICE = 1000; // ms: a blocked thread looks that often, even without a wake-up
const ALL = 0x7fffffff;

// struct pthread_barrier of glibc, as indices of 32-bit words; no header has it.
const IN = 0;
const CURRENT_ROUND = 1;
const COUNT = 2;
const SHARED = 3;
const OUT = 4;
const IS_SHARED = 128;
const THRESHOLD = 0x7fffffff; // of IN: a barrier begins anew when so many have arrived

const TYPE: ObjectType = {
  name: "barrier",
  cName: "pthread_barrier_t",
  size: SIZEOF_PTHREAD_BARRIER_T,
  align: ALIGNOF_PTHREAD_BARRIER_T,
};

/** Why processes cannot share the barrier of these words; undefined if they can. */
function faultOf(words: Int32Array): string | undefined {
  const count = words[COUNT]!;
  if (count < 0 && words[SHARED] === 0) {
    return "it is of a program that uses musl, whose barriers are different";
  }
  if (words.slice(0, OUT + 1).every((word) => word === 0)) {
    return "all bytes are zero: it is not initialised";
  }
  const isSound = count > 0 && count < THRESHOLD &&
    (words[SHARED] === 0 || words[SHARED] === IS_SHARED) &&
    words[CURRENT_ROUND]! >>> 0 <= words[IN]! >>> 0;
  if (!isSound) return "these bytes are no barrier of glibc";
  return words[SHARED] === IS_SHARED
    ? undefined
    : "it is for the threads of one process: initialise it with " +
      "pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)";
}

/** A barrier at a place. */
class BarrierWords {
  readonly place: Place;
  readonly count: number;
  readonly #words: Int32Array;
  readonly #most: number; // arrivals before the barrier begins anew

  constructor(mapping: Mapping, offset: number) {
    const place = new Place(mapping, offset, TYPE);
    const copy = place.copyWords();
    const fault = faultOf(copy);
    if (fault !== undefined) throw notShared(place, TYPE, fault);
    this.place = place;
    this.count = copy[COUNT]!;
    this.#most = THRESHOLD - THRESHOLD % this.count;
    this.#words = new Int32Array(place.buffer);
  }

  check(): void {
    this.place.checkThere();
    const words = this.#words;
    if (words[COUNT] === this.count && words[SHARED] === IS_SHARED) return;
    throw ipcError(EINVAL, WAITING, this.place.subject);
  }

  /** How many have arrived in the present round. */
  get arrived(): number {
    this.check();
    return (Atomics.load(this.#words, IN) >>> 0) % this.count;
  }

  /**
   * Arrives, and returns its number; undefined while the barrier begins anew, or if it
   * would not be the last that is wanted.
   */
  arrive(last: boolean): number | undefined {
    const words = this.#words;
    for (;;) {
      const before = Atomics.load(words, IN);
      const number = (before >>> 0) + 1;
      if (number > this.#most) return undefined;
      if (last && number % this.count !== 0) return undefined;
      if (Atomics.compareExchange(words, IN, before, number | 0) === before) {
        this.#complete(number);
        return number;
      }
    }
  }

  /** Lets a round go whose last one has arrived. */
  #complete(number: number): void {
    const words = this.#words;
    const complete = number - number % this.count;
    for (;;) {
      const round = Atomics.load(words, CURRENT_ROUND);
      if (round >>> 0 >= complete) return;
      const old = Atomics.compareExchange(
        words,
        CURRENT_ROUND,
        round,
        complete | 0,
      );
      if (old !== round) continue;
      const { futex } = linuxFutex();
      futex(FUTEX, this.#roundAddress, FUTEX_WAKE, ALL, null);
      return;
    }
  }

  get #roundAddress(): bigint {
    return this.place.address + BigInt(4 * CURRENT_ROUND);
  }

  /** Leaves when the round is complete: whether it was the last that arrived in it. */
  tryLeave(number: number): boolean | undefined {
    this.check();
    if (!this.#hasGone(number)) {
      if (!this.#isFull(number)) return undefined;
      this.#complete(this.#endOf(number)); // the last one may have been killed
    }
    return this.#leave(number);
  }

  /** The last number in the round of an arrival. */
  #endOf(number: number): number {
    return Math.ceil(number / this.count) * this.count;
  }

  /** Whether all of the round of an arrival have arrived. */
  #isFull(number: number): boolean {
    return Atomics.load(this.#words, IN) >>> 0 >= this.#endOf(number);
  }

  /** Whether the round of an arrival may leave. */
  #hasGone(number: number): boolean {
    return Atomics.load(this.#words, CURRENT_ROUND) >>> 0 >= number;
  }

  #leave(number: number): boolean {
    const words = this.#words;
    const left = (Atomics.add(words, OUT, 1) >>> 0) + 1;
    if (left === this.#most) {
      Atomics.store(words, CURRENT_ROUND, 0);
      Atomics.store(words, OUT, 0);
      Atomics.store(words, IN, 0);
      const { futex } = linuxFutex();
      futex(FUTEX, this.place.address, FUTEX_WAKE, ALL, null);
    }
    return number % this.count === 0;
  }

  /** Takes an arrival back; false if its round is complete. */
  takeBack(number: number): boolean {
    this.check();
    const words = this.#words;
    for (;;) {
      const before = Atomics.load(words, IN);
      if (before >>> 0 >= this.#endOf(number)) return false;
      const after = ((before >>> 0) - 1) | 0;
      if (Atomics.compareExchange(words, IN, before, after) === before) {
        return true;
      }
    }
  }

  /** The word that changes when a round is complete. */
  futexWord(number: number): FutexWord {
    const value = Atomics.load(this.#words, CURRENT_ROUND);
    return {
      address: this.#roundAddress,
      value: number > value >>> 0 ? value : ~value, // a call with that value does not sleep
      changed: () => {
        try {
          this.place.checkThere();
          return Atomics.load(this.#words, CURRENT_ROUND) !== value ||
            this.#isFull(number);
        } catch {
          return true; // the next try tells
        }
      },
      pin: () => this.place.mapping.pin(),
    };
  }

  /** Blocks this thread until the word may have changed. */
  sleep(number: number, deadline: number): void {
    const { address, value } = this.futexWord(number);
    const { futex } = linuxFutex();
    const time = durationOf(Math.min(remaining(deadline), SLICE));
    if (futex(FUTEX, address, FUTEX_WAIT, value >>> 0, time) === 0n) return;
    const error = errno();
    const isWake = error === EAGAIN || error === ETIMEDOUT;
    if (!isWake && !isInterruption(error)) {
      throw ipcError(error, WAITING, this.place.subject);
    }
  }
}

/** One arrival, which is taken back if it ends before its round is complete. */
class Arrival {
  readonly #words: BarrierWords;
  #number: number | undefined;

  constructor(words: BarrierWords) {
    this.#words = words;
    words.place.mapping.addPin();
  }

  /** Arrives, and leaves if the round is complete. */
  tryOnce(): boolean | undefined {
    const words = this.#words;
    words.check();
    this.#number ??= words.arrive(false);
    return this.#number === undefined
      ? undefined
      : words.tryLeave(this.#number);
  }

  /** What a wait returns that fails for a reason: the round may be complete by now. */
  failed(reason: unknown): boolean {
    const number = this.#number;
    if (number === undefined || this.#words.takeBack(number)) throw reason;
    return this.#words.tryLeave(number)!;
  }

  sleep(deadline: number): void {
    this.#words.sleep(this.#number ?? 0, deadline);
  }

  get word(): FutexWord {
    return this.#words.futexWord(this.#number ?? 0);
  }

  end(): void {
    this.#words.place.mapping.removePin();
  }
}

/**
 * A barrier of C, `pthread_barrier_t`, at an offset of a memory: where a number of processes
 * or threads wait for each other.
 *
 * A wait that ends with its timeout or its signal takes its arrival back; if all others
 * have arrived by then, it succeeds instead. A process that is killed, or a Worker that is
 * terminated, during a wait has arrived; one that is killed before never arrives: give a
 * `timeout`.
 *
 * @example Two that wait for each other
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { PthreadBarrier } from "@linux/ipc/pthread";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(PthreadBarrier.size); // others share a file, or a segment
 * const barrier = PthreadBarrier.init(memory, 0, { count: 2 });
 * const arrived = [barrier.wait(), barrier.wait()];
 * assertEquals(await Promise.all(arrived), [false, true]);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrier_wait.3p.html | pthread_barrier_wait(3)}
 */
export class PthreadBarrier {
  readonly #located: Located<BarrierWords>;

  /** @ignore */
  private constructor(token: symbol, memory: Memory, offset: number) {
    checkInternal(token, "PthreadBarrier", "init() or at()");
    const create = (mapping: Mapping, offset: number) =>
      new BarrierWords(mapping, offset);
    this.#located = new Located(memory, offset, create);
  }

  /** `sizeof (pthread_barrier_t)`: 32. */
  static readonly size: number = SIZEOF_PTHREAD_BARRIER_T;

  /** `_Alignof (pthread_barrier_t)` */
  static readonly align: number = ALIGNOF_PTHREAD_BARRIER_T;

  /**
   * `pthread_barrier_init(barrier, attr, count)`: makes a barrier that processes share. One
   * process does that, before the others call {@linkcode PthreadBarrier.at}; not while it
   * is in use.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the barrier in bytes: a multiple of
   * {@linkcode PthreadBarrier.align}.
   * @param options `count`: how many wait for each other, 1 to 2147483646.
   * @returns The barrier. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private.
   * @throws {RangeError} If the barrier does not lie inside the memory, or is not aligned, or
   * if the count is out of range.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrier_init.3p.html | pthread_barrier_init(3)}
   */
  static init(
    memory: Memory,
    offset: number,
    options: PthreadBarrierOptions,
  ): PthreadBarrier {
    const { count } = options;
    checkInteger("count", count, 1, THRESHOLD - 1, "of glibc");
    const place = Place.in(memory, offset, TYPE);
    place.checkThere();
    const attr = attributes();
    const c = pthread();
    c.pthread_barrierattr_init(attr);
    c.pthread_barrierattr_setpshared(attr, PTHREAD_PROCESS_SHARED);
    const code = c.pthread_barrier_init(place.address, attr, count | 0);
    checkCode(code, "pthread_barrier_init", place.subject);
    return new PthreadBarrier(internal, memory, offset);
  }

  /**
   * `pthread_barrier_t *`: uses a barrier that another process, or another thread, has
   * initialised.
   *
   * A barrier is refused if it is for the threads of one process, not initialised, or of a
   * program that uses musl; and so are bytes that are no barrier, as far as they tell.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the barrier in bytes: a multiple of
   * {@linkcode PthreadBarrier.align}.
   * @returns The barrier. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or has no barrier that
   * processes share at that place; the message says why.
   * @throws {RangeError} If the barrier does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrierattr_getpshared.3p.html | pthread_barrierattr_getpshared(3)}
   */
  static at(memory: Memory, offset: number): PthreadBarrier {
    return new PthreadBarrier(internal, memory, offset);
  }

  /** How many wait for each other. */
  get count(): number {
    return this.#located.get().count;
  }

  /**
   * How many have arrived, and wait. It may have changed by the time this returns.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EINVAL if the barrier was overwritten, EFAULT if another process has
   * truncated the memory.
   */
  get arrived(): number {
    return this.#located.get().arrived;
  }

  /**
   * `pthread_barrier_wait(barrier)`: arrives, and blocks this thread until all have
   * arrived.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns `PTHREAD_BARRIER_SERIAL_THREAD`: true for one of those that have arrived, false
   * for the others.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; the arrival is taken back.
   * @throws {IpcError} EINVAL if the barrier was overwritten, EFAULT if another process has
   * truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrier_wait.3p.html | pthread_barrier_wait(3)}
   */
  waitSync(options?: SyncWaitOptions): boolean {
    const deadline = deadlineOf(options);
    const words = this.#located.get();
    const arrival = new Arrival(words);
    try {
      return attemptSync(
        words.place.subject,
        () => arrival.tryOnce(),
        (until) => arrival.sleep(until),
        deadline,
      );
    } catch (error) {
      return arrival.failed(error);
    } finally {
      arrival.end();
    }
  }

  /**
   * `pthread_barrier_wait(barrier)`, if it would not wait: arrives as the last one, and lets
   * the others go.
   *
   * @returns True; undefined when others are missing. Then it has not arrived.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EINVAL if the barrier was overwritten, EFAULT if another process has
   * truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrier_wait.3p.html | pthread_barrier_wait(3)}
   */
  tryWait(): true | undefined {
    const words = this.#located.get();
    words.check();
    const number = words.arrive(true);
    if (number === undefined) return undefined;
    words.tryLeave(number);
    return true;
  }

  /**
   * `pthread_barrier_wait(barrier)`: arrives, and waits without blocking the thread until
   * all have arrived.
   *
   * A thread of the blocking pool sleeps in the kernel for all waits.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns `PTHREAD_BARRIER_SERIAL_THREAD`: true for one of those that have arrived, false
   * for the others.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed, now or during the wait. The arrival is taken
   * back.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; the arrival is taken back.
   * @throws {IpcError} EINVAL if the barrier was overwritten, EFAULT if another process has
   * truncated the memory.
   * @throws The reason of the signal, if it is aborted. The arrival is taken back.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_barrier_wait.3p.html | pthread_barrier_wait(3)}
   */
  async wait(options?: WaitOptions): Promise<boolean> {
    const limits = limitsOf(options);
    const located = this.#located;
    const words = located.get();
    const arrival = new Arrival(words);
    const tryOnce = () => {
      words.place.mapping.checkOpen();
      return arrival.tryOnce();
    };
    const { subject } = words.place;
    const source = new FutexSource(subject, () => arrival.word, located);
    try {
      return await attempt(source, tryOnce, limits);
    } catch (error) {
      return arrival.failed(error);
    } finally {
      arrival.end();
    }
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#located.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#located.liveness.unref();
  }

  static {
    inspectAs(this, (barrier) => ({ offset: barrier.#located.offset }));
  }
}

/** Options of {@linkcode PthreadBarrier.init}. */
export interface PthreadBarrierOptions {
  /** How many wait for each other, 1 to 2147483646. */
  count: number;
}
