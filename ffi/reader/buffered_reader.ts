// Exact reads over a stream of bytes, with the descriptors that come along.

import { checkBytes, checkInteger, checkSize } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { owning } from "../kernel/descriptor_owner.ts";
import type { ArrivedDescriptor } from "./descriptor_queue.ts";
import { ItemReader } from "./item_reader.ts";
import {
  Available,
  Delimited,
  delimiterOf,
  Exactly,
  Line,
  Peeked,
  Rest,
} from "./items.ts";
import { type ByteSource, sourceOf } from "./source.ts";
import { WebStreamSource } from "./web_stream.ts";
import { checkMaxDescriptors } from "../socket/control_message.ts";
import type { PassedDescriptor } from "../socket/passed_descriptor.ts";
import { promised } from "../wait/attempt.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import { readableStream } from "../wait/streams.ts";

/** Options of a {@linkcode BufferedReader}. */
export interface BufferedReaderOptions {
  /**
   * The maximum number of bytes that one call returns, a delimiter not counted; up to
   * 2147483647. The buffer can hold twice as many, and 64 KiB.
   *
   * @default {16777216} 16 MiB
   */
  maxSize?: number | undefined;
  /**
   * The maximum number of descriptors that have arrived and are not taken yet, up to
   * 253. With 0, the first descriptor is an error.
   *
   * @default {0}
   */
  maxDescriptors?: number | undefined;
}

/** Descriptors that were taken from a reader. Its `close()` closes them. */
export interface TakenDescriptors
  extends ReadonlyArray<PassedDescriptor>, Disposable {
  /** Closes the descriptors that were neither closed nor detached. */
  close(): void;
}

/** What a reader has read from its source and not returned. */
export interface DetachedBuffer {
  /** The bytes, in order. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The descriptors that were not taken, which the caller closes. */
  readonly descriptors: readonly ArrivedDescriptor[];
}

const DEFAULT_MAX_SIZE = 16 * 1024 * 1024;
const MAX_SIZE = 0x7fff_ffff;
const SUBJECT = "buffered reader";

/** What reads the items of a reader. For this module alone. */
export let itemsOf: (reader: BufferedReader) => ItemReader;

/**
 * Reads a stream of bytes exactly: `read(2)` into a buffer, from which each call takes
 * what it is asked for, and waits until that is complete.
 *
 * The object owns the stream: it reads ahead, so do not use the stream itself.
 * {@linkcode BufferedReader.prototype.detach | BufferedReader.detach} gives it back.
 * Calls are served in their order.
 *
 * If a timeout, a signal or an error ends a call, the next one starts where it did: no
 * byte and no descriptor is lost. At the end of the stream all methods return null;
 * within an item they throw UnexpectedEof, and
 * {@linkcode BufferedReader.prototype.read | BufferedReader.read} returns what is left.
 *
 * A stream socket can carry descriptors. With `maxDescriptors` they are in a queue,
 * {@linkcode BufferedReader.prototype.takeDescriptors | BufferedReader.takeDescriptors}.
 * If more come, or this process may open no more (EMFILE), the kernel closes them: the
 * call that reads the bytes they came with throws InvalidData, once, and the next one
 * returns the bytes. Credentials are discarded.
 *
 * @example A length, then so many bytes
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { BufferedReader } from "@linux/ipc/reader";
 * import { assertEquals } from "@std/assert";
 *
 * const ends = pipe();
 * using reader = new BufferedReader(ends.reader);
 * ends.writer.writeSync(Uint8Array.of(2, 7, 8, 3, 1));
 * ends.writer.close();
 *
 * const [size] = (await reader.readExactly(1))!;
 * assertEquals(await reader.readExactly(size!), Uint8Array.of(7, 8));
 * assertEquals(await reader.peek(1), Uint8Array.of(3));
 * assertEquals(await reader.readToEnd(), Uint8Array.of(3, 1));
 * assertEquals(await reader.readExactly(1), null);
 * ```
 *
 * @example A message and its descriptor
 * ```ts
 * import { pipe, PipeReader } from "@linux/ipc/pipe";
 * import { BufferedReader } from "@linux/ipc/reader";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * const [one, other] = UnixStream.pair();
 * using sender = one;
 * using reader = new BufferedReader(other, { maxDescriptors: 1 });
 * using ends = pipe();
 * sender.sendSync(new TextEncoder().encode("take this\n"), {
 *   descriptors: [ends.reader],
 * });
 *
 * assertEquals(await reader.readLine(), "take this");
 * using descriptors = reader.takeDescriptors();
 * using input = PipeReader.fromFd(descriptors[0]!.detach());
 * ends.writer.writeSync(Uint8Array.of(1, 2, 3));
 * assertEquals(input.readSync(new Uint8Array(8)), 3);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
 */
