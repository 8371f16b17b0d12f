// PthreadCondition: C's condition variable in shared memory.
//
// No wait calls pthread_cond_wait. In glibc before 2.41 a process that is killed in it
// leaves the condition broken: the second signal after that waits for ever, in any
// process. And a thread of the pool that waits in it for a Worker which is terminated
// takes a signal without effect. So a wait here unlocks the mutex, and looks again
// under the mutex, after pauses. It is never counted in the condition: it cannot miss what
// was changed under the mutex, and cannot take a signal from another waiter.

import { choose } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { EINVAL, EOWNERDEAD, ipcError } from "../libc/errno.ts";
import {
  ALIGNOF_PTHREAD_COND_T,
  attributes,
  pthread,
  PTHREAD_PROCESS_SHARED,
  SIZEOF_PTHREAD_COND_T,
} from "../libc/pthread.ts";
import { pointerTo } from "../libc/string.ts";
import { CLOCK_MONOTONIC, CLOCK_REALTIME } from "../libc/time.ts";
import type { Memory } from "../memory/memory.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import { checkCode } from "./check_code.ts";
import { type GuardState, type PthreadGuard, stateOf } from "./mutex_guard.ts";
import { pauses } from "./pauses.ts";
import { Located, notShared, type ObjectType, Place } from "./place.ts";

/** Options of {@linkcode PthreadCondition.init}. */
export interface PthreadConditionOptions {
  /**
   * `pthread_condattr_setclock`: the clock on which C programs give the time to
   * `pthread_cond_timedwait(3)`.
   *
   * @default {"realtime"}
   */
  clock?: "realtime" | "monotonic" | undefined;
}

const CLOCKS = { realtime: CLOCK_REALTIME, monotonic: CLOCK_MONOTONIC };

const TYPE: ObjectType = {
  name: "condition",
  cName: "pthread_cond_t",
  size: SIZEOF_PTHREAD_COND_T,
  align: ALIGNOF_PTHREAD_COND_T,
};

/** Where glibc has what, as indices of 32-bit words. */
interface Layout {
  /** How often groups of waiters are referenced, until glibc 2.40. */
  readonly refs: number | undefined;
  readonly sizes: number;
  /** Of the group that is signalled; its lowest two bits are a lock. */
  readonly originalSize: number;
  /** The number of waiters, above three flags. */
  readonly waiters: number;
}

// Since glibc 2.25: the number of all waiters so far, with the group that they are in as the
// lowest bit, and where the present group begins, each of 64 bits.
const SEQUENCE = 0;
const GROUP_BEGINS = 2;
const UNTIL_2_40: Layout = {
  refs: 4,
  sizes: 6,
  originalSize: 8,
  waiters: 9,
};
const SINCE_2_41: Layout = {
  refs: undefined,
  sizes: 4,
  originalSize: 6,
  waiters: 7,
};
const SHARED = 1; // flag
const LOCKED = 3; // of originalSize
const MOST_WAITERS = 1 << 22; // threads that a system can have

/** The layout of the C library, which shows in a condition that it has made. */
function layoutOfLibrary(): Layout {
  const words = new Int32Array(SIZEOF_PTHREAD_COND_T / 4);
  const bytes = new Uint8Array(words.buffer);
  pthread().pthread_cond_init(pointerTo(bytes), attributesOf(undefined));
  return words[SINCE_2_41.waiters] === 0 ? UNTIL_2_40 : SINCE_2_41;
}

let layout: Layout | undefined;

function attributesOf(
  options: PthreadConditionOptions | undefined,
): Uint8Array<ArrayBuffer> {
  const { clock = "realtime" } = options ?? {};
  const id = choose("clock", clock, CLOCKS);
  const attr = attributes();
  const c = pthread();
  c.pthread_condattr_init(attr);
  c.pthread_condattr_setpshared(attr, PTHREAD_PROCESS_SHARED);
  c.pthread_condattr_setclock(attr, id);
  return attr;
}

