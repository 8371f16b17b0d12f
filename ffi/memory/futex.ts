// Waiting for a word in memory to change, and telling those who wait: futex(2).

import { checkInteger } from "../arguments.ts";
import { EAGAIN, EINTR, errno, ETIMEDOUT, ipcError } from "../libc/errno.ts";
import { FUTEX_WAIT, FUTEX_WAKE, linuxFutex } from "../libc/linux_futex.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { SYS_futex } from "../libc/sys_syscall.ts";
import { durationOf } from "../libc/time.ts";
import { attempt } from "../wait/attempt.ts";
import { FutexSource, type FutexWord } from "../wait/futexes.ts";
import { type Limits, remaining, timeoutError } from "../wait/options.ts";

const SIZE = 4; // bytes of the word
const NUMBER = BigInt(SYS_futex);

/** The address of a word that others can see, too. */
function addressOf(mapping: Mapping, offset: number): bigint {
  mapping.checkOwn();
  const { subject, length, access } = mapping;
  checkInteger("offset", offset, 0, length - SIZE, `a word in ${subject}`);
  const address = mapping.address + BigInt(offset);
  if (address % BigInt(SIZE) !== 0n) {
    throw new RangeError(
      `Argument "offset" must be of a word that begins at a multiple of ${SIZE}: ${offset}`,
    );
  }
  if (access === "private") {
    throw new TypeError(
      `Cannot wait in ${subject}: it is private, so nobody else can change it`,
    );
  }
  return address;
}

/** Wakes those who wait for a word; returns how many. */
export function wake(mapping: Mapping, offset: number, count: number): number {
  const address = addressOf(mapping, offset);
  const woken = linuxFutex().futex(NUMBER, address, FUTEX_WAKE, count, null);
  if (woken === -1n) throw ipcError(errno(), "futex", mapping.subject);
  return Number(woken);
}

/**
 * A word that is waited for. Where it is, is asked anew each time, because the
 * memory may be resized meanwhile.
 */
export interface Word {
  readonly mapping: Mapping;
  readonly offset: number;
}

/** The word if it is another one than `value`. */
function changed({ mapping, offset }: Word, value: number): number | undefined {
  addressOf(mapping, offset);
  // What was written before the word was stored, is seen after this.
  const present = mapping.load(offset);
  return present === value ? undefined : present;
}

/** Blocks this thread as long as the word is `value`; returns what it is then. */
export function waitSync(at: Word, value: number, deadline: number): number {
  const { mapping, offset } = at;
  const address = addressOf(mapping, offset);
  const { futex } = linuxFutex();
  for (;;) {
    const present = changed(at, value);
    if (present !== undefined) return present;
    const left = remaining(deadline);
    if (left === 0) throw timeoutError(mapping.subject);
    const time = deadline === Infinity ? null : durationOf(left);
    if (futex(NUMBER, address, FUTEX_WAIT, value >>> 0, time) === 0n) continue;
    const number = errno();
    if (number !== EAGAIN && number !== EINTR && number !== ETIMEDOUT) {
      throw ipcError(number, "futex", mapping.subject);
    }
  }
}

/** Waits as long as the word is `value`; resolves to what it is then. */
export async function wait(
  at: Word,
  value: number,
  limits: Limits,
): Promise<number> {
  const source = new FutexSource(
    at.mapping.subject,
    () => futexWord(at, value),
  );
  try {
    return await attempt(source, () => changed(at, value), limits);
  } catch (error) {
    passOn(at, value);
    throw error;
  }
}

function futexWord({ mapping, offset }: Word, value: number): FutexWord {
  return {
    address: addressOf(mapping, offset),
    value,
    changed: () =>
      mapping.closed || mapping.transferred ||
      mapping.load(offset) !== value,
    pin: () => mapping.pin(),
  };
}

/** A wake-up may have come for the wait that fails: another sleeper gets it. */
function passOn(at: Word, value: number): void {
  try {
    if (changed(at, value) !== undefined) wake(at.mapping, at.offset, 1);
  } catch {
    // The memory is closed.
  }
}
