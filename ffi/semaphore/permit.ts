// The permit that a semaphore hands out.

import { inspectAs } from "../inspect_object.ts";
import { checkInternal } from "../internal.ts";

/** A permit that was taken from a semaphore. Disposing of it gives it back, once. */
export interface SemaphorePermit extends Disposable {
  /**
   * `sem_post(sem)` or `semop(id, ...)`: gives the permit back. A second call does
   * nothing.
   *
   * @throws {ClosedError} If the semaphore's object is closed.
   * @throws {IpcError} As the semaphore's own `release()`.
   */
  release(): void;
}

/** A permit that calls its semaphore once to be given back. */
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

  static {
    inspectAs(this, (permit) => ({
      released: permit.#giveBack === undefined,
    }), () => "SemaphorePermit");
  }

  #release(): void {
    const giveBack = this.#giveBack;
    this.#giveBack = undefined;
    giveBack?.();
  }
}