/** Why processes cannot share the condition of these words; undefined if they can. */
function faultOf(words: Int32Array, layout: Layout): string | undefined {
  if (words[SEQUENCE] === -1 && words[SEQUENCE + 1] === -1) {
    return "it is of a program that uses musl, whose conditions are different";
  }
  const waiters = words[layout.waiters]! >>> 3;
  const counts = [
    waiters,
    words[layout.sizes]!,
    words[layout.sizes + 1]!,
    words[layout.originalSize]! >>> 2,
  ];
  if (counts.some((count) => Math.abs(count) > MOST_WAITERS)) {
    return "these bytes are no condition of glibc";
  }
  if ((words[layout.waiters]! & SHARED) === 1) return undefined;
  return words.every((word) => word === 0)
    ? "all bytes are zero: it is not initialised, or with PTHREAD_COND_INITIALIZER, " +
      "which is for the threads of one process"
    : "it is for the threads of one process: initialise it with " +
      "pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)";
}

// A process that was killed in the condition leaves it as it is at that moment, for ever.
const STUCK = 1000; // ms
const NAME = "pthread_cond_signal"; // used in error messages

/** A condition at a place. */
class ConditionWords {
  readonly place: Place;
  readonly #layout: Layout;
  readonly #words: Int32Array;

  constructor(mapping: Mapping, offset: number) {
    const place = new Place(mapping, offset, TYPE);
    this.#layout = layout ??= layoutOfLibrary();
    const fault = faultOf(place.copyWords(), this.#layout);
    if (fault !== undefined) throw notShared(place, TYPE, fault);
    this.place = place;
    this.#words = new Int32Array(place.buffer);
  }

  get waiters(): number {
    this.place.checkThere();
    return this.#words[this.#layout.waiters]! >>> 3;
  }

  /** Whether libc would wait in a call to signal. */
  get #isBusy(): boolean {
    const words = this.#words;
    const { refs, sizes, originalSize } = this.#layout;
    const original = Atomics.load(words, originalSize);
    if ((original & LOCKED) !== 0) return true;
    if (refs === undefined) return false;
    // Until 2.40 the next group is signalled only when all have left this one.
    const next = words[SEQUENCE]! & 1;
    const group = next ^ 1;
    if (words[sizes + group] !== 0 || words[refs + group]! >>> 1 === 0) {
      return false;
    }
    const waiting = (words[SEQUENCE]! >>> 1) - (words[GROUP_BEGINS]! >>> 1) -
      (original >>> 2) + words[sizes + next]!;
    return (waiting & 0x7fffffff) !== 0;
  }

  signal(): void {
    const { place } = this;
    const isReady = () => {
      const { waiters } = this;
      if (waiters > MOST_WAITERS) throw ipcError(EINVAL, NAME, place.subject);
      return waiters === 0 || !this.#isBusy || undefined;
    };
    const deadline = performance.now() + STUCK;
    try {
      attemptSync(place.subject, isReady, pauses(), deadline);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      throw ipcError(EOWNERDEAD, NAME, place.subject);
    }
    const { pthread_cond_signal } = pthread();
    checkCode(pthread_cond_signal(place.address), NAME, place.subject);
  }

  /**
   * Signals once for each waiter. pthread_cond_broadcast waits for those of the present
   * group in between, and so for those that were killed.
   */
  broadcast(): void {
    for (let left = this.waiters; left > 0; left--) this.signal();
  }
}

/** How a look under the mutex ends a wait. */
interface Look {
  /** What the predicate has thrown. */
  readonly failed?: { readonly reason: unknown };
}

/**
 * A condition variable of C, `pthread_cond_t`, at an offset of a memory, with a
 * {@linkcode PthreadMutex}.
 *
 * **What is guaranteed.** `signal()` and `broadcast()` wake C programs as
 * `pthread_cond_signal(3)` does. A wait of this class does not call `pthread_cond_wait(3)`:
 * it looks at the data, under the mutex, after 50 microseconds (`waitSync()`) or a
 * millisecond (`wait()`), then after pauses that double, at last every 20
 * milliseconds. So it notices a change, with a signal or without, at the latest when it has
 * waited twice as long as the change took, or 20 milliseconds later. No change is
 * missed, and no signal is taken from another waiter. A process that is killed, and a Worker
 * that is terminated, during a wait leaves the condition as it was.
 *
 * (In C a process that is killed during a wait breaks the condition: with glibc before
 * 2.41 the second signal after that waits for ever. `signal()` and `broadcast()` fail with
 * EOWNERDEAD then, after a second. The condition can only be initialised again. Where
 * processes may be killed, use a `SharedCondition`.)
 *
 * @example Wait for what another process changes
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import {
 *   pthreadCondition,
 *   PthreadCondition,
 *   pthreadMutex,
 *   PthreadMutex,
 * } from "@linux/ipc/pthread";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const layout = struct({ lock: pthreadMutex, changed: pthreadCondition, ready: i32 });
 * using memory = MemoryMap.anonymous(layout.size); // others share a file, or a segment
 * const shared = memory.view(0, layout);
 * const mutex = PthreadMutex.init(memory, layout.offsets.lock);
 * const condition = PthreadCondition.init(memory, layout.offsets.changed);
 *
 * async function take(): Promise<number> {
 *   using guard = await mutex.lock();
 *   await condition.wait(guard, () => shared.ready !== 0);
 *   return shared.ready;
 * }
 *
 * const taken = take();
 * {
 *   using _guard = await mutex.lock();
 *   shared.ready = 7;
 *   condition.signal();
 * }
 * assertEquals(await taken, 7);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
 */