export class BufferedReader implements Disposable {
  readonly #items: ItemReader;
  readonly #maxSize: number;
  readonly #line: Line;
  readonly #rest: Rest;
  #delimited: Delimited | undefined; // of the last call, and how far it has searched
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;

  /**
   * Reads a stream, and takes ownership of it.
   *
   * @param source A `PipeReader`, a `UnixStream`, another object that reads, or a web
   * `ReadableStream` of bytes. That one can be read asynchronously alone, and is locked.
   * @param options `maxSize` and `maxDescriptors`.
   * @throws {TypeError} If `source` does not read, or is a stream that is locked; an
   * option is of the wrong type; or the source cannot carry descriptors, and
   * `maxDescriptors` is not 0.
   * @throws {RangeError} If `maxSize` is not an integer from 1 to 2147483647, or
   * `maxDescriptors` from 0 to 253.
   */
  constructor(
    source: ByteSource | ReadableStream<Uint8Array>,
    options?: BufferedReaderOptions,
  ) {
    const { maxSize = DEFAULT_MAX_SIZE, maxDescriptors = 0 } = options ?? {};
    checkInteger("maxSize", maxSize, 1, MAX_SIZE, "bytes of one item");
    checkMaxDescriptors(maxDescriptors);
    const bytes = sourceOf("source", source);
    this.#items = new ItemReader(bytes, maxDescriptors, SUBJECT);
    this.#maxSize = maxSize;
    this.#line = new Line(maxSize);
    this.#rest = new Rest(maxSize);
  }

  static {
    itemsOf = (reader) => reader.#items;
    inspectAs(this, (reader) => {
      const { buffer, closed } = reader.#items;
      const { position, length: buffered } = buffer;
      return { position, buffered, closed };
    });
  }

