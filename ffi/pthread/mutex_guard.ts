// What a thread has while it holds a mutex.

import { ClosedError } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { MutexWords } from "./mutex_words.ts";

/** The guard of the owner of a {@linkcode PthreadMutex}. Disposing of it unlocks, once. */
export interface PthreadGuard extends Disposable {
  /**
   * `EOWNERDEAD`: the previous owner of the robust mutex has ended without unlocking it.
   *
   * The data that the mutex guards may be half changed: repair it, then call
   * {@linkcode PthreadGuard.markConsistent}.
   */
  readonly ownerDied: boolean;

  /**
   * `pthread_mutex_consistent(mutex)`: states that the data is repaired.
   *
   * If the previous owner died, and the guard unlocks without this call, the mutex is not
   * recoverable any more: locking it fails with ENOTRECOVERABLE in all processes, until it
   * is initialised again. If the previous owner did not die, this does nothing.
   *
   * @throws {ClosedError} If the guard has unlocked already.
   * @throws {IpcError} EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_consistent.3.html | pthread_mutex_consistent(3)}
   */
  markConsistent(): void;

  /**
   * `pthread_mutex_unlock(mutex)`: unlocks. A second call does nothing. It also works after
   * `close()` of the memory, which stays mapped until then.
   *
   * @throws {IpcError} EPERM if the mutex was overwritten, and this thread is not its owner
   * any more; EFAULT if another process has truncated the memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/pthread_mutex_lock.3p.html | pthread_mutex_unlock(3)}
   */
  release(): void;
}

/** The guard as a condition sees it. */
export interface GuardState {
  /** The mutex that the guard holds. */
  readonly words: MutexWords;
  /**
   * Notes that the guard does not hold it for a while, or for ever. Returns whether it has
   * held it.
   */
  unlocked(): boolean;
  /** Notes that it holds it again. */
  locked(ownerDied: boolean): void;
}

/** The state of a guard that holds a mutex. For this module alone. */
export let stateOf: (guard: unknown) => GuardState;

/** A guard of a mutex that this thread holds. */
export class MutexGuard implements PthreadGuard {
  #words: MutexWords | undefined; // undefined when it has unlocked
  #ownerDied: boolean;

  constructor(token: symbol, words: MutexWords, ownerDied: boolean) {
    if (token !== internal) checkInternal(token, "a guard", "a mutex");
    this.#words = words;
    this.#ownerDied = ownerDied;
  }

  static {
    stateOf = (guard) => {
      if (Object(guard) !== guard || !(#words in (guard as MutexGuard))) {
        throw new TypeError(
          'Argument "guard" must be the guard of a PthreadMutex',
        );
      }
      const own = guard as MutexGuard;
      const words = own.#checkWords();
      return {
        words,
        unlocked() {
          const held = own.#words !== undefined;
          own.#words = undefined;
          return held;
        },
        locked(ownerDied) {
          own.#words = words;
          own.#ownerDied = ownerDied;
        },
      };
    };
    inspectAs(this, (guard) => ({
      ownerDied: guard.#ownerDied,
      released: guard.#words === undefined,
    }), () => "PthreadGuard");
  }

  get ownerDied(): boolean {
    return this.#ownerDied;
  }

  markConsistent(): void {
    this.#checkWords().markConsistent();
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #checkWords(): MutexWords {
    if (this.#words === undefined) throw new ClosedError("guard of a mutex");
    return this.#words;
  }

  #release(): void {
    const words = this.#words;
    this.#words = undefined;
    words?.unlock();
  }
}
