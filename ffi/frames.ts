/**
 * Messages over a stream of bytes: with a length prefix, or with a delimiter.
 *
 * **Choose it** to exchange messages over a pipe, a FIFO or a stream socket, messages
 * that are larger than a packet can be, or messages of another program's protocol.
 *
 * **Choose something else** for a new connection between processes of one machine:
 * `UnixSeqpacket` preserves message boundaries without framing.
 *
 * ```ts
 * import { FramedStream } from "@linux/ipc/frames";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * const [one, other] = UnixStream.pair();
 * using sender = new FramedStream(one);
 * using receiver = new FramedStream(other);
 * await sender.send(new TextEncoder().encode("hello"));
 * assertEquals((await receiver.receive())?.length, 5);
 * ```
 *
 * @module
 */

import { byteLengthOf, checkBytes, checkInteger } from "./arguments.ts";
import { Delimiter } from "./frames/delimiter.ts";
import {
  type FramedSendOptions,
  FrameSender,
  type FrameWriter,
} from "./frames/frame_writer.ts";
import type { Framing } from "./frames/framing.ts";
import {
  LengthPrefix,
  longestWith,
  type Prefix,
} from "./frames/length_prefix.ts";
import { inspectAs } from "./inspect_object.ts";
import { owning } from "./kernel/descriptor_owner.ts";
import { BufferedReader, itemsOf } from "./reader/buffered_reader.ts";
import type { ByteBuffer } from "./reader/byte_buffer.ts";
import type { DescriptorQueue } from "./reader/descriptor_queue.ts";
import { ItemReader } from "./reader/item_reader.ts";
import { delimiterOf, type Item } from "./reader/items.ts";
import { type ByteSource, sourceOf } from "./reader/source.ts";
import { checkMaxDescriptors } from "./socket/control_message.ts";
import type { PassedDescriptor } from "./socket/passed_descriptor.ts";
import { promised } from "./wait/attempt.ts";
import { untilClosed } from "./wait/iteration.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "./wait/options.ts";

export type {
  /** Options of `FramedStream.send` and its siblings. */
  FramedSendOptions,
  /** A stream to write frames to, such as a `UnixStream` or a `PipeWriter`. */
  FrameWriter,
} from "./frames/frame_writer.ts";
export type {
  /** A stream of bytes to read from, such as a `PipeReader` or a `UnixStream`. */
  ByteSource,
} from "./reader.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
} from "./kernel/descriptor_owner.ts";
export type {
  /** A descriptor that was received. */
  PassedDescriptor,
} from "./socket/passed_descriptor.ts";
export type {
  /** The number of a descriptor, or an object that has one as `fd`. */
  DescriptorLike,
} from "./wait/descriptors.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";

/** Options of a {@linkcode FramedStream}. */
export interface FramedStreamOptions {
  /**
   * The maximum length of a message that is sent or received, in bytes; up to 2 GiB, and
   * up to what the prefix can express.
   *
   * @default {16777216} 16 MiB, or less if the prefix cannot express it
   */
  maxSize?: number | undefined;
  /**
   * The size of the length that precedes each message, in bytes.
   *
   * @default {4}
   */
  prefixSize?: 1 | 2 | 4 | 8 | undefined;
  /**
   * Whether the least significant byte of the length comes first. By default it is the
   * most significant one, as in network byte order (`htonl`).
   *
   * @default {false}
   */
  littleEndian?: boolean | undefined;
  /**
   * Whether the length includes the prefix itself.
   *
   * @default {false}
   */
  prefixIncluded?: boolean | undefined;
  /**
   * The bytes that end each message, in place of a length before it; a string as UTF-8.
   * A message cannot contain them.
   */
  delimiter?: string | Uint8Array | undefined;
  /**
   * The maximum number of descriptors that come with one message, up to 253. A
   * `BufferedReader` that is given as `reader` has its own.
   *
   * @default {0}
   */
  maxDescriptors?: number | undefined;
}

/** A message, and the descriptors that came with it. Its `close()` closes them. */
export interface FramedMessage extends Disposable {
  /** The bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** The descriptors, in the order in which they were sent. */
  readonly descriptors: readonly PassedDescriptor[];
  /** Closes the descriptors that were neither closed nor detached. */
  close(): void;
}

