// PthreadRwLock: C's read-write lock in shared memory.
//
// Only the calls of libc that never wait are used: pthread_rwlock_tryrdlock, ..._trywrlock
// and ..._unlock. In the others a thread can spin or wait for ever, without a timeout, for a
// process that was killed while it handed the lock over.

import { choose } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Holder, Mapping } from "../kernel/mapping.ts";
import { EBUSY, EDEADLK, EINVAL, EPERM, ipcError } from "../libc/errno.ts";
import {
  ALIGNOF_PTHREAD_RWLOCK_T,
  attributes,
  OFFSETOF_RWLOCK_CUR_WRITER,
  OFFSETOF_RWLOCK_FLAGS,
  OFFSETOF_RWLOCK_READERS,
  OFFSETOF_RWLOCK_SHARED,
  OFFSETOF_RWLOCK_WRITERS_FUTEX,
  OFFSETOF_RWLOCK_WRPHASE_FUTEX,
  pthread,
  PTHREAD_PROCESS_SHARED,
  PTHREAD_RWLOCK_PREFER_READER_NP,
  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP,
  SIZEOF_PTHREAD_RWLOCK_T,
} from "../libc/pthread.ts";
import type { Memory } from "../memory/memory.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { checkCode } from "./check_code.ts";
import { pauses } from "./pauses.ts";
import { Located, notShared, type ObjectType, Place } from "./place.ts";

/** Options of {@linkcode PthreadRwLock.init}. */
export interface PthreadRwLockOptions {
  /**
   * `pthread_rwlockattr_setkind_np`: whom C programs prefer, readers or waiting writers.
   *
   * @default {"reader"}
   */
  prefer?: "reader" | "writer" | undefined;
}

/**
 * The guard of a reader or a writer of a {@linkcode PthreadRwLock}. Disposing of it unlocks,
 * once.
 */
export interface PthreadRwLockGuard extends Disposable {
  /**
   * `pthread_rwlock_unlock(rwlock)`: unlocks. A second call does nothing. It also works after
   * `close()` of the memory, which stays mapped until then.
   *
   * @throws {IpcError} EPERM if the lock was overwritten, and is not locked any more; EFAULT if
   * another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_unlock.3p.html | pthread_rwlock_unlock(3)}
   */
  release(): void;
}

const TYPE: ObjectType = {
  name: "read-write lock",
  cName: "pthread_rwlock_t",
  size: SIZEOF_PTHREAD_RWLOCK_T,
  align: ALIGNOF_PTHREAD_RWLOCK_T,
};

const KINDS = {
  reader: PTHREAD_RWLOCK_PREFER_READER_NP,
  writer: PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP,
};

// Indices of 32-bit words.
const READERS = OFFSETOF_RWLOCK_READERS / 4;
const WRPHASE_FUTEX = OFFSETOF_RWLOCK_WRPHASE_FUTEX / 4;
const WRITERS_FUTEX = OFFSETOF_RWLOCK_WRITERS_FUTEX / 4;
const CUR_WRITER = OFFSETOF_RWLOCK_CUR_WRITER / 4;
const SHARED = OFFSETOF_RWLOCK_SHARED / 4;
const FLAGS = OFFSETOF_RWLOCK_FLAGS / 4;
// musl has its flag for shared there: 128.
const MUSL_SHARED = 2;
const MUSL_IS_SHARED = 128;
const FUTEX_VALUES = 3; // a bit for the state, a bit for waiters
const READER_SHIFT = 3;
const IS_SHARED = 1;

/** Why processes cannot share the lock of these words; undefined if they can. */
function faultOf(words: Int32Array): string | undefined {
  if (words[MUSL_SHARED] === MUSL_IS_SHARED && words[SHARED] === 0) {
    return "it is of a program that uses musl, whose locks are different";
  }
  const isSound = words[SHARED]! >>> 1 === 0 &&
    words[FLAGS]! >>> 0 <= PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP &&
    words[WRPHASE_FUTEX]! >>> 0 <= FUTEX_VALUES &&
    words[WRITERS_FUTEX]! >>> 0 <= FUTEX_VALUES;
  if (!isSound) return "these bytes are no read-write lock of glibc";
  if (words[SHARED] === IS_SHARED) return undefined;
  return words.every((word) => word === 0)
    ? "all bytes are zero: it is not initialised, or with " +
      "PTHREAD_RWLOCK_INITIALIZER, which is for the threads of one process"
    : "it is for the threads of one process: initialise it with " +
      "pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)";
}

/** Name of a call for error messages. */
function nameOf(isReader: boolean): string {
  return `pthread_rwlock_try${isReader ? "rd" : "wr"}lock`;
}

