// A lock of many readers or one writer that survives its holder's death.
// docs/shared-locks.md tells how, and what a C program does to take part.

import { checkInternal, internal } from "../internal.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO } from "../libc/sys_sem.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import {
  isOwned,
  isRead,
  OwnerGuard,
  ReaderGuard,
  type SharedMutexGuard,
  type SharedReadGuard,
} from "./guard.ts";
import {
  LOCK,
  type LockKind,
  LockSet,
  MARK,
  Operations,
  READERS,
  type Take,
} from "./lock_set.ts";
import { Taking } from "./acquisition.ts";

/** How a shared reader-writer lock is created. */
export interface SharedRwLockCreateOptions {
  /**
   * The permission bits. Whoever uses the lock, be it to read, needs to read and to
   * write. The umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

const KIND: LockKind = {
  name: "reader-writer lock",
  semaphores: 4,
  isSound: (values) => {
    const [lock, mark, readers] = values as unknown as number[];
    return lock! <= mark! && mark! <= 1 && (lock === 0 || readers === 0);
  },
};

// The writers that wait. The kernel undoes it when one of their processes ends.
const WAITING = 3;

const WRITE: Take = {
  whole: new Operations(
    [LOCK, 0, IPC_NOWAIT], // nobody writes,
    [READERS, 0, IPC_NOWAIT], // nobody reads,
    [MARK, 0, IPC_NOWAIT], // nobody died writing,
    [LOCK, +1, SEM_UNDO],
    [MARK, +1, 0],
  ),
  marked: new Operations(
    [LOCK, 0, IPC_NOWAIT],
    [READERS, 0, IPC_NOWAIT],
    [MARK, -1, IPC_NOWAIT], // but somebody died writing,
    [MARK, +1, 0], // and this stays as it is
    [LOCK, +1, SEM_UNDO],
  ),
};
const WAIT_TO_WRITE = new Operations([LOCK, 0, 0], [READERS, 0, 0]);
const ANNOUNCE = new Operations([WAITING, +1, SEM_UNDO]);
const WITHDRAW = new Operations([WAITING, -1, IPC_NOWAIT | SEM_UNDO]);

const READ: Take = {
  whole: new Operations(
    [LOCK, 0, IPC_NOWAIT], // nobody writes,
    [MARK, 0, IPC_NOWAIT], // nobody died writing,
    [READERS, +1, SEM_UNDO],
  ),
  marked: new Operations(
    [LOCK, 0, IPC_NOWAIT],
    [MARK, -1, IPC_NOWAIT], // but somebody died writing,
    [MARK, +1, 0], // and this stays as it is
    [READERS, +1, SEM_UNDO],
  ),
};
const WAIT_TO_READ = new Operations([LOCK, 0, 0]);

// The same, as long as no writer waits.
const READ_AFTER_WRITERS: Take = {
  whole: new Operations(
    [WAITING, 0, IPC_NOWAIT],
    [LOCK, 0, IPC_NOWAIT],
    [MARK, 0, IPC_NOWAIT],
    [READERS, +1, SEM_UNDO],
  ),
  marked: new Operations(
    [WAITING, 0, IPC_NOWAIT],
    [LOCK, 0, IPC_NOWAIT],
    [MARK, -1, IPC_NOWAIT],
    [MARK, +1, 0],
    [READERS, +1, SEM_UNDO],
  ),
};
const WAIT_FOR_WRITERS = new Operations([LOCK, 0, 0], [WAITING, 0, 0]);

// How long a reader lets writers go first. Not for ever: a writer that waits may be
// stopped, or in a Worker that was terminated, or wait for this very reader.
const COURTESY = 1000; // ms

function read(set: LockSet, take: Take): ReaderGuard | undefined {
  const died = set.take(take);
  return died === undefined ? undefined : new ReaderGuard(internal, set, died);
}

function write(set: LockSet): OwnerGuard | undefined {
  const died = set.take(WRITE);
  return died === undefined ? undefined : new OwnerGuard(internal, set, died);
}

/** A reader that waits. */
class Reading extends Taking<ReaderGuard> {
  // Until then it lets writers go first.
  readonly #courteous: number;

