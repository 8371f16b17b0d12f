// A struct that is written while others read it, and is never read half-written.

import { checkInteger } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import type { FieldInputs, Fields, FieldValues, Struct } from "../struct.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import type { Memory } from "./memory.ts";
import { checkedSize, HEAD, Sequence } from "./sequence.ts";

/**
 * `struct { _Atomic uint32_t sequence; alignas(8) T value; }`: a struct in memory with
 * one writer, and readers that get consistent copies: a sequence lock.
 *
 * Readers never delay the writer; a reader that overlaps with a write tries again.
 *
 * The sequence is odd during a write, and has grown by 2 afterwards. Zeroed memory is a
 * cell whose value is all zeroes. A write from here puts the bytes "CELL" into the padding
 * behind the sequence, by which `inspect()` recognises a cell at the beginning of memory;
 * a peer in C may do that, too, and need not.
 *
 * **One writer at a time**: several need a semaphore or lock. A writer that dies during
 * a write leaves an odd sequence, and the value cannot be read until the next write. Use
 * a timeout for reads where that matters.
 *
 * **Large values**: a read copies the value, and starts again if there was a write
 * meanwhile. So a value that is written more often than it can be copied is not read
 * until the writer pauses. {@linkcode SequenceBytes} copies bytes faster.
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
  readonly #layout: Struct<F>;
  readonly #sequence: Sequence;
  readonly #tryOnce = () => this.#tryRead();
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
    this.#sequence = new Sequence(memory, offset, sizeOf(layout));
    this.#layout = layout;
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
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   */
  get sequence(): number {
    return this.#sequence.value;
  }

  /**
   * Writes the value, and wakes the waiters in `read` and `changed`.
   *
   * @param value The value of every field.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type; or if
   * the memory is read-only. Nothing is written then.
   * @throws {RangeError} If the value of a field does not fit. Nothing is written.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   */
  write(value: FieldInputs<F>): void {
    const copy = this.#take();
    this.#layout.write(copy, value); // may run code of the caller
    this.#sequence.write(copy);
    this.#spare = copy;
  }

  /**
   * Reads the value, without waiting for a write in progress.
   *
   * @returns A copy of the value; undefined if a write is in progress.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
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
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   */
  readSync(options?: SyncWaitOptions): FieldValues<F> {
    return this.#sequence.readSync(this.#tryOnce, deadlineOf(options));
  }

  /**
   * Reads the value. Waits, without blocking the thread, while a write is in progress.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns A copy of the value.
   * @throws {TypeError} If a write is in progress in private memory.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   */
  async read(options?: WaitOptions): Promise<FieldValues<F>> {
    return await this.#sequence.read(this.#tryOnce, limitsOf(options));
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
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
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
    return await this.#sequence.changed(since, limitsOf(options));
  }

  static {
    inspectAs(this, (cell) => cell.#sequence.shown);
  }

  /** Private, because a caller can replace public methods. */
  #tryRead(): FieldValues<F> | undefined {
    const copy = this.#take();
    const isWhole = this.#sequence.tryRead(copy);
    const value = isWhole ? this.#layout.decode(copy) : undefined; // may run code of the caller
    this.#spare = copy;
    return value;
  }

  /** Takes the spare bytes, so that a nested call cannot use them, or new ones. */
  #take(): Uint8Array<ArrayBuffer> {
    const copy = this.#spare ?? new Uint8Array(this.#sequence.size);
    this.#spare = undefined;
    return copy;
  }
}

function sizeOf(layout: { readonly size: number }): number {
  return checkedSize("layout.size", layout.size);
}
