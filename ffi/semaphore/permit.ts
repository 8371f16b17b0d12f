// What was taken from a semaphore.

import { checkInternal } from "../internal.ts";

/**
 * What was taken from a semaphore, of whatever family. Disposing of it gives it back,
 * once.
 */
export interface SemaphorePermit extends Disposable {
  /**
   * `sem_post(sem)` or `semop(id, ...)`: gives the permit back. Twice does nothing.
   *
   * @throws {ClosedError} If the semaphore's object is closed.
   * @throws {IpcError} As the semaphore's own `release()`.
   */
  release(): void;
}

/** A permit that its semaphore takes back. */
export class Permit implements SemaphorePermit {
  #giveBack: (() => void) | undefined;

  constructor(token: symbol, giveBack: () => void) {
    checkInternal(token, "a permit", "a semaphore");
    this.#giveBack = giveBack;
  }

  release(): void {
    this.#release();
  }

  [Symbol.dispose](): void {
    this.#release();
  }

  #release(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    giveBack?.();
  }
}
