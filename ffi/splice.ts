// splice(2) and tee(2): moving and copying bytes between descriptors, in the kernel.

import { checkInteger } from "./arguments.ts";
import { EAGAIN, EINTR, errno, ipcError } from "./libc/errno.ts";
import { fcntl, SPLICE_F_MOVE, SPLICE_F_NONBLOCK } from "./libc/fcntl.ts";
import { pollfd, POLLIN, POLLOUT } from "./libc/poll.ts";
import { MAX_COUNT } from "./libc/unistd.ts";
import { attempt } from "./wait/attempt.ts";
import { type DescriptorLike, waitableOf } from "./wait/descriptors.ts";
import { makeNonblocking } from "./wait/nowait.ts";
import { limitsOf, type WaitOptions } from "./wait/options.ts";
import { pollNow, type Waitable } from "./wait/reactor.ts";
import { SeveralSource, type Wanted } from "./wait/several.ts";

/** splice(2) or tee(2): the number of bytes, 0 at the end, or -1 with errno. */
type Mover = (from: number, to: number, length: number) => number;

function isReadable({ fd }: Waitable): boolean {
  const request = pollfd.encode({ fd, events: POLLIN, revents: 0 });
  pollNow(request, 1);
  return pollfd.decode(request).revents !== 0;
}

/** What to wait for: the side that is not ready, and the close() of the other one. */
function notReady(from: Waitable, to: Waitable): Wanted[] {
  const readable = isReadable(from);
  return [
    { ...from, events: readable ? 0 : POLLIN },
    { ...to, events: readable ? POLLOUT : 0 },
  ];
}

async function move(
  mover: Mover,
  syscall: string,
  source: DescriptorLike,
  target: DescriptorLike,
  length: number,
  options: WaitOptions | undefined,
): Promise<number | null> {
  checkInteger("length", length, 1, MAX_COUNT, "MAX_RW_COUNT of the kernel");
  const limits = limitsOf(options);
  const sides = new SeveralSource(syscall);
  const count = await attempt(sides, () => {
    // On each try: an object may be closed now, and its number used again.
    const from = waitableOf(source);
    const to = waitableOf(target);
    const count = moveOnce(mover, syscall, from, to, length);
    // errno does not tell which of the two was not ready.
    if (count === undefined) sides.wanted = notReady(from, to);
    return count;
  }, limits);
  return count === 0 ? null : count;
}

function moveOnce(
  mover: Mover,
  syscall: string,
  from: Waitable,
  to: Waitable,
  length: number,
): number | undefined {
  // SPLICE_F_NONBLOCK does not apply to a socket or terminal on the other side.
  makeNonblocking(from.fd);
  makeNonblocking(to.fd);
  for (;;) {
    const count = mover(from.fd, to.fd, length);
    if (count !== -1) return count;
    const error = errno();
    if (error === EAGAIN) return undefined;
    if (error !== EINTR) {
      throw ipcError(error, syscall, `${from.subject} to ${to.subject}`);
    }
  }
}

/**
 * `splice(source, NULL, target, NULL, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)`:
 * moves bytes between descriptors without copying them through this process. One of
 * the two must be a pipe or FIFO. Both are made non-blocking (`O_NONBLOCK`), also for
 * other processes that share them.
 *
 * @param source Where to read: an object of this module, or a descriptor number.
 * @param target Where to write: an object of this module, or a descriptor number.
 * @param length The maximum number of bytes to move, at least 1.
 * @param options `timeout` in milliseconds, and `signal`.
 * @returns The number of bytes moved, at least 1, or null at the end of the source.
 * @throws {RangeError} If the length is out of range.
 * @throws {ClosedError} If one of the two is closed.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EINVAL if neither is a pipe, if both are the same pipe,
 * or if the target is open with `O_APPEND`; EBADF if they are not open for reading and
 * writing; EPIPE if all readers of the target have closed.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example From one pipe to another
 * ```ts
 * import { pipe, splice } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * using one = pipe();
 * using two = pipe();
 * one.writer.writeSync(Uint8Array.of(1, 2, 3));
 * assertEquals(await splice(one.reader, two.writer, 65536), 3);
 * assertEquals(two.reader.available, 3);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/splice.2.html | splice(2)}
 */
export async function splice(
  source: DescriptorLike,
  target: DescriptorLike,
  length: number,
  options?: WaitOptions,
): Promise<number | null> {
  const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  const mover: Mover = (from, to, length) =>
    fcntl().splice(from, null, to, null, length, flags);
  return await move(mover, "splice", source, target, length, options);
}

/**
 * `tee(source, target, length, SPLICE_F_NONBLOCK)`: copies bytes from one pipe to
 * another without consuming them. Both are made non-blocking (`O_NONBLOCK`), also for
 * other processes that share them.
 *
 * @param source The pipe to copy from: its read end, or a descriptor number.
 * @param target The pipe to copy to: its write end, or a descriptor number.
 * @param length The maximum number of bytes to copy, at least 1.
 * @param options `timeout` in milliseconds, and `signal`.
 * @returns The number of bytes copied, at least 1, or null at the end of the source.
 * @throws {RangeError} If the length is out of range.
 * @throws {ClosedError} If one of the two is closed.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EINVAL if one of them is not a pipe, or both are the same pipe.
 * @throws The reason of the signal, if it is aborted.
 *
 * @example Copy and keep
 * ```ts
 * import { pipe, tee } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * using one = pipe();
 * using copy = pipe();
 * one.writer.writeSync(Uint8Array.of(1, 2, 3));
 * assertEquals(await tee(one.reader, copy.writer, 65536), 3);
 * assertEquals(one.reader.available, 3);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/tee.2.html | tee(2)}
 */
export async function tee(
  source: DescriptorLike,
  target: DescriptorLike,
  length: number,
  options?: WaitOptions,
): Promise<number | null> {
  const mover: Mover = (from, to, length) =>
    fcntl().tee(from, to, length, SPLICE_F_NONBLOCK);
  return await move(mover, "tee", source, target, length, options);
}
