// Telling the waits of an object that it is closed.

import { ClosedError } from "../errors.ts";
import { Liveness } from "./liveness.ts";

/** What ends the waits of an object before their time. */
export interface Ending {
  /** Whether the waits keep the program alive. */
  readonly liveness: Liveness;
  /** Calls `listener` when the waits are to try again, until what this returns is called. */
  listen(listener: () => void): () => void;
}

/** Whether an object is closed, for its waits. */
export class Closing implements Ending {
  /** Of the waits. Replaced by that of the object that this one takes the place of. */
  liveness: Liveness = new Liveness();
  readonly #subject: string;
  readonly #listeners = new Set<() => void>();
  #closed = false;

  constructor(subject: string) {
    this.#subject = subject;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws when the object is closed. */
  checkOpen(): void {
    if (this.#closed) throw new ClosedError(this.#subject);
  }

  /** Calls `listener` when the object is closed, until what this returns is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Closes the object: its waits try again, and find it closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }
}
