// A mutex that survives the death of its owner: System V semaphores, some of which the
// kernel undoes. docs/shared-locks.md explains the protocol.

import { internal } from "../internal.ts";
import type { SysvSemaphoreSetEntry } from "../semaphore/sysv_stat.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { isOwned, type LockGuard, OwnerGuard } from "./guard.ts";
import { MUTEX } from "./kinds.ts";
import { listLocks } from "./lock_list.ts";
import { LOCK, type LockCreateOptions, LockSet } from "./lock_set.ts";
import { setOf, SharedLock } from "./shared_lock.ts";
import { entryOf, LockAcquisition, tryLock } from "./turn.ts";

const ENTRY = entryOf([LOCK], true);

class MutexAcquisition extends LockAcquisition<OwnerGuard> {
  readonly entry = ENTRY;

  guard(ownerDied: boolean): OwnerGuard {
    return new OwnerGuard(internal, this.set, ownerDied);
  }

  override get wouldDeadlock(): boolean {
    return isOwned(this.set);
  }
}

/** The operations of a mutex, which callers cannot replace. */
class Mutex {
  readonly set: LockSet;
  readonly #queue = new WaiterQueue();

  constructor(set: LockSet) {
    this.set = set;
  }

  lockSync(deadline: number): OwnerGuard {
    const died = this.set.tryLock(ENTRY.freely); // the usual case
    if (died !== undefined) return new OwnerGuard(internal, this.set, died);
    const acquisition = new MutexAcquisition(this.set);
    try {
      return acquisition.waitSync(deadline);
    } finally {
      acquisition[Symbol.dispose]();
    }
  }

  async lock(limits: Limits): Promise<OwnerGuard> {
    const acquisition = new MutexAcquisition(this.set);
    try {
      return await acquisition.wait(limits, this.#queue);
    } finally {
      acquisition[Symbol.dispose]();
    }
  }

  tryLock(): OwnerGuard | undefined {
    const died = tryLock(this.set, ENTRY);
    return died === undefined
      ? undefined
      : new OwnerGuard(internal, this.set, died);
  }
}

/** The operations of a mutex. For this module alone. */
export let mutexOf: (mutex: unknown) => Mutex;

/**
 * A robust mutex between processes: it survives the death of its owner, also by
 * `kill -9`. The next owner gets the mutex and is told.
 *
 * It is a set of three System V semaphores, without memory or a file. Any process with the
 * key and the permission can use it until it is removed. It also excludes the Workers of
 * one process. Its owner is the process: if a Worker is terminated while it holds the
 * mutex, the mutex stays locked until the process ends.
 *
 * **Waits are bounded.** A waiter competes for 5 milliseconds with those that come
 * later. Then its turn comes after those of the waiters before it, so a process that
 * locks again at once does not starve others. [Shared locks](/docs/shared-locks.md)
 * has the exact bound, and its exceptions. Within one object asynchronous calls are served
 * in their order.
 *
 * Processes in different IPC namespaces, such as most containers, do not share it. PID
 * namespaces make no difference.
 *
 * Locking and unlocking takes two system calls. A robust pthread
 * mutex in shared memory needs none, but a process that overwrites or unmaps that memory
 * crashes the owner; a lock on a file has no timeout. [Which lock](/docs/which-lock.md)
 * compares them; [shared locks](/docs/shared-locks.md) shows how a C program uses the
 * mutex.
 *
 * @example Repair data after the death of an owner
 * ```ts
 * import { SharedMutex } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 *
 * using memory = SysvSharedMemory.create(null, 8);
 * memory.remove(); // freed when the last process closes it
 * const [total, sum] = [0, 1];
 * const words = new Int32Array(memory.bytes.buffer);
 *
 * using mutex = SharedMutex.create(null); // others: SharedMutex.fromId(mutex.id)
 * {
 *   using guard = await mutex.lock({ timeout: 1000 });
 *   if (guard.ownerDied) {
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
export class SharedMutex extends SharedLock {
  readonly #mutex: Mutex;

  /** @ignore */
  private constructor(token: symbol, set: LockSet) {
    super(token, "SharedMutex", set);
    this.#mutex = new Mutex(set);
  }

  static {
    mutexOf = (mutex) => {
      if (Object(mutex) === mutex && #mutex in (mutex as object)) {
        return (mutex as SharedMutex).#mutex;
      }
      throw new TypeError('Argument "mutex" must be a SharedMutex');
    };
  }

