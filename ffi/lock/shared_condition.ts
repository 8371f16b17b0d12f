// A condition variable that survives the death of its users: eight System V semaphores.
// docs/shared-locks.md argues why no process misses a change.

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
import { Acquisition } from "./acquisition.ts";
import type { LockGuard } from "./guard.ts";
import { CONDITION, GATES } from "./kinds.ts";
import { listLocks } from "./lock_list.ts";
import { LOCK, type LockCreateOptions, LockSet } from "./lock_set.ts";
import { setOf, SharedLock } from "./shared_lock.ts";
import { mutexOf, type SharedMutex } from "./shared_mutex.ts";

// Each gate is two semaphores. The first is 1 while the gate is closed. The second counts
// the waiters at the gate, and the kernel undoes the counts of dead processes.
function gateOf(number: number) {
  const [GATE, COUNT] = [2 * number, 2 * number + 1];
  return {
    isClosed: (values: Uint16Array) => values[GATE] === 1,
    count: (values: Uint16Array) => values[COUNT]!,
    /** Joins the waiters at the closed gate. */
    join: Operations.of(
      [GATE, -1, IPC_NOWAIT],
      [GATE, +1, 0],
      [COUNT, +1, SEM_UNDO],
    ),
    /** Closes the gate, if it has no waiters, and joins. */
    close: Operations.of(
      [GATE, 0, IPC_NOWAIT],
      [COUNT, 0, IPC_NOWAIT],
      [GATE, +1, 0],
      [COUNT, +1, SEM_UNDO],
    ),
    /** Waits until the gate is open. */
    waitOpen: Operations.of([GATE, 0, 0]),
    /** Waits until the gate has no waiters. */
    waitEmpty: Operations.of([COUNT, 0, 0]),
    leave: Operations.of([COUNT, -1, IPC_NOWAIT | SEM_UNDO]),
    /** Changes nothing, but the kernel opens the gate if this process dies. */
    promise: Operations.of([GATE, -1, IPC_NOWAIT], [GATE, +1, SEM_UNDO]),
    /** Opens the gate, as promised. */
    open: Operations.of([GATE, -1, IPC_NOWAIT | SEM_UNDO]),
    /** Withdraws the promise, if the gate is open already. */
    withdraw: Operations.of([GATE, +1, 0], [GATE, -1, SEM_UNDO]),
  };
}

type Gate = ReturnType<typeof gateOf>;
const gates = Array.from({ length: GATES }, (_, number) => gateOf(number));

// No event tells that the mutex was removed: so the wait checks it that often.
const MUTEX_CHECK = 1000; // ms
// How long to wait, at most, until one of the gates has no waiters.
const GATE_RETRY = 20; // ms

/** The wait for a gate, at which it may be counted until it is disposed of. */
class GateWait extends Acquisition<true> implements Disposable {
  readonly waiting: Operations;
  readonly #mutex: LockSet;
  readonly #leave: Operations | undefined;
  readonly #retryAt: number;

  constructor(
    set: LockSet,
    mutex: LockSet,
    waiting: Operations,
    leave?: Operations,
    retryAt: number = Infinity,
  ) {
    super(set);
    this.#mutex = mutex;
    this.waiting = waiting;
    this.#leave = leave;
    this.#retryAt = retryAt;
  }

  tryOnce(): true | undefined {
    this.#mutex.getValue(LOCK); // throws when it is closed or removed
    if (this.set.tryOnce(this.waiting)) return true;
    return performance.now() >= this.#retryAt || undefined;
  }

