// A lock that survives its holder's death: two System V semaphores, one of which
// the kernel gives back for the dead. docs/shared-locks.md tells why.

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
import { isOwned, OwnerGuard, type SharedMutexGuard } from "./guard.ts";
import { LOCK, type LockKind, LockSet, MARK, Operations } from "./lock_set.ts";
import { Taking } from "./acquisition.ts";

/** How a shared mutex is created. */
export interface SharedMutexCreateOptions {
  /**
   * The permission bits. Whoever uses the mutex needs to read and to write. The
   * umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

const KIND: LockKind = {
  name: "mutex",
  semaphores: 2,
  isSound: (values) => {
    const [lock, mark] = values as unknown as [number, number];
    return lock <= mark && mark <= 1;
  },
};

const TAKE = {
  whole: new Operations(
    [LOCK, 0, IPC_NOWAIT], // it is free,
    [MARK, 0, IPC_NOWAIT], // nobody died with it,
    [LOCK, +1, SEM_UNDO],
    [MARK, +1, 0],
  ),
  marked: new Operations(
    [LOCK, 0, IPC_NOWAIT], // it is free,
    [MARK, -1, IPC_NOWAIT], // but somebody died with it,
    [MARK, +1, 0], // and this stays as it is
    [LOCK, +1, SEM_UNDO],
  ),
};
const WAIT = new Operations([LOCK, 0, 0]);

/** How a mutex is locked. */
export class Locking extends Taking<OwnerGuard> {
  readonly waiting = WAIT;

  attempt(): OwnerGuard | undefined {
    const died = this.set.take(TAKE);
    return died === undefined
      ? undefined
      : new OwnerGuard(internal, this.set, died);
  }

