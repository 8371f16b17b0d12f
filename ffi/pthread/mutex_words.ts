// The words of a mutex, and how a thread locks and unlocks with them, as glibc does.
//
// libc is not called for that. Its functions follow pointers in the shared memory, end the
// process where bytes were overwritten, and wait for ever for the dead owner of a mutex
// that inherits priorities. And an asynchronous wait needs a protocol that libc has no
// function for: to note a waiter, and to keep that note after the wait. What follows is
// the contract between libc, the kernel and other processes: the robust-futex ABI.

import type { Mapping } from "../kernel/mapping.ts";
import {
  EAGAIN,
  EBUSY,
  EDEADLK,
  EINTR,
  EINVAL,
  ENOSYS,
  ENOTRECOVERABLE,
  EOWNERDEAD,
  EPERM,
  errno,
  ESRCH,
  ETIMEDOUT,
  ipcError,
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
  inheritsPriority,
  isRecursive,
  isRobust,
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

/** A mutex at a place, for this thread. */
export class MutexWords implements RobustEntry {
  readonly place: Place;
  readonly kind: number;
  readonly reference: number;
  readonly links: Float64Array;
  newer: RobustEntry | undefined;
  older: RobustEntry | undefined;
  /** The asynchronous waiters of this thread. */
  readonly queue: WaiterQueue = new WaiterQueue();
  readonly #words: Int32Array;
  readonly #isRobust: boolean;
  /** Whether it inherits priorities. */
  readonly inherits: boolean;
  readonly #list: RobustList;
  readonly #tid: number;
  readonly #mapping: Mapping;
  readonly #address: bigint;
  readonly #trylock: (address: bigint) => number;
  #depth = 0; // how often this thread holds it
  #inconsistent = false; // its previous owner died

  constructor(place: Place, kind: number) {
    this.place = place;
    this.kind = kind;
    this.#isRobust = isRobust(kind);
    this.inherits = inheritsPriority(kind);
    this.#words = new Int32Array(place.buffer);
    this.links = new Float64Array(place.buffer);
    const link = place.address + BigInt(OFFSETOF_MUTEX_NEXT);
    this.reference = bitsOf(this.inherits ? link | 1n : link);
    this.#mapping = place.mapping;
    this.#address = place.address;
    this.#trylock = pthread().pthread_mutex_trylock;
    this.#tid = threadId();
    this.#list = robustList();
  }

  /** How often this thread holds it. */
  get depth(): number {
    return this.#depth;
  }

  /** Whether its previous owner has died, and `markConsistent` was not called. */
  get isInconsistent(): boolean {
    return this.#inconsistent;
  }

  /** The thread that owns it, in its own PID namespace; 0 if none does. */
  get owner(): number {
    const lock = this.#words[LOCK]!;
    if (this.#isRobust || this.inherits) return lock & FUTEX_TID_MASK;
    return lock === FREE ? 0 : this.#words[OWNER]!;
  }

  /** Whether a thread that waits can sleep in the kernel without being its owner then. */
  get canSleep(): boolean {
    return !this.inherits && isMain;
  }

  /** Throws if the bytes were overwritten, or truncated. */
  check(): void {
    if (this.#mapping.truncatable) this.place.checkThere();
    if (kindOf(this.#words) === this.kind) return;
    throw ipcError(EINVAL, LOCKING, this.place.subject);
  }

  /**
   * Locks without waiting; `waited` if other waiters may sleep whose note in the word
   * this thread has taken over. Call `check` before.
   */
  tryLock(waited: boolean): Locked {
    if (this.#depth > 0) return this.#tryAgain();
    if (this.inherits) return this.#tryKernel();
    if (!this.#isRobust) {
      return waited ? this.#tryContended() : this.#tryLibc();
    }
    if (!waited && this.#list.isEmpty) return this.#tryLibc();
    return this.#tryRobust(() => this.#tryOwner(waited));
  }

  /**
   * `pthread_mutex_trylock`, which is fast, and follows no pointer in the memory where
   * this thread holds no other robust mutex.
   */
  #tryLibc(): Locked {
    const code = this.#trylock(this.#address);
    if (code === 0 || code === EOWNERDEAD) {
      if (this.#isRobust) this.#list.noteAdded(this);
      return this.#hold(code !== 0);
    }
    this.#list.end();
    // EDEADLK: the owner has the number of this thread.
    if (code === EBUSY || code === EDEADLK) return undefined;
    // glibc leaves it locked then.
    if (code === ENOTRECOVERABLE && this.owner === this.#tid) this.#refuse();
    throw ipcError(code, LOCKING, this.place.subject);
  }

  #tryAgain(): Locked {
    if (!isRecursive(this.kind)) return undefined;
    this.#words[COUNT] = ++this.#depth;
    return this.#inconsistent;
  }

  #tryContended(): Locked {
    const words = this.#words;
    const old = Atomics.compareExchange(words, LOCK, FREE, CONTENDED);
    return old === FREE ? this.#own(false) : undefined;
  }

  /**
   * One that inherits priorities. libc ends the process where the dead owner of one has left
   * a note that is not robust, and enters a robust one into the list as if it did not.
   */
  #tryKernel(): Locked {
    if (this.#isRobust) return this.#tryRobust(() => this.#tryInheriting());
    const died = this.#tryInheriting();
    return died === undefined ? undefined : this.#own(died);
  }

  /** Locks with that, and enters the mutex into the list of this thread. */
  #tryRobust(lock: () => Locked): Locked {
    const list = this.#list;
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
    const words = this.#words;
    const lock = waited ? this.#tid | FUTEX_WAITERS : this.#tid;
    for (;;) {
      const old = Atomics.compareExchange(words, LOCK, FREE, lock);
      if (old === FREE) return false;
      if ((old & FUTEX_OWNER_DIED) === 0) return undefined;
      const taken = lock | old & FUTEX_WAITERS;
      if (Atomics.compareExchange(words, LOCK, old, taken) === old) return true;
    }
  }

  /** The same for one that inherits priorities: the kernel knows a dead owner. */
  #tryInheriting(): Locked {
    const words = this.#words;
    const old = Atomics.compareExchange(words, LOCK, FREE, this.#tid);
    if (old === FREE) return false;
    if ((old & FUTEX_OWNER_DIED) === 0) return undefined;
    if (this.#futex(FUTEX_TRYLOCK_PI, null) !== 0) return undefined;
    return this.#takeOver();
  }

  /** Whether the previous owner has died of a mutex that the kernel gave to this thread. */
  #takeOver(): boolean {
    const old = Atomics.and(this.#words, LOCK, ~FUTEX_OWNER_DIED);
    return (old & FUTEX_OWNER_DIED) !== 0;
  }

  /** Notes what this thread has locked. Returns whether its previous owner has died. */
  #own(died: boolean): boolean {
    const words = this.#words;
    const isRobust = this.#isRobust;
    if (isRobust && !died && words[OWNER] === NOT_RECOVERABLE) this.#refuse();
    words[OWNER] = isRobust && died ? INCONSISTENT : this.#tid;
    if (!died) words[NUSERS]!++; // else in the place of the dead owner
    if (isRobust || isRecursive(this.kind)) words[COUNT] = 1;
    if (isRobust) this.#list.add(this);
    return this.#hold(died);
  }

  #hold(died: boolean): boolean {
    this.#inconsistent = died;
    this.#depth = 1;
    this.#mapping.addPin();
    return died;
  }

  /** Gives back a mutex whose data was not repaired. */
  #refuse(): never {
    this.#words[COUNT] = 0;
    this.#free();
    throw ipcError(ENOTRECOVERABLE, LOCKING, this.place.subject);
  }

  /** `pthread_mutex_consistent` */
  markConsistent(): void {
    if (!this.#inconsistent) return;
    this.place.checkThere();
    this.#words[OWNER] = this.#tid;
    this.#inconsistent = false;
  }

  /** Unlocks, once for each time that this thread has locked it. */
  unlock(): void {
    if (this.#depth > 1) {
      this.place.checkThere();
      this.#words[COUNT] = --this.#depth;
      return;
    }
    // Without try and finally, which cost as much as all the rest.
    const fault = this.#fault();
    this.#depth = 0;
    let unlinked = true;
    if (this.#isRobust) {
      const list = this.#list;
      list.begin(this);
      unlinked = list.remove(this);
      if (fault === undefined) this.#leave();
      list.end();
    } else if (fault === undefined) {
      this.#leave();
    }
    // An entry that is still in the list must stay mapped.
    if (unlinked) this.#mapping.removePin();
    if (fault !== undefined) throw fault;
  }

  /** Why this thread cannot unlock. */
  #fault(): unknown {
    if (this.#mapping.truncatable) {
      try {
        this.place.checkThere();
      } catch (error) {
        return error;
      }
    }
    if (this.owner === this.#tid) return undefined;
    return ipcError(EPERM, "pthread_mutex_unlock", this.place.subject);
  }

  #leave(): void {
    const words = this.#words;
    words[OWNER] = this.#inconsistent && this.#isRobust ? NOT_RECOVERABLE : 0;
    words[NUSERS]!--;
    if (isRecursive(this.kind)) words[COUNT] = 0;
    this.#free();
  }

  /** Makes the lock free, and wakes a waiter. */
  #free(): void {
    const words = this.#words;
    if (this.inherits) {
      const old = Atomics.compareExchange(words, LOCK, this.#tid, FREE);
      if (old !== this.#tid) this.#futex(FUTEX_UNLOCK_PI, null);
      return;
    }
    const old = Atomics.exchange(words, LOCK, FREE);
    const hasWaiters = this.#isRobust
      ? (old & FUTEX_WAITERS) !== 0
      : old === CONTENDED;
    if (hasWaiters) wakeOne(this.place.address);
  }

  /** A futex call with the word. Returns the error number, or 0. */
  #futex(operation: number, time: Uint8Array<ArrayBuffer> | null): number {
    const { futex } = linuxFutex();
    const result = futex(FUTEX, this.place.address, operation, 0, time);
    return result === -1n ? errno() : 0;
  }

  /** Notes in the word that this thread waits, and returns the word to sleep with. */
  #noteWaiter(): number {
    const words = this.#words;
    if (!this.#isRobust) {
      Atomics.compareExchange(words, LOCK, LOCKED, CONTENDED);
      return CONTENDED;
    }
    for (;;) {
      const old = Atomics.load(words, LOCK);
      // A call with that value does not sleep: the word has another one.
      if (old === FREE || (old & FUTEX_OWNER_DIED) !== 0) return ~old;
      const noted = old | FUTEX_WAITERS;
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
          return Atomics.load(this.#words, LOCK) !== value;
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
    const isNoted = this.#isRobust || this.#tid > CONTENDED;
    if (isNoted) this.#list.await(this);
    return (locked) => {
      if (isNoted) this.#list.unawait(this);
      if (!locked) wakeOne(address);
      mapping.removePin();
    };
  }

  /** Blocks this thread until a try may succeed. Returns what it has locked already. */
  sleep(deadline: number): Locked {
    if (this.owner === this.#tid) {
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
    const isEnd = error === 0 || error === EAGAIN || error === EINTR ||
      error === ETIMEDOUT;
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
    if (this.#isRobust) return this.#tryRobust(lock);
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
