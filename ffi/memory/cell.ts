// A struct that one writes and many read, never a half of it: a seqlock.

import { checkInteger, checkSize, setBytes } from "../arguments.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { sched } from "../libc/sched.ts";
import { fence } from "../libc/stdatomic.ts";
import type { Fields, FieldValues, FieldViews, Struct } from "../struct.ts";
import {
  deadlineOf,
  isOver,
  type Limits,
  limitsOf,
  remaining,
  type SyncWaitOptions,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";
import { throwIfAborted } from "../wait/signal.ts";
import { isOverdue, yieldToEventLoop } from "../wait/yield.ts";
import { wait, wake } from "./futex.ts";
import { mappingOf, type Memory, wordOf } from "./memory.ts";

const HEAD = 8; // bytes: the sequence, and what keeps the struct aligned
const ALL = 0x7fffffff; // who wait

/**
 * A struct in memory of which readers get consistent copies while one process
 * writes it: a sequence lock. The writer never waits, and no reader keeps it from
 * writing; a reader that meets a write tries again.
 *
 * In C it is `struct { _Atomic uint32_t sequence; alignas(8) T value; }`. The
 * sequence is odd while the value is being written, and 2 more after it. Memory of
 * zeroes is a cell whose value is all zero.
 *
 * **One writer**: two at the same time need a semaphore between them. A writer that
 * dies in the middle leaves an odd sequence, and nothing to be read until the next
 * write; so give reads a timeout where that matters.
 *
 * @typeParam F The fields of the struct.
 *
 * @example One writes, the others read
 * ```ts
 * import { PosixSharedMemory, SequenceCell } from "@linux/ipc/shared-memory";
 * import { f64, struct, u32 } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const price = struct({ bid: f64, ask: f64, volume: u32 });
 * using memory = PosixSharedMemory.create(null, SequenceCell.size(price));
 * const writer = new SequenceCell(memory, price);
 * writer.write({ bid: 9.5, ask: 9.75, volume: 80 });
 *
 * // Mostly in another process:
 * using other = PosixSharedMemory.open(memory.name, { readonly: true });
 * PosixSharedMemory.unlink(memory.name);
 * const reader = new SequenceCell(other, price);
 * assertEquals(reader.readSync(), { bid: 9.5, ask: 9.75, volume: 80 });
 * ```
 *
 * @see {@link https://docs.kernel.org/locking/seqlock.html | Sequence counters and sequential locks}
 */
export class SequenceCell<F extends Fields> {
  readonly #memory: Memory;
  readonly #layout: Struct<F>;
  readonly #offset: number;
  readonly #size: number; // of the struct, in bytes
  #spare: Uint8Array<ArrayBuffer> | undefined;

  /**
   * A cell in a memory, which stays the caller's to close.
   *
   * @param memory Where it is; the reader's may be read-only.
   * @param layout The struct, as `struct({...})` declares it.
   * @param offset Where it begins, in bytes: a multiple of 8.
   * @throws {RangeError} If the cell does not fit into the memory there, or if it is
   * not aligned.
   * @throws {ClosedError} If the memory is closed.
   */
  constructor(memory: Memory, layout: Struct<F>, offset = 0) {
    const size = sizeOf(layout);
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
    this.#layout = layout;
    this.#offset = offset;
    this.#size = size;
  }

  /**
   * `sizeof`: how many bytes the cell of a struct takes.
   *
   * @param layout The struct.
   * @returns The size in bytes.
   */
  static size<F extends Fields>(layout: Struct<F>): number {
    return HEAD + sizeOf(layout);
  }

  /**
   * The sequence: a 32-bit number that goes on by 2 with each write, and is odd
   * during one.
   *
   * @throws {ClosedError} If the memory is closed.
   */
  get sequence(): number {
    return this.#load(this.#mapping());
  }

  /**
   * Writes the value, and wakes those who wait for it in `read` and `changed`.
   *
   * @param value The value of every field.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type; or if
   * the memory is read-only. Nothing is written then.
   * @throws {RangeError} If the value of a field does not fit. Nothing is written.
   * @throws {ClosedError} If the memory is closed.
   */
  write(value: FieldViews<F>): void {
    const copy = this.#take();
    this.#layout.write(copy, value); // runs code of the caller's
    const mapping = this.#mapping();
    const { bytes } = mapping;
    const before = mapping.load(this.#offset);
    // Of a writer that died in the middle it is odd already.
    const during = before + 1 + (before & 1);
    mapping.store(this.#offset, during);
    fence(); // the sequence is odd before anything of the value is written
    setBytes(bytes, copy, this.#offset + HEAD);
    mapping.store(this.#offset, during + 1); // and even after all of it
    this.#spare = copy;
    if (mapping.access === "shared") wake(mapping, this.#offset, ALL);
  }

  /**
   * Reads the value, if it is not just being written.
   *
   * @returns A copy of the value; null if a write came in between.
   * @throws {ClosedError} If the memory is closed.
   */
  tryRead(): FieldValues<F> | null {
    return this.#tryRead();
  }

  /**
   * Reads the value, again and again until no write comes in between.
   *
   * @param options `timeout` in milliseconds.
   * @returns A copy of the value.
   * @throws {ClosedError} If the memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   */
  readSync(options?: SyncWaitOptions): FieldValues<F> {
    const deadline = deadlineOf(options);
    for (;;) {
      const value = this.#tryRead();
      if (value !== null) return value;
      if (remaining(deadline) === 0) throw this.#timeout();
      sched().sched_yield(); // the writer may need this processor
    }
  }

  /**
   * Reads the value, waiting without blocking the thread while it is being written.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns A copy of the value.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   */
  async read(options?: WaitOptions): Promise<FieldValues<F>> {
    const limits = limitsOf(options);
    for (;;) {
      throwIfAborted(limits.signal);
      const value = this.#tryRead();
      if (value !== null) return value;
      if (isOver(limits.deadline)) throw this.#timeout();
      const sequence = this.#load(this.#mapping());
      if ((sequence & 1) !== 0) await this.#waitWith(sequence, limits);
      else if (isOverdue()) await yieldToEventLoop();
    }
  }

  /**
   * `futex(...)`: waits without blocking the thread until the value has been
   * written anew.
   *
   * @param since The sequence that was seen last. Take it before the value is read,
   * and no write is missed.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The sequence of the new value.
   * @throws {RangeError} If `since` is no unsigned 32-bit integer.
   * @throws {TypeError} If the memory is private: nobody else can write it.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Every new value, but none of those in between
   * ```ts
   * import { PosixSharedMemory, SequenceCell } from "@linux/ipc/shared-memory";
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const layout = struct({ value: i32 });
   * using memory = PosixSharedMemory.create(null, SequenceCell.size(layout));
   * PosixSharedMemory.unlink(memory.name);
   * const cell = new SequenceCell(memory, layout);
   * const changed = cell.changed(cell.sequence); // mostly in another process
   * cell.write({ value: 1 });
   * cell.write({ value: 2 });
   * await changed;
   * assertEquals(cell.readSync(), { value: 2 });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async changed(since: number, options?: WaitOptions): Promise<number> {
    checkInteger("since", since, 0, 0xffffffff, "uint32_t");
    const limits = limitsOf(options);
    let present = since;
    while (present === since || (present & 1) !== 0) {
      present = await this.#waitWith(present, limits);
    }
    return present;
  }

  /** Waits as long as the sequence is this one. */
  async #waitWith(sequence: number, limits: Limits): Promise<number> {
    const word = wordOf(this.#memory, this.#offset);
    return await wait(word, sequence | 0, limits) >>> 0;
  }

  #timeout(): DOMException {
    return timeoutError(`a value in ${mappingOf(this.#memory).subject}`);
  }

  #tryRead(): FieldValues<F> | null {
    const mapping = this.#mapping();
    const before = this.#load(mapping);
    if ((before & 1) !== 0) return null;
    const copy = this.#take();
    mapping.copyTo(copy, this.#offset + HEAD);
    fence(); // nothing of the value is read after the sequence
    if (this.#load(mapping) !== before) {
      this.#spare = copy;
      return null;
    }
    const value = this.#layout.decode(copy); // runs code of the caller's
    this.#spare = copy;
    return value;
  }

  #load(mapping: Mapping): number {
    return mapping.load(this.#offset) >>> 0;
  }

  /** The memory as it is now: it may have been closed, or made smaller. */
  #mapping(): Mapping {
    const mapping = mappingOf(this.#memory);
    mapping.checkOwn();
    if (this.#offset + HEAD + this.#size <= mapping.length) return mapping;
    throw new RangeError("Cannot use the cell: its memory was made smaller");
  }

  /** Bytes for a copy, which nobody else has until they are the spare again. */
  #take(): Uint8Array<ArrayBuffer> {
    const copy = this.#spare ?? new Uint8Array(this.#size);
    this.#spare = undefined;
    return copy;
  }
}

function sizeOf(layout: { readonly size: number }): number {
  const { size } = layout;
  checkSize("layout.size", size);
  return size;
}