  override retryAt(): number {
    return Math.min(this.#retryAt, performance.now() + MUTEX_CHECK);
  }

  [Symbol.dispose](): void {
    if (this.#leave !== undefined) this.set.withdraw(this.#leave);
  }
}

/** The broadcast that was promised at a gate, sent once by its disposal. */
class Broadcast implements Disposable {
  readonly #set: LockSet;
  #gate: Gate | undefined;

  constructor(set: LockSet, gate: Gate | undefined) {
    this.#set = set;
    this.#gate = gate;
  }

  [Symbol.dispose](): void {
    const gate = this.#gate;
    this.#gate = undefined;
    if (gate === undefined || this.#set.operate(gate.open)) return;
    this.#set.withdraw(gate.withdraw);
  }
}

/**
 * A robust condition variable between processes: waits, under a {@linkcode SharedMutex},
 * until a predicate on the data holds.
 *
 * No waiter misses a change, also if the process that makes the change, or another
 * waiter, is killed at any time.
 *
 * A process calls
 * {@linkcode SharedCondition.prototype.changing | SharedCondition.changing} before it
 * changes the data. The disposal of the result wakes all waiters. So does the death of
 * the process, because the kernel undoes its semaphore operations. (A notification after
 * the change, as of `pthread_cond_signal(3)`, is lost if the process is killed in
 * between. A wake-up of one waiter only is lost if that one is killed.)
 *
 * It is a set of eight System V semaphores, without memory or a file. Any process with
 * the key and the permission can use it until it is removed. All its users use it with
 * the same mutex.
 *
 * Processes in different IPC namespaces, such as most containers, do not share it. PID
 * namespaces make no difference. [Shared locks](/docs/shared-locks.md) explains the
 * condition, and shows how a C program uses it.
 *
 * @example Wait for a value of another process
 * ```ts
 * import { SharedCondition, SharedMutex } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 4);
 * memory.remove(); // freed when the last process closes it
 * const words = new Int32Array(memory.bytes.buffer);
 * using mutex = SharedMutex.create(null); // others: fromId(), with the ids
 * using condition = SharedCondition.create(null);
 *
 * async function take(): Promise<number> {
 *   using guard = await condition.lockWhen(mutex, () => words[0] !== 0);
 *   if (guard.ownerDied) guard.markConsistent(); // one word is never half changed
 *   return words[0]!;
 * }
 *
 * const taken = take();
 * {
 *   using _guard = await mutex.lock();
 *   using _change = condition.changing();
 *   words[0] = 7;
 * } // wakes the waiters, then unlocks the mutex
 * assertEquals(await taken, 7);
 * condition.remove();
 * mutex.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SharedCondition extends SharedLock {
  /** @ignore */
  private constructor(token: symbol, set: LockSet) {
    super(token, "SharedCondition", set);
  }

  /**
   * `semget(key, 8, IPC_CREAT | IPC_EXCL | mode)`: creates a condition under a new key,
   * initialised in the same step.
   *
   * @param key A 32-bit number, not 0; null creates a private condition
   * (`IPC_PRIVATE`), which others can open by its `id` only.
   * @param options `mode`.
   * @returns The condition. It exists until it is removed.
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
  ): SharedCondition {
    return new SharedCondition(
      internal,
      LockSet.create(CONDITION, key, options),
    );
  }

  /**
   * `semget(key, 8, 0)`: opens a condition that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The condition.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not a condition.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is no semaphore set under this key, EACCES if it
   * may not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedCondition {
    return new SharedCondition(internal, LockSet.open(CONDITION, key));
  }

  /**
   * `semget(key, 8, IPC_CREAT | mode)`: opens a condition, or creates it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a new condition.
   * @returns The condition.
   * @throws {TypeError} If the key is not a number, or if the semaphore set under it is
   * not a condition.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the condition exists and does not grant this process
   * what `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: LockCreateOptions,
  ): SharedCondition {
    return new SharedCondition(
      internal,
      LockSet.openOrCreate(CONDITION, key, options),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a condition by its identifier, also a
   * private one.
   *
   * @param id The {@linkcode SharedLock.prototype.id | SharedCondition.id} of the
   * condition in another process.
   * @returns The condition.
   * @throws {TypeError} If the id is not a number, or if the semaphore set is not a
   * condition.
   * @throws {RangeError} If the id is not an integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedCondition {
    return new SharedCondition(internal, LockSet.fromId(CONDITION, id));
  }

  /**
   * `/proc/sysvipc/sem`: lists the conditions of this IPC namespace that this process may
   * read.
   *
   * Another program's set of 8 semaphores that has suitable values is listed, too: it is
   * what `open()` accepts.
   *
   * `inspect()` of {@link [inspect] @linux/ipc/inspect} also tells who holds them and who
   * waits.
   *
   * @returns The semaphore sets, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Find a condition
   * ```ts
   * import { SharedCondition } from "@linux/ipc/lock";
   * import { assert } from "@std/assert";
   *
   * using condition = SharedCondition.create(null);
   * assert(SharedCondition.list().some(({ id }) => id === condition.id));
   * condition.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvSemaphoreSetEntry[] {
    return listLocks(CONDITION);
  }

  /**
   * `semctl(id, 0, GETALL)`: the number of waiters, in all processes together. It may
   * have changed by the time this returns.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the condition was removed, EACCES if it may not be read.
   */
  get waiters(): number {
    const values = setOf(this).getAll();
    return gates.find((gate) => gate.isClosed(values))?.count(values) ?? 0;
  }

  /**
   * `pthread_cond_broadcast(cond)`: announces a change. When the result is disposed of,
   * or this process dies before that, all waiters wake, and call their predicates again.
   *
   * Call it with the mutex locked, before the change, and unlock the mutex last.
   *
   * @returns The broadcast. Dispose of it after the change.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the condition was removed, now or at the disposal;
   * EACCES if it may not be read and written to; ENOMEM.
   *
   * @example Change, then notify, then unlock
   * ```ts
   * import { SharedCondition, SharedMutex } from "@linux/ipc/lock";
   *
   * using mutex = SharedMutex.create(null);
   * using condition = SharedCondition.create(null);
   * {
   *   using _guard = mutex.lockSync();
   *   using _change = condition.changing();
   *   // the change
   * }
   * mutex.remove();
   * condition.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_broadcast.3p.html | pthread_cond_broadcast(3)}
   */
  changing(): Disposable {
    const set = setOf(this);
    const values = set.getAll();
    const gate = gates.find((gate) => gate.isClosed(values));
    const isPromised = gate !== undefined && set.operate(gate.promise);
    return new Broadcast(set, isPromised ? gate : undefined);
  }

  /**
   * `pthread_cond_wait(cond, mutex)` in a loop, blocking this thread: locks the mutex
   * when the predicate holds.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * It also returns when the previous owner of the mutex died, without calling the
   * predicate on data that may be half changed: check
   * {@linkcode LockGuard.ownerDied} first.
   *
   * @param mutex The mutex that guards the data. It is unlocked during the wait.
   * @param predicate Tells whether to stop waiting; called with the mutex locked.
   * @param options `timeout` in milliseconds.
   * @returns The guard of the mutex.
   * @throws {TypeError} If the mutex is not a SharedMutex, or the predicate not a
   * function.
   * @throws {ClosedError} If this object or the mutex is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if this thread holds a guard of the mutex; EIDRM if the
   * mutex or the condition was removed, before or during the wait; EACCES if one of them
   * may not be read and written to; ERANGE if there are 32767 waiters; ENOMEM; E2BIG if
   * the system allows fewer than 5 operations in one call (/proc/sys/kernel/sem).
   * @throws What the predicate throws, after the mutex is unlocked.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  lockWhenSync(
    mutex: SharedMutex,
    predicate: () => boolean,
    options?: SyncWaitOptions,
  ): LockGuard {
    const checked = this.#mutexOf(mutex, predicate);
    const deadline = deadlineOf(options);
    for (;;) {
      const guard = checked.lockSync(deadline);
      const wait = this.#waitUnless(guard, checked.set, predicate);
      if (wait === undefined) return guard;
      try {
        wait.waitSync(deadline);
      } finally {
        wait[Symbol.dispose]();
      }
    }
  }

  /**
   * `pthread_cond_wait(cond, mutex)` in a loop, without blocking the thread: locks the
   * mutex when the predicate holds.
   *
   * It also returns when the previous owner of the mutex died, without calling the
   * predicate on data that may be half changed: check
   * {@linkcode LockGuard.ownerDied} first.
   *
   * A thread of the blocking pool waits in the kernel, and locks nothing. So the signal,
   * the timeout and `close()` end a wait at once. At most four waits for System V objects
   * on a JavaScript thread have such a thread at a time; the others try again every 20
   * milliseconds, or less often where there are thousands.
   *
   * @param mutex The mutex that guards the data. It is unlocked during the wait.
   * @param predicate Tells whether to stop waiting; called with the mutex locked.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard of the mutex.
   * @throws {TypeError} If the mutex is not a SharedMutex, or the predicate not a
   * function.
   * @throws {ClosedError} If this object or the mutex is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the mutex or the condition was removed, before or during
   * the wait; EACCES if one of them may not be read and written to; ERANGE if there are
   * 32767 waiters; ENOMEM; E2BIG if the system allows fewer than 5 operations in one call
   * (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   * @throws What the predicate throws, after the mutex is unlocked.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  async lockWhen(
    mutex: SharedMutex,
    predicate: () => boolean,
    options?: WaitOptions,
  ): Promise<LockGuard> {
    const checked = this.#mutexOf(mutex, predicate);
    const limits = limitsOf(options);
    for (;;) {
      const guard = await checked.lock(limits);
      const wait = this.#waitUnless(guard, checked.set, predicate);
      if (wait === undefined) return guard;
      try {
        await wait.wait(limits);
      } finally {
        wait[Symbol.dispose]();
      }
    }
  }

  /** Checks the arguments. */
  #mutexOf(mutex: unknown, predicate: unknown): ReturnType<typeof mutexOf> {
    setOf(this).closing.checkOpen();
    const checked = mutexOf(mutex);
    if (typeof predicate === "function") return checked;
    throw new TypeError('Argument "predicate" must be a function');
  }

  /** Joins the waiters and unlocks the mutex, unless the caller gets the guard. */
  #waitUnless(
    guard: LockGuard,
    mutex: LockSet,
    predicate: () => boolean,
  ): GateWait | undefined {
    let waits = true;
    try {
      setOf(this).closing.checkOpen();
      waits = !guard.ownerDied && !predicate();
      return waits ? this.#join(mutex) : undefined;
    } finally {
      if (waits) guard.release();
    }
  }

  /** Joins the waiters at a gate. The mutex is locked, so no other opens or closes one. */
  #join(mutex: LockSet): GateWait {
    const set = setOf(this);
    const values = set.getAll();
    const closed = gates.find((gate) => gate.isClosed(values));
    if (closed !== undefined && set.operate(closed.join)) {
      return new GateWait(set, mutex, closed.waitOpen, closed.leave);
    }
    const empty = gates.find((gate) => gate.count(values) === 0);
    if (empty !== undefined && set.operate(empty.close)) {
      return new GateWait(set, mutex, empty.waitOpen, empty.leave);
    }
    const retryAt = performance.now() + GATE_RETRY;
    const { waitEmpty } = gates[0]!;
    return new GateWait(set, mutex, waitEmpty, undefined, retryAt);
  }
}
