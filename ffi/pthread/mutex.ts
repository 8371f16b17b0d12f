// PthreadMutex: C's mutex in shared memory.

import { choose } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { EBUSY, ipcError } from "../libc/errno.ts";
import {
  ALIGNOF_PTHREAD_MUTEX_T,
  attributes,
  pthread,
  PTHREAD_MUTEX_ROBUST,
  PTHREAD_PRIO_INHERIT,
  PTHREAD_PROCESS_SHARED,
  SIZEOF_PTHREAD_MUTEX_T,
} from "../libc/pthread.ts";
import type { Memory } from "../memory/memory.ts";
import {
  attempt,
  attemptSync,
  type Pending,
  type Source,
} from "../wait/attempt.ts";
import type { Armed } from "../wait/cancellable.ts";
import { FutexSource } from "../wait/futexes.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import { spin } from "../wait/spin.ts";
import { MutexGuard, type PthreadGuard } from "./mutex_guard.ts";
import {
  inheritsPriority,
  isRobust,
  kindOf,
  mutexFault,
  type PthreadMutexType,
  typeOfKind,
  TYPES,
} from "./mutex_kind.ts";
import { type Locked, MutexWords } from "./mutex_words.ts";
import { Located, notShared, type ObjectType, Place } from "./place.ts";

/** Options of {@linkcode PthreadMutex.init}. */
export interface PthreadMutexOptions {
  /**
   * `pthread_mutexattr_settype`: whether a thread can lock it again that has locked it.
   *
   * @default {"normal"}
   */
  type?: PthreadMutexType | undefined;
  /**
   * `pthread_mutexattr_setrobust`: whether the next owner is told when an owner ends
   * without unlocking. If not, the mutex stays locked for ever then.
   *
   * @default {true}
   */
  robust?: boolean | undefined;
  /**
   * `pthread_mutexattr_setprotocol` with `PTHREAD_PRIO_INHERIT`: whether the owner runs with
   * the priority of the most urgent waiter that blocks its thread.
   *
   * @default {false}
   */
  inheritPriority?: boolean | undefined;
}

const TYPE: ObjectType = {
  name: "mutex",
  cName: "pthread_mutex_t",
  size: SIZEOF_PTHREAD_MUTEX_T,
  align: ALIGNOF_PTHREAD_MUTEX_T,
};

// The mutexes of each mapping: the objects of this thread at one place share one.
const known = new WeakMap<Mapping, Map<number, MutexWords>>();

function wordsAt(mapping: Mapping, offset: number): MutexWords {
  let all = known.get(mapping);
  if (all === undefined) known.set(mapping, all = new Map());
  const present = all.get(offset);
  if (present !== undefined && present.depth > 0) {
    present.check();
    return present;
  }
  const place = present?.place ?? new Place(mapping, offset, TYPE);
  mapping.checkWritable();
  const copy = place.copyWords();
  const fault = mutexFault(copy);
  if (fault !== undefined) throw notShared(place, TYPE, fault);
  const kind = kindOf(copy);
  if (present?.kind === kind) return present;
  if (present?.isHeld === false) mapping.removeHolder(present);
  const words = new MutexWords(place, kind);
  all.set(offset, words);
  return words;
}

/** The attributes of a new mutex. Reads each option once. */
function attributesOf(
  options: PthreadMutexOptions | undefined,
): Uint8Array<ArrayBuffer> {
  const { type = "normal", robust = true, inheritPriority = false } = options ??
    {};
  const kind = choose("type", type, TYPES);
  const attr = attributes();
  const c = pthread();
  c.pthread_mutexattr_init(attr);
  c.pthread_mutexattr_settype(attr, kind);
  c.pthread_mutexattr_setpshared(attr, PTHREAD_PROCESS_SHARED);
  if (robust) c.pthread_mutexattr_setrobust(attr, PTHREAD_MUTEX_ROBUST);
  if (inheritPriority) {
    c.pthread_mutexattr_setprotocol(attr, PTHREAD_PRIO_INHERIT);
  }
  return attr;
}