  constructor(set: LockSet, deadline: number, queue?: WaiterQueue) {
    super(set, queue);
    this.#courteous = Math.min(deadline, performance.now() + COURTESY);
  }

  attempt(): ReaderGuard | undefined {
    return read(this.set, this.#waitsForWriters ? READ_AFTER_WRITERS : READ);
  }

  get waiting(): Operations {
    return this.#waitsForWriters ? WAIT_FOR_WRITERS : WAIT_TO_READ;
  }

  override retryAt(): number {
    return this.#waitsForWriters ? this.#courteous : Infinity;
  }

  override get isInItsOwnWay(): boolean {
    return isOwned(this.set);
  }

  get #waitsForWriters(): boolean {
    return performance.now() < this.#courteous;
  }
}

/** A writer that waits, and that readers let go first as long as it does. */
class Writing extends Taking<OwnerGuard> implements Disposable {
  readonly waiting = WAIT_TO_WRITE;
  #announced = false;

  attempt(): OwnerGuard | undefined {
    const guard = write(this.set);
    if (guard === undefined && !this.#announced) {
      this.#announced = this.set.operate(ANNOUNCE);
    }
    return guard;
  }

  override get isInItsOwnWay(): boolean {
    return isOwned(this.set) || isRead(this.set);
  }