const DEFAULT_MAX_SIZE = 16 * 1024 * 1024;
const MAX_SIZE = 0x7fff_ffff;

/**
 * Sends and receives messages over a stream: `write(2)` and `read(2)` of frames.
 *
 * A frame is the length of the message, as 4 bytes in network byte order (`htonl`),
 * followed by the message. Options choose another prefix, or a delimiter.
 *
 * The object owns the stream: it reads ahead, so do not use the stream itself. Messages
 * are sent in the order of the calls, and calls that receive are served in their order.
 *
 * A stream socket can carry descriptors.
 * {@linkcode FramedStream.prototype.receiveMessage | FramedStream.receiveMessage} returns
 * those that come with a message; without the option `maxDescriptors`, the first one ends
 * receiving with an error.
 *
 * There is no `trySend`: the stream may have room for a part of a frame.
 *
 * @example Over a socket
 * ```ts
 * import { UnixStream } from "@linux/ipc/socket";
 * import { FramedStream } from "@linux/ipc/frames";
 * import { assertEquals } from "@std/assert";
 *
 * const [one, other] = UnixStream.pair();
 * using client = new FramedStream(one);
 * using server = new FramedStream(other);
 *
 * await client.send(Uint8Array.of(1, 2, 3));
 * await client.send(Uint8Array.of(4));
 * client.close();
 *
 * const messages = [];
 * for await (const message of server) messages.push(message);
 * assertEquals(messages, [Uint8Array.of(1, 2, 3), Uint8Array.of(4)]);
 * ```
 *
 * @example Lines of text
 * ```ts
 * import { UnixStream } from "@linux/ipc/socket";
 * import { FramedStream } from "@linux/ipc/frames";
 * import { assertEquals } from "@std/assert";
 *
 * const [one, other] = UnixStream.pair();
 * using lines = new FramedStream(one, { delimiter: "\n" });
 * other.writeSync(new TextEncoder().encode("first\nsecond\nthi"));
 * other.close();
 *
 * assertEquals(lines.receiveSync(), new TextEncoder().encode("first"));
 * assertEquals(lines.receiveSync(), new TextEncoder().encode("second"));
 * ```
 *
 * @example Over a pipe in each direction
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { FramedStream } from "@linux/ipc/frames";
 * import { assertEquals } from "@std/assert";
 *
 * const there = pipe();
 * const back = pipe();
 * using parent = new FramedStream({ reader: back.reader, writer: there.writer });
 * using child = new FramedStream({ reader: there.reader, writer: back.writer });
 * parent.sendSync(new Uint8Array(1000));
 * assertEquals(child.receiveSync()?.length, 1000);
 * ```
 */
export class FramedStream implements Disposable {
  readonly #items: ItemReader;
  readonly #bytes: Item<Uint8Array<ArrayBuffer>>;
  readonly #message: Item<FramedMessage>;
  readonly #writer: FrameWriter;
  readonly #sender: FrameSender;
  readonly #maxSize: number;

  /**
   * Frames a stream, and takes ownership of it.
   *
   * @param stream One stream for both directions, or one for each direction. If `reader`
   * is a `BufferedReader` of {@link [reader] @linux/ipc/reader}, it can be used between
   * two messages, such as for bytes that are not framed; its errors about descriptors
   * come once.
   * @param options `maxSize`; `prefixSize`, `littleEndian` and `prefixIncluded`, or
   * `delimiter`; and `maxDescriptors`.
   * @throws {TypeError} If `stream` does not read and write, an option is of the wrong
   * type, `delimiter` is combined with an option of prefixes, or `maxDescriptors` with a
   * stream that cannot carry descriptors or a `BufferedReader`.
   * @throws {RangeError} If `maxSize` is not an integer from 1 to 2147483647, or to what
   * the prefix can express; `prefixSize` is not 1, 2, 4 or 8; `delimiter` is empty; or
   * `maxDescriptors` is not an integer from 0 to 253.
   */
  constructor(
    stream:
      | (ByteSource & FrameWriter)
      | {
        readonly reader:
          | ByteSource
          | BufferedReader
          | ReadableStream<Uint8Array>;
        readonly writer: FrameWriter;
      },
    options?: FramedStreamOptions,
  ) {
    const { framing, maxSize, maxDescriptors } = framingOf(options ?? {});
    checkStream("stream", stream);
    const reader = "reader" in stream ? stream.reader : stream;
    const writer = "writer" in stream ? stream.writer : stream;
    checkStream("stream.reader", reader);
    checkStream("stream.writer", writer);
    this.#items = readingOf(reader, maxDescriptors);
    this.#bytes = new BytesFrame(framing, this.#items.descriptors);
    this.#message = new MessageFrame(framing, this.#items.descriptors);
    this.#writer = writer;
    this.#sender = new FrameSender(writer, framing, SUBJECT);
    this.#maxSize = maxSize;
  }

