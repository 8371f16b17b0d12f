// The semaphore set of a lock that survives the death of its holder.
// docs/shared-locks.md explains the protocol.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import type { IpcError } from "../errors.ts";
import { SysvObject } from "../kernel/sysv_object.ts";
import { EIDRM, EINVAL, EPERM, unless } from "../libc/errno.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { IPC_CREAT, IPC_EXCL, IPC_NOWAIT } from "../libc/sys_ipc.ts";
import {
  GETALL,
  GETPID,
  GETVAL,
  SEM_UNDO,
  SETVAL,
  sysSem,
} from "../libc/sys_sem.ts";
import { type Operation, Operations } from "../semaphore/operations.ts";
import { getId, SetHandle, subjectOf } from "../semaphore/sysv_handle.ts";
import { SEMAPHORE_SETS, statOf } from "../semaphore/sysv_stat.ts";

/** Options of `create()` and `openOrCreate()` of the locks. */
export interface LockCreateOptions {
  /**
   * The permission bits. All users of the lock, readers included, need permission to
   * read and to write. The umask does not apply to System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** Index of the semaphore that is 1 while the lock is owned. The kernel undoes it. */
export const LOCK = 0;
/**
 * Index of the semaphore that is 1 from locking to unlocking, and is never undone. So
 * (0, 0) is unlocked, (1, 1) is owned, and (0, 1) is unlocked by the owner's death. A
 * new set has zeroes, so it is a lock at once.
 */
export const MARK = 1;
/** Index of the semaphore that is 1 while a waiter has the turn. The kernel undoes it. */
export const TURN = 2;
/** Index of the semaphore that counts readers, where there are any. */
export const READERS = 3;

/** How often waiters check that the turn is used. */
export const REVIEW = 100; // ms

/** The operations that lock after the previous owner has unlocked, or has died. */
export interface LockOperations {
  readonly afterUnlock: Operations;
  readonly afterDeath: Operations;
}

/**
 * Operations that lock if these semaphores are 0, for an exclusive owner or a reader, and
 * then do more.
 */
export function lockIfZero(
  indexes: readonly number[],
  isExclusive: boolean,
  ...more: Operation[]
): LockOperations {
  const ifZero = indexes.map((index): Operation => [index, 0, IPC_NOWAIT]);
  const hold: Operation = [isExclusive ? LOCK : READERS, +1, SEM_UNDO];
  const mark: Operation[] = isExclusive ? [[MARK, +1, 0]] : [];
  return {
    afterUnlock: Operations.of(
      ...ifZero,
      [MARK, 0, IPC_NOWAIT],
      hold,
      ...mark,
      ...more,
    ),
    afterDeath: Operations.of(
      ...ifZero,
      [MARK, -1, IPC_NOWAIT], // the mark is 1,
      [MARK, +1, 0], // and stays so
      hold,
      ...more,
    ),
  };
}

/** A kind of lock: which semaphore sets are one. */
export interface LockKind {
  /** Name used in error messages. */
  readonly name: string;
  /** The number of semaphores. It differs between kinds. */
  readonly size: number;
  /** Whether a lock of this kind can have these values. */
  readonly isSound: (values: Uint16Array) => boolean;
}

/** The set of a lock that one object has open. */
export class LockSet extends SetHandle {
  #reviewAt = 0;
  // The process with the turn, and since when each review has found the lock idle.
  #idle: { readonly pid: number; readonly since: number } | undefined;

  /** `semget(key, size, IPC_CREAT | IPC_EXCL | mode)` */
  static create(
    kind: LockKind,
    key: number | null,
    options?: LockCreateOptions,
  ): LockSet {
    const number = cKey(key, true);
    const flags = IPC_CREAT | IPC_EXCL | modeOf(options);
    const id = lockId(kind, number, flags);
    return new LockSet(id, number, kind.size, subjectOf(kind.name, number));
  }

  /** `semget(key, size, 0)` */
  static open(kind: LockKind, key: number): LockSet {
    return withKey(kind, cKey(key, false), 0);
  }

  /** `semget(key, size, IPC_CREAT | mode)` */
  static openOrCreate(
    kind: LockKind,
    key: number,
    options?: LockCreateOptions,
  ): LockSet {
    const number = cKey(key, false);
    return withKey(kind, number, IPC_CREAT | modeOf(options));
  }