export class PthreadCondition {
  readonly #located: Located<ConditionWords>;

  /** @ignore */
  private constructor(token: symbol, memory: Memory, offset: number) {
    checkInternal(token, "PthreadCondition", "init() or at()");
    const create = (mapping: Mapping, offset: number) =>
      new ConditionWords(mapping, offset);
    this.#located = new Located(memory, offset, create);
  }

  /** `sizeof (pthread_cond_t)`: 48. */
  static readonly size: number = SIZEOF_PTHREAD_COND_T;

  /** `_Alignof (pthread_cond_t)` */
  static readonly align: number = ALIGNOF_PTHREAD_COND_T;

  /**
   * `pthread_cond_init(cond, attr)`: makes a condition that processes share. One process
   * does that, before the others call {@linkcode PthreadCondition.at}; not while it is in
   * use.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the condition in bytes: a multiple of
   * {@linkcode PthreadCondition.align}.
   * @param options `clock`.
   * @returns The condition. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or an option is malformed.
   * @throws {RangeError} If the condition does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_init.3p.html | pthread_cond_init(3)}
   */
  static init(
    memory: Memory,
    offset: number,
    options?: PthreadConditionOptions,
  ): PthreadCondition {
    const attr = attributesOf(options);
    Place.in(memory, offset, TYPE).initialise("pthread_cond_init", attr);
    return new PthreadCondition(internal, memory, offset);
  }

  /**
   * `pthread_cond_t *`: uses a condition that another process, or another thread, has
   * initialised.
   *
   * A condition is refused if it is for the threads of one process, not initialised, or of
   * a program that uses musl; and so are bytes that are no condition, as far as they
   * tell. Boost's `interprocess_condition` is one for processes. glibc has changed the
   * layout in 2.41: programs with an older one cannot share a condition with newer ones.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the condition in bytes: a multiple of
   * {@linkcode PthreadCondition.align}.
   * @returns The condition. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or has no condition that
   * processes share at that place; the message says why.
   * @throws {RangeError} If the condition does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_condattr_getpshared.3p.html | pthread_condattr_getpshared(3)}
   */
  static at(memory: Memory, offset: number): PthreadCondition {
    return new PthreadCondition(internal, memory, offset);
  }

  /**
   * The number of waiters in C programs. The waits of this class are not counted.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   */
  get waiters(): number {
    return this.#located.get().waiters;
  }

  /**
   * `pthread_cond_signal(cond)`: wakes a waiter, if there is one. Call it with the mutex
   * locked, after the change.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EOWNERDEAD if the condition cannot be signalled, for a second by now:
   * a process was killed in it; EINVAL if it was overwritten; EFAULT if another process has
   * truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_signal.3p.html | pthread_cond_signal(3)}
   */
  signal(): void {
    this.#located.get().signal();
  }

  /**
   * `pthread_cond_broadcast(cond)`: wakes all waiters. Call it with the mutex locked, after
   * the change.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EOWNERDEAD if the condition cannot be signalled, for a second by now:
   * a process was killed in it; EINVAL if it was overwritten; EFAULT if another process has
   * truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_broadcast.3p.html | pthread_cond_broadcast(3)}
   */
  broadcast(): void {
    this.#located.get().broadcast();
  }