  /**
   * The number of bytes that were returned so far: where in the stream the next one is.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get position(): number {
    return this.#open().buffer.position;
  }

  /**
   * The number of bytes that were read from the stream and not returned yet.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get buffered(): number {
    return this.#open().buffer.length;
  }

  /**
   * `read(2)` of so many bytes, waiting without blocking the thread until all are there.
   *
   * @param size The number of bytes, up to `maxSize`. Memory is claimed as they come.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The bytes, or null at the end of the stream.
   * @throws {RangeError} If `size` is not an integer from 0 to `maxSize`.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within them.
   * @throws {Deno.errors.InvalidData} If descriptors that come with them are lost.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived; other errors of the source.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readExactly(
    size: number,
    options?: WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return promised(() => this.#items.read(this.#exactly(size), options));
  }

  /**
   * `read(2)` of so many bytes, blocking this thread until all are there.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param size The number of bytes, up to `maxSize`.
   * @param options `timeout` in milliseconds.
   * @returns The bytes, or null at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As
   * {@linkcode BufferedReader.prototype.readExactly | BufferedReader.readExactly}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readExactlySync(
    size: number,
    options?: SyncWaitOptions,
  ): Uint8Array<ArrayBuffer> | null {
    return this.#items.readSync(this.#exactly(size), options);
  }

  /**
   * `read(2)` of so many bytes, without waiting. What was read of it is kept.
   *
   * @param size The number of bytes, up to `maxSize`.
   * @returns The bytes, undefined if not all are there now or while an asynchronous read is
   * pending, or null at the end of the stream.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As
   * {@linkcode BufferedReader.prototype.readExactly | BufferedReader.readExactly}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReadExactly(size: number): Uint8Array<ArrayBuffer> | null | undefined {
    return this.#items.tryRead(this.#exactly(size));
  }

  /**
   * `read(2)` up to a delimiter, waiting without blocking the thread until it is there.
   *
   * @param delimiter The bytes that end what is read; a string as UTF-8.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The bytes before the delimiter, which is consumed, too; null at the end of
   * the stream.
   * @throws {TypeError} If `delimiter` is neither bytes nor a string, or has lone
   * surrogates.
   * @throws {RangeError} If `delimiter` is empty.
   * @throws {Deno.errors.InvalidData} If more than `maxSize` bytes come before it, which
   * stay in the buffer; or if descriptors that come with them are lost.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before the delimiter.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived; other errors of the source.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readUntil(
    delimiter: string | Uint8Array,
    options?: WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return promised(() => this.#items.read(this.#until(delimiter), options));
  }

  /**
   * `read(2)` up to a delimiter, blocking this thread until it is there.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param delimiter The bytes that end what is read; a string as UTF-8.
   * @param options `timeout` in milliseconds.
   * @returns The bytes before the delimiter, or null at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readUntil | BufferedReader.readUntil}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readUntilSync(
    delimiter: string | Uint8Array,
    options?: SyncWaitOptions,
  ): Uint8Array<ArrayBuffer> | null {
    return this.#items.readSync(this.#until(delimiter), options);
  }

  /**
   * `read(2)` up to a delimiter, without waiting. What was read of it is kept.
   *
   * @param delimiter The bytes that end what is read; a string as UTF-8.
   * @returns The bytes before the delimiter, undefined if it is not there now or while an
   * asynchronous read is pending, or null at the end of the stream.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readUntil | BufferedReader.readUntil}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReadUntil(
    delimiter: string | Uint8Array,
  ): Uint8Array<ArrayBuffer> | null | undefined {
    return this.#items.tryRead(this.#until(delimiter));
  }

  /**
   * `read(2)` of a line of text, waiting without blocking the thread until it is
   * complete. A line ends with "\n" or "\r\n".
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The line, without its end, decoded as UTF-8; invalid bytes become U+FFFD.
   * Null at the end of the stream.
   * @throws {Deno.errors.InvalidData} If the line has more than `maxSize` bytes, which
   * stay in the buffer; or if descriptors that come with it are lost.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within a line; `readToEnd`
   * returns its bytes.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived; other errors of the source.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example JSON, one value on each line
   * ```ts
   * import { duplexPipe } from "@linux/ipc/pipe";
   * import { BufferedReader } from "@linux/ipc/reader";
   * import { assertEquals } from "@std/assert";
   *
   * const [here, there] = duplexPipe();
   * using _sides = there;
   * using replies = new BufferedReader(here.reader);
   * there.writer.writeSync(new TextEncoder().encode('{"id":1}\n{"id":2}\n'));
   * here.writer.close();
   * there.writer.close();
   *
   * const ids = [];
   * for (let line; (line = await replies.readLine()) !== null;) {
   *   ids.push(JSON.parse(line).id);
   * }
   * assertEquals(ids, [1, 2]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readLine(options?: WaitOptions): Promise<string | null> {
    return this.#items.read(this.#line, options);
  }

  /**
   * `read(2)` of a line of text, blocking this thread until it is complete.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The line, without its end, or null at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readLine | BufferedReader.readLine}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readLineSync(options?: SyncWaitOptions): string | null {
    return this.#items.readSync(this.#line, options);
  }

  /**
   * `read(2)` of a line of text, without waiting. What was read of it is kept.
   *
   * @returns The line, without its end, undefined if it is not complete now or while an
   * asynchronous read is pending, or null at the end of the stream.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readLine | BufferedReader.readLine}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReadLine(): string | null | undefined {
    return this.#items.tryRead(this.#line);
  }

  /**
   * `read(2)` of so many bytes, which stay in the buffer for the next call; waits without
   * blocking the thread until all are there.
   *
   * @param size The number of bytes, up to `maxSize`. Memory is claimed as they come.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns A copy of the bytes, or null at the end of the stream.
   * @throws As
   * {@linkcode BufferedReader.prototype.readExactly | BufferedReader.readExactly}.
   *
   * @example The header tells how long the message is
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { BufferedReader } from "@linux/ipc/reader";
   * import { assertEquals } from "@std/assert";
   *
   * const ends = pipe();
   * using writer = ends.writer;
   * using reader = new BufferedReader(ends.reader);
   * writer.writeSync(Uint8Array.of(1, 3, 7, 8, 9));
   *
   * const [type, length] = (await reader.peek(2))!;
   * const message = await reader.readExactly(2 + length!); // all of it, or nothing
   * assertEquals([type, message], [1, Uint8Array.of(1, 3, 7, 8, 9)]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  peek(
    size: number,
    options?: WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return promised(() => this.#items.read(this.#peeked(size), options));
  }

  /**
   * `read(2)` of so many bytes, which stay in the buffer for the next call,
   * blocking this thread until all are there.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param size The number of bytes, up to `maxSize`.
   * @param options `timeout` in milliseconds.
   * @returns A copy of the bytes, or null at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.peek | BufferedReader.peek}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  peekSync(
    size: number,
    options?: SyncWaitOptions,
  ): Uint8Array<ArrayBuffer> | null {
    return this.#items.readSync(this.#peeked(size), options);
  }

  /**
   * `read(2)` of so many bytes, which stay in the buffer for the next call,
   * without waiting.
   *
   * @param size The number of bytes, up to `maxSize`.
   * @returns A copy of the bytes, undefined if not all are there now or while an asynchronous read is
   * pending, or null at the end of the stream.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.peek | BufferedReader.peek}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryPeek(size: number): Uint8Array<ArrayBuffer> | null | undefined {
    return this.#items.tryRead(this.#peeked(size));
  }

  /**
   * `read(2)` of the bytes that are there, waiting without blocking the thread until
   * there are any.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes read, or null at the end of the stream.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {Deno.errors.InvalidData} If descriptors that come with the bytes are lost.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived; other errors of the source.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return promised(() => this.#items.read(available(buffer), options));
  }

  /**
   * `read(2)` of the bytes that are there, blocking this thread until there are any.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes read, or null at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.read | BufferedReader.read}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null {
    return this.#items.readSync(available(buffer), options);
  }

  /**
   * `read(2)` of the bytes that are there, without waiting.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @returns The number of bytes read, undefined if there are none now or while an
   * asynchronous read is pending, or null at the end of the stream.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.read | BufferedReader.read}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    return this.#items.tryRead(available(buffer));
  }

  /**
   * `read(2)` of all bytes up to the end of the stream, waiting without blocking the
   * thread until it comes.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The bytes; none at the end of the stream.
   * @throws {Deno.errors.InvalidData} If there are more than `maxSize` bytes, which stay
   * in the buffer; or if descriptors that come with them are lost.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived; other errors of the source.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  async readToEnd(options?: WaitOptions): Promise<Uint8Array<ArrayBuffer>> {
    const rest = await this.#items.read(this.#rest, options);
    return rest!; // the end of the stream is its end, too
  }

  /**
   * `read(2)` of all bytes up to the end of the stream,
   * blocking this thread until it comes.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The bytes; none at the end of the stream.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {TypeError} If the source has no `readSync`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readToEnd | BufferedReader.readToEnd}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readToEndSync(options?: SyncWaitOptions): Uint8Array<ArrayBuffer> {
    return this.#items.readSync(this.#rest, options)!;
  }

  /**
   * `read(2)` of all bytes up to the end of the stream,
   * without waiting. What was read of it is kept.
   *
   * @returns The bytes, or undefined if the end has not come yet or while an asynchronous read
   * is pending.
   * @throws {TypeError} If the source has no `tryRead`, and the bytes are not buffered.
   * @throws As {@linkcode BufferedReader.prototype.readToEnd | BufferedReader.readToEnd}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReadToEnd(): Uint8Array<ArrayBuffer> | undefined {
    return this.#items.tryRead(this.#rest)!;
  }

  /**
   * The descriptors that have arrived and are not taken, in the order of their arrival,
   * each with the position of the byte that it came with.
   *
   * The kernel does not tell which of the bytes that one system call returns a descriptor
   * came with; its position is that of the first one. But where descriptors come, no more
   * is read than the item that is waited for. So those before
   * {@linkcode BufferedReader.prototype.position | BufferedReader.position} came with
   * what was returned, and if a peer sends descriptors with the first byte of a message,
   * that is their position.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get descriptors(): readonly ArrivedDescriptor[] {
    return this.#open().descriptors.arrived;
  }

  /**
   * Takes descriptors that came with the bytes which were returned so far, in the order
   * of their arrival.
   *
   * @param count The maximum number of descriptors.
   * @returns The descriptors, which the caller closes or detaches; none if none came.
   * @throws {RangeError} If `count` is not an integer from 0 on.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  takeDescriptors(count: number = Number.MAX_SAFE_INTEGER): TakenDescriptors {
    checkSize("count", count, 0);
    const { buffer, descriptors } = this.#open();
    const taken = descriptors.take(buffer.position, count);
    return owning(taken, ...taken);
  }

  /**
   * Gives the source back, without closing it: what was read and not returned is the
   * caller's, and so is the source. This object is closed.
   *
   * @returns The bytes and the descriptors that are in the buffer.
   * @throws {Error} If an asynchronous read is pending.
   * @throws {ClosedError} If this object is closed.
   *
   * @example After the first line, the program reads by itself
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { BufferedReader } from "@linux/ipc/reader";
   * import { assertEquals } from "@std/assert";
   *
   * const { reader, writer } = pipe();
   * writer.writeSync(new TextEncoder().encode("raw\n12"));
   * const buffered = new BufferedReader(reader);
   * assertEquals(buffered.readLineSync(), "raw");
   *
   * const { bytes } = buffered.detach();
   * assertEquals(bytes, new TextEncoder().encode("12"));
   * writer.writeSync(Uint8Array.of(3));
   * assertEquals(reader.readSync(new Uint8Array(8)), 1);
   * reader.close();
   * writer.close();
   * ```
   */
  detach(): DetachedBuffer {
    const { buffer, descriptors, source } = this.#items;
    this.#items.release();
    const rest = source instanceof WebStreamSource ? source.release() : [];
    const bytes = new Uint8Array(buffer.length + rest.length);
    bytes.set(rest, buffer.length);
    buffer.moveTo(bytes, buffer.length);
    const { arrived } = descriptors;
    descriptors.take(Infinity, Infinity);
    return { bytes, descriptors: arrived };
  }