  /** `semctl(id, 0, IPC_STAT, ...)` */
  static fromId(kind: LockKind, id: number): LockSet {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    return existing(kind, id, `${kind.name} id ${id}`);
  }

  /** Locks without waiting: whether the previous owner died, undefined if it is locked. */
  tryLock(operations: LockOperations): boolean | undefined {
    this.closing.checkOpen();
    if (this.operate(operations.afterUnlock)) return false;
    if (this.operate(operations.afterDeath)) return true;
    this.#reviewTurn();
    return undefined;
  }

  /** Takes back what this process has added. Fails if the values were reset. */
  unlock(operations: Operations): void {
    if (!this.operate(operations)) throw this.failure(EPERM, "semop");
  }

  /** The same, ignoring errors. */
  withdraw({ sembufs, count }: Operations): void {
    sysSem().semop(this.id, sembufs, count);
  }

  /** `semctl(id, index, GETVAL)` */
  getValue(index: number): number {
    return this.get(index, GETVAL);
  }

  /** Whether it was this process that took or gave the turn last. */
  get hasOwnTurn(): boolean {
    return sysSem().semctl(this.id, TURN, GETPID) === runtime.pid;
  }

  /** The process that owns the lock; undefined if none does. */
  get ownerPid(): number | undefined {
    const pid = this.get(MARK, GETPID);
    return this.getValue(LOCK) === 0 ? undefined : pid;
  }

  /**
   * Takes the turn from a waiter that does not use it: it is stopped, was in a Worker
   * that was terminated, or belongs to this thread, which blocks. If that waiter goes on,
   * it waits again.
   */
  #reviewTurn(): void {
    const now = performance.now();
    if (this.#idle === undefined && now < this.#reviewAt) return;
    this.#reviewAt = now + REVIEW;
    const pid = this.#idlePid();
    if (pid === undefined) {
      this.#idle = undefined;
    } else if (this.#idle?.pid !== pid) {
      this.#idle = { pid, since: now };
    } else if (now >= this.#idle.since + REVIEW) {
      sysSem().semctl_val(this.id, TURN, SETVAL, 0);
      this.#idle = undefined;
    }
  }

  /** The process with the turn, if the lock is idle; undefined if that is unknown. */
  #idlePid(): number | undefined {
    const { semctl, semctl_array } = sysSem();
    const values = new Uint16Array(this.size);
    if (semctl_array(this.id, 0, GETALL, values) === -1) return undefined;
    const isIdle = values[TURN] !== 0 && values[LOCK] === 0 &&
      (values[READERS] ?? 0) === 0;
    return isIdle ? semctl(this.id, TURN, GETPID) : undefined;
  }
}

function modeOf(options: LockCreateOptions | undefined): number {
  const mode = options?.mode ?? 0o600;
  checkMode(mode);
  return mode;
}

/** `semget(key, size, flags)`, which also tells a set with fewer semaphores. */
function lockId(kind: LockKind, key: number, flags: number): number {
  const subject = subjectOf(kind.name, key);
  try {
    return getId(key, kind.size, flags, subject);
  } catch (error) {
    if ((error as Partial<IpcError>).errno === EINVAL) {
      const id = sysSem().semget(key, 0, 0);
      if (id !== -1) existing(kind, id, subject);
    }
    throw error;
  }
}

/** The set with this key. Once more, if it is removed before it is read. */
function withKey(kind: LockKind, key: number, flags: number): LockSet {
  const subject = subjectOf(kind.name, key);
  for (;;) {
    const set = unless(
      EIDRM,
      () => existing(kind, lockId(kind, key, flags), subject),
    );
    if (set !== undefined) return set;
  }
}

/** The set with this identifier, if it is a lock of this kind. */
function existing(kind: LockKind, id: number, subject: string): LockSet {
  const object = new SysvObject(SEMAPHORE_SETS, id, subject);
  const { key, size } = statOf(object.stat());
  let content = `${size} semaphores`;
  if (size === kind.size) {
    const set = new LockSet(id, key, size, subject);
    const values = set.getAll();
    if (kind.isSound(values)) return set;
    content = `the values ${values.join(", ")}`;
  }
  throw new TypeError(
    `Cannot open ${subject}: the semaphore set is not a ${kind.name}, it has ${content}`,
  );
}
