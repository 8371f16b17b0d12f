// An owned file descriptor.

import { ClosedError } from "../errors.ts";
import { check, type Subject } from "./errno.ts";
import {
  F_GETFL,
  F_SETFD,
  F_SETFL,
  fcntl,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "./fcntl.ts";
import { unistd } from "./unistd.ts";

// The safety net for owners that were forgotten: a descriptor is closed when
// its owner is collected. (A mapping never is: views of it may be alive.)
const forgotten = new FinalizationRegistry<number>((fd) => {
  owned.delete(fd);
  unistd().close(fd);
});

// What the objects of this thread will close. A number with two owners would be
// closed twice, and the second time it may be somebody else's.
const owned = new Set<number>();

/**
 * Called with each descriptor of this thread that is about to be closed: how the
 * waiting engine, which knows this file and not the reverse, ends its waits.
 */
export const closing: { listener: (fd: number) => void } = { listener() {} };

/** Programs that are started do not get the descriptor. */
export function closeOnExec(fd: number, subject: Subject): void {
  check(fcntl().fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", subject);
}

/** Makes sure that a descriptor from elsewhere can get an owner here. */
export function takeOver(fd: number, subject: Subject): void {
  if (owned.has(fd)) {
    throw new TypeError(
      `Argument "fd" must be nobody's: ${fd} belongs to an object of this module`,
    );
  }
  closeOnExec(fd, subject);
}

/** The object, which disposes of what it owns when it is disposed of. */
export function owning<T extends object>(
  object: T,
  ...parts: Disposable[]
): T & Disposable {
  return Object.assign(object, {
    [Symbol.dispose]() {
      for (const part of parts) part[Symbol.dispose]();
    },
  });
}

/** A file descriptor that is closed exactly once. */
export class Descriptor implements Disposable {
  #fd: number;
  #nonblocking = false;
  readonly subject: string;

  /** Takes over `fd`; `subject` is what errors call it. */
  constructor(fd: number, subject: string) {
    this.#fd = fd;
    this.subject = subject;
    owned.add(fd);
    forgotten.register(this, fd, this);
  }

  get fd(): number {
    this.checkOpen();
    return this.#fd;
  }

  /** Throws when the descriptor is closed. */
  checkOpen(): void {
    if (this.#fd === -1) throw new ClosedError(this.subject);
  }

  get closed(): boolean {
    return this.#fd === -1;
  }

  /**
   * From now on a call that would block says EAGAIN instead. A descriptor stays
   * blocking until something needs to wait without blocking the thread, because
   * a blocking call is one system call, and try, poll, try again are three.
   */
  makeNonblocking(): void {
    if (this.#nonblocking) return;
    const { fcntl: call } = fcntl();
    const flags = check(call(this.fd, F_GETFL, 0), "fcntl", this.subject);
    if ((flags & O_NONBLOCK) === 0) {
      check(
        call(this.fd, F_SETFL, flags | O_NONBLOCK),
        "fcntl",
        this.subject,
      );
    }
    this.#nonblocking = true;
  }

  /**
   * Runs `spawn`, whose child processes inherit this descriptor under the same
   * number: it is without close-on-exec for exactly that long. The child's view
   * of it is blocking, as every program expects of what it is given.
   */
  inherit<T>(spawn: (fd: number) => T): T {
    const { fcntl: call } = fcntl();
    const fd = this.fd;
    const flags = check(call(fd, F_GETFL, 0), "fcntl", this.subject);
    if ((flags & O_NONBLOCK) !== 0) {
      check(call(fd, F_SETFL, flags & ~O_NONBLOCK), "fcntl", this.subject);
      this.#nonblocking = false;
    }
    check(call(fd, F_SETFD, 0), "fcntl", this.subject);
    try {
      return spawn(fd);
    } finally {
      if (this.#fd === fd) call(fd, F_SETFD, FD_CLOEXEC);
    }
  }

  /** Gives the descriptor away: from now on it is the caller's to close. */
  release(): number {
    const fd = this.fd;
    closing.listener(fd);
    this.#fd = -1;
    owned.delete(fd);
    forgotten.unregister(this);
    return fd;
  }

  close(): void {
    if (this.#fd === -1) return;
    const fd = this.release();
    // Linux releases the number even when close reports an error, and what it
    // could report (a failed write-back) concerns none of our kinds of file.
    unistd().close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