  /**
   * `write(2)` of one message, waiting without blocking the thread. Concurrent calls
   * send in the order of the calls; await each one to limit the memory in use.
   *
   * @param message The message; it may be empty. Do not change it, and keep the
   * descriptors open, until the promise is settled.
   * @param options `descriptors`, `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the memory of the message is closed or truncated before it
   * is sent, the message contains the delimiter, or the stream cannot carry descriptors.
   * @throws {RangeError} If the message has more than `maxSize` bytes, or there are more
   * than 253 descriptors.
   * @throws {ClosedError} If the stream is closed, now or during the wait, or an object
   * with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. If a part of the
   * frame was sent, all later sends fail, too.
   * @throws {IpcError} EPIPE if the peer has closed; with descriptors also EBADF if one
   * is not open, ETOOMANYREFS if too many are in flight, EPERM if the peer refuses them.
   * @throws The reason of the signal, if it is aborted; after a part, as above.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  send(
    message: Uint8Array,
    options?: FramedSendOptions & WaitOptions,
  ): Promise<void> {
    return promised(() => {
      const limits = limitsOf(options);
      const length = this.#lengthOf(message);
      return this.#sender.send(message, length, options, limits);
    });
  }

  /**
   * `write(2)` of one message, blocking this thread while there is no room.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param message The message; it may be empty.
   * @param options `descriptors`, and `timeout` in milliseconds.
   * @throws {Error} If an asynchronous send is pending.
   * @throws As {@linkcode FramedStream.prototype.send | FramedStream.send}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  sendSync(
    message: Uint8Array,
    options?: FramedSendOptions & SyncWaitOptions,
  ): void {
    const deadline = deadlineOf(options);
    const length = this.#lengthOf(message);
    this.#sender.sendSync(message, length, options, deadline);
  }

  /**
   * `read(2)` of one message, waiting without blocking the thread. If the wait ends
   * after a part of a message was read, the next call continues with the rest.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The message, or null at the end of the stream.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within a message.
   * @throws {Deno.errors.InvalidData} If the message has more than `maxSize`
   * bytes, its length is less than that of the prefix that it includes, or more than
   * `maxDescriptors` descriptors come along; all later receives fail, too.
   * @throws {Error} If descriptors come with the message: call
   * {@linkcode FramedStream.prototype.receiveMessage | FramedStream.receiveMessage},
   * which returns both.
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  receive(options?: WaitOptions): Promise<Uint8Array<ArrayBuffer> | null> {
    return this.#items.read(this.#bytes, options);
  }

  /**
   * `read(2)` of one message, blocking this thread until it is complete.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The message, or null at the end of the stream.
   * @throws {Error} If an asynchronous receive is pending.
   * @throws As {@linkcode FramedStream.prototype.receive | FramedStream.receive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  receiveSync(options?: SyncWaitOptions): Uint8Array<ArrayBuffer> | null {
    return this.#items.readSync(this.#bytes, options);
  }

  /**
   * `read(2)` of one message, without waiting. What was read of an incomplete message
   * is kept for the next call.
   *
   * @returns The message, undefined if it is not complete now or while an asynchronous
   * receive is pending, or null at the end of the stream.
   * @throws As {@linkcode FramedStream.prototype.receive | FramedStream.receive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReceive(): Uint8Array<ArrayBuffer> | null | undefined {
    return this.#items.tryRead(this.#bytes);
  }

  /**
   * `recvmsg(2)` of one message with its descriptors, waiting without blocking the
   * thread: those that came with one of its bytes.
   *
   * If the wait ends after a part of a message was read, the next call continues with the
   * rest.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The message, or null at the end of the stream.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within a message.
   * @throws {Deno.errors.InvalidData} As
   * {@linkcode FramedStream.prototype.receive | FramedStream.receive}; or if this process
   * may open no more descriptors (EMFILE).
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example A message with a pipe
   * ```ts
   * import { pipe, PipeReader } from "@linux/ipc/pipe";
   * import { UnixStream } from "@linux/ipc/socket";
   * import { FramedStream } from "@linux/ipc/frames";
   * import { assertEquals } from "@std/assert";
   *
   * const [one, other] = UnixStream.pair();
   * using frames = new FramedStream(other, { maxDescriptors: 1 });
   * using ends = pipe();
   * one.sendSync(Uint8Array.of(0, 0, 0, 2, 7, 8), { descriptors: [ends.reader] });
   * one.close();
   *
   * using message = (await frames.receiveMessage())!;
   * assertEquals(message.data, Uint8Array.of(7, 8));
   * using reader = PipeReader.fromFd(message.descriptors[0]!.detach());
   * ends.writer.writeSync(Uint8Array.of(1));
   * assertEquals(reader.readSync(new Uint8Array(8)), 1);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveMessage(options?: WaitOptions): Promise<FramedMessage | null> {
    return this.#items.read(this.#message, options);
  }

  /**
   * `recvmsg(2)` of one message with its descriptors, blocking this thread until it is
   * complete.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The message, or null at the end of the stream.
   * @throws {Error} If an asynchronous receive is pending.
   * @throws As
   * {@linkcode FramedStream.prototype.receiveMessage | FramedStream.receiveMessage}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveMessageSync(options?: SyncWaitOptions): FramedMessage | null {
    return this.#items.readSync(this.#message, options);
  }

  /**
   * `recvmsg(2)` of one message with its descriptors, without waiting. What was read of
   * an incomplete message is kept for the next call.
   *
   * @returns The message, undefined if it is not complete now or while an asynchronous
   * receive is pending, or null at the end of the stream.
   * @throws As
   * {@linkcode FramedStream.prototype.receiveMessage | FramedStream.receiveMessage}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceiveMessage(): FramedMessage | null | undefined {
    return this.#items.tryRead(this.#message);
  }

  /** Receives messages until the end of the stream, or until it is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<
    Uint8Array<ArrayBuffer>,
    void,
    unknown
  > {
    return untilClosed(() => this.receive());
  }

  /**
   * Keeps the program alive while waits of the stream, or of both streams, are pending.
   * This is the default. Streams without such a method are left alone.
   */
  ref(): void {
    this.#items.source.ref?.();
    this.#writer.ref?.();
  }

