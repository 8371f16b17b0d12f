// What all objects have in common that own a descriptor.

import { checkInternal, type internal } from "../internal.ts";
import type { Descriptor } from "./descriptor.ts";

/** The descriptor of an object. For this module alone. */
export let descriptorOf: (owner: DescriptorOwner) => Descriptor;

/** An object that owns a descriptor. It is not made by itself. */
export abstract class DescriptorOwner implements Disposable {
  readonly #descriptor: Descriptor;

  /** Made by this module alone. */
  protected constructor(
    token: typeof internal,
    name: string,
    descriptor: Descriptor,
  ) {
    checkInternal(token, name);
    this.#descriptor = descriptor;
  }

  static {
    descriptorOf = (owner) => owner.#descriptor;
  }

  /**
   * The number of the descriptor. This object keeps the ownership.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `fcntl(fd, F_SETFD, 0)` while `spawn` runs: processes that it starts inherit the
   * descriptor, under the same number, and blocking.
   *
   * A process that another thread starts in that moment inherits it, too.
   *
   * @param spawn Starts the process, and gets the number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this object is closed.
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /**
   * Gives the descriptor away, such as to the `fromFd()` of another class or to
   * `node:net`. The caller closes it; this object is closed. Pending waits end with a
   * ClosedError.
   *
   * @returns The number of the descriptor.
   * @throws {ClosedError} If this object is closed.
   */
  detach(): number {
    return this.#descriptor.release();
  }

  /** `close(2)`. Closing twice does nothing. Pending waits end with a ClosedError. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this object. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}