  /**
   * `semget(key, 3, IPC_CREAT | IPC_EXCL | mode)`: creates a mutex under a new key,
   * initialised in the same step.
   *
   * @param key A 32-bit number, not 0; null creates a private mutex (`IPC_PRIVATE`),
   * which others can open by its `id` only.
   * @param options `mode`.
   * @returns The mutex, unlocked. It exists until it is removed.
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
  ): SharedMutex {
    return new SharedMutex(internal, LockSet.create(MUTEX, key, options));
  }

  /**
   * `semget(key, 3, 0)`: opens a mutex that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The mutex.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not a mutex.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is no semaphore set under this key, EACCES if it may
   * not be read.
   *
   * @example A key that is not in use
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
    return new SharedMutex(internal, LockSet.open(MUTEX, key));
  }

  /**
   * `semget(key, 3, IPC_CREAT | mode)`: opens a mutex, or creates it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a new mutex.
   * @returns The mutex. A new mutex is unlocked.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not a mutex.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the mutex exists and does not grant this process
   * what `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: LockCreateOptions,
  ): SharedMutex {
    return new SharedMutex(internal, LockSet.openOrCreate(MUTEX, key, options));
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a mutex by its identifier, also a
   * private one.
   *
   * @param id The {@linkcode SharedLock.prototype.id | SharedMutex.id} of the mutex in
   * another process.
   * @returns The mutex.
   * @throws {TypeError} If the id is not a number, or if the semaphore set is not a
   * mutex.
   * @throws {RangeError} If the id is not an integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedMutex {
    return new SharedMutex(internal, LockSet.fromId(MUTEX, id));
  }

  /**
   * `/proc/sysvipc/sem`: lists the mutexes of this IPC namespace that this process may
   * read.
   *
   * Another program's set of 3 semaphores that has suitable values is listed, too: it is
   * what `open()` accepts.
   *
   * `inspect()` of {@link [inspect] @linux/ipc/inspect} also tells who holds them and who
   * waits.
   *
   * @returns The semaphore sets, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Find a mutex
   * ```ts
   * import { SharedMutex } from "@linux/ipc/lock";
   * import { assert } from "@std/assert";
   *
   * using mutex = SharedMutex.create(null);
   * assert(SharedMutex.list().some(({ id }) => id === mutex.id));
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvSemaphoreSetEntry[] {
    return listLocks(MUTEX);
  }

  /**
   * `semctl(id, 1, GETPID)`: the process that owns the mutex, 0 if it is in another PID
   * namespace; undefined if the mutex is unlocked.
   *
   * The owner may have changed by the time this returns: use it for diagnosis only.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the mutex was removed, EACCES if it may not be read.
   */
  get ownerPid(): number | undefined {
    return setOf(this).ownerPid;
  }

  /**
   * `semop(id, ...)`: locks the mutex, blocking this thread until it is unlocked.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds a guard of the mutex, which it
   * could not release while it blocks; EIDRM if it was removed, before or during the wait;
   * EACCES if it may not be read and written to; ENOMEM; E2BIG if the system allows
   * fewer than 5 operations in one call (/proc/sys/kernel/sem).
   *
   * @example With a timeout, and not recursive
   * ```ts
   * import { IpcError } from "@linux/ipc/semaphore";
   * import { SharedMutex } from "@linux/ipc/lock";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using mutex = SharedMutex.create(null);
   * {
   *   using guard = mutex.lockSync({ timeout: 1000 });
   *   assertEquals(guard.ownerDied, false);
   *   assertThrows(() => mutex.lockSync(), IpcError, "EDEADLK");
   * }
   * mutex.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  lockSync(options?: SyncWaitOptions): LockGuard {
    return this.#mutex.lockSync(deadlineOf(options));
  }

  /**
   * `semop(id, ...)` with `IPC_NOWAIT`: locks the mutex if it is unlocked.
   *
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died; undefined when the mutex is locked, also by this process, or when it is the
   * turn of another process.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the mutex was removed; EACCES if it may not be
   * written to; ENOMEM; E2BIG if the system allows fewer than 5 operations in one call
   * (/proc/sys/kernel/sem).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryLock(): LockGuard | undefined {
    return this.#mutex.tryLock();
  }

  /**
   * `semop(id, ...)`: locks the mutex, waiting without blocking the thread until it is
   * unlocked. Calls through one object are served in their order.
   *
   * A thread of the blocking pool waits in the kernel, and locks nothing. So the signal,
   * the timeout and `close()` end a wait at once. At most four waits for System V objects
   * on a JavaScript thread have such a thread at a time; the others try again every 20
   * milliseconds, or less often where there are thousands.
   *
   * The mutex is not recursive: a task that locks it twice waits for itself, without a
   * timeout for ever.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard, which unlocks the mutex and tells whether its previous owner
   * died.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the mutex was removed, before or during the wait;
   * EACCES if it may not be read and written to; ENOMEM; E2BIG if the system allows
   * fewer than 5 operations in one call (/proc/sys/kernel/sem).
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
  async lock(options?: WaitOptions): Promise<LockGuard> {
    return await this.#mutex.lock(limitsOf(options));
  }
}
