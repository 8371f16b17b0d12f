// One sem_t, in memory that others use, too: its calls, and waiting for it.
//
// Who waits without blocking sleeps on the futex word of glibc's semaphore, and takes
// when it is back on this thread. It is counted as sem_wait counts itself, so that
// sem_post of whatever program wakes it. Where the word cannot be had, it looks again
// and again. A count that a killed process leaves behind costs each sem_post a system
// call more, and nothing else.

import { ClosedError } from "../errors.ts";
import {
  check,
  EAGAIN,
  EINTR,
  EINVAL,
  errno,
  ETIMEDOUT,
  ipcError,
} from "../libc/errno.ts";
import type { Mapping } from "../kernel/mapping.ts";
import {
  isSound,
  noWords,
  PRIVATE,
  semaphore as libc,
  SemWords,
} from "../libc/semaphore.ts";
import { CLOCK_MONOTONIC, monotonicIn } from "../libc/time.ts";
import { attempt, attemptSync, type Source } from "../wait/attempt.ts";
import { Closing } from "../kernel/closing.ts";
import { FutexSource, type FutexWord, wakeOne } from "../wait/futexes.ts";
import { type Limits, remaining } from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";

// A thread that blocks may lose its wake-up to one that came before it, and that does
// not take what it is woken for: a wait of this thread that was begun without blocking,
// or that of a Worker which was terminated. So where others wait it looks at the value
// first after this time, then less and less often. (A timer costs as much as the wait.)
const FIRST_LOOK = 50; // ms
const LONGEST_LOOK = 1000; // ms
let lastLeft = -Infinity; // when a wait without blocking ended on this thread

/** A semaphore, as one object uses it. */
export class Sem {
  readonly subject: string;
  readonly #address: bigint;
  // The mapping that an unnamed one is in.
  readonly #mapping: Mapping | undefined;
  readonly #words: SemWords;
  // Its words, as long as this object is open.
  #int32: Int32Array;
  readonly #closing: Closing;
  readonly #queue = new WaiterQueue();
  readonly #value = new Int32Array(1);
  #pins = 0; // waits that use the address

  constructor(subject: string, address: bigint, mapping?: Mapping) {
    this.subject = subject;
    this.#address = address;
    this.#mapping = mapping;
    this.#words = new SemWords(address);
    this.#int32 = this.#words.int32;
    this.#closing = new Closing(subject);
  }

  /** Whether there may be a semaphore. */
  get isSound(): boolean {
    return this.#words.areSound;
  }

  /** sem_init */
  init(value: number): void {
    check(libc().sem_init(this.#address, 1, value), "sem_init", this.subject);
  }

  /** sem_getvalue */
  get value(): number {
    this.#check("sem_getvalue");
    const result = libc().sem_getvalue(this.#address, this.#value);
    check(result, "sem_getvalue", this.subject);
    return this.#value[0]!;
  }

  /** sem_post */
  post(): void {
    this.#check("sem_post");
    check(libc().sem_post(this.#address), "sem_post", this.subject);
  }

  /** sem_trywait; undefined when the value is 0. */
  tryWait(): true | undefined {
    this.#check("sem_trywait");
    for (;;) {
      if (libc().sem_trywait(this.#address) === 0) return true;
      const number = errno();
      if (number === EAGAIN) return undefined;
      if (number !== EINTR) throw ipcError(number, "sem_trywait", this.subject);
    }
  }

  /** sem_wait, blocking this thread. */
  waitSync(deadline: number): void {
    if (!this.tryWait()) this.#waitSync(deadline);
  }

  #waitSync(deadline: number): void {
    let taken: true | undefined;
    let look = FIRST_LOOK;
    attemptSync(
      this.subject,
      () => taken ?? this.tryWait(),
      () => {
        const left = deadline === Infinity ? Infinity : remaining(deadline);
        const longest = this.#mayMissPost ? look : Infinity;
        taken = this.#block(Math.min(left, longest));
        look = Math.min(2 * look, LONGEST_LOOK);
      },
      deadline,
    );
  }

  get #mayMissPost(): boolean {
    return this.#words.haveWaiters ||
      performance.now() < lastLeft + 2 * FIRST_LOOK;
  }

  #block(milliseconds: number): true | undefined {
    const { sem_wait, sem_clockwait } = libc();
    const isTimed = milliseconds !== Infinity;
    const result = isTimed
      ? sem_clockwait(
        this.#address,
        CLOCK_MONOTONIC,
        monotonicIn(milliseconds),
      )
      : sem_wait(this.#address);
    if (result === 0) return true;
    const number = errno();
    // EAGAIN is of the runtime's signal handler: the calls know none.
    if (number === ETIMEDOUT || number === EINTR || number === EAGAIN) {
      return undefined;
    }
    const syscall = isTimed ? "sem_clockwait" : "sem_wait";
    throw ipcError(number, syscall, this.subject);
  }

  /** The same without blocking the thread, in the order of the calls. */
  wait<T>(done: () => T, limits: Limits): Promise<T> {
    const tryOnce = () => this.tryWait() && done();
    return attempt(new SemSource(this), tryOnce, limits, this.#queue);
  }

  /** What waits for a value above 0. Before it is used, call `enter`. */
  source(): Source {
    if (this.#words.wake) {
      return new FutexSource(this.subject, () => this.#word(), this.#closing);
    }
    return new PoolSource(this.subject, this.#closing, () => undefined);
  }

  /** Counts one that waits, and keeps the memory, until what this returns is called. */
  enter(): () => void {
    const unpin = this.#pin();
    if (!this.#words.wake) return unpin;
    this.#words.enter();
    return () => {
      this.#words.leave();
      lastLeft = performance.now();
      // The wake-up for this permit may have been consumed by the wait that ends here.
      if (this.#words.value > 0) wakeOne(this.#address);
      unpin();
    };
  }

  /** sem_close, where there is a name, when the last wait is over. */
  close(): void {
    if (this.#closing.closed) return;
    this.#int32 = noWords;
    this.#closing.close();
    this.#closeIfUnused();
  }

  get #isGone(): boolean {
    return this.#closing.closed || this.#mapping?.closed === true;
  }

  /** Throws unless libc may be called. As a rule one look at a word tells. */
  #check(syscall: string): void {
    if (this.#mapping?.closed || !isSound(this.#int32[PRIVATE])) {
      this.#checkAll(syscall);
    }
  }

  #checkAll(syscall: string): void {
    this.#closing.checkOpen();
    if (this.#mapping?.closed) throw new ClosedError(this.#mapping.subject);
    if (!this.isSound) throw ipcError(EINVAL, syscall, this.subject);
  }

  #word(): FutexWord {
    return {
      address: this.#address,
      value: 0,
      changed: () => this.#isGone || this.#words.value !== 0,
      pin: () => this.#pin(),
    };
  }

  #pin(): () => void {
    if (this.#mapping !== undefined) return this.#mapping.pin();
    this.#pins++;
    return () => {
      this.#pins--;
      this.#closeIfUnused();
    };
  }

  #closeIfUnused(): void {
    const unused = this.#closing.closed && this.#pins === 0;
    if (unused && this.#mapping === undefined) libc().sem_close(this.#address);
  }
}

/** A semaphore, as the source of one attempt. */
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

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  ready(limits: Limits): Promise<boolean> {
    this.#leave ??= this.#sem.enter();
    this.#source ??= this.#sem.source();
    return this.#source.ready(limits);
  }

  ended(): void {
    this.#leave?.();
  }
}