  /** Lets the program end while waits of the stream, or of both streams, are pending. */
  unref(): void {
    this.#items.source.unref?.();
    this.#writer.unref?.();
  }

  /**
   * Closes the stream, or both streams, and the descriptors of a message that is not
   * complete. Pending waits end with a ClosedError.
   */
  close(): void {
    try {
      this.#items.close();
    } finally {
      this.#writer.close();
    }
  }

  /** Closes the stream, or both streams. */
  [Symbol.dispose](): void {
    this.close();
  }

  static {
    inspectAs(this, (stream) => ({ maxSize: stream.#maxSize }));
  }

  /** Checks a message; returns its length. */
  #lengthOf(message: Uint8Array): number {
    checkBytes("message", message);
    const length = byteLengthOf(message);
    if (length <= this.#maxSize) return length;
    throw new RangeError(
      `Argument "message" must have at most ${this.#maxSize} bytes ` +
        `(maxSize): ${length}`,
    );
  }
}

const SUBJECT = "framed stream";

/** A message in its frame: its bytes alone. */
class BytesFrame implements Item<Uint8Array<ArrayBuffer>> {
  readonly #framing: Framing;
  readonly #descriptors: DescriptorQueue;

  constructor(framing: Framing, descriptors: DescriptorQueue) {
    this.#framing = framing;
    this.#descriptors = descriptors;
  }

  sizeIn(buffer: ByteBuffer): number {
    if (this.#descriptors.isEmpty) return this.#framing.sizeIn(buffer, false);
    throw new Error(
      "Cannot receive bytes alone: descriptors come with this message " +
        "(receiveMessage)",
    );
  }

  take(buffer: ByteBuffer, size: number): Uint8Array<ArrayBuffer> {
    return this.#framing.take(buffer, size);
  }
}

/** A message in its frame, with the descriptors that came along. */
class MessageFrame implements Item<FramedMessage> {
  readonly #framing: Framing;
  readonly #descriptors: DescriptorQueue;

  constructor(framing: Framing, descriptors: DescriptorQueue) {
    this.#framing = framing;
    this.#descriptors = descriptors;
  }

  sizeIn(buffer: ByteBuffer): number {
    return this.#framing.sizeIn(buffer, false);
  }

  take(buffer: ByteBuffer, size: number): FramedMessage {
    const data = this.#framing.take(buffer, size);
    const descriptors = this.#descriptors.take(buffer.position, Infinity);
    return owning({ data, descriptors }, ...descriptors);
  }
}

/** What reads the messages: a reader of the caller's, or a new one. */
function readingOf(
  stream: ByteSource | BufferedReader | ReadableStream<Uint8Array>,
  maxDescriptors: number | undefined,
): ItemReader {
  if (!(stream instanceof BufferedReader)) {
    const source = sourceOf("stream.reader", stream);
    return new ItemReader(source, maxDescriptors ?? 0, SUBJECT, true);
  }
  if (maxDescriptors === undefined) return itemsOf(stream);
  throw new TypeError(
    'Argument "maxDescriptors" must be left out: the reader has its own',
  );
}

/** Reads and checks the options. */
function framingOf(options: FramedStreamOptions): {
  readonly framing: Framing;
  readonly maxSize: number;
  readonly maxDescriptors: number | undefined;
} {
  const {
    maxSize: most,
    prefixSize,
    littleEndian,
    prefixIncluded,
    delimiter,
    maxDescriptors,
  } = options;
  if (maxDescriptors !== undefined) checkMaxDescriptors(maxDescriptors);
  const prefix = prefixOf(prefixSize, littleEndian, prefixIncluded);
  const longest = delimiter === undefined
    ? Math.min(longestWith(prefix), MAX_SIZE)
    : MAX_SIZE;
  const maxSize = most ?? Math.min(DEFAULT_MAX_SIZE, longest);
  checkInteger("maxSize", maxSize, 1, longest, "bytes of one message");
  if (delimiter === undefined) {
    const framing = new LengthPrefix(prefix, maxSize);
    return { framing, maxSize, maxDescriptors };
  }
  const others = { prefixSize, littleEndian, prefixIncluded };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw leaveOut(name);
  }
  const framing = new Delimiter(delimiterOf(delimiter), maxSize);
  return { framing, maxSize, maxDescriptors };
}

function leaveOut(name: string): TypeError {
  return new TypeError(
    `Argument "${name}" must be left out: a delimiter ends the messages`,
  );
}

function prefixOf(
  size: unknown = 4,
  littleEndian: unknown = false,
  included: unknown = false,
): Prefix {
  const origin = "bytes: 1, 2, 4 or 8";
  checkInteger("prefixSize", size, 1, 8, origin);
  if (![1, 2, 4, 8].includes(size)) {
    throw new RangeError(`Argument "prefixSize" must be 1, 2, 4 or 8: ${size}`);
  }
  checkBoolean("littleEndian", littleEndian);
  checkBoolean("prefixIncluded", included);
  return { size, littleEndian, included };
}

function checkBoolean(name: string, value: unknown): asserts value is boolean {
  if (typeof value === "boolean") return;
  throw new TypeError(`Argument "${name}" must be a boolean: ${String(value)}`);
}

function checkStream(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(
    `Argument "${name}" must be an object that reads and writes`,
  );
}
