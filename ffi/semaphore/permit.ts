// What was taken from a semaphore.

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
  #semaphore: { release(): void } | undefined;

  constructor(semaphore: { release(): void }) {
    this.#semaphore = semaphore;
  }

  release(): void {
    const semaphore = this.#semaphore;
    this.#semaphore = undefined;
    semaphore?.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