/**
 * A read-write lock at a place, for this thread. Fields are only declared where one that is
 * undefined first would be checked at each use.
 */
class RwLockWords implements Holder {
  declare readonly place: Place;
  /** Whether the memory is open and cannot be truncated. */
  isSafe: boolean = false;
  /** The asynchronous waiters of this thread. */
  readonly queue = new WaiterQueue();
  declare private readonly words: Int32Array;
  declare private readonly address: bigint;
  declare private readonly tryRead: (address: bigint) => number;
  declare private readonly tryWrite: (address: bigint) => number;
  declare private readonly leave: (address: bigint) => number;
  #readers = 0; // guards of this thread
  #writers = 0;

  constructor(place: Place) {
    const { address, buffer, mapping } = place;
    const c = pthread();
    this.place = place;
    this.words = new Int32Array(buffer);
    this.address = address;
    this.tryRead = c.pthread_rwlock_tryrdlock;
    this.tryWrite = c.pthread_rwlock_trywrlock;
    this.leave = c.pthread_rwlock_unlock;
    this.isSafe = !mapping.truncatable;
    mapping.addHolder(this);
  }

  /** Whether this thread holds it: then the memory stays mapped. */
  get isHeld(): boolean {
    return this.#readers + this.#writers > 0;
  }

  /** Notes that the memory is closed. */
  closed(): void {
    this.isSafe = false;
  }

  get readers(): number {
    this.place.checkThere();
    const isWritten = this.words[CUR_WRITER] !== 0;
    return isWritten ? 0 : this.words[READERS]! >>> READER_SHIFT;
  }

  get writer(): number {
    this.place.checkThere();
    return this.words[CUR_WRITER]!;
  }

  /** Locks without waiting; false when it would have to wait. */
  tryLock(isReader: boolean): boolean {
    const { address, tryRead, tryWrite } = this;
    if (this.isSafe !== true) this.place.checkThere();
    if (this.words[SHARED] !== IS_SHARED) this.#fail(EINVAL, isReader);
    const code = isReader ? tryRead(address) : tryWrite(address);
    if (code === EBUSY) return false;
    if (code !== 0) this.#fail(code, isReader);
    if (isReader) this.#readers++;
    else this.#writers++;
    return true;
  }

  #fail(code: number, isReader: boolean): never {
    throw ipcError(code, nameOf(isReader), this.place.subject);
  }

  /** EDEADLK if this thread would wait for itself. */
  checkBlocking(isReader: boolean): void {
    const isOwn = isReader ? this.#writers > 0 : this.isHeld;
    if (isOwn) this.#fail(EDEADLK, isReader);
  }

  unlock(isReader: boolean): void {
    if (isReader) this.#readers--;
    else this.#writers--;
    if (this.isSafe === true) {
      this.#leave(isReader);
      return;
    }
    try {
      this.place.checkThere();
      this.#leave(isReader);
    } finally {
      this.place.mapping.unmapIfUnused();
    }
  }

  #leave(isReader: boolean): void {
    const { address, leave, words } = this;
    const isLocked = isReader
      ? words[READERS]! >>> READER_SHIFT !== 0
      : words[CUR_WRITER] !== 0;
    const code = isLocked ? leave(address) : EPERM;
    checkCode(code, "pthread_rwlock_unlock", this.place.subject);
  }
}

class RwLockGuard implements PthreadRwLockGuard {
  #words: RwLockWords | undefined; // undefined when it has unlocked
  readonly #isReader: boolean;

  constructor(token: symbol, words: RwLockWords, isReader: boolean) {
    if (token !== internal) checkInternal(token, "a guard", "a lock");
    this.#words = words;
    this.#isReader = isReader;
  }

