// Waiting until a word in memory changes, and waking the waiters: futex(2).

import { checkInteger } from "../arguments.ts";
import {
  EAGAIN,
  errno,
  ETIMEDOUT,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { FUTEX_WAIT, FUTEX_WAKE, linuxFutex } from "../libc/linux_futex.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { SYS_futex } from "../libc/sys_syscall.ts";
import { durationOf } from "../libc/time.ts";
import { attempt } from "../wait/attempt.ts";
import { FutexSource, type FutexWord } from "../wait/futexes.ts";
import { type Limits, remaining, timeoutError } from "../wait/options.ts";

const SIZE = 4; // bytes of the word
const FUTEX = BigInt(SYS_futex);

/** The address of a word. Throws unless other processes can change it. */
function addressOf(mapping: Mapping, offset: number): bigint {
  mapping.checkOwn();
  const { subject, length, access } = mapping;
  checkInteger("offset", offset, 0, length - SIZE, `a word in ${subject}`);
  const address = mapping.address + BigInt(offset);
  if (address % BigInt(SIZE) !== 0n) {
    throw new RangeError(
      `Argument "offset" must be that of an aligned word of ${SIZE} bytes: ${offset}`,
    );
  }
  if (access === "private") {
    throw new TypeError(
      `Cannot wait in ${subject}: it is private, so no other process can change it`,
    );
  }
  return address;
}

/** Wakes at most `count` waiters of a word, and returns their number. */
export function wake(mapping: Mapping, offset: number, count: number): number {
  const address = addressOf(mapping, offset);
  const woken = linuxFutex().futex(FUTEX, address, FUTEX_WAKE, count, null);
  if (woken === -1n) throw ipcError(errno(), "futex", mapping.subject);
  return Number(woken);
}

/** Wakes all waiters of the word at an address, which is mapped. */
export function wakeAt(address: bigint): void {
  linuxFutex().futex(FUTEX, address, FUTEX_WAKE, 0x7fff_ffff, null);
}

/**
 * Blocks this thread while the word at an address, which is mapped, has this value, at
 * most for the time of a struct timespec. Returns whether that has passed; it may return
 * early.
 */
export function sleepAt(
  address: bigint,
  value: number,
  time: Uint8Array<ArrayBuffer>,
  subject: string,
): boolean {
  const { futex } = linuxFutex();
  if (futex(FUTEX, address, FUTEX_WAIT, value >>> 0, time) === 0n) return false;
  const error = errno();
  if (error === EAGAIN || isInterruption(error)) return false;
  if (error === ETIMEDOUT) return true;
  throw ipcError(error, "futex", subject);
}

/** A word of a memory. Its mapping changes when the memory is resized. */
export interface Word {
  readonly mapping: Mapping;
  readonly offset: number;
}

/** The value of the word, or undefined while it is `value`. */
function changed({ mapping, offset }: Word, value: number): number | undefined {
  addressOf(mapping, offset);
  if (mapping.hasWord(offset, value)) return undefined;
  // An acquire: whatever was written before the word was stored is visible after it.
  const present = mapping.loadChecked(offset);
  return present === value ? undefined : present;
}

/** Blocks this thread while the word is `value`. Returns its new value. */
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
    if (futex(FUTEX, address, FUTEX_WAIT, value >>> 0, time) === 0n) continue;
    const error = errno();
    const isWake = error === EAGAIN || error === ETIMEDOUT;
    if (!isWake && !isInterruption(error)) {
      throw ipcError(error, "futex", mapping.subject);
    }
  }
}

/** Waits while the word is `value`. Resolves to its new value. */
export async function wait(
  at: Word,
  value: number,
  limits: Limits,
): Promise<number> {
  const { subject, closing } = at.mapping;
  const wordOf = () => futexWord(at, value);
  const source = new FutexSource(subject, wordOf, closing);
  try {
    return await attempt(source, () => changed(at, value), limits);
  } catch (error) {
    passOn(at, value);
    throw error;
  }
}

/** A word that is waited for while it is `value`. */
export function futexWord({ mapping, offset }: Word, value: number): FutexWord {
  return {
    address: addressOf(mapping, offset),
    value,
    changed() {
      try {
        return !mapping.hasWord(offset, value);
      } catch {
        return true; // closed, transferred or truncated: the next try tells
      }
    },
    pin: () => mapping.pin(),
  };
}

/** Wakes another waiter, in case the failed wait has consumed a wake-up. */
function passOn(at: Word, value: number): void {
  try {
    if (changed(at, value) !== undefined) wake(at.mapping, at.offset, 1);
  } catch {
    // The memory is closed or truncated.
  }
}
