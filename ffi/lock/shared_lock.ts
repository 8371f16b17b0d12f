// What the three locks have in common: a semaphore set, found by its identifier.

import { inspectAs } from "../inspect_object.ts";
import { checkInternal } from "../internal.ts";
import type { LockSet } from "./lock_set.ts";

/** The semaphore set of a lock. For this module alone. */
export let setOf: (lock: SharedLock) => LockSet;

/**
 * The base class of {@linkcode SharedMutex}, {@linkcode SharedRwLock} and
 * {@linkcode SharedCondition}: a System V semaphore set.
 */
export abstract class SharedLock implements Disposable {
  readonly #set: LockSet;

  /**
   * Made by this module alone.
   *
   * @ignore
   */
  protected constructor(token: symbol, name: string, set: LockSet) {
    checkInternal(token, name, "create() or open()");
    this.#set = set;
  }

  static {
    setOf = (lock) => lock.#set;
  }

  /** The identifier of the set: the same in every process. It is not the key. */
  get id(): number {
    return this.#set.id;
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: removes the set. Waits of all processes end with EIDRM,
   * and so does `release()` of a guard.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator of the set,
   * EIDRM if it was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#set.remove();
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#set.closing.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#set.closing.liveness.unref();
  }

  /**
   * Closes this object. The set stays, and so do the guards. Pending waits end with a
   * ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#set.closing.close();
  }

  /** Closes this object; the set and the guards stay. */
  [Symbol.dispose](): void {
    this.#set.closing.close();
  }

  static {
    inspectAs(this, (lock) => lock.#set.shown);
  }
}