  override get isInItsOwnWay(): boolean {
    return isOwned(this.set);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** How this mutex is locked. For this module alone. */
export let lockingOf: (mutex: unknown) => Locking;

/**
 * A mutual-exclusion lock between processes that survives the death of its holder,
 * by `kill -9` as well: the next owner gets it, and is told.
 *
 * It is a set of two System V semaphores: no memory, no file, and any process with
 * the key and the permission can use it until somebody removes it. Workers exclude
 * each other, too. Its owner is the process: a Worker that is terminated while it
 * holds the mutex keeps it locked until the process ends. Who waits is not served in
 * the order of coming, except within one object of this class.
 *
 * Processes in different IPC namespaces (containers, mostly) do not share it. In
 * different pid namespaces they do.
 *
 * To lock and unlock are two system calls, about 0.4 microseconds. A robust pthread
 * mutex in shared memory needs none, but whatever overwrites or unmaps that memory
 * crashes its owner; a lock on a file has no timeout. docs/shared-locks.md compares
 * them, and has the lines with which a C program takes part.
 *
 * @example Repair what a dead owner left
 * ```ts
 * import { SharedMutex } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 *
 * using memory = SysvSharedMemory.create(null, 8);
 * memory.remove(); // gone when everybody has closed it
 * const [total, sum] = [0, 1];
 * const words = new Int32Array(memory.bytes.buffer);
 *
 * using mutex = SharedMutex.create(null); // others: SharedMutex.fromId(mutex.id)
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.previousOwnerDied) {
 *     words[sum] = words[total]!; // the two belong together
 *     guard.markConsistent();
 *   }
 *   words[total]!++;
 *   words[sum]!++;
 * }
 * mutex.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SharedMutex implements Disposable {
  readonly #set: LockSet;
  readonly #locking: Locking;

  private constructor(token: symbol, set: LockSet) {
    checkInternal(token, "SharedMutex", "create() or open()");
    this.#set = set;
    this.#locking = new Locking(set, new WaiterQueue());
  }

  static {
    lockingOf = (mutex) => {
      if (isObject(mutex) && #locking in mutex) return mutex.#locking;
      throw new TypeError('Argument "mutex" must be a SharedMutex');
    };
  }

  /**
   * `semget(key, 2, IPC_CREAT | IPC_EXCL | mode)`: makes a mutex under a new key.
   * Nobody can see it uninitialised.
   *
   * @param key A 32-bit number, not 0; null makes a private mutex (`IPC_PRIVATE`),
   * which others find by its `id` only.
   * @param options `mode`.
   * @returns The mutex, unlocked. It stays until somebody removes it.
   * @throws {TypeError} If the key is no number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a semaphore set under this key, ENOSPC if
   * there are too many sets or semaphores (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static create(
    key: number | null,
    options?: SharedMutexCreateOptions,
  ): SharedMutex {
    return new SharedMutex(internal, LockSet.create(KIND, key, options?.mode));
  }

  /**
   * `semget(key, 2, 0)`: opens a mutex that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The mutex.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no mutex.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is nothing under this key, EACCES if it may
   * not be read.
   *
   * @example A key that nobody uses
   * ```ts
   * import { IpcError } from "@linux/ipc/semaphore";
   * import { SharedMutex } from "@linux/ipc/lock";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => SharedMutex.open(0x7abcdef4), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedMutex {
    return new SharedMutex(internal, LockSet.open(KIND, key));
  }

  /**
   * `semget(key, 2, IPC_CREAT | mode)`: opens a mutex, or makes it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a mutex that is made.
   * @returns The mutex. A new one is unlocked.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no mutex.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the mutex exists and does not grant this process
   * what `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: SharedMutexCreateOptions,
  ): SharedMutex {
    return new SharedMutex(
      internal,
      LockSet.openOrCreate(KIND, key, options?.mode),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a mutex by its identifier, which is how a
   * private one is found.
   *
   * @param id What {@linkcode SharedMutex.id} is in the other process.
   * @returns The mutex.
   * @throws {TypeError} If the id is no number, or if the semaphore set is no mutex.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedMutex {
    return new SharedMutex(internal, LockSet.fromId(KIND, id));
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#set.id;
  }

  /**
   * `semctl(id, 1, GETPID)`: the process that holds the mutex now, 0 if that is in
   * another pid namespace; null if nobody does. It may have changed by the time it
   * is read here: of use to tell who keeps the others waiting, and for nothing else.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the mutex was removed, EACCES if it may not be read.
   */
  get owner(): number | null {
    return this.#set.owner;
  }

  /**
   * `semop(id, ...)`, blocking this thread until the mutex is free; then locks it.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if a guard of this thread holds the mutex, which
   * nothing could unlock then; EIDRM if it was removed, before or during the wait;
   * EACCES if it may not be read and written to; ENOMEM; E2BIG if the system allows
   * less than 4 operations at once (/proc/sys/kernel/sem).
   *
   * @example Not for ever, and not twice
   * ```ts
   * import { IpcError } from "@linux/ipc/semaphore";
   * import { SharedMutex } from "@linux/ipc/lock";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using mutex = SharedMutex.create(null);
   * {
   *   using guard = mutex.lockSync({ timeout: 1000 });
   *   assertEquals(guard.previousOwnerDied, false);
   *   assertThrows(() => mutex.lockSync(), IpcError, "EDEADLK");
   * }
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockSync(options?: SyncWaitOptions): SharedMutexGuard {
    return this.#locking.waitSync(deadlineOf(options));
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks the mutex if it is free.
   *
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died; null when the mutex is locked, by whomever.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the mutex was removed; EACCES if it may not be
   * written to; ENOMEM; E2BIG if the system allows less than 4 operations at once
   * (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLock(): SharedMutexGuard | null {
    return this.#locking.attempt() ?? null;
  }

  /**
   * `semop(id, ...)`, waiting without blocking the thread until the mutex is free;
   * then locks it. Through one object the calls are served in their order.
   *
   * Another thread waits in the kernel, and takes nothing: so the signal, the timeout
   * and `close()` end a wait at once. At most four waits of this kind have a thread; the
   * others look again every 20 milliseconds.
   *
   * A task that holds the mutex and waits for it once more waits for itself: without
   * a timeout, for ever.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the mutex was removed, before or during the wait;
   * EACCES if it may not be read and written to; ENOMEM; E2BIG if the system allows
   * less than 4 operations at once (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Two tasks of one program
   * ```ts
   * import { SharedMutex } from "@linux/ipc/lock";
   * import { assertEquals } from "@std/assert";
   *
   * using mutex = SharedMutex.create(null);
   * let inside = 0;
   * async function task() {
   *   using _guard = await mutex.lock();
   *   assertEquals(++inside, 1);
   *   await new Promise((resolve) => setTimeout(resolve, 1));
   *   inside--;
   * }
   * await Promise.all([task(), task()]);
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async lock(options?: WaitOptions): Promise<SharedMutexGuard> {
    return await this.#locking.wait(limitsOf(options));
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: destroys the mutex. Processes that wait for it are
   * told with EIDRM, and so is its owner when it unlocks.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator of the
   * semaphore set, EIDRM if the mutex was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#set.remove();
  }

  /**
   * Ends the use of this object. The mutex stays, and guards go on holding it.
   * Pending waits end with a ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#set.close();
  }

  /** Closes this object; the mutex stays. */
  [Symbol.dispose](): void {
    this.#set.close();
  }
}
