// splice(2) and tee(2): moving and copying bytes between descriptors, in the kernel.

import { checkInteger } from "./arguments.ts";
import {
  EAGAIN,
  EFBIG,
  errno,
  ipcError,
  isInterruption,
} from "./libc/errno.ts";
import {
  F_GETPIPE_SZ,
  fcntl,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
} from "./libc/fcntl.ts";
import { POLLIN, POLLOUT } from "./libc/poll.ts";
import { resourceLimit, RLIMIT_FSIZE } from "./libc/sys_resource.ts";
import { S_IFMT, S_IFREG, statusOfFd } from "./libc/sys_stat.ts";
import { MAX_COUNT, SEEK_CUR, unistd } from "./libc/unistd.ts";
import { attempt } from "./wait/attempt.ts";
import { withoutBlocking } from "./wait/nowait.ts";
import { type DescriptorLike, waitableOf } from "./wait/descriptors.ts";
import { limitsOf, type WaitOptions } from "./wait/options.ts";
import { eventsNow } from "./wait/poll.ts";
import type { Waitable } from "./wait/reactor.ts";
import { SeveralSource, type Wanted } from "./wait/several.ts";

/** Options of {@linkcode splice}. */
export interface SpliceOptions extends WaitOptions {
  /**
   * `off_in`: the position in the source, in bytes. The position of the file itself is
   * then neither used nor changed. The source must be a file.
   *
   * @default {the position of the file itself}
   */
  sourceOffset?: number | undefined;
  /**
   * `off_out`: the position in the target, in bytes. The position of the file itself is
   * then neither used nor changed. The target must be a file.
   *
   * @default {the position of the file itself}
   */
  targetOffset?: number | undefined;
}

/** splice(2) or tee(2): the number of bytes, 0 at the end, or -1 with errno. */
type Mover = (from: number, to: number) => number;

/** What to wait for: the side that is not ready, and the close() of the other one. */
function notReady(from: Waitable, to: Waitable): Wanted[] {
  const readable = eventsNow(from.fd, POLLIN) !== 0;
  return [
    { ...from, events: readable ? 0 : POLLIN },
    { ...to, events: readable ? POLLOUT : 0 },
  ];
}

/** splice and tee have a flag for pipes. */
function isPipe(fd: number): boolean {
  return fcntl().fcntl(fd, F_GETPIPE_SZ, 0) !== -1;
}

function moveOnce(
  mover: Mover,
  syscall: string,
  from: Waitable,
  to: Waitable,
): number | undefined {
  for (;;) {
    const count = mover(from.fd, to.fd);
    if (count !== -1) return count;
    const error = errno();
    if (error === EAGAIN) return undefined;
    if (!isInterruption(error)) {
      throw ipcError(error, syscall, `${from.subject} to ${to.subject}`);
    }
  }
}

async function move(
  mover: Mover,
  syscall: string,
  source: DescriptorLike,
  target: DescriptorLike,
  options: WaitOptions | undefined,
): Promise<number | null> {
  const limits = limitsOf(options);
  const sides = new SeveralSource(syscall);
  const count = await attempt(sides, () => {
    // On each try: an object may be closed now, and its number used again.
    const from = waitableOf(source, "source");
    const to = waitableOf(target);
    const other = [from, to].find(({ fd }) => !isPipe(fd));
    const call = () => moveOnce(mover, syscall, from, to);
    const count = other === undefined
      ? call()
      : withoutBlocking(other.fd, call);
    // errno does not tell which of the two was not ready.
    if (count === undefined) sides.wanted = notReady(from, to);
    return count;
  }, limits);
  return count === 0 ? null : count;
}

function checkLength(length: number): void {
  checkInteger("length", length, 1, MAX_COUNT, "MAX_RW_COUNT of the kernel");
}

