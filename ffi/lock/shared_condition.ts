// Waiting, under a lock that survives its holder's death, for somebody else's change.
// docs/shared-locks.md argues why no change is missed, whoever dies and when.

import { checkInternal, internal } from "../internal.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO } from "../libc/sys_sem.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import type { SharedMutexGuard } from "./guard.ts";
import { LOCK, type LockKind, LockSet, Operations } from "./lock_set.ts";
import { type Locking, lockingOf, type SharedMutex } from "./shared_mutex.ts";
import { Taking } from "./acquisition.ts";

/** How a shared condition is created. */
export interface SharedConditionCreateOptions {
  /**
   * The permission bits. Whoever uses the condition needs to read and to write. The
   * umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

// Each gate is two semaphores: it is closed while the first is 1, and the second
// counts those who have come to wait there and have not gone yet. The kernel takes
// back the counts of the dead.
const GATES = 4;
const SEMAPHORES = 2 * GATES;

function isClosed(values: Uint16Array, gate: number): boolean {
  return values[2 * gate] === 1;
}

const KIND: LockKind = {
  name: "condition",
  semaphores: SEMAPHORES,
  isSound: (values) => {
    const gates = values.filter((_, index) => index % 2 === 0);
    return gates.reduce((sum, gate) => sum + gate) <= 1;
  },
};

function operationsOf(gate: number) {
  const [GATE, COUNT] = [2 * gate, 2 * gate + 1];
  return {
    /** Comes to wait where others do. */
    join: new Operations(
      [GATE, -1, IPC_NOWAIT],
      [GATE, +1, 0],
      [COUNT, +1, SEM_UNDO],
    ),
    /** Closes it and waits there, when all of the last time have gone. */
    close: new Operations(
      [GATE, 0, IPC_NOWAIT],
      [COUNT, 0, IPC_NOWAIT],
      [GATE, +1, 0],
      [COUNT, +1, SEM_UNDO],
    ),
    opened: new Operations([GATE, 0, 0]),
    leave: new Operations([COUNT, -1, IPC_NOWAIT | SEM_UNDO]),
    /** Changes nothing; but if this process dies, the gate opens. */
    promise: new Operations([GATE, -1, IPC_NOWAIT], [GATE, +1, SEM_UNDO]),
    /** Keeps the promise. */
    open: new Operations([GATE, -1, IPC_NOWAIT | SEM_UNDO]),
    /** Drops it, where the gate is open already. */
    drop: new Operations([GATE, +1, 0], [GATE, -1, SEM_UNDO]),
    deserted: new Operations([COUNT, 0, 0]),
  };
}

type Gate = ReturnType<typeof operationsOf>;
const gates = Array.from({ length: GATES }, (_, gate) => operationsOf(gate));

// How late the removal of the mutex may be noticed: no event tells of it.
const CHECK_MUTEX = 1000; // ms
// How long to wait, at most, until one of the gates can be used again.
const PAUSE = 20; // ms

/** One that waits for a semaphore to be 0, and may have been counted for it. */
class Waiting extends Taking<true> implements Disposable {
  readonly waiting: Operations;
  readonly #mutex: LockSet;
  readonly #leave: Operations | undefined;
  readonly #retry: number;

  constructor(
    set: LockSet,
    mutex: LockSet,
    waiting: Operations,
    leave?: Operations,
    retry: number = Infinity,
  ) {
    super(set);
    this.#mutex = mutex;
    this.waiting = waiting;
    this.#leave = leave;
    this.#retry = retry;
  }

  attempt(): true | undefined {
    this.set.checkOpen();
    this.#mutex.valueOf(LOCK); // throws when it is closed or removed
    if (this.set.operate(this.waiting.trying)) return true;
    return performance.now() >= this.#retry || undefined;
  }

