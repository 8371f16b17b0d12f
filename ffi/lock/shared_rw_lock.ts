// A reader-writer lock that survives the death of its holders: five System V semaphores.
// docs/shared-locks.md explains the protocol.

import { internal } from "../internal.ts";
import type { SysvSemaphoreSetEntry } from "../semaphore/sysv_stat.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO } from "../libc/sys_sem.ts";
import { Operations } from "../semaphore/operations.ts";
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
  type LockGuard,
  OwnerGuard,
  ReaderGuard,
  type ReadGuard,
} from "./guard.ts";
import { RW_LOCK } from "./kinds.ts";
import { listLocks } from "./lock_list.ts";
import { LOCK, type LockCreateOptions, LockSet, READERS } from "./lock_set.ts";
import { setOf, SharedLock } from "./shared_lock.ts";
import { entryOf, LockAcquisition, tryLock } from "./turn.ts";

// Index of the semaphore that counts waiting writers. The kernel undoes it.
const WAITING = 4;
const ANNOUNCE = Operations.of([WAITING, +1, SEM_UNDO]);
const WITHDRAW = Operations.of([WAITING, -1, IPC_NOWAIT | SEM_UNDO]);

const WRITE = entryOf([LOCK, READERS], true);
const READ = entryOf([LOCK], false, [WAITING]);

// How long a reader lets waiters go first. It is limited because a writer may wait for
// this reader.
const PREFERENCE = 1000; // ms

/** The acquisition of a reader. */
class ReadAcquisition extends LockAcquisition<ReaderGuard> {
  readonly entry = READ;
  readonly #prefersOthersUntil: number;

  constructor(set: LockSet, prefersOthersUntil: number) {
    super(set);
    this.#prefersOthersUntil = prefersOthersUntil;
  }

  guard(ownerDied: boolean): ReaderGuard {
    return new ReaderGuard(internal, this.set, ownerDied);
  }

  override get isImpatient(): boolean {
    return performance.now() >= this.#prefersOthersUntil;
  }

  override retryAt(): number {
    const at = super.retryAt();
    return this.isImpatient ? at : Math.min(at, this.#prefersOthersUntil);
  }

  override get wouldDeadlock(): boolean {
    return isOwned(this.set);
  }
}

/** The acquisition of a writer, which is counted as waiting until it is disposed of. */
class WriteAcquisition extends LockAcquisition<OwnerGuard> {
  readonly entry = WRITE;
  #announced = false;

  guard(ownerDied: boolean): OwnerGuard {
    return new OwnerGuard(internal, this.set, ownerDied);
  }

  override tryOnce(): OwnerGuard | undefined {
    const guard = super.tryOnce();
    if (guard === undefined && !this.#announced) {
      this.#announced = this.set.operate(ANNOUNCE);
    }
    return guard;
  }

  override get wouldDeadlock(): boolean {
    return isOwned(this.set) || isRead(this.set);
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    if (this.#announced) this.set.withdraw(WITHDRAW);
  }
}

/**
 * A robust reader-writer lock between processes: many readers hold it at a time, or one
 * writer.
 *
 * It survives the death of its holders, also by `kill -9`. A reader that dies is no
 * longer counted. After the death of a writer the next holders, readers and writers, are
 * told, until a writer has repaired the data.
 *
 * It is a set of five System V semaphores, without memory or a file. Any process with
 * the key and the permission can use it until it is removed. It also excludes the
 * Workers of one process. Its holder is the process: what a terminated Worker holds
 * stays locked until the process ends.
 *
 * **Writers are preferred.** A reader waits while there are waiting writers, so that
 * overlapping readers do not starve writers. It does so for at most a second, or until
 * its timeout, because a waiting writer may be stopped, or may wait for this reader.
 * {@linkcode SharedRwLock.prototype.tryLockRead | SharedRwLock.tryLockRead} does not
 * prefer writers.
 *
 * **Waits are bounded**, as with {@linkcode SharedMutex}: after 5 milliseconds the turn
 * of a waiter comes after those of the waiters before it, readers and writers alike. A
 * reader first waits until no writer waits, for that second at most.
 *
 * **Choose it** where reading takes long: hundreds of microseconds, or an `await`.
 * Locking and unlocking takes two system calls, as with {@linkcode SharedMutex}, and the
 * kernel does those of several processes one after another. For a few words in memory
 * the mutex is as fast, and `SequenceCell` much faster.
 *
 * Processes in different IPC namespaces, such as most containers, do not share it. PID
 * namespaces make no difference. [Shared locks](/docs/shared-locks.md) explains the lock,
 * and shows how a C program uses it.
 *
 * @example Read, after a repair if a writer died
 * ```ts
 * import { SharedRwLock } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 8);
 * memory.remove(); // freed when the last process closes it
 * const [total, sum] = [0, 1];
 * const words = new Int32Array(memory.bytes.buffer);
 * using lock = SharedRwLock.create(null); // others: SharedRwLock.fromId(lock.id)
 *
 * async function write(change: () => void) {
 *   using guard = await lock.lockWrite();
 *   if (guard.ownerDied) {
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
 *       if (!guard.ownerDied) return words[sum]!;
 *     } // others may read at the same time: only a writer can repair the data
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
export class SharedRwLock extends SharedLock {
  // Two queues: a task that reads and reads once more must not wait for a task that
  // waits to write.
  readonly #readers = new WaiterQueue();
  readonly #writers = new WaiterQueue();
  #refusedAt: number | undefined; // the first reader since one has locked

  /** @ignore */
  private constructor(token: symbol, set: LockSet) {
    super(token, "SharedRwLock", set);
  }

