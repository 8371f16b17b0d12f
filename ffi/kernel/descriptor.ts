// An owned file descriptor.

import { ClosedError } from "../errors.ts";
import { check, type Subject } from "../libc/errno.ts";
import {
  F_GETFL,
  F_SETFD,
  F_SETFL,
  fcntl,
  FD_CLOEXEC,
  O_NONBLOCK,
} from "../libc/fcntl.ts";
import { unistd } from "../libc/unistd.ts";
import { Liveness } from "./liveness.ts";

// The safety net for owners that were forgotten: a descriptor is closed when
// its owner is collected. (A mapping never is: views of it may be alive.)
const forgotten = new FinalizationRegistry<number>((fd) => {
  disown(fd);
  unistd().close(fd);
});

// What the objects of this thread will close. A number with two owners would be
// closed twice, the second time perhaps after the number was used again.
const owned = new Set<number>();

// Those that another program was given, which may use them from then on.
const handedOn = new Set<number>();

// What is called before one of them is closed or given away.
const closeListeners = new Map<number, () => void>();

/**
 * Calls `listener` right before the descriptor is closed or given away, if an object of
 * this thread owns it; else returns false. There is one listener: the wait engine,
 * which ends its waits.
 */
export function beforeClose(fd: number, listener: () => void): boolean {
  if (!owned.has(fd)) return false;
  closeListeners.set(fd, listener);
  return true;
}

// Those whose open files no other process has: O_NONBLOCK can stay set there.
const exclusive = new Set<number>();

/** Notes that no other process has the open file of a descriptor. */
export function makeExclusive(fd: number): void {
  exclusive.add(fd);
}

/** Whether that is so still. */
export function isExclusive(fd: number): boolean {
  return exclusive.has(fd);
}

function disown(fd: number): void {
  if (exclusive.has(fd)) makeBlocking(fd); // another process may get it next
  const listener = closeListeners.get(fd);
  closeListeners.delete(fd);
  handedOn.delete(fd);
  owned.delete(fd);
  listener?.();
}

/** Sets close-on-exec: programs that are started do not get the descriptor. */
export function closeOnExec(fd: number, subject: Subject): void {
  check(fcntl().fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl", subject);
}

/** Checks that a descriptor from elsewhere is not owned yet, and sets close-on-exec. */
export function takeOver(fd: number, subject: Subject): void {
  if (owned.has(fd)) {
    throw new TypeError(
      `Argument "fd" must not be owned yet: ${fd} belongs to an object of this module`,
    );
  }
  closeOnExec(fd, subject);
}

/**
 * Clears O_NONBLOCK of a descriptor that this thread owns, before another program gets
 * it: programs expect blocking descriptors. Descriptors of others stay as they are.
 */
export function makeBlocking(fd: number): void {
  if (!owned.has(fd)) return;
  exclusive.delete(fd);
  const { fcntl: call } = fcntl();
  const flags = call(fd, F_GETFL, 0);
  if (flags !== -1 && (flags & O_NONBLOCK) !== 0) {
    call(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
}

/** Notes that another program was given a descriptor, if this thread owns it. */
export function handOn(fd: number): void {
  if (owned.has(fd)) handedOn.add(fd);
}

/** Whether another program was given a descriptor that this thread owns. */
export function isHandedOn(fd: number): boolean {
  return handedOn.has(fd);
}

/** A file descriptor that is closed exactly once. */
export class Descriptor implements Disposable {
  readonly liveness: Liveness = new Liveness();
  #fd: number;
  readonly subject: string;

  /** Takes over `fd`; `subject` is the name used in error messages. */
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
   * Clears close-on-exec while `spawn` runs, so that its child processes inherit this
   * descriptor under the same number, and blocking.
   */
  inherit<T>(spawn: (fd: number) => T): T {
    const { fcntl: call } = fcntl();
    const fd = this.fd;
    makeBlocking(fd);
    check(call(fd, F_SETFD, 0), "fcntl", this.subject);
    const before = isHandedOn(fd);
    handOn(fd); // first: `spawn` may close it
    try {
      return spawn(fd);
    } catch (error) {
      if (this.#fd === fd && !before) handedOn.delete(fd);
      throw error;
    } finally {
      if (this.#fd === fd) call(fd, F_SETFD, FD_CLOEXEC);
    }
  }

  /** Gives the descriptor away: the caller closes it. */
  detach(): number {
    const fd = this.fd;
    this.#fd = -1;
    forgotten.unregister(this);
    disown(fd);
    return fd;
  }

  close(): void {
    if (this.#fd === -1) return;
    const fd = this.detach();
    // Linux releases the number even when close reports an error, and what it
    // could report (a failed write-back) concerns none of our kinds of file.
    unistd().close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