/** A position in a file as C's `off_t *`; null for the position of the file itself. */
function offsetOf(
  name: string,
  offset: number | undefined,
): BigInt64Array<ArrayBuffer> | null {
  if (offset === undefined) return null;
  const max = Number.MAX_SAFE_INTEGER;
  checkInteger(name, offset, 0, max, "off_t, as an exact number");
  return BigInt64Array.of(BigInt(offset));
}

/**
 * At most how many bytes a file can take at a position: up to RLIMIT_FSIZE. At the limit
 * the kernel sends SIGXFSZ, also to a splice that has moved something before.
 */
function roomIn(
  fd: number,
  offset: bigint | undefined,
  length: number,
): number {
  const limit = resourceLimit("RLIMIT_FSIZE", RLIMIT_FSIZE);
  const position = offset ?? unistd().lseek(fd, 0n, SEEK_CUR); // -1: not a file
  const room = BigInt(limit.value) - position;
  if (room >= length) return length;
  const subject = `descriptor ${fd}`;
  if ((statusOfFd(fd, subject).stx_mode & S_IFMT) !== S_IFREG) return length;
  if (room > 0n) return Number(room);
  throw ipcError(EFBIG, "splice", subject, limit);
}

/**
 * `splice(source, off_in, target, off_out, length, SPLICE_F_MOVE | SPLICE_F_NONBLOCK)`:
 * moves bytes between descriptors without copying them through this process.
 *
 * One of the two must be a pipe or FIFO. The other one may be a file, a socket, or a
 * pipe.
 *
 * A descriptor that is no pipe has `O_NONBLOCK` during the call, also for other processes
 * that share it.
 *
 * @param source Where to read: an object of this module, or a descriptor number.
 * @param target Where to write: an object of this module, or a descriptor number.
 * @param length The maximum number of bytes to move, at least 1.
 * @param options `sourceOffset` and `targetOffset`, positions in a file in bytes;
 * `timeout` in milliseconds, and `signal`.
 * @returns The number of bytes moved, at least 1, or null at the end of the source.
 * @throws {RangeError} If the length or an offset is out of range.
 * @throws {ClosedError} If one of the two is closed.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EINVAL if neither is a pipe, if both are the same pipe,
 * or if the target is open with `O_APPEND`; EBADF if they are not open for reading and
 * writing; ESPIPE or EINVAL if an offset is given for what is not a file; EPIPE if all
 * readers of the target have closed; EFBIG if the target is a file, and the position is at
 * RLIMIT_FSIZE or beyond; ENOSPC if its file system is full.
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
  options?: SpliceOptions,
): Promise<number | null> {
  checkLength(length);
  const { sourceOffset, targetOffset } = options ?? {};
  const from = offsetOf("sourceOffset", sourceOffset);
  const to = offsetOf("targetOffset", targetOffset);
  const flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK;
  const mover: Mover = (sourceFd, targetFd) => {
    const count = roomIn(targetFd, to?.[0], length);
    return fcntl().splice(sourceFd, from, targetFd, to, count, flags);
  };
  return await move(mover, "splice", source, target, options);
}

/**
 * `tee(source, target, length, SPLICE_F_NONBLOCK)`: copies bytes from one pipe to
 * another without consuming them.
 *
 * @param source The pipe to copy from: its read end, or a descriptor number.
 * @param target The pipe to copy to: its write end, or a descriptor number.
 * @param length The maximum number of bytes to copy, at least 1.
 * @param options `timeout` in milliseconds, and `signal`.
 * @returns The number of bytes copied, at least 1, or null at the end of the source.
 * @throws {RangeError} If the length is out of range.
 * @throws {ClosedError} If one of the two is closed.
 * @throws {DOMException} `TimeoutError` if the timeout has passed.
 * @throws {IpcError} EINVAL if one of them is not a pipe, or both are the same pipe;
 * EBADF if they are not open for reading and writing; EPIPE if all readers of the target
 * have closed.
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
  checkLength(length);
  const mover: Mover = (from, to) =>
    fcntl().tee(from, to, length, SPLICE_F_NONBLOCK);
  return await move(mover, "tee", source, target, options);
}
