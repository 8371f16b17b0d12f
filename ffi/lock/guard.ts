// What was taken of a lock that survives its holder's death.

import { checkInternal } from "../internal.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO } from "../libc/sys_sem.ts";
import { ClosedError } from "../errors.ts";
import { LOCK, type LockSet, MARK, Operations, READERS } from "./lock_set.ts";

/**
 * What {@linkcode SharedRwLock.lockRead} and its siblings give. Disposing of it
 * unlocks, once.
 */
export interface SharedReadGuard extends Disposable {
  /**
   * `EOWNERDEAD`: the last process that had the lock for itself has ended without
   * unlocking it. What the lock guards may be half changed.
   *
   * A reader cannot repair it, because others read at the same time: it releases
   * the guard and takes the lock to write. Until somebody has done that, all are
   * told.
   */
  readonly previousOwnerDied: boolean;

  /**
   * `semop(id, ...)`: unlocks. Twice does nothing. It works after `close()` of the
   * lock, too.
   *
   * @throws {IpcError} EIDRM if the lock was removed in the meantime, EPERM if
   * somebody has reset its semaphores; who was excluded until now is unknown then.
   * EACCES if its mode was changed.
   */
  release(): void;
}

/**
 * What {@linkcode SharedMutex.lock}, {@linkcode SharedRwLock.lockWrite} and their
 * siblings give: nobody else has the lock. Disposing of it unlocks, once.
 */
export interface SharedMutexGuard extends SharedReadGuard {
  /**
   * `EOWNERDEAD`: the process that had the lock for itself before has ended without
   * unlocking it. What the lock guards may be half changed: repair it, then say so
   * with {@linkcode SharedMutexGuard.markConsistent}.
   */
  readonly previousOwnerDied: boolean;

  /**
   * `pthread_mutex_consistent(mutex)`: what the lock guards is whole again. Takes
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
}

const UNLOCK = new Operations(
  [LOCK, -1, IPC_NOWAIT | SEM_UNDO],
  [MARK, -1, IPC_NOWAIT],
);
const UNLOCK_MARKED = new Operations([LOCK, -1, IPC_NOWAIT | SEM_UNDO]);
const UNLOCK_READER = new Operations([READERS, -1, IPC_NOWAIT | SEM_UNDO]);

// The locks that guards of this thread hold, by their ids: the owned ones, and how
// many readers the others have here.
const owned = new Set<number>();
const read = new Map<number, number>();

/** Whether a guard of this thread owns the lock. */
export function isOwned({ id }: LockSet): boolean {
  return owned.has(id);
}

/** Whether a guard of this thread reads under the lock. */
export function isRead({ id }: LockSet): boolean {
  return read.has(id);
}

/** The guard of one of those who read. */
export class ReaderGuard implements SharedReadGuard {
  readonly #previousOwnerDied: boolean;
  readonly #set: LockSet;
  #locked = true;

  constructor(token: symbol, set: LockSet, previousOwnerDied: boolean) {
    checkInternal(token, "a guard", "a lock");
    this.#set = set;
    this.#previousOwnerDied = previousOwnerDied;
    read.set(set.id, (read.get(set.id) ?? 0) + 1);
  }

  get previousOwnerDied(): boolean {
    return this.#previousOwnerDied;
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #release(): void {
    if (!this.#locked) return;
    this.#locked = false;
    const { id } = this.#set;
    const others = read.get(id)! - 1;
    if (others === 0) read.delete(id);
    else read.set(id, others);
    this.#set.give(UNLOCK_READER);
  }
}

/** The guard of the one who has the lock for itself. */
export class OwnerGuard implements SharedMutexGuard {
  readonly #previousOwnerDied: boolean;
  readonly #set: LockSet;
  #consistent: boolean;
  #locked = true;

  constructor(token: symbol, set: LockSet, previousOwnerDied: boolean) {
    checkInternal(token, "a guard", "a lock");
    this.#set = set;
    this.#previousOwnerDied = previousOwnerDied;
    this.#consistent = !previousOwnerDied;
    owned.add(set.id);
  }

  get previousOwnerDied(): boolean {
    return this.#previousOwnerDied;
  }

  markConsistent(): void {
    if (!this.#locked) throw new ClosedError(`guard of ${this.#set.subject}`);
    this.#consistent = true;
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #release(): void {
    if (!this.#locked) return;
    this.#locked = false;
    owned.delete(this.#set.id);
    this.#set.give(this.#consistent ? UNLOCK : UNLOCK_MARKED);
  }
}
