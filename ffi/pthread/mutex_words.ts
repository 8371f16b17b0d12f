// The words of a mutex, and how a thread locks and unlocks with them, as glibc does.
//
// libc is called for that only to try a free mutex while this thread holds no robust one.
// Its other functions, and this one otherwise, follow pointers in the shared memory, end the
// process where bytes were overwritten, and wait for ever for the dead owner of a mutex
// that inherits priorities. And an asynchronous wait needs a protocol that libc has no
// function for: to note a waiter, and to keep that note after the wait. What follows is
// the contract between libc, the kernel and other processes: the robust-futex ABI.

import type { Holder, Mapping } from "../kernel/mapping.ts";
import {
  EAGAIN,
  EBUSY,
  EDEADLK,
  EINVAL,
  ENOSYS,
  ENOTRECOVERABLE,
  EOWNERDEAD,
  EPERM,
  errno,
  ESRCH,
  ETIMEDOUT,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import {
  FUTEX_LOCK_PI,
  FUTEX_LOCK_PI2,
  FUTEX_OWNER_DIED,
  FUTEX_TID_MASK,
  FUTEX_TRYLOCK_PI,
  FUTEX_UNLOCK_PI,
  FUTEX_WAIT,
  FUTEX_WAITERS,
  linuxFutex,
} from "../libc/linux_futex.ts";
import {
  OFFSETOF_MUTEX_COUNT,
  OFFSETOF_MUTEX_LOCK,
  OFFSETOF_MUTEX_NEXT,
  OFFSETOF_MUTEX_NUSERS,
  OFFSETOF_MUTEX_OWNER,
  pthread,
} from "../libc/pthread.ts";
import { SYS_futex } from "../libc/sys_syscall.ts";
import { durationOf, monotonicIn, realtimeIn } from "../libc/time.ts";
import { unistd } from "../libc/unistd.ts";
import { type FutexWord, wakeOne } from "../wait/futexes.ts";
import { remaining } from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import {
  ELISION as ELISION_BITS,
  inheritsPriority,
  isRecursive,
  isRobust,
  KIND as KIND_INDEX,
  kindOf,
} from "./mutex_kind.ts";
import type { Place } from "./place.ts";
import {
  bitsOf,
  type RobustEntry,
  type RobustList,
  robustList,
} from "./robust_list.ts";

const FUTEX = BigInt(SYS_futex);
const LOCKING = "pthread_mutex_lock"; // name used in error messages

// Indices of 32-bit words.
const LOCK = OFFSETOF_MUTEX_LOCK / 4;
const COUNT = OFFSETOF_MUTEX_COUNT / 4;
const OWNER = OFFSETOF_MUTEX_OWNER / 4;
const NUSERS = OFFSETOF_MUTEX_NUSERS / 4;

// The compiler knows constants of this module; those that are imported it loads at each use.
const DIED = FUTEX_OWNER_DIED;
const TID = FUTEX_TID_MASK;
const WAITERS = FUTEX_WAITERS;
const KIND = KIND_INDEX;
const ELISION = ELISION_BITS;

// The lock of a plain mutex; that of the others has the owner in it.
const FREE = 0;
const LOCKED = 1;
const CONTENDED = 2; // locked, and there may be waiters

// Owners that are no thread.
const INCONSISTENT = 0x7fffffff; // locked after a death, and not yet repaired
const NOT_RECOVERABLE = 0x7ffffffe; // unlocked without a repair

// A blocked thread looks at the word that often, even without a wake-up: the wake-up
// may have been consumed by another process that was killed then.
const SLICE = 1000; // ms

/** The result of a try: undefined if the mutex is locked; whether its owner died. */
export type Locked = boolean | undefined;

let tid = 0;
let isMain = false;

/** The thread, as the lock of a mutex names it. */
function threadId(): number {
  if (tid === 0) {
    tid = unistd().gettid();
    isMain = tid === unistd().getpid();
  }
  return tid;
}

/**
 * A mutex at a place, for this thread.
 *
 * To lock and to unlock a free mutex is to take about as long as two atomic operations. So
 * there is a fast path of each: one function without closures, exception handlers and
 * fields that can be undefined. (A field without an initial value is undefined at
 * first, unless it is only declared.)
 */
export class MutexWords implements Holder, RobustEntry {
  declare readonly place: Place;
  declare readonly kind: number;
  declare readonly reference: number;
  declare readonly links: Float64Array;
  newer: RobustEntry | undefined = undefined;
  older: RobustEntry | undefined = undefined;
  /** The asynchronous waiters of this thread. */
  readonly queue: WaiterQueue = new WaiterQueue();
  /** How often this thread holds it. */
  depth: number = 0;
  /** Whether its previous owner has died, and `markConsistent` was not called. */
  isInconsistent: boolean = false;
  /** Whether it inherits priorities. */
  declare readonly inherits: boolean;
  declare private readonly isRobust: boolean;
  /**
   * Whether the fast paths apply: the memory is open and cannot be truncated, the mutex is
   * of a simple type, and its previous owner did not die.
   */
  #isFast: boolean = false;
  /** Whether the memory must stay mapped because the mutex is in the list for ever. */
  #isStuck: boolean = false;
  declare private readonly words: Int32Array;
  declare private readonly list: RobustList;
  declare private readonly tid: number;
  /** The lock when this thread has it, without waiters. */
  declare private readonly locked: number;
  declare private readonly mapping: Mapping;
  declare private readonly address: bigint;
  declare private readonly trylock: (address: bigint) => number;

  constructor(place: Place, kind: number) {
    const { address, buffer, mapping } = place;
    this.place = place;
    this.mapping = mapping;
    this.address = address;
    this.kind = kind;
    this.isRobust = isRobust(kind);
    this.inherits = inheritsPriority(kind);
    this.words = new Int32Array(buffer);
    this.links = new Float64Array(buffer);
    const link = address + BigInt(OFFSETOF_MUTEX_NEXT);
    this.reference = bitsOf(this.inherits ? link | 1n : link);
    this.trylock = pthread().pthread_mutex_trylock;
    this.tid = threadId();
    this.locked = this.isRobust || this.inherits ? this.tid : LOCKED;
    this.list = robustList();
    mapping.addHolder(this);
    this.#decideFast();
  }

  #decideFast(): void {
    const { closed, truncatable } = this.mapping;
    const isSimple = !this.inherits && !isRecursive(this.kind);
    this.#isFast = isSimple && !this.isInconsistent && !closed && !truncatable;
  }

  /** Notes that the memory is closed. */
  closed(): void {
    this.#isFast = false;
  }

  /** Whether this thread holds it: then the memory stays mapped. */
  get isHeld(): boolean {
    return this.depth > 0 || this.#isStuck;
  }

  /** The thread that owns it, in its own PID namespace; 0 if none does. */
  get owner(): number {
    const lock = this.words[LOCK]!;
    if (this.isRobust || this.inherits) return lock & TID;
    return lock === FREE ? 0 : this.words[OWNER]!;
  }

  /** Whether a thread that waits can sleep in the kernel without being its owner then. */
  get canSleep(): boolean {
    return !this.inherits && isMain;
  }

  /** Throws if the bytes were overwritten, or truncated. */
  check(): void {
    this.place.checkThere();
    if (kindOf(this.words) === this.kind) return;
    throw ipcError(EINVAL, LOCKING, this.place.subject);
  }

  /**
   * Locks on the fast path. Undefined where that does not apply, or the mutex is locked:
   * try `tryLock` then.
   *
   * `pthread_mutex_trylock` follows no pointer in the memory where this thread holds no
   * other robust mutex.
   */
  tryFast(): Locked {
    const { list, trylock } = this;
    const { first } = list;
    if (
      this.#isFast !== true || this.depth !== 0 ||
      (this.words[KIND]! & ~ELISION) !== this.kind ||
      (this.isRobust === true && first !== list.last)
    ) {
      return undefined;
    }
    const code = trylock(this.address);
    if (code !== 0) return this.#tryFailed(code, first);
    // Another process may have changed the kind in between.
    if (list.first !== (this.isRobust === true ? this.reference : first)) {
      this.#refuseKind(first);
    }
    if (this.isRobust === true) list.noteAdded(this);
    this.depth = 1;
    return false;
  }

  /**
   * Locks without waiting; `waited` if other waiters may sleep whose note in the word
   * this thread has taken over.
   */
  tryLock(waited: boolean): Locked {
    this.check();
    if (this.depth > 0) return this.#tryAgain();
    if (this.inherits) return this.#tryKernel();
    if (this.isRobust) return this.#tryRobust(() => this.#tryOwner(waited));
    const lock = waited ? CONTENDED : LOCKED;
    const old = Atomics.compareExchange(this.words, LOCK, FREE, lock);
    return old === FREE ? this.#own(false) : undefined;
  }

  /** Libc has locked another kind of mutex than this one. */
  #refuseKind(first: number): never {
    this.list.restore(first);
    throw ipcError(EINVAL, LOCKING, this.place.subject);
  }

  /** What `pthread_mutex_trylock` has returned that is not 0. */
  #tryFailed(code: number, first: number): Locked {
    if (code === EOWNERDEAD) {
      const isOwn = this.isRobust && this.list.first === this.reference;
      if (!isOwn) this.#refuseKind(first);
      this.list.noteAdded(this);
      return this.#hold(true);
    }
    this.list.end();
    // EDEADLK: the owner has the number of this thread.
    if (code === EBUSY || code === EDEADLK) return undefined;
    // glibc leaves it locked then.
    if (code === ENOTRECOVERABLE && this.owner === this.tid) this.#refuse();
    throw ipcError(code, LOCKING, this.place.subject);
  }

  #tryAgain(): Locked {
    if (!isRecursive(this.kind)) return undefined;
    this.words[COUNT] = ++this.depth;
    return this.isInconsistent;
  }

  /**
   * One that inherits priorities. libc ends the process where the dead owner of one has left
   * a note that is not robust, and enters a robust one into the list as if it did not.
   */
  #tryKernel(): Locked {
    if (this.isRobust) return this.#tryRobust(() => this.#tryInheriting());
    const died = this.#tryInheriting();
    return died === undefined ? undefined : this.#own(died);
  }

  /** Locks with that, and enters the mutex into the list of this thread. */
  #tryRobust(lock: () => Locked): Locked {
    const list = this.list;
    if (!list.isOwn) throw ipcError(EBUSY, LOCKING, this.place.subject);
    list.begin(this);
    try {
      const died = lock();
      return died === undefined ? undefined : this.#own(died);
    } finally {
      list.end();
    }
  }

  /** Writes this thread into the word of a robust mutex. */
  #tryOwner(waited: boolean): Locked {
    const words = this.words;
    const lock = waited ? this.tid | WAITERS : this.tid;
    for (;;) {
      const old = Atomics.compareExchange(words, LOCK, FREE, lock);
      if (old === FREE) return false;
      if ((old & DIED) === 0) return undefined;
      const taken = lock | old & WAITERS;
      if (Atomics.compareExchange(words, LOCK, old, taken) === old) return true;
    }
  }

  /** The same for one that inherits priorities: the kernel knows a dead owner. */
  #tryInheriting(): Locked {
    const words = this.words;
    const old = Atomics.compareExchange(words, LOCK, FREE, this.tid);
    if (old === FREE) return false;
    if ((old & DIED) === 0) return undefined;
    if (this.#futex(FUTEX_TRYLOCK_PI, null) !== 0) return undefined;
    return this.#takeOver();
  }

  /** Whether the previous owner has died of a mutex that the kernel gave to this thread. */
  #takeOver(): boolean {
    const old = Atomics.and(this.words, LOCK, ~DIED);
    return (old & DIED) !== 0;
  }

  /** Notes what this thread has locked. Returns whether its previous owner has died. */
  #own(died: boolean): boolean {
    const words = this.words;
    const isRobust = this.isRobust;
    if (isRobust && !died && words[OWNER] === NOT_RECOVERABLE) this.#refuse();
    words[OWNER] = isRobust && died ? INCONSISTENT : this.tid;
    if (!died) words[NUSERS]!++; // else in the place of the dead owner
    if (isRobust || isRecursive(this.kind)) words[COUNT] = 1;
    if (isRobust) this.list.add(this);
    return this.#hold(died);
  }

  #hold(died: boolean): boolean {
    this.depth = 1;
    this.isInconsistent = died;
    if (died) this.#decideFast();
    return died;
  }

  /** Gives back a mutex whose data was not repaired. */
  #refuse(): never {
    this.words[COUNT] = 0;
    this.#free();
    throw ipcError(ENOTRECOVERABLE, LOCKING, this.place.subject);
  }

  /** `pthread_mutex_consistent` */
  markConsistent(): void {
    if (!this.isInconsistent) return;
    this.place.checkThere();
    this.words[OWNER] = this.tid;
    this.isInconsistent = false;
    this.#decideFast();
  }

  /** Unlocks, once for each time that this thread has locked it. */
  unlock(): void {
    const { isRobust, list, words } = this;
    if (this.#isFast !== true || !this.#isAsLocked()) {
      this.#unlockSlowly();
      return;
    }
    this.depth = 0;
    if (isRobust === true) {
      list.begin(this);
      list.removeOnly();
    }
    words[OWNER] = 0;
    words[NUSERS]!--;
    const old = Atomics.exchange(words, LOCK, FREE);
    if (old !== this.locked) this.#wake(old);
    if (isRobust === true) list.end(); // killed before this, the kernel wakes a waiter
  }

  /** Whether the words are as the fast path has left them, apart from notes of waiters. */
  #isAsLocked(): boolean {
    const { words } = this;
    return this.isRobust === true
      ? (words[LOCK]! & TID) === this.tid && this.list.isOnly(this)
      : words[OWNER] === this.tid && words[LOCK] !== FREE;
  }

  #wake(old: number): void {
    const hasWaiters = this.isRobust
      ? (old & WAITERS) !== 0
      : old === CONTENDED;
    if (hasWaiters) wakeOne(this.address);
  }

  #unlockSlowly(): void {
    if (this.depth > 1) {
      this.place.checkThere();
      this.words[COUNT] = --this.depth;
      return;
    }
    const fault = this.#fault();
    this.depth = 0;
    if (this.isRobust) {
      const { list } = this;
      list.begin(this);
      this.#isStuck = !list.remove(this);
      if (fault === undefined) this.#leave();
      list.end();
    } else if (fault === undefined) {
      this.#leave();
    }
    this.isInconsistent = false;
    this.#decideFast();
    this.mapping.unmapIfUnused();
    if (fault !== undefined) throw fault;
  }

  /** Why this thread cannot unlock. */
  #fault(): unknown {
    if (this.mapping.truncatable) {
      try {
        this.place.checkThere();
      } catch (error) {
        return error;
      }
    }
    if (this.owner === this.tid) return undefined;
    return ipcError(EPERM, "pthread_mutex_unlock", this.place.subject);
  }

  #leave(): void {
    const words = this.words;
    words[OWNER] = this.isInconsistent && this.isRobust ? NOT_RECOVERABLE : 0;
    words[NUSERS]!--;
    if (isRecursive(this.kind)) words[COUNT] = 0;
    this.#free();
  }

  /** Makes the lock free, and wakes a waiter. */
  #free(): void {
    const words = this.words;
    if (this.inherits) {
      const old = Atomics.compareExchange(words, LOCK, this.tid, FREE);
      if (old !== this.tid) this.#futex(FUTEX_UNLOCK_PI, null);
      return;
    }
    const old = Atomics.exchange(words, LOCK, FREE);
    this.#wake(old);
  }

  /** A futex call with the word. Returns the error number, or 0. */
  #futex(operation: number, time: Uint8Array<ArrayBuffer> | null): number {
    const { futex } = linuxFutex();
    const result = futex(FUTEX, this.place.address, operation, 0, time);
    return result === -1n ? errno() : 0;
  }

  /** Notes in the word that this thread waits, and returns the word to sleep with. */
  #noteWaiter(): number {
    const words = this.words;
    if (!this.isRobust) {
      Atomics.compareExchange(words, LOCK, LOCKED, CONTENDED);
      return CONTENDED;
    }
    for (;;) {
      const old = Atomics.load(words, LOCK);
      // A call with that value does not sleep: the word has another one.
      if (old === FREE || (old & DIED) !== 0) return ~old;
      const noted = old | WAITERS;
      if (Atomics.compareExchange(words, LOCK, old, noted) === old) {
        return noted;
      }
    }
  }

  /** The word to sleep on without blocking the thread. */
  futexWord(): FutexWord {
    const { place } = this;
    const value = this.#noteWaiter();
    return {
      address: place.address,
      value,
      changed: () => {
        try {
          place.checkThere();
          return Atomics.load(this.words, LOCK) !== value;
        } catch {
          return true; // the next try tells
        }
      },
      pin: () => place.mapping.pin(),
    };
  }

  /**
   * Keeps the mutex mapped for a waiter of this thread that sleeps, and has the kernel
   * pass on the wake-up that it may have consumed when it is killed. Returns a function
   * that ends that; its argument says whether the waiter has locked the mutex.
   */
  beginSleeping(): (locked: boolean) => void {
    const { address, mapping } = this.place;
    mapping.addPin();
    // The kernel would take the lock of a plain mutex for a thread 1 or 2.
    const isNoted = this.isRobust || this.tid > CONTENDED;
    if (isNoted) this.list.await(this);
    return (locked) => {
      if (!locked) wakeOne(address);
      if (isNoted) this.list.unawait(this);
      mapping.removePin();
    };
  }

  /** Blocks this thread until a try may succeed. Returns what it has locked already. */
  sleep(deadline: number): Locked {
    if (this.owner === this.tid) {
      throw ipcError(EDEADLK, LOCKING, this.place.subject);
    }
    const most = Math.min(remaining(deadline), SLICE);
    if (this.inherits) return this.#sleepInheriting(most);
    const value = this.#noteWaiter() >>> 0;
    const { futex } = linuxFutex();
    const { address } = this.place;
    const time = durationOf(most);
    const result = futex(FUTEX, address, FUTEX_WAIT, value, time);
    this.#checkSleep(result === -1n ? errno() : 0);
    return undefined;
  }

  #checkSleep(error: number): void {
    const isEnd = error === 0 || error === EAGAIN || error === ETIMEDOUT ||
      isInterruption(error);
    if (!isEnd) {
      throw ipcError(error, LOCKING, this.place.subject);
    }
  }

  /** The kernel locks for the thread, and lends its priority to the owner meanwhile. */
  #sleepInheriting(milliseconds: number): Locked {
    const lock = () => {
      const error = this.#lockInheriting(milliseconds);
      // The owner of a mutex that is not robust has died: the kernel never frees it.
      if (error === ESRCH) throw ipcError(ESRCH, LOCKING, this.place.subject);
      this.#checkSleep(error);
      return error === 0 ? this.#takeOver() : undefined;
    };
    if (this.isRobust) return this.#tryRobust(lock);
    const died = lock();
    return died === undefined ? undefined : this.#own(died);
  }

  #lockInheriting(milliseconds: number): number {
    const until = monotonicIn(milliseconds);
    const error = this.#futex(FUTEX_LOCK_PI2, until);
    if (error !== ENOSYS) return error;
    return this.#futex(FUTEX_LOCK_PI, realtimeIn(milliseconds));
  }
}