  /**
   * `pthread_cond_wait(cond, mutex)` in a loop, blocking this thread: unlocks the mutex, and
   * returns with the mutex locked when the predicate holds.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * It also returns when an owner of the mutex has died, without calling the predicate on
   * data that may be half changed: check {@linkcode PthreadGuard.ownerDied} first. **If it
   * throws**, the mutex is unlocked, and the guard released.
   *
   * @param guard The guard of the mutex that guards the data.
   * @param predicate Tells whether to stop waiting; called with the mutex locked.
   * @param options `timeout` in milliseconds.
   * @throws {TypeError} If the guard is not that of a PthreadMutex, holds it more than once, or
   * has an owner that died without `markConsistent()`; or if the predicate is no function.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the guard is released, or the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As
   * {@linkcode PthreadMutex.prototype.lockSync | PthreadMutex.lockSync}.
   * @throws What the predicate throws.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  waitSync(
    guard: PthreadGuard,
    predicate: () => boolean,
    options?: SyncWaitOptions,
  ): void {
    const deadline = deadlineOf(options);
    const { subject } = this.#located;
    const wait = this.#begin(guard, predicate);
    if (wait.isOver()) return;
    wait.end(attemptSync(subject, () => wait.look(), pauses(), deadline));
  }

  /**
   * `pthread_cond_wait(cond, mutex)` in a loop, without blocking the thread: unlocks the
   * mutex, and resolves with the mutex locked when the predicate holds.
   *
   * It also resolves when an owner of the mutex has died, without calling the predicate on
   * data that may be half changed: check {@linkcode PthreadGuard.ownerDied} first. **If it is
   * rejected**, the mutex is unlocked, and the guard released.
   *
   * @param guard The guard of the mutex that guards the data. It is released during the wait.
   * @param predicate Tells whether to stop waiting; called with the mutex locked.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the guard is not that of a PthreadMutex, holds it more than once, or
   * has an owner that died without `markConsistent()`; or if the predicate is no function.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the guard is released, or the memory is closed or resized, now
   * or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As {@linkcode PthreadMutex.prototype.lock | PthreadMutex.lock}.
   * @throws The reason of the signal, if it is aborted.
   * @throws What the predicate throws.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  async wait(
    guard: PthreadGuard,
    predicate: () => boolean,
    options?: WaitOptions,
  ): Promise<void> {
    const limits: Limits = limitsOf(options);
    const located = this.#located;
    const wait = this.#begin(guard, predicate);
    if (wait.isOver()) return;
    const source = new PoolSource(located.subject, located, () => undefined);
    wait.end(await attempt(source, () => wait.look(), limits));
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
    inspectAs(this, (condition) => ({ offset: condition.#located.offset }));
  }

  #begin(guard: PthreadGuard, predicate: () => boolean): Wait {
    const state = stateOf(guard);
    if (typeof predicate !== "function") {
      throw new TypeError('Argument "predicate" must be a function');
    }
    this.#located.get().place.checkThere();
    const { words } = state;
    if (words.depth !== 1 || words.isInconsistent) {
      const reason = words.isInconsistent
        ? "its owner died: call markConsistent() first"
        : "this thread has locked the mutex more than once";
      throw new TypeError(`Cannot wait with the guard: ${reason}`);
    }
    return new Wait(state, predicate, () => this.#located.get());
  }
}

/** One wait for a condition. */
class Wait {
  readonly #guard: GuardState;
  readonly #predicate: () => boolean;
  readonly #check: () => void;

  constructor(guard: GuardState, predicate: () => boolean, check: () => void) {
    this.#guard = guard;
    this.#predicate = predicate;
    this.#check = check;
  }

  /** The first look, with the mutex locked. If it is in vain, unlocks. */
  isOver(): boolean {
    const look = this.#lookLocked();
    if (look !== undefined) this.end(look);
    return look !== undefined;
  }

  /** Locks, looks and, if that is in vain, unlocks. */
  look(): Look | undefined {
    this.#check();
    const { words } = this.#guard;
    words.place.mapping.checkOpen();
    words.check();
    const died = words.tryLock(false);
    if (died === undefined) return undefined;
    this.#guard.locked(died);
    return died ? {} : this.#lookLocked();
  }

  #lookLocked(): Look | undefined {
    const { words } = this.#guard;
    let failed: Look["failed"];
    try {
      if (this.#predicate()) return {};
    } catch (reason) {
      failed = { reason };
    }
    // The predicate may have released the guard itself.
    if (this.#guard.unlocked()) words.unlock();
    return failed && { failed };
  }

  end({ failed }: Look): void {
    if (failed !== undefined) throw failed.reason;
  }
}
