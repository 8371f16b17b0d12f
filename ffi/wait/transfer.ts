// Moving bytes through a descriptor: blocking, trying, and waiting.

import { byteLengthOf, checkBytes, checkKept, viewOf } from "../arguments.ts";
import type { Descriptor } from "../kernel/descriptor.ts";
import { EAGAIN, errno, ipcError, isInterruption } from "../libc/errno.ts";
import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { MAX_COUNT, unistd } from "../libc/unistd.ts";
import { attempt, attemptSync, promised } from "./attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "./options.ts";
import { readNow, writeNow } from "./nowait.ts";
import { readySync } from "./poll.ts";
import { DescriptorSource } from "./reactor.ts";
import { isOverdue } from "./yield.ts";

const LARGE = 8; // deliveries that a write to a full pipe counts for

type Bytes = Uint8Array<ArrayBuffer>;

/** Reads and writes of a descriptor are done in the order of their calls. */
const sources = new WeakMap<Descriptor, Map<number, DescriptorSource>>();

function sourceOf(target: Descriptor, events: number): DescriptorSource {
  let both = sources.get(target);
  if (both === undefined) sources.set(target, both = new Map());
  let found = both.get(events);
  if (found === undefined) {
    found = new DescriptorSource(target, events);
    both.set(events, found);
  }
  return found;
}

/** read(2) or write(2), or what is like them: the count, or -1 with errno. */
export type Transfer = (fd: number, bytes: Bytes, length: number) => number;

// V8 compiles a call of a C function only where the code calls no other function: in a
// program that reads and writes, `call(fd, bytes, length)` with either of them takes 0.1
// microseconds more.

/** read(2), which may block. */
function readBlocking(fd: number, bytes: Bytes, length: number): number {
  return unistd().read(fd, bytes, length);
}

/** write(2), which may block. */
function writeBlocking(fd: number, bytes: Bytes, length: number): number {
  return unistd().write(fd, bytes, length);
}

/** One call: the count, or undefined where it would have to wait. */
function transferOnce(
  call: Transfer,
  syscall: string,
  target: Descriptor,
  bytes: Bytes,
): number | undefined {
  const length = Math.min(byteLengthOf(bytes), MAX_COUNT);
  for (;;) {
    const count = call(target.fd, bytes, length);
    if (count !== -1) return count;
    const error = errno();
    if (error === EAGAIN) return undefined;
    if (isInterruption(error)) continue;
    throw ipcError(error, syscall, target.subject);
  }
}

/** A read; with `call` it may block. The end of the stream is null, as in all of Deno. */
function readOnce(
  source: Descriptor,
  buffer: Bytes,
  call: Transfer = readNow,
): number | null | undefined {
  const count = transferOnce(call, "read", source, buffer);
  return count === 0 && byteLengthOf(buffer) > 0 ? null : count;
}

/** Writes from call to call, until all the bytes are written. */
function writing(
  target: Descriptor,
  bytes: Bytes,
  call: Transfer = writeNow,
  written = 0,
): () => number | undefined {
  const length = byteLengthOf(bytes);
  return () => {
    for (;;) {
      checkKept("bytes", bytes, length);
      const rest = written === 0 ? bytes : viewOf(bytes, written, length);
      const count = transferOnce(call, "write", target, rest);
      if (count === undefined) return undefined;
      written += count;
      if (written >= length) return written;
      if (isOverdue(LARGE)) return undefined; // goes on when the event loop has run
    }
  };
}

/**
 * Reads what is there, blocking this thread until something is. Here and below, `now` is
 * the call that does not wait; a regular file has another one.
 */
export function readSync(
  source: Descriptor,
  buffer: Bytes,
  options?: SyncWaitOptions,
  now: Transfer = readNow,
): number | null {
  checkBytes("buffer", buffer);
  const deadline = deadlineOf(options);
  const mayBlock = deadline === Infinity && now === readNow;
  const call = mayBlock ? readBlocking : now;
  const got = mayBlock ? readOnce(source, buffer, call) : undefined;
  return got === undefined ? waitToRead(source, buffer, deadline, call) : got;
}

// The closures of a wait are in a function of its own: a function that has one makes the
// variables of the closure at each call, whether it waits or not.

/** The rest of a read: it has a deadline, or another call, or it found O_NONBLOCK. */
function waitToRead(
  source: Descriptor,
  buffer: Bytes,
  deadline: number,
  call: Transfer,
): number | null {
  return attemptSync(
    source.subject,
    () => readOnce(source, buffer, call),
    (deadline) => readySync(source, POLLIN, deadline),
    deadline,
  );
}

/** Reads what is there; undefined when nothing is there yet. */
export function tryRead(
  source: Descriptor,
  buffer: Bytes,
  now?: Transfer,
): number | null | undefined {
  checkBytes("buffer", buffer);
  return readOnce(source, buffer, now);
}

/** Reads what is there, waiting until something is. */
export function read(
  source: Descriptor,
  buffer: Bytes,
  options?: WaitOptions,
  now?: Transfer,
): Promise<number | null> {
  return promised(() => {
    checkBytes("buffer", buffer);
    const limits = limitsOf(options);
    const reads = sourceOf(source, POLLIN);
    const tryOnce = () => readOnce(source, buffer, now);
    return attempt(reads, tryOnce, limits, reads.queue);
  });
}

/** Whether a write would go into the middle of one that waits. */
function mustQueue(target: Descriptor): boolean {
  if (!sources.get(target)?.get(POLLOUT)?.queue.busy) return false;
  target.checkOpen(); // writes that were pending at close() may not have ended yet
  return true;
}

/** Writes all the bytes, blocking this thread while there is no room. */
export function writeSync(
  target: Descriptor,
  bytes: Uint8Array,
  options?: SyncWaitOptions,
  now: Transfer = writeNow,
): number {
  checkBytes("bytes", bytes);
  const deadline = deadlineOf(options);
  if (mustQueue(target)) {
    throw new Error("Cannot write now: an asynchronous write is pending");
  }
  const mayBlock = deadline === Infinity && now === writeNow;
  const call = mayBlock ? writeBlocking : now;
  const count = mayBlock ? transferOnce(call, "write", target, bytes) ?? 0 : 0;
  if (mayBlock && count >= byteLengthOf(bytes)) return count;
  return waitToWrite(target, bytes, deadline, call, count);
}

/** The rest of a write, of which so many bytes are written. */
function waitToWrite(
  target: Descriptor,
  bytes: Bytes,
  deadline: number,
  call: Transfer,
  written: number,
): number {
  return attemptSync(
    target.subject,
    writing(target, bytes, call, written),
    (deadline) => readySync(target, POLLOUT, deadline),
    deadline,
  );
}

/** Writes as many bytes as there is room for; undefined while another write waits, too. */
export function tryWrite(
  target: Descriptor,
  bytes: Uint8Array,
  now: Transfer = writeNow,
): number | undefined {
  checkBytes("bytes", bytes);
  if (mustQueue(target)) return undefined;
  return transferOnce(now, "write", target, bytes);
}

/** Writes all the bytes, waiting while there is no room. */
export function write(
  target: Descriptor,
  bytes: Uint8Array,
  options?: WaitOptions,
  now?: Transfer,
): Promise<number> {
  return promised(() => {
    checkBytes("bytes", bytes);
    const limits = limitsOf(options);
    const writes = sourceOf(target, POLLOUT);
    const tryOnce = writing(target, bytes, now);
    return attempt(writes, tryOnce, limits, writes.queue);
  });
}
