// Moving bytes through a descriptor: blocking, trying, and waiting.

import { checkBytes } from "../arguments.ts";
import type { Descriptor } from "../libc/descriptor.ts";
import { EAGAIN, EINTR, errno, ipcError } from "../libc/errno.ts";
import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { MAX_COUNT, unistd } from "../libc/unistd.ts";
import {
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "./options.ts";
import { Mutex } from "./mutex.ts";
import { waitBriefly } from "./brief.ts";
import { ready, readySync } from "./poller.ts";
import { isOverdue, turn } from "./turn.ts";

const WOULD_BLOCK = -1;

// A write that waits in the middle keeps other writes from coming in between.
const locks = new WeakMap<Descriptor, Mutex>();

function lockOf(target: Descriptor): Mutex {
  let lock = locks.get(target);
  if (lock === undefined) locks.set(target, lock = new Mutex());
  return lock;
}

/** One read(2): the count, or WOULD_BLOCK. */
function readOnce(source: Descriptor, buffer: Uint8Array<ArrayBuffer>): number {
  const { read } = unistd();
  for (;;) {
    const count = read(
      source.fd,
      buffer,
      Math.min(buffer.byteLength, MAX_COUNT),
    );
    if (count !== -1) return count;
    const number = errno();
    if (number === EAGAIN) return WOULD_BLOCK;
    if (number !== EINTR) throw ipcError(number, "read", source.subject);
  }
}

/** One write(2): the count, or WOULD_BLOCK. */
function writeOnce(target: Descriptor, bytes: Uint8Array<ArrayBuffer>): number {
  const { write } = unistd();
  for (;;) {
    const count = write(
      target.fd,
      bytes,
      Math.min(bytes.byteLength, MAX_COUNT),
    );
    if (count !== -1) return count;
    const number = errno();
    if (number === EAGAIN) return WOULD_BLOCK;
    if (number !== EINTR) throw ipcError(number, "write", target.subject);
  }
}

/** The end of the stream is null, as in all of Deno; nothing asked is 0. */
function countOrEnd(count: number, buffer: Uint8Array): number | null {
  return count === 0 && buffer.byteLength > 0 ? null : count;
}

/** Reads what is there, blocking this thread until something is. */
export function readSync(
  source: Descriptor,
  buffer: Uint8Array<ArrayBuffer>,
  options?: SyncWaitOptions,
): number | null {
  checkBytes("buffer", buffer);
  const deadline = deadlineOf(options);
  if (deadline !== Infinity) source.makeNonblocking();
  for (;;) {
    const count = readOnce(source, buffer);
    if (count !== WOULD_BLOCK) return countOrEnd(count, buffer);
    readySync(source, POLLIN, deadline);
  }
}

/** Reads what is there; undefined when nothing is there yet. */
export function tryRead(
  source: Descriptor,
  buffer: Uint8Array<ArrayBuffer>,
): number | null | undefined {
  checkBytes("buffer", buffer);
  source.makeNonblocking();
  const count = readOnce(source, buffer);
  return count === WOULD_BLOCK ? undefined : countOrEnd(count, buffer);
}

/** Reads what is there, waiting until something is. */
export async function read(
  source: Descriptor,
  buffer: Uint8Array<ArrayBuffer>,
  options?: WaitOptions,
): Promise<number | null> {
  checkBytes("buffer", buffer);
  const deadline = deadlineOf(options);
  options?.signal?.throwIfAborted();
  let count = WOULD_BLOCK;
  const look = () => {
    source.makeNonblocking(); // each time: a child that inherits undoes it
    count = readOnce(source, buffer);
    return count !== WOULD_BLOCK;
  };
  while (!waitBriefly(look, deadline)) {
    await ready(source, POLLIN, deadline, options?.signal);
  }
  if (isOverdue()) await turn();
  return countOrEnd(count, buffer);
}

/** Writes all the bytes, blocking this thread while there is no room. */
export function writeSync(
  target: Descriptor,
  bytes: Uint8Array<ArrayBuffer>,
  options?: SyncWaitOptions,
): number {
  checkBytes("bytes", bytes);
  const deadline = deadlineOf(options);
  if (deadline !== Infinity) target.makeNonblocking();
  let written = 0;
  let rest = bytes;
  for (;;) {
    const count = writeOnce(target, rest);
    if (count === WOULD_BLOCK) {
      readySync(target, POLLOUT, deadline);
      continue;
    }
    written += count;
    if (written >= bytes.byteLength) return written;
    rest = bytes.subarray(written);
  }
}

/** Writes as many bytes as there is room for; null when there is none. */
export function tryWrite(
  target: Descriptor,
  bytes: Uint8Array<ArrayBuffer>,
): number | null {
  checkBytes("bytes", bytes);
  target.makeNonblocking();
  const count = writeOnce(target, bytes);
  return count === WOULD_BLOCK ? null : count;
}

/** Writes all the bytes, waiting while there is no room. */
export async function write(
  target: Descriptor,
  bytes: Uint8Array<ArrayBuffer>,
  options?: WaitOptions,
): Promise<number> {
  checkBytes("bytes", bytes);
  const deadline = deadlineOf(options);
  const signal = options?.signal;
  signal?.throwIfAborted();
  const lock = lockOf(target);
  const free = lock.acquire(target.subject, deadline, signal);
  if (free !== undefined) await free;
  try {
    let written = 0;
    for (;;) {
      target.makeNonblocking(); // each time: a child that inherits undoes it
      const count = writeOnce(target, bytes.subarray(written));
      if (count === WOULD_BLOCK) {
        await ready(target, POLLOUT, deadline, signal);
        continue;
      }
      written += count;
      if (isOverdue()) await turn();
      // Of a resizable buffer there may be less left than was written already.
      if (written >= bytes.byteLength) return written;
    }
  } finally {
    lock.release();
  }
}