/** One asynchronous wait for a mutex. */
class MutexSource implements Source {
  readonly spins = true;
  readonly #located: Located<MutexWords>;
  #source: Source | undefined;
  #endSleep: ((locked: boolean) => void) | undefined;
  #locked = false;

  constructor(located: Located<MutexWords>) {
    this.#located = located;
  }

  get subject(): string {
    return this.#located.subject;
  }

  get liveness() {
    return this.#located.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  tryOnce(): Locked {
    const words = this.#located.get();
    const died = words.tryLock(this.#endSleep !== undefined);
    this.#locked = died !== undefined;
    return died;
  }

  arm(wait: Pending): Armed | undefined {
    this.#source ??= this.#createSource();
    return this.#source.arm(wait);
  }

  ended(): void {
    this.#endSleep?.(this.#locked);
  }

  #createSource(): Source {
    const located = this.#located;
    const words = located.get();
    if (!words.canSleep) {
      return new PoolSource(this.subject, located, () => undefined);
    }
    this.#endSleep = words.beginSleeping();
    const wordOf = () => located.get().futexWord();
    return new FutexSource(this.subject, wordOf, located);
  }
}

/**
 * A mutex of C, `pthread_mutex_t`, at an offset of a memory: the lock that C and C++
 * programs put beside the data that they share, Boost.Interprocess included.
 *
 * **The owner is a thread**: the thread of JavaScript, also after an asynchronous
 * {@linkcode PthreadMutex.prototype.lock | PthreadMutex.lock}. If it ends without
 * unlocking (the process is killed, or the Worker is terminated), the kernel hands a
 * robust mutex to the next waiter, which is told: {@linkcode PthreadGuard.ownerDied}. A
 * mutex that is not robust stays locked for ever.
 *
 * **The memory stays mapped** while this thread holds the mutex, also after `close()`.
 *
 * **Bytes are not trusted.** What is no mutex that processes share is refused, with the
 * reason. The calls of this class follow no pointer in the memory, and call no function of
 * libc that would. A lock of bytes that were overwritten fails with EINVAL, or waits as
 * long as the bytes say that it has an owner: give a `timeout` where peers may do that. If
 * they are overwritten within the nanoseconds of a call of libc, it can end the process
 * with SIGABRT: it does not check the memory.
 * If another process truncates the memory, the calls fail with EFAULT, except where that
 * comes during the call. (For that each takes a system call, unless the memory
 * cannot be truncated: a System V segment, memory without a file, or a `MemoryFile` that was
 * sealed against shrinking.)
 *
 * Of other C libraries than glibc, and of 32-bit programs, the mutexes are different.
 * Processes in different PID namespaces, such as containers, can mistake each other's
 * threads: use a `SharedMutex` between them, or none that is robust or recursive.
 *
 * @example The header of a C program: `struct { pthread_mutex_t lock; int count; }`
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { PthreadMutex, pthreadMutex } from "@linux/ipc/pthread";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const layout = struct({ lock: pthreadMutex, count: i32 });
 * using memory = SysvSharedMemory.create(null, layout.size);
 * memory.remove(); // freed when the last process closes it
 * const shared = memory.view(0, layout);
 *
 * const mutex = PthreadMutex.init(memory, layout.offsets.lock); // or at(), if C has done it
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.ownerDied) guard.markConsistent(); // after a repair of the data
 *   shared.count++;
 * } // unlocks, also when the block throws
 * assertEquals(shared.count, 1);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutexattr_setrobust.3.html | pthread_mutexattr_setrobust(3)}
 */
export class PthreadMutex {
  readonly #located: Located<MutexWords>;

  /** @ignore */
  private constructor(token: symbol, memory: Memory, offset: number) {
    checkInternal(token, "PthreadMutex", "init() or at()");
    this.#located = new Located(memory, offset, wordsAt);
  }