  static {
    inspectAs(
      this,
      (guard) => ({ released: guard.#words === undefined }),
      () => "PthreadRwLockGuard",
    );
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #release(): void {
    const words = this.#words;
    this.#words = undefined;
    if (words !== undefined) words.unlock(this.#isReader);
  }
}

// The locks of each mapping: the objects of this thread at one place share one.
const known = new WeakMap<Mapping, Map<number, RwLockWords>>();

function wordsAt(mapping: Mapping, offset: number): RwLockWords {
  let all = known.get(mapping);
  if (all === undefined) known.set(mapping, all = new Map());
  const present = all.get(offset);
  const place = present?.place ?? new Place(mapping, offset, TYPE);
  mapping.checkWritable();
  const fault = faultOf(place.copyWords());
  if (fault !== undefined) throw notShared(place, TYPE, fault);
  if (present !== undefined) return present;
  const words = new RwLockWords(place);
  all.set(offset, words);
  return words;
}

function attributesOf(
  options: PthreadRwLockOptions | undefined,
): Uint8Array<ArrayBuffer> {
  const { prefer = "reader" } = options ?? {};
  const kind = choose("prefer", prefer, KINDS);
  const attr = attributes();
  const c = pthread();
  c.pthread_rwlockattr_init(attr);
  c.pthread_rwlockattr_setpshared(attr, PTHREAD_PROCESS_SHARED);
  c.pthread_rwlockattr_setkind_np!(attr, kind);
  return attr;
}

/**
 * A read-write lock of C, `pthread_rwlock_t`, at an offset of a memory: many readers, or
 * one writer.
 *
 * **It does not survive its holders.** There are no robust read-write locks in C: if a
 * process is killed while it has the lock, the lock stays locked for ever. Give a `timeout`,
 * or use a `SharedRwLock`.
 *
 * **What is guaranteed.** The waits of this class try again and again: `lockReadSync()` and
 * `lockWriteSync()` after 50 microseconds, then after twice as long each time, at last every
 * millisecond; `lockRead()` and `lockWrite()` after 1, 2, 4, and at last every 20 milliseconds.
 * So a process that is killed while it waits leaves nothing behind. The asynchronous waits of
 * this thread for one lock are served in their order. C programs do not see the
 * waits: a writer of this class needs a moment without readers.
 *
 * The memory stays mapped while this thread holds the lock, also after `close()`.
 *
 * @example Several readers, or one writer
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { PthreadRwLock } from "@linux/ipc/pthread";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(PthreadRwLock.size); // others share a file, or a segment
 * const lock = PthreadRwLock.init(memory, 0);
 * {
 *   using _one = lock.lockReadSync();
 *   using _two = await lock.lockRead();
 *   assertEquals(lock.readers, 2);
 *   assertEquals(lock.tryLockWrite(), undefined);
 * }
 * using _writer = lock.lockWriteSync({ timeout: 1000 });
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_rdlock.3p.html | pthread_rwlock_rdlock(3)}
 */
export class PthreadRwLock {
  readonly #located: Located<RwLockWords>;

  /** @ignore */
  private constructor(token: symbol, memory: Memory, offset: number) {
    checkInternal(token, "PthreadRwLock", "init() or at()");
    this.#located = new Located(memory, offset, wordsAt);
  }

  /** `sizeof (pthread_rwlock_t)`: 56. */
  static readonly size: number = SIZEOF_PTHREAD_RWLOCK_T;

  /** `_Alignof (pthread_rwlock_t)` */
  static readonly align: number = ALIGNOF_PTHREAD_RWLOCK_T;

  /**
   * `pthread_rwlock_init(rwlock, attr)`: makes a lock that processes share. One process does
   * that, before the others call {@linkcode PthreadRwLock.at}; not while it is in use.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the lock in bytes: a multiple of {@linkcode PthreadRwLock.align}.
   * @param options `prefer`.
   * @returns The lock. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or an option is malformed.
   * @throws {RangeError} If the lock does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBUSY if this thread holds the lock that is there; EFAULT if another
   * process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_init.3p.html | pthread_rwlock_init(3)}
   */
  static init(
    memory: Memory,
    offset: number,
    options?: PthreadRwLockOptions,
  ): PthreadRwLock {
    const attr = attributesOf(options);
    const place = Place.in(memory, offset, TYPE);
    if (known.get(place.mapping)?.get(offset)?.isHeld) {
      throw ipcError(EBUSY, "pthread_rwlock_init", place.subject);
    }
    place.initialise("pthread_rwlock_init", attr);
    return new PthreadRwLock(internal, memory, offset);
  }

  /**
   * `pthread_rwlock_t *`: uses a lock that another process, or another thread, has
   * initialised.
   *
   * A lock is refused if it is for the threads of one process, not initialised, or of a
   * program that uses musl; and so are bytes that are no lock, as far as they tell.
   *
   * @param memory The memory, mapped shared and writable.
   * @param offset The offset of the lock in bytes: a multiple of {@linkcode PthreadRwLock.align}.
   * @returns The lock. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the memory is read-only or private, or has no lock that processes
   * share at that place; the message says why.
   * @throws {RangeError} If the lock does not lie inside the memory, or is not aligned.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlockattr_getpshared.3p.html | pthread_rwlockattr_getpshared(3)}
   */
  static at(memory: Memory, offset: number): PthreadRwLock {
    return new PthreadRwLock(internal, memory, offset);
  }

  /**
   * The number of readers that hold the lock, in all processes together. It may have changed
   * by the time this returns.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   */
  get readers(): number {
    return this.#located.get().readers;
  }

  /**
   * The thread that holds the lock to write, as `gettid()` numbers it in its PID namespace;
   * undefined without one. Use it for diagnosis only.
   *
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   */
  get writerTid(): number | undefined {
    return this.#located.get().writer || undefined;
  }

  /**
   * `pthread_rwlock_rdlock(rwlock)`: locks to read, blocking this thread while there is a
   * writer.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds it to write; EAGAIN if there are too many
   * readers; EINVAL if the lock was overwritten; EFAULT if another process has truncated the
   * memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_rdlock.3p.html | pthread_rwlock_rdlock(3)}
   */
  lockReadSync(options?: SyncWaitOptions): PthreadRwLockGuard {
    return this.#lockSync(true, options);
  }

  /**
   * `pthread_rwlock_tryrdlock(rwlock)`: locks to read if there is no writer.
   *
   * @returns The guard; undefined when there is a writer, or, if writers are preferred, one
   * that waits in a C program.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EAGAIN if there are too many readers; EINVAL if the lock was
   * overwritten; EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_rdlock.3p.html | pthread_rwlock_tryrdlock(3)}
   */
  tryLockRead(): PthreadRwLockGuard | undefined {
    return this.#tryLock(true);
  }

  /**
   * `pthread_rwlock_rdlock(rwlock)`: locks to read, waiting without blocking the thread while
   * there is a writer.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EAGAIN if there are too many readers; EINVAL if the lock was
   * overwritten; EFAULT if another process has truncated the memory.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_rdlock.3p.html | pthread_rwlock_rdlock(3)}
   */
  async lockRead(options?: WaitOptions): Promise<PthreadRwLockGuard> {
    return await this.#lock(true, options);
  }

  /**
   * `pthread_rwlock_wrlock(rwlock)`: locks to write, blocking this thread until there are no
   * readers and no writer.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds it, to read or to write; EINVAL if the lock
   * was overwritten; EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_wrlock.3p.html | pthread_rwlock_wrlock(3)}
   */
  lockWriteSync(options?: SyncWaitOptions): PthreadRwLockGuard {
    return this.#lockSync(false, options);
  }

  /**
   * `pthread_rwlock_trywrlock(rwlock)`: locks to write if there are no readers and no writer.
   *
   * @returns The guard; undefined when there is a reader or a writer.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EINVAL if the lock was overwritten; EFAULT if another process has
   * truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_wrlock.3p.html | pthread_rwlock_trywrlock(3)}
   */
  tryLockWrite(): PthreadRwLockGuard | undefined {
    return this.#tryLock(false);
  }

  /**
   * `pthread_rwlock_wrlock(rwlock)`: locks to write, waiting without blocking the thread until
   * there are no readers and no writer.
   *
   * A task that holds a guard and waits to write waits for itself, without a timeout for ever.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard. Dispose of it to unlock, on this thread.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the lock was overwritten; EFAULT if another process has
   * truncated the memory.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_rwlock_wrlock.3p.html | pthread_rwlock_wrlock(3)}
   */
  async lockWrite(options?: WaitOptions): Promise<PthreadRwLockGuard> {
    return await this.#lock(false, options);
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
    inspectAs(this, (lock) => ({ offset: lock.#located.offset }));
  }

  #tryLock(isReader: boolean): PthreadRwLockGuard | undefined {
    const { present } = this.#located;
    const words = present.isSafe === true ? present : this.#located.get();
    if (!words.tryLock(isReader)) return undefined;
    return new RwLockGuard(internal, words, isReader);
  }

  #lockSync(
    isReader: boolean,
    options: SyncWaitOptions | undefined,
  ): PthreadRwLockGuard {
    const deadline = options === undefined ? Infinity : deadlineOf(options);
    const guard = this.#tryLock(isReader);
    if (guard !== undefined) return guard;
    return this.#lockBlocking(isReader, deadline);
  }

  #lockBlocking(isReader: boolean, deadline: number): PthreadRwLockGuard {
    const tryOnce = () => {
      const guard = this.#tryLock(isReader);
      if (guard === undefined) this.#located.get().checkBlocking(isReader);
      return guard;
    };
    const { subject } = this.#located;
    return attemptSync(subject, tryOnce, pauses(LONGEST_PAUSE), deadline);
  }

  #lock(
    isReader: boolean,
    options: WaitOptions | undefined,
  ): Promise<PthreadRwLockGuard> {
    const limits = limitsOf(options);
    const located = this.#located;
    const { queue } = located.get();
    const source = new PoolSource(located.subject, located, () => undefined);
    return attempt(source, () => this.#tryLock(isReader), limits, queue);
  }
}

const LONGEST_PAUSE = 1000; // microseconds
