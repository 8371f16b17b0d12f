// Guards: what a thread holds while it has a lock.

import { ClosedError } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { Guard, isReleased } from "../kernel/guard.ts";
import { IPC_NOWAIT } from "../libc/sys_ipc.ts";
import { SEM_UNDO } from "../libc/sys_sem.ts";
import { Operations } from "../semaphore/operations.ts";
import { LOCK, type LockSet, MARK, READERS } from "./lock_set.ts";

/** The guard of a reader. Disposing of it unlocks, once. */
export interface ReadGuard extends Disposable {
  /**
   * `EOWNERDEAD`: the last exclusive owner of the lock has ended without unlocking it.
   * The data that the lock guards may be half changed.
   *
   * A reader cannot repair the data, because others read at the same time: it releases
   * the guard and locks to write. All readers and writers are told until a writer calls
   * {@linkcode LockGuard.markConsistent}.
   */
  readonly ownerDied: boolean;

  /**
   * `semop(id, ...)`: unlocks. A second call does nothing. It also works after `close()`
   * of the lock.
   *
   * @throws {IpcError} EIDRM if the lock was removed in the meantime; EPERM if its
   * semaphores were reset, so that there may have been other owners; EACCES if its mode
   * was changed.
   */
  release(): void;
}

/** The guard of an exclusive owner. Disposing of it unlocks, once. */
export interface LockGuard extends ReadGuard {
  /**
   * `EOWNERDEAD`: the previous exclusive owner has ended without unlocking the lock. The
   * data that the lock guards may be half changed: repair it, then call
   * {@linkcode LockGuard.markConsistent}.
   */
  readonly ownerDied: boolean;

  /**
   * `pthread_mutex_consistent(mutex)`: states that the data is repaired.
   *
   * Takes effect when the guard unlocks. Without this call the next owner is told, too,
   * as after a repair that fails.
   *
   * Does nothing if the previous owner did not die.
   *
   * @throws {ClosedError} If the guard has unlocked already.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_consistent.3.html | pthread_mutex_consistent(3)}
   */
  markConsistent(): void;
}

const UNLOCK = Operations.of(
  [LOCK, -1, IPC_NOWAIT | SEM_UNDO],
  [MARK, -1, IPC_NOWAIT],
);
const UNLOCK_MARKED = Operations.of([LOCK, -1, IPC_NOWAIT | SEM_UNDO]);
const UNLOCK_READER = Operations.of([READERS, -1, IPC_NOWAIT | SEM_UNDO]);

// The locks that guards of this thread hold, by their identifiers.
const owned = new Set<number>();
const readers = new Map<number, number>();

/** Whether a guard of this thread owns the lock. */
export function isOwned({ id }: LockSet): boolean {
  return owned.has(id);
}

/** Whether a guard of this thread reads under the lock. */
export function isRead({ id }: LockSet): boolean {
  return readers.has(id);
}

/** What the two guards have in common. */
class PreviousOwnerGuard extends Guard implements ReadGuard {
  readonly #ownerDied: boolean;

  constructor(token: symbol, ownerDied: boolean, unlock: () => void) {
    super(token, "a guard", unlock);
    this.#ownerDied = ownerDied;
  }

  get ownerDied(): boolean {
    return this.#ownerDied;
  }

  static {
    inspectAs(this, (guard) => ({
      ownerDied: guard.#ownerDied,
      released: isReleased(guard),
    }), (guard) => guard instanceof OwnerGuard ? "LockGuard" : "ReadGuard");
  }
}

/** The guard of a reader. */
export class ReaderGuard extends PreviousOwnerGuard {
  constructor(token: symbol, set: LockSet, ownerDied: boolean) {
    super(token, ownerDied, () => {
      const others = readers.get(set.id)! - 1;
      if (others === 0) readers.delete(set.id);
      else readers.set(set.id, others);
      set.unlock(UNLOCK_READER);
    });
    readers.set(set.id, (readers.get(set.id) ?? 0) + 1);
  }
}

/** The guard of an exclusive owner. */
export class OwnerGuard extends PreviousOwnerGuard implements LockGuard {
  readonly #subject: string;
  #consistent: boolean;

  constructor(token: symbol, set: LockSet, ownerDied: boolean) {
    super(token, ownerDied, () => {
      owned.delete(set.id);
      set.unlock(this.#consistent ? UNLOCK : UNLOCK_MARKED);
    });
    this.#subject = set.subject;
    this.#consistent = !ownerDied;
    owned.add(set.id);
  }

  markConsistent(): void {
    if (isReleased(this)) {
      throw new ClosedError(`guard of ${this.#subject}`);
    }
    this.#consistent = true;
  }
}