  /** `sizeof (pthread_mutex_t)`: 40 on x86_64, 48 on aarch64. */
  static readonly size: number = SIZEOF_PTHREAD_MUTEX_T;

  /** `_Alignof (pthread_mutex_t)` */
  static readonly align: number = ALIGNOF_PTHREAD_MUTEX_T;

  /**
   * `pthread_mutex_init(mutex, attr)`: makes a mutex that processes share. One process does
   * that, before the others call {@linkcode PthreadMutex.at}; not while it is in use.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the mutex in bytes: a multiple of {@linkcode PthreadMutex.align}.
   * @param options `type`, `robust` and `inheritPriority`.
   * @returns The mutex. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or an option is malformed.
   * @throws {RangeError} If the mutex does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBUSY if this thread holds the mutex that is there; EFAULT if another
   * process has truncated the memory; EOPNOTSUPP if the kernel has no priority inheritance.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_init.3p.html | pthread_mutex_init(3)}
   */
  static init(
    memory: Memory,
    offset: number,
    options?: PthreadMutexOptions,
  ): PthreadMutex {
    const attr = attributesOf(options);
    const place = Place.in(memory, offset, TYPE);
    const present = known.get(place.mapping)?.get(offset);
    if (present !== undefined && present.depth > 0) {
      throw ipcError(EBUSY, "pthread_mutex_init", place.subject);
    }
    place.initialise("pthread_mutex_init", attr);
    return new PthreadMutex(internal, memory, offset);
  }

  /**
   * `pthread_mutex_t *`: uses a mutex that another process, or another thread, has
   * initialised.
   *
   * A mutex is refused if it is for the threads of one process, not initialised, of a
   * program that uses musl, of a 32-bit program, or with a priority ceiling; and so are
   * bytes that are no mutex, as far as they tell. Boost's `interprocess_mutex` and
   * `interprocess_recursive_mutex` are mutexes that are not robust.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the mutex in bytes: a multiple of {@linkcode PthreadMutex.align}.
   * @returns The mutex. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or has no mutex that processes
   * share at that place; the message says why.
   * @throws {RangeError} If the mutex does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @example Bytes that are no mutex
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { PthreadMutex } from "@linux/ipc/pthread";
   * import { assertThrows } from "@std/assert";
   *
   * using memory = MemoryMap.anonymous(PthreadMutex.size);
   * assertThrows(() => PthreadMutex.at(memory, 0), TypeError, "all bytes are zero");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutexattr_getpshared.3.html | pthread_mutexattr_getpshared(3)}
   */
  static at(memory: Memory, offset: number): PthreadMutex {
    return new PthreadMutex(internal, memory, offset);
  }