  override retryAt(): number {
    return Math.min(this.#retry, performance.now() + CHECK_MUTEX);
  }

  [Symbol.dispose](): void {
    if (this.#leave !== undefined) this.set.withdraw(this.#leave);
  }
}

/** A change that those who wait are told of, once. */
class Change implements Disposable {
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
    this.#set.withdraw(gate.drop);
  }
}

/**
 * A condition between processes: waits, under a {@linkcode SharedMutex}, until what the
 * mutex guards is as one wants it. No change is missed, whichever process is killed, and
 * when: not the one that waits, nor the one that makes the change.
 *
 * Who makes a change says so before, with {@linkcode SharedCondition.changing}. Its end
 * wakes all who wait, and so does the death of the process, because the kernel keeps
 * the promise for the dead. (To notify after the change, as `pthread_cond_signal(3)`
 * does, would leave an instant in which a `kill -9` makes the others wait for ever. And
 * to wake only one of them would be lost if that one dies.)
 *
 * It is a set of eight System V semaphores: no memory, no file, and any process with
 * the key and the permission can use it until somebody removes it. Its users agree on
 * one mutex for it.
 *
 * Processes in different IPC namespaces (containers, mostly) do not share it. In
 * different pid namespaces they do. docs/shared-locks.md tells how it works, argues
 * why, and has the lines with which a C program takes part.
 *
 * @example One takes what another one puts there
 * ```ts
 * import { SharedCondition, SharedMutex } from "@linux/ipc/lock";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 4);
 * memory.remove(); // gone when everybody has closed it
 * const words = new Int32Array(memory.bytes.buffer);
 * using mutex = SharedMutex.create(null); // others: fromId(), with the ids
 * using condition = SharedCondition.create(null);
 *
 * async function take(): Promise<number> {
 *   using guard = await condition.lockWhen(mutex, () => words[0] !== 0);
 *   if (guard.previousOwnerDied) guard.markConsistent(); // one word is always whole
 *   return words[0]!;
 * }
 *
 * const taken = take();
 * {
 *   using _guard = await mutex.lock();
 *   using _change = condition.changing();
 *   words[0] = 7;
 * } // those who wait are told, then the mutex is unlocked
 * assertEquals(await taken, 7);
 * condition.remove();
 * mutex.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SharedCondition implements Disposable {
  readonly #set: LockSet;

  private constructor(token: symbol, set: LockSet) {
    checkInternal(token, "SharedCondition", "create() or open()");
    this.#set = set;
  }

  /**
   * `semget(key, 8, IPC_CREAT | IPC_EXCL | mode)`: makes a condition under a new key.
   * Nobody can see it uninitialised.
   *
   * @param key A 32-bit number, not 0; null makes a private condition (`IPC_PRIVATE`),
   * which others find by its `id` only.
   * @param options `mode`.
   * @returns The condition. It stays until somebody removes it.
   * @throws {TypeError} If the key is no number.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a semaphore set under this key, ENOSPC if
   * there are too many sets or semaphores (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static create(
    key: number | null,
    options?: SharedConditionCreateOptions,
  ): SharedCondition {
    return new SharedCondition(
      internal,
      LockSet.create(KIND, key, options?.mode),
    );
  }

  /**
   * `semget(key, 8, 0)`: opens a condition that exists.
   *
   * @param key A 32-bit number, not 0.
   * @returns The condition.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no condition.
   * @throws {RangeError} If the key is out of range.
   * @throws {IpcError} ENOENT if there is nothing under this key, EACCES if it may
   * not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(key: number): SharedCondition {
    return new SharedCondition(internal, LockSet.open(KIND, key));
  }

  /**
   * `semget(key, 8, IPC_CREAT | mode)`: opens a condition, or makes it.
   *
   * @param key A 32-bit number, not 0. `ftok()` makes one from a path.
   * @param options `mode`, of a condition that is made.
   * @returns The condition.
   * @throws {TypeError} If the key is no number, or if the semaphore set under it is
   * no condition.
   * @throws {RangeError} If the key or the mode is out of range.
   * @throws {IpcError} EACCES if the condition exists and does not grant this process
   * what `mode` asks for, ENOSPC if there are too many sets or semaphores
   * (/proc/sys/kernel/sem), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    options?: SharedConditionCreateOptions,
  ): SharedCondition {
    return new SharedCondition(
      internal,
      LockSet.openOrCreate(KIND, key, options?.mode),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a condition by its identifier, which is how a
   * private one is found.
   *
   * @param id What {@linkcode SharedCondition.id} is in the other process.
   * @returns The condition.
   * @throws {TypeError} If the id is no number, or if the semaphore set is no
   * condition.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such semaphore set, EACCES if it may not
   * be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SharedCondition {
    return new SharedCondition(internal, LockSet.fromId(KIND, id));
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#set.id;
  }

  /**
   * `semctl(id, 0, GETALL)`: how many wait for a change now, in all processes together.
   * It may be another number by the time it is read here.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the condition was removed, EACCES if it may not be read.
   */
  get waiters(): number {
    const values = this.#set.values(SEMAPHORES);
    const closed = gates.findIndex((_, gate) => isClosed(values, gate));
    return closed === -1 ? 0 : values[2 * closed + 1]!;
  }

