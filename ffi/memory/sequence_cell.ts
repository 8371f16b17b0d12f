// A struct with one writer and many readers, which never see half of a write: a seqlock.

import { checkInteger, checkSize, setBytes } from "../arguments.ts";
import { inspected } from "../inspect_object.ts";
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

const HEAD = 8; // bytes: the sequence, and the padding that aligns the struct
const ALL = 0x7fffffff; // waiters

/**
 * `struct { _Atomic uint32_t sequence; alignas(8) T value; }`: a struct in memory with
 * one writer, and readers that get consistent copies: a sequence lock. Readers never
 * delay the writer; a reader that overlaps with a write tries again.
 *
 * The sequence is odd during a write, and has grown by 2 afterwards. Zeroed memory is a
 * cell whose value is all zeroes.
 *
 * **One writer at a time**: several need a semaphore or lock. A writer that dies during
 * a write leaves an odd sequence, and the value cannot be read until the next write. Use
 * a timeout for reads where that matters.
 *
 * A cell owns nothing, so it has no `close()`: close its memory.
 *
 * @typeParam F The fields of the struct.
 *
 * @example One writer, and readers
 * ```ts
 * import { PosixSharedMemory, SequenceCell } from "@linux/ipc/shared-memory";
 * import { f64, struct, u32 } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const price = struct({ bid: f64, ask: f64, volume: u32 });
 * using memory = PosixSharedMemory.create(null, SequenceCell.size(price));
 * const writer = new SequenceCell(memory, 0, price);
 * writer.write({ bid: 9.5, ask: 9.75, volume: 80 });
 *
 * // Usually in another process:
 * using other = PosixSharedMemory.open(memory.name, { readonly: true });
 * PosixSharedMemory.unlink(memory.name);
 * const reader = new SequenceCell(other, 0, price);
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
   * A cell in a memory. The caller keeps ownership of the memory.
   *
   * @param memory The memory. That of a reader may be read-only.
   * @param offset The position of the cell, in bytes: a multiple of 8.
   * @param layout The struct, as declared with `struct({...})`.
   * @throws {RangeError} If the cell does not fit into the memory there, or if it is
   * not aligned.
   * @throws {ClosedError} If the memory is closed.
   */
  constructor(memory: Memory, offset: number, layout: Struct<F>) {
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
   * `sizeof`: the size of a cell for a struct.
   *
   * @param layout The struct.
   * @returns The size in bytes.
   */
  static size<F extends Fields>(layout: Struct<F>): number {
    return HEAD + sizeOf(layout);
  }

  /**
   * The sequence: a 32-bit number that grows by 2 with each write, and is odd during
   * one.
   *
   * @throws {ClosedError} If the memory is closed.
   */
  get sequence(): number {
    return this.#load(this.#mapping());
  }

  /**
   * Writes the value, and wakes the waiters in `read` and `changed`.
   *
   * @param value The value of every field.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type; or if
   * the memory is read-only. Nothing is written then.
   * @throws {RangeError} If the value of a field does not fit. Nothing is written.
   * @throws {ClosedError} If the memory is closed.
   */
  write(value: FieldViews<F>): void {
    const copy = this.#take();
    this.#layout.write(copy, value); // may run code of the caller
    const mapping = this.#mapping();
    const { bytes } = mapping;
    const before = mapping.load(this.#offset);
    // It is odd already if a writer died during a write.
    const during = before + 1 + (before & 1);
    mapping.store(this.#offset, during);
    fence(); // the sequence is odd before any byte of the value is written
    setBytes(bytes, copy, this.#offset + HEAD);
    mapping.store(this.#offset, during + 1); // and even after the last one
    this.#spare = copy;
    if (mapping.access === "shared") wake(mapping, this.#offset, ALL);
  }

  /**
   * Reads the value, without waiting for a write in progress.
   *
   * @returns A copy of the value; undefined if a write is in progress.
   * @throws {ClosedError} If the memory is closed.
   */
  tryRead(): FieldValues<F> | undefined {
    return this.#tryRead();
  }

  /**
   * Reads the value, and tries again while a write is in progress.
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
      if (value !== undefined) return value;
      if (remaining(deadline) === 0) throw this.#timeout();
      sched().sched_yield(); // the writer may need this processor
    }
  }

  /**
   * Reads the value. Waits, without blocking the thread, while a write is in progress.
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
      if (value !== undefined) return value;
      if (isOver(limits.deadline)) throw this.#timeout();
      const sequence = this.#load(this.#mapping());
      if ((sequence & 1) !== 0) await this.#waitWith(sequence, limits);
      else if (isOverdue()) await yieldToEventLoop();
    }
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: waits, without blocking the thread, until there
   * is a new value.
   *
   * @param since The sequence of the last value. To miss no write, get it before you
   * read the value.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The sequence of the new value.
   * @throws {RangeError} If `since` is not an unsigned 32-bit integer.
   * @throws {TypeError} If the memory is private: no other process can write to it.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example The latest value
   * ```ts
   * import { PosixSharedMemory, SequenceCell } from "@linux/ipc/shared-memory";
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const layout = struct({ value: i32 });
   * using memory = PosixSharedMemory.create(null, SequenceCell.size(layout));
   * PosixSharedMemory.unlink(memory.name);
   * const cell = new SequenceCell(memory, 0, layout);
   * const changed = cell.changed(cell.sequence); // usually in another process
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

  /** Shows the sequence; undefined if the memory is closed. */
  [Symbol.for("Deno.customInspect")](): string {
    const mapping = mappingOf(this.#memory);
    const closed = mapping.closed || mapping.transferred;
    const sequence = closed ? undefined : this.#load(mapping);
    const offset = this.#offset;
    return inspected("SequenceCell", { offset, sequence, closed });
  }

  /** Waits while the sequence is this one. */
  async #waitWith(sequence: number, limits: Limits): Promise<number> {
    const word = wordOf(this.#memory, this.#offset);
    return await wait(word, sequence | 0, limits) >>> 0;
  }

  #timeout(): DOMException {
    return timeoutError(`a value in ${mappingOf(this.#memory).subject}`);
  }

  /** Private, because a caller can replace public methods. */
  #tryRead(): FieldValues<F> | undefined {
    const mapping = this.#mapping();
    const before = this.#load(mapping);
    if ((before & 1) !== 0) return undefined;
    const copy = this.#take();
    mapping.read(this.#offset + HEAD, copy);
    fence(); // no byte of the value is read after the sequence
    if (this.#load(mapping) !== before) {
      this.#spare = copy;
      return undefined;
    }
    const value = this.#layout.decode(copy); // may run code of the caller
    this.#spare = copy;
    return value;
  }

  #load(mapping: Mapping): number {
    return mapping.load(this.#offset) >>> 0;
  }

  /** The present mapping: the memory may have been closed or resized. */
  #mapping(): Mapping {
    const mapping = mappingOf(this.#memory);
    mapping.checkOwn();
    if (this.#offset + HEAD + this.#size <= mapping.length) return mapping;
    throw new RangeError("Cannot use the cell: its memory has become smaller");
  }

  /** Takes the spare bytes, so that a nested call cannot use them, or new ones. */
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