  /**
   * The rest of the bytes as a byte stream with back-pressure.
   *
   * The source is closed when the stream ends, fails or is cancelled. The stream is made
   * once; do not call the read methods while it is in use.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    this.#open();
    return this.#readable ??= readableStream(
      (buffer, signal) => this.read(buffer, { signal }),
      () => this.close(),
    );
  }

  /**
   * Keeps the program alive while waits of the source are pending.
   *
   * This is the default. Sources without such a method are left alone. (A wait for a web
   * stream keeps the program alive only if the stream does.)
   */
  ref(): void {
    this.#items.source.ref?.();
  }

  /** Lets the program end while waits of the source are pending. */
  unref(): void {
    this.#items.source.unref?.();
  }

  /**
   * Closes the source, and the descriptors that are not taken. Pending waits end with a
   * ClosedError.
   */
  close(): void {
    this.#items.close();
  }

  /** Closes the source. */
  [Symbol.dispose](): void {
    this.close();
  }

  #open(): ItemReader {
    this.#items.checkOpen();
    return this.#items;
  }

  #exactly(size: number): Exactly {
    this.#checkSize(size);
    return new Exactly(size);
  }

  #peeked(size: number): Peeked {
    this.#checkSize(size);
    return new Peeked(size);
  }

  #checkSize(size: number): void {
    checkInteger("size", size, 0, this.#maxSize, "maxSize");
  }

  #until(delimiter: string | Uint8Array): Delimited {
    const bytes = delimiterOf(delimiter);
    const last = this.#delimited;
    if (last !== undefined && areEqual(last.delimiter, bytes)) return last;
    return this.#delimited = new Delimited(bytes, this.#maxSize);
  }
}

function available(buffer: Uint8Array): Available {
  checkBytes("buffer", buffer);
  return new Available(buffer);
}

function areEqual(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length &&
    one.every((byte, index) => byte === other[index]);
}