  /**
   * `pthread_cond_broadcast(cond)`, promised before: from now on, until what this gives
   * is disposed of, what the mutex guards may change. Then all who wait look at it; also
   * if this process dies before that.
   *
   * Call it when the mutex is locked, before the change; and unlock the mutex last.
   *
   * @returns What to dispose of when the change is made.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIDRM if the condition was removed, now or at the disposal;
   * EACCES if it may not be read and written to; ENOMEM.
   *
   * @example The change, then the notification, then the unlocking
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
    const values = this.#set.values(SEMAPHORES);
    const gate = gates.find((_, gate) => isClosed(values, gate));
    const isPromised = gate !== undefined && this.#set.operate(gate.promise);
    return new Change(this.#set, isPromised ? gate : undefined);
  }

  /**
   * `pthread_cond_wait(cond, mutex)`, again and again, blocking this thread: locks the
   * mutex when the predicate holds.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * It also comes back when the mutex tells that its previous owner died, whatever the
   * predicate would say of half a change: look at
   * {@linkcode SharedMutexGuard.previousOwnerDied} first.
   *
   * @param mutex The mutex that guards what the predicate looks at. It is unlocked
   * while this waits.
   * @param predicate Whether it is as one wants it; called with the mutex locked.
   * @param options `timeout` in milliseconds.
   * @returns The guard of the mutex.
   * @throws {TypeError} If the mutex or the predicate is none.
   * @throws {ClosedError} If this object or the mutex is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if a guard of this thread holds the mutex; EIDRM if the
   * mutex or the condition was removed, before or during the wait; EACCES if one of
   * them may not be read and written to; ERANGE if 32767 wait already; ENOMEM; E2BIG if
   * the system allows less than 4 operations at once (/proc/sys/kernel/sem).
   * @throws What the predicate throws, when the mutex is unlocked again.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  lockWhenSync(
    mutex: SharedMutex,
    predicate: () => boolean,
    options?: SyncWaitOptions,
  ): SharedMutexGuard {
    const locking = this.#lockingOf(mutex, predicate);
    const deadline = deadlineOf(options);
    for (;;) {
      const guard = locking.waitSync(deadline);
      using waiting = this.#waitingUnless(guard, locking, predicate);
      if (waiting === undefined) return guard;
      waiting.waitSync(deadline);
    }
  }

  /**
   * `pthread_cond_wait(cond, mutex)`, again and again, without blocking the thread:
   * locks the mutex when the predicate holds.
   *
   * It also comes back when the mutex tells that its previous owner died, whatever the
   * predicate would say of half a change: look at
   * {@linkcode SharedMutexGuard.previousOwnerDied} first.
   *
   * Another thread waits in the kernel, and takes nothing: so the signal, the timeout
   * and `close()` end a wait at once. At most four waits of this kind have a thread; the
   * others look again every 20 milliseconds.
   *
   * @param mutex The mutex that guards what the predicate looks at. It is unlocked
   * while this waits.
   * @param predicate Whether it is as one wants it; called with the mutex locked.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The guard of the mutex.
   * @throws {TypeError} If the mutex or the predicate is none.
   * @throws {ClosedError} If this object or the mutex is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIDRM if the mutex or the condition was removed, before or during
   * the wait; EACCES if one of them may not be read and written to; ERANGE if 32767 wait
   * already; ENOMEM; E2BIG if the system allows less than 4 operations at once
   * (/proc/sys/kernel/sem).
   * @throws The reason of the signal, if it is aborted.
   * @throws What the predicate throws, when the mutex is unlocked again.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_cond_wait.3p.html | pthread_cond_wait(3)}
   */
  async lockWhen(
    mutex: SharedMutex,
    predicate: () => boolean,
    options?: WaitOptions,
  ): Promise<SharedMutexGuard> {
    const locking = this.#lockingOf(mutex, predicate);
    const limits = limitsOf(options);
    for (;;) {
      const guard = await locking.wait(limits);
      using waiting = this.#waitingUnless(guard, locking, predicate);
      if (waiting === undefined) return guard;
      await waiting.wait(limits);
    }
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: destroys the condition. Processes that wait for it are
   * told with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator of the
   * semaphore set, EIDRM if the condition was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#set.remove();
  }

  /**
   * Ends the use of this object. The condition stays, and so do promises to notify.
   * Pending waits end with a ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#set.close();
  }

  /** Closes this object; the condition stays. */
  [Symbol.dispose](): void {
    this.#set.close();
  }

  /** How the mutex is locked, when the arguments are what they must be. */
  #lockingOf(mutex: unknown, predicate: unknown): Locking {
    this.#set.checkOpen();
    const locking = lockingOf(mutex);
    if (typeof predicate === "function") return locking;
    throw new TypeError('Argument "predicate" must be a function');
  }

  /** Unlocks the mutex to wait for a change, unless the guard is to be had as it is. */
  #waitingUnless(
    guard: SharedMutexGuard,
    { set }: Locking,
    predicate: () => boolean,
  ): Waiting | undefined {
    let waits = true;
    try {
      this.#set.checkOpen();
      waits = !guard.previousOwnerDied && !predicate();
      return waits ? this.#wait(set) : undefined;
    } finally {
      if (waits) guard.release();
    }
  }

  /** Comes to wait at a gate. The mutex is locked, so nobody else closes or opens one. */
  #wait(mutex: LockSet): Waiting {
    const values = this.#set.values(SEMAPHORES);
    const closed = gates.find((_, gate) => isClosed(values, gate));
    const free = gates.find((_, gate) => values[2 * gate + 1] === 0);
    for (const gate of [closed, free]) {
      if (gate === undefined) continue;
      const how = gate === closed ? gate.join : gate.close;
      if (this.#set.operate(how)) {
        return new Waiting(this.#set, mutex, gate.opened, gate.leave);
      }
    }
    const retry = performance.now() + PAUSE;
    return new Waiting(
      this.#set,
      mutex,
      gates[0]!.deserted,
      undefined,
      retry,
    );
  }
}
