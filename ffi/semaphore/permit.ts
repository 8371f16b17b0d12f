// The permit that a semaphore hands out.

import { internal } from "../internal.ts";
import { Guard } from "../kernel/guard.ts";

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
export function permit(giveBack: () => void): SemaphorePermit {
  return new Guard(internal, "SemaphorePermit", giveBack);
}
