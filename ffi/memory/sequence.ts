// The sequence lock of a cell: one writer, and readers that never see half of a write.

import { byteLengthOf, checkInteger, checkSize, viewOf } from "../arguments.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { sched } from "../libc/sched.ts";
import { fence } from "../libc/stdatomic.ts";
import { attempt, attemptSync, type Source } from "../wait/attempt.ts";
import { sleepSync } from "../wait/backoff.ts";
import { FutexSource } from "../wait/futexes.ts";
import type { Limits } from "../wait/options.ts";
import { yieldToEventLoop } from "../wait/yield.ts";
import { futexWord, wait, wake } from "./futex.ts";
import { mappingOf, type Memory, wordOf } from "./memory.ts";

/** The bytes before the value: the sequence, and the padding that aligns the value. */
export const HEAD = 8;
/** Where a mark is, in that padding, by which a cell is recognised: the bytes "CELL". */
export const MARK_AT = 4;
export const MARK: Uint8Array<ArrayBuffer> = new TextEncoder().encode("CELL");
const ALL = 0x7fffffff; // waiters
// A copy ends early where a write has begun. It checks that after so many bytes.
const CHUNK = 1 << 18;

/** The size of the value of a cell. */
export function checkedSize(name: string, size: unknown): number {
  checkSize(name, size);
  return size as number;
}

/** The place of a sequence and a value in a memory. */
export class Sequence {
  readonly #memory: Memory;
  readonly offset: number;
  readonly size: number; // of the value, in bytes
  #isMarked = false;

  constructor(memory: Memory, offset: number, size: number) {
    const mapping = mappingOf(memory);
    mapping.checkOwn();
    const last = mapping.length - HEAD - size;
    const origin = `${HEAD + size} bytes in ${mapping.subject}`;
    checkInteger("offset", offset, 0, last, origin);
    if ((mapping.address + BigInt(offset)) % BigInt(HEAD) !== 0n) {
      throw new RangeError(
        `Argument "offset" must be a multiple of ${HEAD} bytes: ${offset}`,
      );
    }
    this.#memory = memory;
    this.offset = offset;
    this.size = size;
  }

  /** The present sequence. */
  get value(): number {
    return this.#mapping().loadChecked(this.offset) >>> 0;
  }

  /** The fields that Deno.inspect() shows. */
  get shown(): Record<string, unknown> {
    const { closed, transferred } = mappingOf(this.#memory);
    const isClosed = closed || transferred;
    return {
      offset: this.offset,
      sequence: this.#shownValue,
      closed: isClosed,
    };
  }

  /** Writes all bytes of the value, and wakes the waiters. */
  write(value: Uint8Array): void {
    const mapping = this.#mapping();
    // It is odd already if a writer died during a write.
    mapping.change(this.offset, "or", 1);
    if (!this.#isMarked) mapping.writeChecked(this.offset + MARK_AT, MARK);
    this.#isMarked = true;
    fence(); // the sequence is odd before any byte of the value is written
    mapping.writeChecked(this.offset + HEAD, value);
    mapping.change(this.offset, "add", 1); // and even after the last one
    if (mapping.access === "shared") wake(mapping, this.offset, ALL);
  }

  /** Copies the value; false if there was a write meanwhile. */
  tryRead(target: Uint8Array<ArrayBuffer>): boolean {
    const mapping = this.#mapping();
    const start = this.offset + HEAD;
    const words = this.size <= CHUNK
      ? mapping.readBetween(this.offset, start, target)
      : undefined;
    if (words !== undefined) return !isOdd(words[0]!) && words[0] === words[1];
    const before = mapping.loadChecked(this.offset);
    if (isOdd(before)) return false;
    if (this.size <= CHUNK) mapping.readChecked(start, target);
    else if (!this.#readChunks(mapping, before, target)) return false;
    fence(); // no byte of the value is read after the sequence
    return mapping.hasWord(this.offset, before);
  }

  /** Calls `tryOnce` until it succeeds, blocking this thread. */
  readSync<T>(tryOnce: () => T | undefined, deadline: number): T {
    const sleep = sleepSync();
    let last = 0;
    const pause = (deadline: number) => {
      const present = this.value;
      // The same write for so long: its writer is stopped, or dead.
      if (isOdd(present) && present === last) sleep(deadline);
      else for (let i = 0; i < 100 && isOdd(this.value); i++) yieldNow();
      last = present;
    };
    return attemptSync(this.#subject, tryOnce, pause, deadline);
  }

  /** Calls `tryOnce` until it succeeds, without blocking the thread. */
  read<T>(tryOnce: () => T | undefined, limits: Limits): Promise<T> {
    const word = wordOf(this.#memory, this.offset);
    const { closing } = mappingOf(this.#memory);
    const ended = new FutexSource(
      this.#subject,
      () => futexWord(word, this.value | 0),
      closing,
    );
    const source: Source = {
      subject: this.#subject,
      spins: true,
      liveness: closing.liveness,
      isDeferred: () => false,
      served: () => {},
      arm: (wait) => {
        if (isOdd(this.value)) return ended.arm(wait);
        yieldToEventLoop().then(() => wait.resolve());
        return undefined;
      },
    };
    return attempt(source, tryOnce, limits);
  }

  /** Waits until there is a value with another sequence, and returns that. */
  async changed(since: number, limits: Limits): Promise<number> {
    const word = wordOf(this.#memory, this.offset);
    let present = since;
    while (present === since || isOdd(present)) {
      present = await wait(word, present | 0, limits) >>> 0;
    }
    return present;
  }

  /** Undefined if the memory is closed or truncated. */
  get #shownValue(): number | undefined {
    try {
      return this.value;
    } catch {
      return undefined;
    }
  }

  get #subject(): string {
    return `a value in ${mappingOf(this.#memory).subject}`;
  }

  #readChunks(
    mapping: Mapping,
    before: number,
    target: Uint8Array<ArrayBuffer>,
  ): boolean {
    const start = this.offset + HEAD;
    for (let at = 0; at < this.size; at += CHUNK) {
      if (!mapping.hasWord(this.offset, before)) return false;
      const end = Math.min(at + CHUNK, byteLengthOf(target));
      mapping.readChecked(start + at, viewOf(target, at, end));
    }
    return true;
  }

  /** The present mapping: the memory may have been closed or resized. */
  #mapping(): Mapping {
    const mapping = mappingOf(this.#memory);
    mapping.checkOwn();
    if (this.offset + HEAD + this.size <= mapping.length) return mapping;
    throw new RangeError("Cannot use the cell: its memory has become smaller");
  }
}

/** Whether the sequence is that of a write in progress. */
function isOdd(sequence: number): boolean {
  return (sequence & 1) !== 0;
}

function yieldNow(): void {
  sched().sched_yield(); // the writer may need this processor
}
