/**
 * Waiting: `epoll(7)`, for any of several descriptors, and for those that are not
 * this module's.
 *
 * **Choose this** when a program does not know which of its pipes, FIFOs, sockets
 * or queues will be ready first, or when it has a descriptor from elsewhere. It
 * takes no thread, however many wait: all waits of a thread share one epoll.
 *
 * **Choose something else** for one object of this module: its own asynchronous
 * methods wait in the same way, and there `Promise.race` would lose what the
 * slower ones read.
 *
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { waitAny } from "@linux/ipc/wait";
 *
 * using one = pipe();
 * using two = pipe();
 * two.writer.writeSync(Uint8Array.of(1));
 * const first = await waitAny([one.reader, two.reader], { timeout: 1000 });
 * console.log(first === two.reader, first.tryRead(new Uint8Array(8))); // true 1
 * ```
 *
 * @module
 */

import { EBADF, ipcError } from "./libc/errno.ts";
import { pollfd, POLLIN, POLLNVAL, POLLOUT } from "./libc/poll.ts";
import { attempt } from "./wait/attempt.ts";
import {
  type DescriptorLike,
  noDescriptor,
  waitableOf,
} from "./wait/descriptors.ts";
import { limitsOf, type WaitOptions } from "./wait/options.ts";
import { pollNow } from "./wait/poll.ts";
import { SeveralSource, type Wanted } from "./wait/several.ts";

export type {
  /** The number of a descriptor, or an object that has one as `fd`. */
  DescriptorLike,
} from "./wait/descriptors.ts";
export type {
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";

/** A descriptor that {@linkcode waitAny} waits for: to read from it, or else to write to it. */
export type WaitTarget = DescriptorLike | { readonly writable: DescriptorLike };

function wantedOf(target: WaitTarget): Wanted {
  if (typeof target !== "object" || target === null || "fd" in target) {
    return { ...waitableOf(target), events: POLLIN };
  }
  // An object with a descriptor stands for it, also if it has another `writable`.
  const { writable } = target;
  if (writable === undefined) throw noDescriptor(target);
  return { ...waitableOf(writable), events: POLLOUT };
}

/** The index of the first that is ready now; -1 when none is. */
function firstReady(wanted: readonly Wanted[]): number {
  const table = new Uint8Array(pollfd.size * wanted.length);
  const rows = wanted.map(({ fd, events }, index) => {
    const row = pollfd.view(table, index * pollfd.size);
    row.fd = fd;
    row.events = events;
    return row;
  });
  pollNow(table, wanted.length);
  const unknown = rows.find((row) => (row.revents & POLLNVAL) !== 0);
  if (unknown !== undefined) throw ipcError(EBADF, "poll", unknown.fd);
  return rows.findIndex((row) => row.revents !== 0);
}

/**
 * `epoll_wait(2)` for several: waits until at least one is ready.
 *
 * Ready means that a try gives something: bytes, a message, a connection, the end,
 * or an error. Others who use the same descriptor may be faster, so try, and wait
 * again if there is nothing.
 *
 * @param targets What to wait for: objects of this module, or descriptor numbers,
 * to be readable; `{ writable: target }` to be writable. A regular file is always
 * ready.
 * @param options `timeout` in milliseconds, and `signal`.
 * @returns The first in the list that is ready.
 * @throws {TypeError} If the list is empty, or if something in it has no
 * descriptor.
 * @throws {RangeError} If a number is no descriptor's.
 * @throws {ClosedError} If one is closed, now or during the wait.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EBADF if a number is not an open descriptor's.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example The first of two that has something to say
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { waitAny } from "@linux/ipc/wait";
 * import { assertEquals } from "@std/assert";
 *
 * using one = pipe();
 * using two = pipe();
 * setTimeout(() => two.writer.tryWrite(Uint8Array.of(42)), 1);
 * assertEquals(await waitAny([one.reader, two.reader]), two.reader);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/epoll.7.html | epoll(7)}
 */
export async function waitAny<T extends WaitTarget>(
  targets: readonly T[],
  options?: WaitOptions,
): Promise<T> {
  const all = Array.from(targets);
  if (all.length === 0) {
    throw new TypeError('Argument "targets" must not be empty');
  }
  const limits = limitsOf(options);
  const source = new SeveralSource("one of several");
  const index = await attempt(source, () => {
    source.wanted = all.map(wantedOf); // each time: one may be closed by now
    const index = firstReady(source.wanted);
    return index === -1 ? undefined : index;
  }, limits);
  return all[index]!;
}

/**
 * `epoll_wait(2)` for `EPOLLIN`: waits until there is something to read, the end
 * and an error included.
 *
 * @param target A descriptor's number, or an object that has one.
 * @param options `timeout` in milliseconds, and `signal`.
 * @throws {RangeError} If the number is no descriptor's.
 * @throws {ClosedError} If the object is closed, now or during the wait.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EBADF if the number is not an open descriptor's.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example A descriptor that came from elsewhere
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { waitReadable } from "@linux/ipc/wait";
 *
 * using ends = pipe();
 * const fd: number = ends.reader.fd;
 * setTimeout(() => ends.writer.tryWrite(Uint8Array.of(1)), 1);
 * await waitReadable(fd, { timeout: 1000 });
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/epoll.7.html | epoll(7)}
 */
export async function waitReadable(
  target: DescriptorLike,
  options?: WaitOptions,
): Promise<void> {
  await waitAny([target], options);
}

/**
 * `epoll_wait(2)` for `EPOLLOUT`: waits until there is room to write, or an error.
 *
 * @param target A descriptor's number, or an object that has one.
 * @param options `timeout` in milliseconds, and `signal`.
 * @throws {RangeError} If the number is no descriptor's.
 * @throws {ClosedError} If the object is closed, now or during the wait.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EBADF if the number is not an open descriptor's.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example Room in a pipe
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { waitWritable } from "@linux/ipc/wait";
 *
 * using ends = pipe();
 * await waitWritable(ends.writer);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/epoll.7.html | epoll(7)}
 */
export async function waitWritable(
  target: DescriptorLike,
  options?: WaitOptions,
): Promise<void> {
  await waitAny([{ writable: target }], options);
}