  /**
   * `semget(key, 5, IPC_CREAT | IPC_EXCL | mode)`: creates a lock under a new key,
   * initialised in the same step.
   *
   * @param key A 32-bit number, not 0; null creates a private lock (`IPC_PRIVATE`),
   * which others can open by its `id` only.
   * @param options `mode`.
   * @returns The lock, unlocked. It exists until it is removed.
   * @throws {TypeError} If the key is not a number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a semaphore set under this key, ENOSPC if
   * there are too many sets or semaphores (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static create(
    key: number | null,
    options?: LockCreateOptions,
  ): SharedRwLock {
    return new SharedRwLock(internal, LockSet.create(RW_LOCK, key, options));
  }

  /**
   * `semget(key, 5, 0)`: opens a lock that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The lock.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not such a lock.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is no semaphore set under this key, EACCES if it
   * may not be read.
   *
   * @example A mutex is not a reader-writer lock
   * ```ts
   * import { SharedMutex, SharedRwLock } from "@linux/ipc/lock";
   * import { assertThrows } from "@std/assert";
   *
   * const key = 0x7abcdef5;
   * using mutex = SharedMutex.create(key);
   * assertThrows(() => SharedRwLock.open(key), TypeError, "3 semaphores");
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedRwLock {
    return new SharedRwLock(internal, LockSet.open(RW_LOCK, key));
  }

  /**
   * `semget(key, 5, IPC_CREAT | mode)`: opens a lock, or creates it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a new lock.
   * @returns The lock. A new lock is unlocked.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not such a lock.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the lock exists and does not grant this process what
   * `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: LockCreateOptions,
  ): SharedRwLock {
    return new SharedRwLock(
      internal,
      LockSet.openOrCreate(RW_LOCK, key, options),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a lock by its identifier, also a private one.
   *
   * @param id The {@linkcode SharedLock.prototype.id | SharedRwLock.id} of the lock in
   * another process.
   * @returns The lock.
   * @throws {TypeError} If the id is not a number, or if the semaphore set is not such
   * a lock.
   * @throws {RangeError} If the id is not an integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedRwLock {
    return new SharedRwLock(internal, LockSet.fromId(RW_LOCK, id));
  }

  /**
   * `/proc/sysvipc/sem`: lists the locks of this IPC namespace that this process may
   * read.
   *
   * Another program's set of 5 semaphores that has suitable values is listed, too: it is
   * what `open()` accepts.
   *
   * `inspect()` of {@link [inspect] @linux/ipc/inspect} also tells who holds them and who
   * waits.
   *
   * @returns The semaphore sets, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Find a lock
   * ```ts
   * import { SharedRwLock } from "@linux/ipc/lock";
   * import { assert } from "@std/assert";
   *
   * using lock = SharedRwLock.create(null);
   * assert(SharedRwLock.list().some(({ id }) => id === lock.id));
   * lock.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvSemaphoreSetEntry[] {
    return listLocks(RW_LOCK);
  }

  /**
   * `semctl(id, 1, GETPID)`: the process of the writer that holds the lock, 0 if it is in
   * another PID namespace; undefined without one.
   *
   * The writer may have changed by the time this returns: use it for diagnosis only.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get writerPid(): number | undefined {
    return setOf(this).ownerPid;
  }

  /**
   * `semctl(id, 3, GETVAL)`: the number of readers that hold the lock, in all processes
   * together. The kernel does not tell which processes they are.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get readers(): number {
    return setOf(this).getValue(READERS);
  }

  /**
   * `semctl(id, 4, GETVAL)`: the number of waiting writers, in all processes together.
   * Asynchronous calls through one object count as one.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed, EACCES if it may not be read.
   */
  get waitingWriters(): number {
    return setOf(this).getValue(WAITING);
  }

