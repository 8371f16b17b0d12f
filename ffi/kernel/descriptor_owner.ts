// The base of all classes that own a file descriptor, and what taking over, pairing and
// handing over descriptors has in common.

import { checkFd } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, type internal } from "../internal.ts";
import { type Descriptor, isExclusive, makeBlocking } from "./descriptor.ts";
import type { Liveness } from "./liveness.ts";

/** Options of `fromFd()`. */
export interface FromFdOptions {
  /**
   * Name used in error messages, such as the path of a FIFO.
   *
   * @default {`descriptor ${fd}`}
   */
  name?: string | undefined;
}

/** Checks a descriptor to take over; returns its name for error messages. */
export function subjectOf(
  fd: unknown,
  options: FromFdOptions | undefined,
): string {
  checkFd(fd);
  const subject = options?.name ?? `descriptor ${fd}`;
  if (typeof subject === "string") return subject;
  throw new TypeError('Argument "name" must be a string');
}

/** Two sides that are connected to each other. */
export interface Pair<Side> extends Readonly<[Side, Side]>, Disposable {
  /** Closes both sides. */
  close(): void;
}

/** Adds `close()` and `[Symbol.dispose]()`, which close all parts, and freezes it. */
export function owning<T extends object>(
  object: T,
  ...parts: readonly Disposable[]
): T & Disposable & { close(): void } {
  const close = () => {
    for (const part of parts) part[Symbol.dispose]();
  };
  const methods = { close, [Symbol.dispose]: close };
  return Object.freeze(Object.assign(object, methods));
}

/** The descriptor of an object. For this module alone. */
export let descriptorOf: (owner: DescriptorOwner) => Descriptor;

/** The descriptor of an object; undefined if it is not of this module. */
export let descriptorIn: (target: object) => Descriptor | undefined;

/** Whether waits for an object keep the program alive; undefined if it is not ours. */
export function livenessOf(target: object): Liveness | undefined {
  return descriptorIn(target)?.liveness;
}

/** An object that owns a descriptor: the base of several classes. */
export abstract class DescriptorOwner implements Disposable {
  readonly #descriptor: Descriptor;

  /**
   * Made by this module alone.
   *
   * @ignore
   */
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
    descriptorIn = (target) =>
      #descriptor in target ? target.#descriptor : undefined;
  }

  /**
   * The number of the descriptor. This object keeps the ownership.
   *
   * Keep the object as long as the number is in use. If nothing refers to the object any
   * more, the garbage collector closes the descriptor, and the number may become that of
   * another file. `detach()` gives the descriptor away for good.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get fd(): number {
    const { fd } = this.#descriptor;
    if (isExclusive(fd)) makeBlocking(fd); // who has the number can hand it on
    return fd;
  }

  /**
   * `fcntl(fd, F_SETFD, 0)` while `spawn` runs: processes that it starts inherit the
   * descriptor, under the same number, and blocking.
   *
   * It stays blocking there, whichever methods are called here. (FIFOs and listeners are
   * non-blocking during a call here that does not wait: a call of the other process that
   * begins in that moment can fail with EAGAIN.)
   *
   * A process that another thread starts in that moment inherits it, too. Close this
   * object afterwards if only the child is to have the descriptor: as long as this
   * process keeps it open, the peer does not see the end.
   *
   * @param spawn Starts the process before it returns or first awaits. Its argument is
   * the number of the descriptor.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this object is closed.
   *
   * @example A child that writes into a pipe
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { assertEquals } from "@std/assert";
   *
   * const { reader, writer } = pipe();
   * const child = writer.inherit((fd) =>
   *   new Deno.Command("sh", {
   *     args: ["-c", `echo hello > /proc/self/fd/${fd}`],
   *   }).spawn()
   * );
   * writer.close(); // the child has its own
   * assertEquals(await reader.read(new Uint8Array(16)), 6);
   * assertEquals(await reader.read(new Uint8Array(16)), null); // the child has ended
   * reader.close();
   * await child.status;
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
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
    return this.#descriptor.detach();
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#descriptor.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#descriptor.liveness.unref();
  }

  /** `close(2)`. Closing twice does nothing. Pending waits end with a ClosedError. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this object. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }

  static {
    inspectAs(this, (owner) => {
      const { closed, subject: name } = owner.#descriptor;
      return closed
        ? { name, closed }
        : { name, fd: owner.#descriptor.fd, closed };
    });
  }
}