  [Symbol.dispose](): void {
    if (this.#announced) this.set.withdraw(WITHDRAW);
  }
}

/**
 * A lock between processes that many may hold at a time to read, or one to write. It
 * survives the death of its holders, by `kill -9` as well. A reader that dies changes
 * nothing and keeps nobody waiting. Where a writer dies, whoever comes next gets the
 * lock and is told, to read or to write, until a writer has repaired what it guards.
 *
 * It is a set of four System V semaphores: no memory, no file, and any process with
 * the key and the permission can use it until somebody removes it. Workers exclude
 * each other, too. Its holder is the process: what a Worker that is terminated holds
 * stays held until the process ends.
 *
 * **Who goes first.** As long as a writer waits, a reader that comes lets it go first:
 * so writers are not kept out by readers that take turns. But it does so for at most a
 * second, or until its timeout, because a writer that waits may be stopped, or wait for
 * this reader. {@linkcode SharedRwLock.tryLockRead} lets nobody go first.
 *
 * **Choose it** where reading takes long: hundreds of microseconds, or an `await`.
 * To lock and unlock are two system calls, as with {@linkcode SharedMutex}, and those
 * of several processes wait for each other in the kernel, so that for a few words in
 * memory the mutex is as fast, and `SequenceCell` far faster.
 *
 * Processes in different IPC namespaces (containers, mostly) do not share it. In
 * different pid namespaces they do. docs/shared-locks.md tells how it works, and has
 * the lines with which a C program takes part.
 *
 * @example Read, and have it repaired first where a writer died
 * ```ts
 * import { SharedRwLock } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 8);
 * memory.remove(); // gone when everybody has closed it
 * const [total, sum] = [0, 1];
 * const words = new Int32Array(memory.bytes.buffer);
 * using lock = SharedRwLock.create(null); // others: SharedRwLock.fromId(lock.id)
 *
 * async function write(change: () => void) {
 *   using guard = await lock.lockWrite();
 *   if (guard.previousOwnerDied) {
 *     words[sum] = words[total]!; // the two belong together
 *     guard.markConsistent();
 *   }
 *   change();
 * }
 *
 * async function read(): Promise<number> {
 *   for (;;) {
 *     {
 *       using guard = await lock.lockRead();
 *       if (!guard.previousOwnerDied) return words[sum]!;
 *     } // others read as well: only a writer may repair it
 *     await write(() => {});
 *   }
 * }
 *
 * await write(() => {
 *   words[total]! += 5;
 *   words[sum]! += 5;
 * });
 * assertEquals(await Promise.all([read(), read()]), [5, 5]);
 * lock.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SharedRwLock implements Disposable {
  readonly #set: LockSet;
  // Apart: a task that reads may come to read once more while another one of the
  // same program waits for it to write.
  readonly #readers = new WaiterQueue();
  readonly #writers = new WaiterQueue();

  private constructor(token: symbol, set: LockSet) {
    checkInternal(token, "SharedRwLock", "create() or open()");
    this.#set = set;
  }

  /**
   * `semget(key, 4, IPC_CREAT | IPC_EXCL | mode)`: makes a lock under a new key.
   * Nobody can see it uninitialised.
   *
   * @param key A 32-bit number, not 0; null makes a private lock (`IPC_PRIVATE`),
   * which others find by its `id` only.
   * @param options `mode`.
   * @returns The lock, which nobody holds. It stays until somebody removes it.
   * @throws {TypeError} If the key is no number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a semaphore set under this key, ENOSPC if
   * there are too many sets or semaphores (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static create(
    key: number | null,
    options?: SharedRwLockCreateOptions,
  ): SharedRwLock {
    return new SharedRwLock(internal, LockSet.create(KIND, key, options?.mode));
  }

  /**
   * `semget(key, 4, 0)`: opens a lock that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The lock.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no such lock.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is nothing under this key, EACCES if it may
   * not be read.
   *
   * @example A mutex is another lock
   * ```ts
   * import { SharedMutex, SharedRwLock } from "@linux/ipc/lock";
   * import { assertThrows } from "@std/assert";
   *
   * const key = 0x7abcdef5;
   * using mutex = SharedMutex.create(key);
   * assertThrows(() => SharedRwLock.open(key), TypeError, "2 semaphores");
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedRwLock {
    return new SharedRwLock(internal, LockSet.open(KIND, key));
  }

  /**
   * `semget(key, 4, IPC_CREAT | mode)`: opens a lock, or makes it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a lock that is made.
   * @returns The lock. A new one is held by nobody.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no such lock.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the lock exists and does not grant this process what
   * `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: SharedRwLockCreateOptions,
  ): SharedRwLock {
    return new SharedRwLock(
      internal,
      LockSet.openOrCreate(KIND, key, options?.mode),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a lock by its identifier, which is how a private
   * one is found.
   *
   * @param id What {@linkcode SharedRwLock.id} is in the other process.
   * @returns The lock.
   * @throws {TypeError} If the id is no number, or if the semaphore set is no such
   * lock.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedRwLock {
    return new SharedRwLock(internal, LockSet.fromId(KIND, id));
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#set.id;
  }

  /**
   * `semctl(id, 1, GETPID)`: the process that writes now, 0 if that is in another pid
   * namespace; null if nobody does. It may have changed by the time it is read here:
   * of use to tell who keeps the others waiting, and for nothing else.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get owner(): number | null {
    return this.#set.owner;
  }

  /**
   * `semctl(id, 2, GETVAL)`: how many read now, in all processes together. Who they
   * are, the kernel does not know.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get readers(): number {
    return this.#set.valueOf(READERS);
  }

  /**
   * `semctl(id, 3, GETVAL)`: how many wait to write now, and are let go first, in all
   * processes together. Those who wait through one object count as one.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get waitingWriters(): number {
    return this.#set.valueOf(WAITING);
  }

  /**
   * `semop(id, ...)`, blocking this thread until nobody writes; then locks, to read.
   * Until then, and for at most a second, it lets writers that wait go first, unless
   * this thread reads already: then they wait for it in any case.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks and tells whether a writer died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if a guard of this thread holds the lock to write, which
   * nothing could unlock then; EIDRM if it was removed, before or during the wait;
   * EACCES if it may not be read and written to; ERANGE if 32767 read already; ENOMEM;
   * E2BIG if the system allows less than 5 operations at once (/proc/sys/kernel/sem).
   *
   * @example Many at a time, and no writer among them
   * ```ts
   * import { IpcError } from "@linux/ipc/semaphore";
   * import { SharedRwLock } from "@linux/ipc/lock";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using lock = SharedRwLock.create(null);
   * {
   *   using _one = lock.lockReadSync();
   *   using _two = lock.lockReadSync();
   *   assertEquals(lock.readers, 2);
   *   assertEquals(lock.tryLockWrite(), null);
   *   assertThrows(() => lock.lockWriteSync(), IpcError, "EDEADLK");
   * }
   * lock.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockReadSync(options?: SyncWaitOptions): SharedReadGuard {
    const deadline = deadlineOf(options);
    const reading = new Reading(this.#set, isRead(this.#set) ? 0 : deadline);
    return reading.waitSync(deadline);
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks, to read, if nobody writes. It lets no
   * writer go first that waits: who reads again and again in this way keeps writers
   * out.
   *
   * @returns The guard, which unlocks and tells whether a writer died; null when
   * somebody writes.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed; EACCES if it may not be written
   * to; ERANGE if 32767 read already; ENOMEM; E2BIG if the system allows less than 4
   * operations at once (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLockRead(): SharedReadGuard | null {
    return read(this.#set, READ) ?? null;
  }

  /**
   * `semop(id, ...)`, waiting without blocking the thread until nobody writes; then
   * locks, to read. Until then, and for at most a second, it lets writers that wait go
   * first. Through one object the calls are served in their order.
   *
   * Another thread waits in the kernel, and takes nothing: so the signal, the timeout
   * and `close()` end a wait at once. At most four waits of this kind have a thread; the
   * others look again every 20 milliseconds.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks and tells whether a writer died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the lock was removed, before or during the wait; EACCES
   * if it may not be read and written to; ERANGE if 32767 read already; ENOMEM; E2BIG
   * if the system allows less than 5 operations at once (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async lockRead(options?: WaitOptions): Promise<SharedReadGuard> {
    const limits = limitsOf(options);
    const reading = new Reading(this.#set, limits.deadline, this.#readers);
    return await reading.wait(limits);
  }

  /**
   * `semop(id, ...)`, blocking this thread until nobody reads or writes; then locks, to
   * write.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks and tells whether the last writer died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if a guard of this thread holds the lock, to read or to
   * write, which nothing could unlock then; EIDRM if it was removed, before or during
   * the wait; EACCES if it may not be read and written to; ENOMEM; E2BIG if the system
   * allows less than 5 operations at once (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockWriteSync(options?: SyncWaitOptions): SharedMutexGuard {
    const deadline = deadlineOf(options);
    using writing = new Writing(this.#set);
    return writing.waitSync(deadline);
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks, to write, if nobody reads or writes.
   *
   * @returns The guard, which unlocks and tells whether the last writer died; null when
   * somebody reads or writes.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed; EACCES if it may not be written
   * to; ENOMEM; E2BIG if the system allows less than 5 operations at once
   * (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLockWrite(): SharedMutexGuard | null {
    return write(this.#set) ?? null;
  }

  /**
   * `semop(id, ...)`, waiting without blocking the thread until nobody reads or writes;
   * then locks, to write. Through one object the calls are served in their order.
   *
   * It waits as {@linkcode SharedRwLock.lockRead} does. A task that holds the lock and
   * waits to write waits for itself: without a timeout, for ever.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks and tells whether the last writer died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the lock was removed, before or during the wait; EACCES
   * if it may not be read and written to; ENOMEM; E2BIG if the system allows less than
   * 5 operations at once (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async lockWrite(options?: WaitOptions): Promise<SharedMutexGuard> {
    const limits = limitsOf(options);
    using writing = new Writing(this.#set, this.#writers);
    return await writing.wait(limits);
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: destroys the lock. Processes that wait for it are told
   * with EIDRM, and so are its holders when they unlock.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator of the
   * semaphore set, EIDRM if the lock was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#set.remove();
  }

  /**
   * Ends the use of this object. The lock stays, and guards go on holding it. Pending
   * waits end with a ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#set.close();
  }

  /** Closes this object; the lock stays. */
  [Symbol.dispose](): void {
    this.#set.close();
  }
}
