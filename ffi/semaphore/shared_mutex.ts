// A lock that survives its holder's death: two System V semaphores, one of which
// the kernel gives back for the dead. docs/shared-mutex.md tells why.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import { ClosedError, type IpcError } from "../errors.ts";
import {
  E2BIG,
  EAGAIN,
  EDEADLK,
  EIDRM,
  EINTR,
  EINVAL,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { systemLimit } from "../libc/limits.ts";
import {
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import {
  GETALL,
  GETPID,
  GETVAL,
  SEM_UNDO,
  sembuf,
  semidDs,
  sysSem,
} from "../libc/sys_sem.ts";
import { durationOf } from "../libc/time.ts";
import { type LaneCall, waitInLane } from "../wait/lanes.ts";
import { Mutex } from "../wait/mutex.ts";
import {
  deadlineOf,
  remaining,
  type SyncWaitOptions,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";

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

/**
 * What {@linkcode SharedMutex.lock} and its siblings give. Disposing of it unlocks
 * the mutex, once.
 */
export interface SharedMutexGuard extends Disposable {
  /**
   * `EOWNERDEAD`: the process that held the mutex before has ended without
   * unlocking it. What the mutex guards may be half changed: repair it, then say so
   * with {@linkcode SharedMutexGuard.markConsistent}.
   */
  readonly previousOwnerDied: boolean;

  /**
   * `pthread_mutex_consistent(mutex)`: what the mutex guards is whole again. Takes
   * effect when the guard unlocks. Without it the next owner is told, too; this
   * process may die in the repair, or give it up.
   *
   * Where the previous owner did not die this does nothing.
   *
   * @throws {ClosedError} If the guard has unlocked already.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_consistent.3.html | pthread_mutex_consistent(3)}
   */
  markConsistent(): void;

  /**
   * `semop(id, ...)`: unlocks the mutex. Twice does nothing. It works after
   * `close()` of the mutex, too.
   *
   * @throws {IpcError} EIDRM if the mutex was removed in the meantime, EPERM if
   * somebody has reset its semaphores; who was excluded until now is unknown then.
   * EACCES if its mode was changed.
   */
  release(): void;
}

// 1 while somebody holds the mutex. The kernel undoes it when that process ends.
const LOCK = 0;
// 1 from the locking to the unlocking, and nobody undoes it. So (0, 0) is free,
// (1, 1) is held, and (0, 1) is free because its owner died. A new set has zeroes,
// so it is a mutex from its first moment on.
const MARK = 1;
const SEMAPHORES = 2;

/** What one semop does, all of it or nothing, in C's form. */
class Operations {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;

  constructor(...operations: [number: number, delta: number, flags: number][]) {
    this.count = operations.length;
    this.bytes = new Uint8Array(sembuf.size * this.count);
    operations.forEach(([sem_num, sem_op, sem_flg], index) => {
      const at = index * sembuf.size;
      sembuf.write(this.bytes, { sem_num, sem_op, sem_flg }, at);
    });
  }
}

const TAKE = new Operations(
  [LOCK, 0, IPC_NOWAIT], // it is free,
  [MARK, 0, IPC_NOWAIT], // nobody died with it,
  [LOCK, +1, SEM_UNDO],
  [MARK, +1, 0],
);
const TAKE_FROM_DEAD = new Operations(
  [LOCK, 0, IPC_NOWAIT], // it is free,
  [MARK, -1, IPC_NOWAIT], // but somebody died with it,
  [MARK, +1, 0], // and this stays as it is
  [LOCK, +1, SEM_UNDO],
);
const UNLOCK = new Operations(
  [LOCK, -1, IPC_NOWAIT | SEM_UNDO],
  [MARK, -1, IPC_NOWAIT],
);
const UNLOCK_MARKED = new Operations([LOCK, -1, IPC_NOWAIT | SEM_UNDO]);
// Waits without taking anything. Who takes is always the thread of JavaScript that
// asked for it: what another thread took for a Worker that ends would stay locked.
const WAIT = new Operations([LOCK, 0, 0]);

const SEM = "/proc/sys/kernel/sem"; // SEMMSL SEMMNS SEMOPM SEMMNI
const SEMOPM = 2;
const SEMMNI = 3;

// What guards of this thread hold, by the ids of the mutexes.
const held = new Set<number>();

/** To the caller, a mutex that was removed is one condition: EIDRM. */
function failure(number: number, syscall: string, subject: string): IpcError {
  const limit = number === E2BIG ? systemLimit(SEM, SEMOPM) : undefined;
  const kind = number === EINVAL ? EIDRM : number;
  return ipcError(kind, syscall, subject, limit);
}

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
 * crashes its owner; a lock on a file has no timeout. docs/shared-mutex.md compares
 * them, and has the lines with which a C program takes part.
 *
 * @example Repair what a dead owner left
 * ```ts
 * import { SharedMutex } from "@linux/ipc/semaphore";
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
  readonly #id: number;
  readonly #subject: string;
  readonly #line = new Mutex(); // one at a time waits on another thread
  readonly #call: LaneCall<SharedMutexGuard>;
  #open = true;

  private constructor(id: number, subject: string) {
    this.#id = id;
    this.#subject = subject;
    this.#call = {
      subject,
      attempt: () => this.#attempt(),
      blocking: { block: (milliseconds) => this.#block(milliseconds) },
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
    const number = cKey(key, true);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    return SharedMutex.#get(number, IPC_CREAT | IPC_EXCL | mode);
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
   * import { IpcError, SharedMutex } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => SharedMutex.open(0x7abcdef4), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedMutex {
    return SharedMutex.#get(cKey(key, false), 0);
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
    const number = cKey(key, false);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    return SharedMutex.#get(number, IPC_CREAT | mode);
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
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const subject = `mutex id ${id}`;
    checkIsMutex(id, subject);
    return new SharedMutex(id, subject);
  }

  static #get(key: number, flags: number): SharedMutex {
    const { semget } = sysSem();
    const subject = key === 0 ? "private mutex" : `mutex key ${key}`;
    const id = semget(key, SEMAPHORES, flags);
    if (id === -1) {
      const number = errno();
      // A set with fewer semaphores: the mutex itself is never too large.
      const other = number === EINVAL ? semget(key, 0, 0) : -1;
      if (other !== -1) checkIsMutex(other, subject);
      const limit = number === ENOSPC ? systemLimit(SEM, SEMMNI) : undefined;
      throw ipcError(number, "semget", subject, limit);
    }
    if ((flags & IPC_EXCL) === 0) checkIsMutex(id, subject);
    return new SharedMutex(id, subject);
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#id;
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
    const pid = this.#control(GETPID, MARK);
    return this.#control(GETVAL) === 0 ? null : pid;
  }

  /**
   * `semop(id, ...)`, blocking this thread until the mutex is free; then locks it.
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
   * import { IpcError, SharedMutex } from "@linux/ipc/semaphore";
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
    const deadline = deadlineOf(options);
    for (;;) {
      const guard = this.#attempt();
      if (guard !== undefined) return guard;
      if (held.has(this.#id)) throw ipcError(EDEADLK, "semop", this.#subject);
      const left = remaining(deadline);
      if (left === 0) throw timeoutError(this.#subject);
      this.#wait(deadline === Infinity ? null : durationOf(left));
    }
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
    return this.#attempt() ?? null;
  }

  /**
   * `semop(id, ...)`, waiting without blocking the thread until the mutex is free;
   * then locks it. Through one object the calls are served in their order.
   *
   * The call waits on another thread, for at most 50 milliseconds at a time; that
   * late an end by the signal or `close()` may come. At most four waits of this kind
   * have a thread; the others look again every 20 milliseconds.
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
   * import { SharedMutex } from "@linux/ipc/semaphore";
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
    const deadline = deadlineOf(options);
    const signal = options?.signal;
    signal?.throwIfAborted();
    this.#checkOpen();
    const free = this.#line.acquire(this.#subject, deadline, signal);
    if (free !== undefined) await free;
    try {
      return await waitInLane(this.#call, deadline, signal);
    } finally {
      this.#line.release();
    }
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
    this.#control(IPC_RMID);
  }

  /**
   * Ends the use of this object. The mutex stays, and guards go on holding it.
   * Pending waits end with a ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#open = false;
  }

  /** Closes this object; the mutex stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkOpen(): void {
    if (!this.#open) throw new ClosedError(this.#subject);
  }

  #attempt(): Guard | undefined {
    this.#checkOpen();
    if (this.#take(TAKE)) return new Guard(this.#id, this.#subject, false);
    if (!this.#take(TAKE_FROM_DEAD)) return undefined;
    return new Guard(this.#id, this.#subject, true);
  }

  #take({ bytes, count }: Operations): boolean {
    if (sysSem().semop(this.#id, bytes, count) === 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    throw failure(number, "semop", this.#subject);
  }

  /** Blocks this thread until the mutex may be free. */
  #wait(time: Uint8Array<ArrayBuffer> | null): void {
    const { semtimedop } = sysSem();
    if (semtimedop(this.#id, WAIT.bytes, WAIT.count, time) === 0) return;
    const number = errno();
    if (number === EAGAIN || number === EINTR) return; // time is up, or a signal
    throw failure(number, "semtimedop", this.#subject);
  }

  /** Waits on another thread until the mutex may be free. */
  async #block(milliseconds: number): Promise<undefined> {
    const { semtimedop_nonblocking: call } = sysSem();
    const time = durationOf(milliseconds);
    await call(this.#id, WAIT.bytes, WAIT.count, time); // the next attempt tells why
  }

  #control(operation: number, semaphore = LOCK): number {
    this.#checkOpen();
    const result = sysSem().semctl(this.#id, semaphore, operation);
    if (result === -1) throw failure(errno(), "semctl", this.#subject);
    return result;
  }
}

/** Refuses a set of semaphores that has another use. */
function checkIsMutex(id: number, subject: string): void {
  const { semctl_buf, semctl_array } = sysSem();
  const ds = new Uint8Array(semidDs.size);
  if (semctl_buf(id, 0, IPC_STAT, ds) === -1) {
    throw failure(errno(), "semctl", subject);
  }
  const size = Number(semidDs.decode(ds).sem_nsems);
  let state = `${size} semaphores`;
  if (size === SEMAPHORES) {
    const values = new Uint16Array(SEMAPHORES);
    if (semctl_array(id, 0, GETALL, values) === -1) {
      throw failure(errno(), "semctl", subject);
    }
    const [lock, mark] = values as unknown as [number, number];
    if (lock <= mark && mark <= 1) return;
    state = `the values ${lock} and ${mark}`;
  }
  throw new TypeError(
    `Cannot open ${subject}: the semaphore set is no mutex, it has ${state}`,
  );
}

class Guard implements SharedMutexGuard {
  readonly previousOwnerDied: boolean;
  readonly #id: number;
  readonly #subject: string;
  #consistent: boolean;
  #locked = true;

  constructor(id: number, subject: string, previousOwnerDied: boolean) {
    this.#id = id;
    this.#subject = subject;
    this.previousOwnerDied = previousOwnerDied;
    this.#consistent = !previousOwnerDied;
    held.add(id);
  }

  markConsistent(): void {
    if (!this.#locked) throw new ClosedError(`guard of ${this.#subject}`);
    this.#consistent = true;
  }

  release(): void {
    if (!this.#locked) return;
    this.#locked = false;
    held.delete(this.#id);
    const { bytes, count } = this.#consistent ? UNLOCK : UNLOCK_MARKED;
    if (sysSem().semop(this.#id, bytes, count) === 0) return;
    const number = errno();
    throw failure(number === EAGAIN ? EPERM : number, "semop", this.#subject);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
