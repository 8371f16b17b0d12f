// One sem_t in shared memory: the calls of libc on it, and waiting for it.
//
// A wait sleeps on the futex word of glibc's semaphore, and takes a permit on the thread of
// JavaScript. It is counted as a waiter in the same way as sem_wait counts itself, so that
// sem_post of any program wakes it. Without a view of the word a wait that blocks calls
// libc, and others back off. The count of a killed process costs each sem_post a system
// call, no more.

import { ClosedError } from "../errors.ts";
import {
  check,
  EAGAIN,
  EINVAL,
  EOVERFLOW,
  errno,
  ETIMEDOUT,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { semaphore as libc } from "../libc/semaphore.ts";
import { FUTEX_WAIT, linuxFutex } from "../libc/linux_futex.ts";
import { SYS_futex } from "../libc/sys_syscall.ts";
import {
  CLOCK_MONOTONIC,
  durationOf,
  monotonicIn,
  realtimeIn,
} from "../libc/time.ts";
import {
  attempt,
  attemptSync,
  type Pending,
  type Source,
} from "../wait/attempt.ts";
import type { Armed } from "../wait/cancellable.ts";
import { Closing } from "../kernel/closing.ts";
import type { Liveness } from "../kernel/liveness.ts";
import { FutexSource, type FutexWord, wakeOne } from "../wait/futexes.ts";
import { type Limits, remaining } from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { Handoff } from "./handoff.ts";
import { SemWords } from "./sem_words.ts";

const FUTEX = BigInt(SYS_futex);

// A thread that blocks can lose its wake-up to a waiter that came before it and does not
// take what it is woken for: an asynchronous wait of this thread, or one of a terminated
// Worker. So while there are other waiters it tries again after this time, then less and
// less often. (A timer costs as much as the wait.)
const FIRST_RETRY = 50; // ms
const LAST_RETRY = 1000; // ms
let lastLeft = -Infinity; // when an asynchronous wait ended on this thread

/**
 * Blocks for up to so many milliseconds, on a clock that is never set if the C library
 * can. With sem_timedwait a change of the time can end the wait too early, for which the
 * caller is prepared, or too late.
 */
function timedWait(address: bigint, milliseconds: number): number {
  const { sem_clockwait, sem_timedwait } = libc();
  return sem_clockwait === null
    ? sem_timedwait(address, realtimeIn(milliseconds))
    : sem_clockwait(address, CLOCK_MONOTONIC, monotonicIn(milliseconds));
}

/** The longest sleep, which is that of most waits; made once. */
let longest: Uint8Array<ArrayBuffer> | undefined;

/** `futex(word, FUTEX_WAIT, 0, time)`: blocks this thread while the value is 0. */
function sleepOn(address: bigint, milliseconds: number): void {
  const { futex } = linuxFutex();
  const time = milliseconds === LAST_RETRY
    ? longest ??= durationOf(LAST_RETRY)
    : durationOf(milliseconds);
  futex(FUTEX, address, FUTEX_WAIT, 0, time);
}

/**
 * A semaphore that one object has open. Fields are only declared where one that is undefined
 * first would be checked at each use.
 */
export class Sem {
  declare readonly subject: string;
  declare private readonly address: bigint;
  /** That an unnamed one is in. */
  declare private readonly mapping: Mapping | undefined;
  declare private readonly isTruncatable: boolean;
  declare private readonly words: SemWords;
  declare private readonly closing: Closing;
  declare private readonly trywait: (address: bigint) => number;
  declare private readonly sem_post: (address: bigint) => number;
  readonly #queue = new WaiterQueue();
  private readonly handoff: Handoff = new Handoff();
  readonly #value = new Int32Array(1);
  #pins = 0; // waits that use the address

  constructor(subject: string, address: bigint, mapping?: Mapping) {
    this.subject = subject;
    this.address = address;
    this.mapping = mapping;
    this.isTruncatable = mapping?.truncatable === true;
    this.words = new SemWords(address);
    this.closing = new Closing(subject);
    this.trywait = libc().sem_trywait;
    this.sem_post = libc().sem_post;
  }

  /** Whether this is a semaphore, as far as its words tell. */
  get isSound(): boolean {
    return this.words.areSound;
  }

  /** Why processes cannot share it; undefined if they can. */
  get fault(): string | undefined {
    this.mapping?.checkUsed(this.address);
    return this.words.fault;
  }

  /** `sem_init(sem, 1, value)` */
  init(value: number): void {
    this.mapping?.checkWord(this.address);
    check(libc().sem_init(this.address, 1, value), "sem_init", this.subject);
  }

  /** `sem_getvalue(sem, &value)` */
  get value(): number {
    this.#check("sem_getvalue");
    const result = libc().sem_getvalue(this.address, this.#value);
    check(result, "sem_getvalue", this.subject);
    return this.#value[0]!;
  }

  /** `sem_post(sem)` */
  post(): void {
    if (this.#isSafe() === false) this.#check("sem_post");
    this.handoff.released(this.words.mayWake);
    if (this.words.isKnown) this.#postHere();
    else {
      const { sem_post } = this;
      if (sem_post(this.address) === 0) return;
      throw ipcError(errno(), "sem_post", this.subject);
    }
  }

  /**
   * The same without libc, which wakes waiters as the words say, and ends the process if
   * another one overwrites the words during the call.
   */
  #postHere(): void {
    if (!this.words.post()) {
      throw ipcError(EOVERFLOW, "sem_post", this.subject);
    }
    if (this.words.mustWake) wakeOne(this.address);
  }

  /** `sem_trywait(sem)`; undefined when the value is 0. */
  tryWait(): true | undefined {
    if (this.#isSafe() === false) this.#check("sem_trywait");
    const { trywait } = this;
    if (trywait(this.address) === 0) return true;
    const code = errno();
    if (code === EAGAIN) return undefined;
    if (isInterruption(code)) return this.tryWait();
    throw ipcError(code, "sem_trywait", this.subject);
  }

  /** `sem_wait(sem)`, blocking this thread. */
  waitSync(deadline: number): void {
    if (this.handoff.isDue) this.#handOff(deadline);
    if (this.tryWait() === undefined) this.#waitSync(deadline);
  }

  #waitSync(deadline: number): void {
    if (this.words.wake) this.#sleepSync(deadline);
    else this.#libcWaitSync(deadline);
  }

  /** Blocks as libc does, which ends the process if another one overwrites the words. */
  #sleepSync(deadline: number): void {
    let retry = FIRST_RETRY;
    let taken = false;
    const mayMissPost = this.#mayMissPost; // before this wait is counted
    const sleep = () => {
      const left = deadline === Infinity ? Infinity : remaining(deadline);
      sleepOn(this.address, Math.min(left, mayMissPost ? retry : LAST_RETRY));
      retry = Math.min(2 * retry, LAST_RETRY);
    };
    this.words.enter();
    try {
      attemptSync(this.subject, () => this.tryWait(), sleep, deadline);
      taken = true;
    } finally {
      if (this.#isThere) {
        this.words.leave();
        // This wait may have consumed the wake-up of another waiter.
        if (!taken && this.words.value > 0) wakeOne(this.address);
      }
    }
  }

  #libcWaitSync(deadline: number): void {
    let taken: true | undefined;
    let retry = FIRST_RETRY;
    attemptSync(
      this.subject,
      () => taken ?? this.tryWait(),
      () => {
        const left = deadline === Infinity ? Infinity : remaining(deadline);
        const longest = this.#mayMissPost ? retry : Infinity;
        taken = this.#block(Math.min(left, longest));
        retry = Math.min(2 * retry, LAST_RETRY);
      },
      deadline,
    );
  }

  get #mayMissPost(): boolean {
    return this.words.haveWaiters ||
      performance.now() < lastLeft + 2 * FIRST_RETRY;
  }

  #block(milliseconds: number): true | undefined {
    const isTimed = milliseconds !== Infinity;
    const result = isTimed
      ? timedWait(this.address, milliseconds)
      : libc().sem_wait(this.address);
    if (result === 0) return true;
    const code = errno();
    // EAGAIN comes from the runtime's signal handler: the calls never set it.
    const isWake = code === ETIMEDOUT || code === EAGAIN;
    if (isWake || isInterruption(code)) return undefined;
    const syscall = isTimed ? "sem_clockwait" : "sem_wait";
    throw ipcError(code, syscall, this.subject);
  }

  /** Waits without blocking the thread, in the order of the calls. */
  wait<T>(done: () => T, limits: Limits): Promise<T> {
    this.#handOff(limits.deadline);
    const tryOnce = () => this.tryWait() && done();
    return attempt(new SemSource(this), tryOnce, limits, this.#queue);
  }

  /** The source that waits for a value above 0. Call `enter` before using it. */
  source(): Source {
    if (this.words.wake) {
      const wordOf = () => this.#word();
      return new FutexSource(this.subject, wordOf, this.closing);
    }
    return new PoolSource(this.subject, this.closing, () => undefined);
  }

  /** Counts a waiter and keeps the memory mapped, until the returned function is called. */
  enter(): () => void {
    const unpin = this.#pin();
    if (!this.words.wake) return unpin;
    this.words.enter();
    return () => {
      if (this.#isThere) this.words.leave();
      lastLeft = performance.now();
      // This wait may have consumed the wake-up of another waiter.
      if (this.#isThere && this.words.value > 0) wakeOne(this.address);
      unpin();
    };
  }

  get liveness(): Liveness {
    return this.closing.liveness;
  }

  /** Whether this object is closed. */
  get closed(): boolean {
    return this.closing.closed;
  }

  /** `sem_close(sem)` of a named one, when the last wait is over. */
  close(): void {
    if (this.closing.closed) return;
    this.closing.close();
    this.#closeIfUnused();
  }

  #isGone(): boolean {
    const { closing, mapping } = this;
    return closing.closed === true ||
      (mapping !== undefined && mapping.closing.closed === true);
  }

  /**
   * Whether libc may be called, without a system call that tells. (A private getter takes as
   * long as the call itself.)
   */
  #isSafe(): boolean {
    return this.isTruncatable !== true && !this.#isGone() &&
      this.words.areSound;
  }

  /** Whether another process has not truncated the memory. */
  get #isThere(): boolean {
    try {
      this.mapping?.checkUsed(this.address);
      return true;
    } catch {
      return false;
    }
  }

  /** Throws unless libc may be called. */
  #check(syscall: string): void {
    this.closing.checkOpen();
    if (this.mapping?.closed) throw new ClosedError(this.mapping.subject);
    this.mapping?.checkUsed(this.address);
    if (!this.isSound) throw ipcError(EINVAL, syscall, this.subject);
  }

  /** Waits until another process has what was released last, unless waiters are here. */
  #handOff(deadline: number): void {
    if (this.#isGone() || this.#queue.busy) return;
    const words = this.words;
    const isTaken = () =>
      !this.#isThere || words.value === 0 || !words.haveWaiters;
    this.handoff.wait(isTaken, deadline);
  }

  #word(): FutexWord {
    return {
      address: this.address,
      value: 0,
      changed: () => this.#isGone() || !this.#isThere || this.words.value !== 0,
      pin: () => this.#pin(),
    };
  }

  #pin(): () => void {
    if (this.mapping !== undefined) return this.mapping.pin();
    this.#pins++;
    return () => {
      this.#pins--;
      this.#closeIfUnused();
    };
  }

  #closeIfUnused(): void {
    const unused = this.closing.closed && this.#pins === 0;
    if (unused && this.mapping === undefined) libc().sem_close(this.address);
  }
}

/** The source of one attempt to take a permit. */
class SemSource implements Source {
  readonly spins = true;
  readonly #sem: Sem;
  #source: Source | undefined;
  #leave: (() => void) | undefined;

  constructor(sem: Sem) {
    this.#sem = sem;
  }

  get subject(): string {
    return this.#sem.subject;
  }

  get liveness(): Liveness {
    return this.#sem.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed | undefined {
    this.#leave ??= this.#sem.enter();
    this.#source ??= this.#sem.source();
    return this.#source.arm(wait);
  }

  ended(): void {
    this.#leave?.();
  }
}
