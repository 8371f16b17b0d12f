// Bytes that are written while others read them, and are never read half-written.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  viewOf,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import type { Memory } from "./memory.ts";
import { checkedSize, HEAD, Sequence } from "./sequence.ts";

/**
 * Options of {@linkcode SequenceBytes.prototype.read | SequenceBytes.read} and its siblings.
 */
export interface SequenceBytesReadOptions {
  /**
   * The array to fill, as long as the value. Its bytes are undefined while the read is
   * under way, and after one that fails.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * `struct { _Atomic uint32_t sequence; alignas(8) uint8_t value[size]; }`: bytes in
 * memory with one writer, and readers that get consistent copies.
 *
 * It is a {@linkcode SequenceCell} without a struct, which copies each value once: choose
 * it for large values, and for those that are encoded already.
 *
 * The sequence, the single writer, and the death of a writer are as with a
 * {@linkcode SequenceCell}, and so is the memory: a cell of the struct
 * `struct({ value: bytes(size) })` can be on the other side.
 *
 * It owns nothing, so it has no `close()`: close its memory.
 *
 * @example A picture that is replaced while others look at it
 * ```ts
 * import { PosixSharedMemory, SequenceBytes } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const size = 640 * 480;
 * using memory = PosixSharedMemory.create(null, SequenceBytes.size(size));
 * PosixSharedMemory.unlink(memory.name);
 * const writer = new SequenceBytes(memory, 0, size);
 * writer.write(new Uint8Array(size).fill(128));
 *
 * const reader = new SequenceBytes(memory, 0, size); // usually in another process
 * const buffer = new Uint8Array(size); // for all reads
 * assertEquals(reader.readSync({ buffer })[0], 128);
 * ```
 *
 * @see {@link https://docs.kernel.org/locking/seqlock.html | Sequence counters and sequential locks}
 */
export class SequenceBytes {
  readonly #sequence: Sequence;

  /**
   * Bytes in a memory. The caller keeps ownership of the memory.
   *
   * @param memory The memory. That of a reader may be read-only.
   * @param offset The position of the sequence, in bytes: a multiple of 8.
   * @param size The size of the value, in bytes.
   * @throws {RangeError} If they do not fit into the memory there, or if the offset is
   * not aligned.
   * @throws {ClosedError} If the memory is closed.
   */
  constructor(memory: Memory, offset: number, size: number) {
    const checked = checkedSize("size", size);
    this.#sequence = new Sequence(memory, offset, checked);
  }

  /**
   * `sizeof`: the size in memory.
   *
   * @param size The size of the value, in bytes.
   * @returns The size of the sequence and the value, in bytes.
   * @throws {RangeError} If the size is not an integer of at least 1.
   */
  static size(size: number): number {
    return HEAD + checkedSize("size", size);
  }

  /** The size of the value, in bytes. */
  get byteLength(): number {
    return this.#sequence.size;
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
   * `memmove(value, bytes, size)`: writes the value, and wakes the waiters in `read` and
   * `changed`.
   *
   * @param bytes All bytes of the value.
   * @throws {TypeError} If it is not a Uint8Array, or if the memory is read-only.
   * @throws {RangeError} If its length is not the size of the value. Nothing is written.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   */
  write(bytes: Uint8Array): void {
    checkBytes("bytes", bytes);
    this.#checkLength("bytes", bytes);
    this.#sequence.write(bytes);
  }

  /**
   * Reads the value, without waiting for a write in progress.
   *
   * @param options `buffer`.
   * @returns A copy of the value; undefined if there was a write meanwhile.
   * @throws {TypeError} If the buffer is not a Uint8Array.
   * @throws {RangeError} If its length is not the size of the value.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   */
  tryRead(
    options?: SequenceBytesReadOptions,
  ): Uint8Array<ArrayBuffer> | undefined {
    return this.#tryInto(options)();
  }

  /**
   * Reads the value, and tries again while a write is in progress.
   *
   * @param options `buffer`, and `timeout` in milliseconds.
   * @returns A copy of the value.
   * @throws {TypeError} If the buffer is not a Uint8Array.
   * @throws {RangeError} If its length is not the size of the value.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   */
  readSync(
    options?: SequenceBytesReadOptions & SyncWaitOptions,
  ): Uint8Array<ArrayBuffer> {
    const tryOnce = this.#tryInto(options);
    return this.#sequence.readSync(tryOnce, deadlineOf(options));
  }

  /**
   * Reads the value. Waits, without blocking the thread, while a write is in progress.
   *
   * @param options `buffer`, `timeout` in milliseconds, and `signal`.
   * @returns A copy of the value.
   * @throws {TypeError} If the buffer is not a Uint8Array; if a write is in progress in
   * private memory.
   * @throws {RangeError} If its length is not the size of the value.
   * @throws {ClosedError} If the memory is closed, now or during the wait.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   */
  async read(
    options?: SequenceBytesReadOptions & WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const tryOnce = this.#tryInto(options);
    return await this.#sequence.read(tryOnce, limitsOf(options));
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
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async changed(since: number, options?: WaitOptions): Promise<number> {
    checkInteger("since", since, 0, 0xffffffff, "uint32_t");
    return await this.#sequence.changed(since, limitsOf(options));
  }

  static {
    inspectAs(this, (bytes) => bytes.#sequence.shown);
  }

  /** One try to read into the buffer of a caller, or a new one. */
  #tryInto(
    options: SequenceBytesReadOptions | undefined,
  ): () => Uint8Array<ArrayBuffer> | undefined {
    const buffer = options?.buffer ?? new Uint8Array(this.#sequence.size);
    checkBytes("buffer", buffer);
    return () => {
      this.#checkLength("buffer", buffer); // it may be detached during a wait
      return this.#sequence.tryRead(viewOf(buffer)) ? buffer : undefined;
    };
  }

  #checkLength(name: string, bytes: Uint8Array): void {
    const { size } = this.#sequence;
    const length = byteLengthOf(bytes);
    checkInteger(`${name}.length`, length, size, size, "the size of the value");
  }
}