  /** The type, as the bytes said when this object was made. */
  get type(): PthreadMutexType {
    return typeOfKind(this.#located.get().kind);
  }

  /** Whether the next owner is told when an owner ends without unlocking. */
  get robust(): boolean {
    return isRobust(this.#located.get().kind);
  }

  /** Whether an owner runs with the priority of the most urgent waiter. */
  get inheritsPriority(): boolean {
    return inheritsPriority(this.#located.get().kind);
  }

  /**
   * The thread that owns the mutex, as `gettid()` numbers it in its PID namespace; undefined
   * if none does. It may have changed by the time this returns: use it for diagnosis only.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EINVAL if the mutex was overwritten, EFAULT if another process has
   * truncated the memory.
   */
  get ownerTid(): number | undefined {
    return this.#words().owner || undefined;
  }

  /**
   * `pthread_mutex_lock(mutex)`: locks, blocking this thread until the mutex is free.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds it, and it is not recursive (or holds it
   * through another mapping of the memory); ENOTRECOVERABLE if a guard whose
   * `ownerDied` was true has unlocked without `markConsistent()`; ESRCH if the owner of a
   * mutex that inherits priorities, and is not robust, has ended; EINVAL if the mutex was
   * overwritten; EFAULT if another process has truncated the memory; EBUSY if other code of
   * this thread holds a robust mutex through an FFI of its own.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_lock.3p.html | pthread_mutex_lock(3)}
   */
  lockSync(options?: SyncWaitOptions): PthreadGuard {
    const deadline = options === undefined ? Infinity : deadlineOf(options);
    const words = this.#located.present;
    const died = words.tryFast();
    if (died === undefined) return this.#lockSlowly(deadline);
    return new MutexGuard(internal, words, died);
  }

  /**
   * `pthread_mutex_trylock(mutex)`: locks if the mutex is free.
   *
   * @returns The guard; undefined when the mutex is locked, also by this thread unless it
   * is recursive.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} As
   * {@linkcode PthreadMutex.prototype.lockSync | PthreadMutex.lockSync}, except EDEADLK
   * and ESRCH.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_lock.3p.html | pthread_mutex_trylock(3)}
   */
  tryLock(): PthreadGuard | undefined {
    const words = this.#located.present;
    const died = words.tryFast();
    if (died === undefined) return this.#tryLockSlowly();
    return new MutexGuard(internal, words, died);
  }

  /**
   * `pthread_mutex_lock(mutex)`: locks, waiting without blocking the thread until the
   * mutex is free.
   *
   * The calls of this thread for one mutex are served in their order. C programs have no
   * order: one that unlocks and locks again at once can come before those that wait.
   *
   * On the main thread of a process, a thread of the blocking pool sleeps in the kernel for
   * all waits, and locks nothing. A wake-up that a wait has consumed which then ends
   * otherwise, also by the death of the process, is passed on to the next waiter.
   *
   * In a Worker, and for a mutex that inherits priorities, the wait tries again after 1, 2, 4,
   * and at last every 20 milliseconds: a Worker that is terminated could not pass a wake-up
   * on, and the kernel gives a mutex that inherits priorities to a thread that blocks only.
   *
   * The tasks of a thread share a recursive mutex that it holds: `lock()` returns at once.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As
   * {@linkcode PthreadMutex.prototype.lockSync | PthreadMutex.lockSync}, except EDEADLK
   * and ESRCH.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_lock.3p.html | pthread_mutex_lock(3)}
   */
  async lock(options?: WaitOptions): Promise<PthreadGuard> {
    const limits = limitsOf(options);
    const { queue } = this.#words();
    const source = new MutexSource(this.#located);
    const locked = () => {
      const died = source.tryOnce();
      if (died === undefined) return undefined;
      return new MutexGuard(internal, this.#located.get(), died);
    };
    return await attempt(source, locked, limits, queue);
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
    inspectAs(this, (mutex) => ({ offset: mutex.#located.offset }));
  }

  #tryLockSlowly(): PthreadGuard | undefined {
    const words = this.#located.get();
    const died = words.tryLock(false);
    if (died === undefined) return undefined;
    return new MutexGuard(internal, words, died);
  }

  #lockSlowly(deadline: number): PthreadGuard {
    const words = this.#located.get();
    const died = words.tryLock(false) ?? lockBlocking(words, deadline);
    return new MutexGuard(internal, words, died);
  }

  /** The words of the mutex, for a call. */
  #words(): MutexWords {
    const words = this.#located.get();
    words.check();
    return words;
  }
}

/** Locks what was locked a moment ago, blocking this thread. */
function lockBlocking(words: MutexWords, deadline: number): boolean {
  let locked: Locked;
  if (words.depth === 0) {
    spin(() => (locked = words.tryLock(false)) !== undefined, deadline);
    if (locked !== undefined) return locked;
  }
  const endSleep = words.inherits ? () => {} : words.beginSleeping();
  try {
    return locked = attemptSync(
      words.place.subject,
      () => locked ?? words.tryLock(true),
      (until) => locked = words.sleep(until),
      deadline,
    );
  } finally {
    endSleep(locked !== undefined);
  }
}