  /**
   * `semop(id, ...)`: locks to read, blocking this thread while there is a writer.
   *
   * It also waits for waiting writers, unless this thread already holds a guard, which
   * those wait for. It no longer does so a second after the first call through this
   * object that found the lock taken.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks and tells whether a writer died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds a guard to write, which it could not
   * release while it blocks; EIDRM if it was removed, before or during the wait; EACCES
   * if it may not be read and written to; ERANGE if there are 32767 readers; ENOMEM;
   * E2BIG if the system allows fewer than 6 operations in one call
   * (/proc/sys/kernel/sem).
   *
   * @example Several readers, and no writer
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
   *   assertEquals(lock.tryLockWrite(), undefined);
   *   assertThrows(() => lock.lockWriteSync(), IpcError, "EDEADLK");
   * }
   * lock.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockReadSync(options?: SyncWaitOptions): ReadGuard {
    const deadline = deadlineOf(options);
    const set = setOf(this);
    const until = isRead(set) ? 0 : this.#prefersOthersUntil();
    const acquisition = new ReadAcquisition(set, until);
    try {
      const guard = acquisition.waitSync(deadline);
      this.#refusedAt = undefined;
      return guard;
    } finally {
      acquisition[Symbol.dispose]();
    }
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks to read if there is no writer.
   *
   * It also fails for waiting writers, unless this thread holds a guard to read, or calls
   * through this object have failed for a second.
   *
   * @returns The guard, which unlocks and tells whether a writer died; undefined when
   * there is a writer or one waits, or when it is the turn of another process.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed; EACCES if it may not be written to;
   * ERANGE if there are 32767 readers; ENOMEM; E2BIG if the system allows fewer than 6
   * operations in one call (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLockRead(): ReadGuard | undefined {
    const set = setOf(this);
    const isNested = isRead(set);
    const until = isNested ? 0 : this.#prefersOthersUntil();
    const isImpatient = performance.now() >= until;
    const died = set.tryLock(isImpatient ? READ.regardless : READ.freely);
    if (died === undefined) return undefined;
    if (!isNested) this.#refusedAt = undefined;
    return new ReaderGuard(internal, set, died);
  }

  /**
   * `semop(id, ...)`: locks to read, waiting without blocking the thread while there is a
   * writer.
   *
   * It also waits for waiting writers, but no longer a second after the first call
   * through this object that found the lock taken. Calls through one object are served in
   * their order.
   *
   * A thread of the blocking pool waits in the kernel, and locks nothing. So the signal,
   * the timeout and `close()` end a wait at once. At most four waits for System V objects
   * on a JavaScript thread have such a thread at a time; the others try again every 20
   * milliseconds, or less often where there are thousands.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks and tells whether a writer died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the lock was removed, before or during the wait; EACCES
   * if it may not be read and written to; ERANGE if there are 32767 readers; ENOMEM;
   * E2BIG if the system allows fewer than 6 operations in one call
   * (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async lockRead(options?: WaitOptions): Promise<ReadGuard> {
    const limits = limitsOf(options);
    const until = this.#prefersOthersUntil();
    const acquisition = new ReadAcquisition(setOf(this), until);
    try {
      const guard = await acquisition.wait(limits, this.#readers);
      this.#refusedAt = undefined;
      return guard;
    } finally {
      acquisition[Symbol.dispose]();
    }
  }

  /** Notes that a reader asks, and returns how long it prefers others. */
  #prefersOthersUntil(): number {
    this.#refusedAt ??= performance.now();
    return this.#refusedAt + PREFERENCE;
  }

  /**
   * `semop(id, ...)`: locks to write, blocking this thread until there are no readers and
   * no writer.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks and tells whether the last writer died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds a guard, to read or to write, which
   * it could not release while it blocks; EIDRM if it was removed, before or during
   * the wait; EACCES if it may not be read and written to; ENOMEM; E2BIG if the system
   * allows fewer than 6 operations in one call (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockWriteSync(options?: SyncWaitOptions): LockGuard {
    const deadline = deadlineOf(options);
    const acquisition = new WriteAcquisition(setOf(this));
    try {
      return acquisition.waitSync(deadline);
    } finally {
      acquisition[Symbol.dispose]();
    }
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks to write if there are no readers and no
   * writer.
   *
   * @returns The guard, which unlocks and tells whether the last writer died; undefined
   * when there is a reader or a writer, or when it is the turn of another process.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the lock was removed; EACCES if it may not be written
   * to; ENOMEM; E2BIG if the system allows fewer than 6 operations in one call
   * (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLockWrite(): LockGuard | undefined {
    const set = setOf(this);
    const died = tryLock(set, WRITE);
    return died === undefined ? undefined : new OwnerGuard(internal, set, died);
  }

  /**
   * `semop(id, ...)`: locks to write, waiting without blocking the thread until there are
   * no readers and no writer. Calls through one object are served in their order.
   *
   * It waits as {@linkcode SharedRwLock.prototype.lockRead | SharedRwLock.lockRead} does.
   * A task that holds a guard and waits to write waits for itself, without a timeout for
   * ever.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks and tells whether the last writer died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the lock was removed, before or during the wait; EACCES
   * if it may not be read and written to; ENOMEM; E2BIG if the system allows fewer than
   * 6 operations in one call (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async lockWrite(options?: WaitOptions): Promise<LockGuard> {
    const limits = limitsOf(options);
    const acquisition = new WriteAcquisition(setOf(this));
    try {
      return await acquisition.wait(limits, this.#writers);
    } finally {
      acquisition[Symbol.dispose]();
    }
  }
}
