// PthreadRwLock: C's read-write lock in shared memory.
//
// Only the calls of libc that never wait are used: pthread_rwlock_tryrdlock, ..._trywrlock
// and ..._unlock. In the others a thread can spin or wait for ever, without a timeout, for a
// process that was killed while it handed the lock over.

import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { Guard } from "../kernel/guard.ts";
import type { Mapping } from "../kernel/mapping.ts";
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

type Call = "pthread_rwlock_tryrdlock" | "pthread_rwlock_trywrlock";

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
  if (words[SHARED] === 1) return undefined;
  return words.every((word) => word === 0)
    ? "all bytes are zero: it is not initialised, or with " +
      "PTHREAD_RWLOCK_INITIALIZER, which is for the threads of one process"
    : "it is for the threads of one process: initialise it with " +
      "pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED)";
}

/** A read-write lock at a place, for this thread. */
class RwLockWords {
  readonly place: Place;
  /** The asynchronous waiters of this thread. */
  readonly queue = new WaiterQueue();
  readonly #words: Int32Array;
  #readers = 0; // guards of this thread
  #writers = 0;

  constructor(place: Place) {
    this.place = place;
    this.#words = new Int32Array(place.buffer);
  }

  get isHeld(): boolean {
    return this.#readers + this.#writers > 0;
  }

  get readers(): number {
    this.place.checkThere();
    const isWritten = this.#words[CUR_WRITER] !== 0;
    return isWritten ? 0 : this.#words[READERS]! >>> READER_SHIFT;
  }

  get writer(): number {
    this.place.checkThere();
    return this.#words[CUR_WRITER]!;
  }

  /** Locks without waiting; undefined when it would have to wait. */
  tryLock(call: Call): PthreadRwLockGuard | undefined {
    const { place } = this;
    place.checkThere();
    if (this.#words[SHARED] !== 1) throw ipcError(EINVAL, call, place.subject);
    const code = pthread()[call](place.address);
    if (code === EBUSY) return undefined;
    if (code !== 0) throw ipcError(code, call, place.subject);
    const isReader = call === "pthread_rwlock_tryrdlock";
    isReader ? this.#readers++ : this.#writers++;
    place.mapping.addPin();
    return new Guard(internal, "PthreadRwLockGuard", () => {
      isReader ? this.#readers-- : this.#writers--;
      this.#unlock(isReader);
    });
  }

  /** EDEADLK if this thread would wait for itself. */
  checkBlocking(call: Call): void {
    const isOwn = call === "pthread_rwlock_tryrdlock"
      ? this.#writers > 0
      : this.isHeld;
    if (isOwn) throw ipcError(EDEADLK, call, this.place.subject);
  }

  #unlock(isReader: boolean): void {
    const { place } = this;
    const name = "pthread_rwlock_unlock";
    try {
      place.checkThere();
      const isLocked = isReader
        ? this.#words[READERS]! >>> READER_SHIFT !== 0
        : this.#words[CUR_WRITER] !== 0;
      if (!isLocked) throw ipcError(EPERM, name, place.subject);
      checkCode(pthread()[name](place.address), name, place.subject);
    } finally {
      place.mapping.removePin();
    }
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
  if (typeof prefer !== "string" || !Object.hasOwn(KINDS, prefer)) {
    throw new TypeError(
      `Argument "prefer" must be "reader" or "writer": ${String(prefer)}`,
    );
  }
  const attr = attributes();
  const c = pthread();
  c.pthread_rwlockattr_init(attr);
  c.pthread_rwlockattr_setpshared(attr, PTHREAD_PROCESS_SHARED);
  c.pthread_rwlockattr_setkind_np!(attr, KINDS[prefer]);
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
    return this.#lockSync("pthread_rwlock_tryrdlock", options);
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
    return this.#located.get().tryLock("pthread_rwlock_tryrdlock");
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
    return await this.#lock("pthread_rwlock_tryrdlock", options);
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
    return this.#lockSync("pthread_rwlock_trywrlock", options);
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
    return this.#located.get().tryLock("pthread_rwlock_trywrlock");
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
    return await this.#lock("pthread_rwlock_trywrlock", options);
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

  #lockSync(
    call: Call,
    options: SyncWaitOptions | undefined,
  ): PthreadRwLockGuard {
    const deadline = deadlineOf(options);
    const words = this.#located.get();
    const { subject } = words.place;
    const tryOnce = () => {
      const guard = words.tryLock(call);
      if (guard === undefined) words.checkBlocking(call);
      return guard;
    };
    return attemptSync(subject, tryOnce, pauses(LONGEST_PAUSE), deadline);
  }

  #lock(
    call: Call,
    options: WaitOptions | undefined,
  ): Promise<PthreadRwLockGuard> {
    const limits = limitsOf(options);
    const located = this.#located;
    const { queue } = located.get();
    const source = new PoolSource(located.subject, located, () => undefined);
    return attempt(source, () => located.get().tryLock(call), limits, queue);
  }
}

const LONGEST_PAUSE = 1000; // microseconds
