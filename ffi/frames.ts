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

import {
  byteLengthOf,
  checkBytes,
  checkFd,
  checkInteger,
  checkKept,
  copyOf,
  isBytes,
  viewOf,
} from "./arguments.ts";
import { Delimiter } from "./frames/delimiter.ts";
import type { Framing } from "./frames/framing.ts";
import {
  LengthPrefix,
  longestWith,
  type Prefix,
} from "./frames/length_prefix.ts";
import { inspectAs } from "./inspect_object.ts";
import { livenessOf, owning } from "./kernel/descriptor_owner.ts";
import { alwaysRefed } from "./kernel/liveness.ts";
import { POLLOUT } from "./libc/poll.ts";
import { runtime } from "./libc/runtime/mod.ts";
import {
  checkMaxDescriptors,
  descriptorsOf,
} from "./socket/control_message.ts";
import type { PassedDescriptor } from "./socket/passed_descriptor.ts";
import type { DescriptorLike } from "./wait/descriptors.ts";
import { untilClosed } from "./wait/iteration.ts";
import {
  deadlineOf,
  isOver,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  timeoutError,
  timeoutUntil,
  type WaitOptions,
} from "./wait/options.ts";
import { ready, readySync, type Waitable } from "./wait/reactor.ts";
import { isAborted, throwIfAborted } from "./wait/signal.ts";
import { WaiterQueue } from "./wait/waiters.ts";

export type { DescriptorOwner } from "./kernel/descriptor_owner.ts";
export type { PassedDescriptor } from "./socket/passed_descriptor.ts";
export type { DescriptorLike } from "./wait/descriptors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";

/** Options of {@linkcode FramedStream.send} and its siblings. */
export interface FramedSendOptions {
  /**
   * Descriptors to pass, at most 253, over a stream that can carry them. The receiver
   * gets duplicates; these stay open here.
   *
   * @default {[]}
   */
  descriptors?: readonly DescriptorLike[] | undefined;
}

/** Options of the `receive` methods of a {@linkcode FrameReader}. */
export interface FrameReadOptions extends WaitOptions {
  /** Where the bytes are stored, from its start. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /** The maximum number of descriptors. */
  readonly maxDescriptors: number;
}

/** Bytes that were read, and the descriptors that came with them. */
export interface FrameBytes {
  /** At least 1 byte: a view of the buffer. */
  readonly data: Uint8Array;
  /** The descriptors, which the caller closes. */
  readonly descriptors: readonly PassedDescriptor[];
  /** Whether more descriptors were passed than `maxDescriptors`. */
  readonly descriptorsTruncated: boolean;
}

/** A stream to read frames from, such as a `UnixStream` or a `PipeReader`. */
export interface FrameReader {
  /**
   * Reads at least 1 byte, waiting until there is data; null at the end. If it fails,
   * it has read nothing.
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null>;
  /** Reads at least 1 byte, blocking this thread until there is data; null at the end. */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null;
  /** Reads the bytes that are available now; undefined if there are none; null at the end. */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined;
  /**
   * Reads as `read`, with the descriptors that come along. A stream that can carry
   * descriptors has the following three; it is read with them alone.
   */
  receive?(options: FrameReadOptions): Promise<FrameBytes | null>;
  /** As `receive`, blocking this thread until there is data. */
  receiveSync?(options: FrameReadOptions): FrameBytes | null;
  /** As `receive`, without waiting; undefined if there is no data now. */
  tryReceive?(options: FrameReadOptions): FrameBytes | null | undefined;
  /** Has its pending waits keep the program alive, if it can. */
  ref?(): void;
  /** Lets the program end while its waits are pending, if it can. */
  unref?(): void;
  /** Closes the stream. */
  close(): void;
}

/** A stream to write frames to, such as a `UnixStream` or a `PipeWriter`. */
export interface FrameWriter {
  /** The descriptor, if there is one: a frame waits for it to be writable. */
  readonly fd?: number | undefined;
  /**
   * Writes all bytes, waiting while there is no room; returns their number. If the
   * timeout or the signal ends a write of 1 byte, it has written nothing.
   */
  write(bytes: Uint8Array, options?: WaitOptions): Promise<number>;
  /** As `write`, blocking this thread while there is no room. */
  writeSync(bytes: Uint8Array, options?: SyncWaitOptions): number;
  /** Writes as many bytes as there is room for; undefined if there is none. */
  tryWrite(bytes: Uint8Array): number | undefined;
  /**
   * Writes as `write`, and passes descriptors with the first byte. A stream that can
   * carry descriptors has the following three. If they fail for 1 byte, they have written
   * nothing.
   */
  send?(
    bytes: Uint8Array,
    options: FramedSendOptions & WaitOptions,
  ): Promise<number>;
  /** As `send`, blocking this thread while there is no room. */
  sendSync?(
    bytes: Uint8Array,
    options: FramedSendOptions & SyncWaitOptions,
  ): number;
  /** Writes as `tryWrite`, and passes descriptors; if it fails, it has written nothing. */
  trySend?(bytes: Uint8Array, options: FramedSendOptions): number | undefined;
  /** Has its pending waits keep the program alive, if it can. */
  ref?(): void;
  /** Lets the program end while its waits are pending, if it can. */
  unref?(): void;
  /** Closes the stream. */
  close(): void;
}

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
   * The maximum number of descriptors that come with one message, up to 253. If it is
   * not 0, the object does not read ahead: between two messages, the stream itself can
   * be used. It cannot be combined with `delimiter`.
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
 * Sends and receives messages over a stream: `write(2)` and `read(2)` of frames. A frame
 * is the length of the message, as 4 bytes in network byte order (`htonl`), followed by
 * the message. Options choose another prefix, or a delimiter.
 *
 * The object owns the stream: it reads ahead, so do not use the stream itself. Messages
 * are sent in the order of the calls, and calls that receive are served in their order.
 *
 * A stream socket can carry descriptors. {@linkcode FramedStream.receiveMessage} returns
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
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #maxSize: number;
  readonly #maxDescriptors: number;
  readonly #framing: Framing;

  readonly #sends = new WaiterQueue();
  #sendFailure: Failure | undefined;

  readonly #receives = new WaiterQueue();
  #receiveFailure: Failure | undefined;
  #descriptors: PassedDescriptor[] = []; // of the message that is being read
  #refusal: Error | undefined; // of the last message that was read, at least in part
  #closed = false;

  /**
   * Frames a stream, and takes ownership of it.
   *
   * @param stream One stream for both directions, or one for each direction.
   * @param options `maxSize`; `prefixSize`, `littleEndian` and `prefixIncluded`, or
   * `delimiter`; and `maxDescriptors`.
   * @throws {TypeError} If `stream` is not an object, an option is of the wrong type, or
   * `delimiter` is combined with an option of prefixes or with `maxDescriptors`.
   * @throws {RangeError} If `maxSize` is not an integer from 1 to 2147483647, or to what
   * the prefix can express; `prefixSize` is not 1, 2, 4 or 8; `delimiter` is empty; or
   * `maxDescriptors` is not an integer from 0 to 253.
   */
  constructor(
    stream:
      | (FrameReader & FrameWriter)
      | { readonly reader: FrameReader; readonly writer: FrameWriter },
    options?: FramedStreamOptions,
  ) {
    const { framing, maxSize, maxDescriptors } = framingOf(options ?? {});
    checkStream("stream", stream);
    this.#framing = framing;
    this.#maxSize = maxSize;
    this.#maxDescriptors = maxDescriptors;
    this.#reader = "reader" in stream ? stream.reader : stream;
    this.#writer = "writer" in stream ? stream.writer : stream;
    checkStream("stream.reader", this.#reader);
    checkStream("stream.writer", this.#writer);
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
  async send(
    message: Uint8Array,
    options?: FramedSendOptions & WaitOptions,
  ): Promise<void> {
    const limits = limitsOf(options);
    const length = this.#lengthOf(message);
    const first = this.#firstWriter(options);
    const entered = this.#sends.enter(limits);
    if (entered !== undefined && !await entered) throw timeoutError(SUBJECT);
    try {
      throwIfAborted(limits.signal);
      await this.#write(this.#frame(message, length), first, limits);
    } finally {
      this.#sends.leave();
    }
  }

  /**
   * `write(2)` of one message, blocking this thread while there is no room.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param message The message; it may be empty.
   * @param options `descriptors`, and `timeout` in milliseconds.
   * @throws {Error} If an asynchronous send is pending.
   * @throws As {@linkcode FramedStream.send}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  sendSync(
    message: Uint8Array,
    options?: FramedSendOptions & SyncWaitOptions,
  ): void {
    const deadline = deadlineOf(options);
    const length = this.#lengthOf(message);
    const first = this.#firstWriter(options);
    if (this.#sends.busy) {
      throw new Error("Cannot send now: an asynchronous send is pending");
    }
    this.#sends.enter(NO_LIMITS); // the caller's writer may call this object
    try {
      this.#writeSync(this.#frame(message, length), first, deadline);
    } finally {
      this.#sends.leave();
    }
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
   * {@linkcode FramedStream.receiveMessage}, which returns both.
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  async receive(
    options?: WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    return dataOf(await this.#receive(limitsOf(options), false));
  }

  /**
   * `read(2)` of one message, blocking this thread until it is complete.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The message, or null at the end of the stream.
   * @throws {Error} If an asynchronous receive is pending.
   * @throws As {@linkcode FramedStream.receive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  receiveSync(options?: SyncWaitOptions): Uint8Array<ArrayBuffer> | null {
    return dataOf(this.#receiveSync(deadlineOf(options), false));
  }

  /**
   * `read(2)` of one message, without waiting. What was read of an incomplete message
   * is kept for the next call.
   *
   * @returns The message, undefined if it is not complete now or while an asynchronous
   * receive is pending, or null at the end of the stream.
   * @throws As {@linkcode FramedStream.receive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryReceive(): Uint8Array<ArrayBuffer> | null | undefined {
    const arrived = this.#tryReceive(false);
    return arrived === undefined ? undefined : dataOf(arrived);
  }

  /**
   * `recvmsg(2)` of one message with its descriptors, waiting without blocking the
   * thread: those that came with one of its bytes. If the wait ends after a part of a
   * message was read, the next call continues with the rest.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The message, or null at the end of the stream.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within a message.
   * @throws {Deno.errors.InvalidData} As {@linkcode FramedStream.receive}; or if this
   * process may open no more descriptors (EMFILE).
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
  async receiveMessage(options?: WaitOptions): Promise<FramedMessage | null> {
    return messageOf(await this.#receive(limitsOf(options), true));
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
   * @throws As {@linkcode FramedStream.receiveMessage}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveMessageSync(options?: SyncWaitOptions): FramedMessage | null {
    return messageOf(this.#receiveSync(deadlineOf(options), true));
  }

  /**
   * `recvmsg(2)` of one message with its descriptors, without waiting. What was read of
   * an incomplete message is kept for the next call.
   *
   * @returns The message, undefined if it is not complete now or while an asynchronous
   * receive is pending, or null at the end of the stream.
   * @throws As {@linkcode FramedStream.receiveMessage}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceiveMessage(): FramedMessage | null | undefined {
    const arrived = this.#tryReceive(true);
    return arrived === undefined ? undefined : messageOf(arrived);
  }

  /** Receives messages until the end of the stream, or until it is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<
    Uint8Array<ArrayBuffer>,
    void,
    unknown
  > {
    return untilClosed(async () =>
      dataOf(await this.#receive(NO_LIMITS, false))
    );
  }

  /**
   * Keeps the program alive while waits of the stream, or of both streams, are pending.
   * This is the default. Streams without such a method are left alone.
   */
  ref(): void {
    this.#reader.ref?.();
    this.#writer.ref?.();
  }

  /** Lets the program end while waits of the stream, or of both streams, are pending. */
  unref(): void {
    this.#reader.unref?.();
    this.#writer.unref?.();
  }

  /**
   * Closes the stream, or both streams, and the descriptors of a message that is not
   * complete. Pending waits end with a ClosedError.
   */
  close(): void {
    this.#closed = true;
    this.#dropDescriptors();
    try {
      this.#reader.close();
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

  async #receive(
    limits: Limits,
    withDescriptors: boolean,
  ): Promise<Arrived | null> {
    const { deadline, signal } = limits;
    const entered = this.#receives.enter(limits);
    if (entered !== undefined && !await entered) throw timeoutError(SUBJECT);
    try {
      throwIfAborted(signal);
      for (;;) {
        const message = this.#take(withDescriptors);
        if (message !== undefined) return message;
        const buffer = this.#framing.room();
        const left = { timeout: timeoutUntil(deadline), signal };
        const bytes = this.#reader.receive === undefined
          ? await this.#reader.read(buffer, left)
          : await this.#reader.receive({ ...this.#into(buffer), ...left });
        if (!this.#add(bytes, buffer)) return null;
      }
    } finally {
      if (this.#closed) this.#dropDescriptors(); // they came in the meantime
      this.#receives.leave();
    }
  }

  #receiveSync(deadline: number, withDescriptors: boolean): Arrived | null {
    if (this.#receives.busy) {
      throw new Error("Cannot receive now: an asynchronous receive is pending");
    }
    this.#receives.enter(NO_LIMITS);
    try {
      for (;;) {
        const message = this.#take(withDescriptors);
        if (message !== undefined) return message;
        const buffer = this.#framing.room();
        const left = { timeout: timeoutUntil(deadline) };
        const bytes = this.#reader.receiveSync === undefined
          ? this.#reader.readSync(buffer, left)
          : this.#reader.receiveSync({ ...this.#into(buffer), ...left });
        if (!this.#add(bytes, buffer)) return null;
      }
    } finally {
      this.#receives.leave();
    }
  }

  #tryReceive(withDescriptors: boolean): Arrived | null | undefined {
    if (this.#receives.busy) return undefined;
    this.#receives.enter(NO_LIMITS);
    try {
      for (;;) {
        const message = this.#take(withDescriptors);
        if (message !== undefined) return message;
        const buffer = this.#framing.room();
        const bytes = this.#reader.tryReceive === undefined
          ? this.#reader.tryRead(buffer)
          : this.#reader.tryReceive(this.#into(buffer));
        if (bytes === undefined) return undefined;
        if (!this.#add(bytes, buffer)) return null;
      }
    } finally {
      this.#receives.leave();
    }
  }

  #into(buffer: Uint8Array<ArrayBuffer>): FrameReadOptions {
    const maxDescriptors = this.#maxDescriptors - this.#descriptors.length;
    return { buffer, maxDescriptors };
  }

  #lengthOf(message: Uint8Array): number {
    checkBytes("message", message);
    const length = byteLengthOf(message);
    if (length <= this.#maxSize) return length;
    throw new RangeError(
      `Argument "message" must have at most ${this.#maxSize} bytes ` +
        `(maxSize): ${length}`,
    );
  }

  /** Returns the writer of the first byte of a frame: it passes the descriptors. */
  #firstWriter(options: FramedSendOptions | undefined): FrameWriter {
    const writer = this.#writer;
    const given = options?.descriptors;
    const descriptors = given === undefined ? null : descriptorsOf(given);
    if (descriptors === null) return writer;
    if (!writer.send || !writer.sendSync || !writer.trySend) {
      throw new TypeError(
        'Argument "descriptors" must be left out: the stream cannot carry any',
      );
    }
    return {
      tryWrite: (bytes) => writer.trySend!(bytes, { descriptors }),
      write: (bytes, left) => writer.send!(bytes, { ...left, descriptors }),
      writeSync: (bytes, left) =>
        writer.sendSync!(bytes, { ...left, descriptors }),
      close() {},
    };
  }

  #frame(message: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
    if (this.#sendFailure !== undefined) throw this.#sendFailure.error;
    checkKept("message", message, length);
    return this.#framing.frame(viewOf(message, 0, length));
  }

  async #write(
    frame: Uint8Array<ArrayBuffer>,
    first: FrameWriter,
    limits: Limits,
  ): Promise<void> {
    const { deadline, signal } = limits;
    let step: Step | undefined;
    try {
      const { length } = frame;
      const written = this.#tryWrite(frame, first);
      if (written === length) return;
      for (step of this.#steps(frame, first, written)) {
        if ("fd" in step) {
          if (!await writable(step, limits)) throw timeoutError(SUBJECT);
        } else {
          const left = { timeout: timeoutUntil(deadline), signal };
          const writer = step.begins ? first : this.#writer;
          checkAll(step, await writer.write(step.bytes, left));
        }
        step = undefined;
      }
    } catch (error) {
      const ended = isOver(deadline) || isEnded(signal);
      this.#noteFailure(error, step, first, ended);
      throw error;
    }
  }

  #writeSync(
    frame: Uint8Array<ArrayBuffer>,
    first: FrameWriter,
    deadline: number,
  ): void {
    let step: Step | undefined;
    try {
      const { length } = frame;
      const written = this.#tryWrite(frame, first);
      if (written === length) return;
      for (step of this.#steps(frame, first, written)) {
        if ("fd" in step) {
          readySync(step, POLLOUT, deadline);
          if (isOver(deadline)) throw timeoutError(SUBJECT);
        } else {
          const left = { timeout: timeoutUntil(deadline) };
          const writer = step.begins ? first : this.#writer;
          checkAll(step, writer.writeSync(step.bytes, left));
        }
        step = undefined;
      }
    } catch (error) {
      this.#noteFailure(error, step, first, isOver(deadline));
      throw error;
    }
  }

  /**
   * The waits of a frame: for the descriptor to be writable; without one, for the write
   * of the first byte, which fails without effect; then for the write of the rest.
   */
  *#steps(
    frame: Uint8Array<ArrayBuffer>,
    first: FrameWriter,
    written: number,
  ): Generator<Step, void, void> {
    const fd = written === 0 ? this.#writer.fd : undefined;
    if (fd !== undefined) {
      checkFd(fd);
      yield { fd, subject: SUBJECT, liveness: livenessOf(this.#writer) };
      written = this.#tryWrite(frame, first);
    }
    if (written === 0) {
      yield { bytes: frame.subarray(0, 1), begins: true };
      written = 1;
    }
    if (written < frame.length) {
      yield { bytes: frame.subarray(written), begins: false };
    }
  }

  #tryWrite(
    frame: Uint8Array<ArrayBuffer>,
    first: FrameWriter,
  ): number {
    const { length } = frame;
    const count = first.tryWrite(frame) ?? 0;
    checkCount("tryWrite", count, 0, length);
    return count;
  }

  /** Fails all later sends, unless nothing of the frame was written. */
  #noteFailure(
    error: unknown,
    step: Step | undefined,
    first: FrameWriter,
    ended: boolean,
  ): void {
    const passes = first !== this.#writer; // if it failed, it has written nothing
    const isUnwritten = step === undefined
      ? passes
      : "fd" in step || (step.begins && (ended || passes));
    if (!isUnwritten) this.#sendFailure = { error };
  }

  /** The next message, if it is complete. */
  #take(withDescriptors: boolean): Arrived | undefined {
    if (this.#receiveFailure !== undefined) throw this.#receiveFailure.error;
    if (!withDescriptors && this.#descriptors.length > 0) {
      throw new Error(
        "Cannot receive bytes alone: descriptors come with this message " +
          "(receiveMessage)",
      );
    }
    let data;
    try {
      data = this.#framing.take();
      // The descriptors came with the last bytes that were read.
      const isLast = data === undefined || this.#framing.isBetween;
      if (this.#refusal !== undefined && isLast) throw this.#refusal;
    } catch (error) {
      throw this.#breakReceiving(error);
    }
    if (data === undefined) return undefined;
    const descriptors = this.#descriptors;
    this.#descriptors = [];
    return { data, descriptors };
  }

  #breakReceiving(error: unknown): unknown {
    this.#receiveFailure = { error };
    this.#dropDescriptors();
    return error;
  }

  #dropDescriptors(): void {
    for (const descriptor of this.#descriptors) descriptor.close();
    this.#descriptors = [];
  }

  /** Counts what was read; false at the end. */
  #add(
    bytes: FrameBytes | number | null,
    buffer: Uint8Array<ArrayBuffer>,
  ): boolean {
    if (bytes === null) {
      if (this.#framing.isBetween) return false;
      throw this.#breakReceiving(
        new runtime.errors.UnexpectedEof(
          "Cannot receive a message: the stream has ended within it",
        ),
      );
    }
    try {
      this.#framing.add(this.#countOf(bytes, buffer.length));
    } catch (error) {
      throw this.#breakReceiving(error);
    }
    return true;
  }

  /** The number of bytes that were read; keeps the descriptors. */
  #countOf(bytes: FrameBytes | number, max: number): number {
    if (typeof bytes !== "object") {
      checkCount("read", bytes, 1, max);
      return bytes;
    }
    const { data, descriptors, descriptorsTruncated } = bytes;
    this.#descriptors.push(...descriptors);
    checkBytes("data", data);
    const count = byteLengthOf(data);
    checkCount("receive", count, 1, max);
    if (descriptorsTruncated) {
      this.#refusal = new runtime.errors.InvalidData(
        "Cannot receive a message with so many descriptors: at most " +
          `${this.#maxDescriptors} are allowed (maxDescriptors), or this process ` +
          "has no number left (EMFILE)",
      );
    }
    return count;
  }
}

const SUBJECT = "framed stream";

/** A message that is complete. */
type Arrived = Pick<FramedMessage, "data" | "descriptors">;

function dataOf(arrived: Arrived | null): Uint8Array<ArrayBuffer> | null {
  return arrived === null ? null : arrived.data;
}

function messageOf(arrived: Arrived | null): FramedMessage | null {
  return arrived === null ? null : owning(arrived, ...arrived.descriptors);
}

/** Reads and checks the options. */
function framingOf(options: FramedStreamOptions): {
  readonly framing: Framing;
  readonly maxSize: number;
  readonly maxDescriptors: number;
} {
  const {
    maxSize: most,
    prefixSize,
    littleEndian,
    prefixIncluded,
    delimiter,
    maxDescriptors = 0,
  } = options;
  checkMaxDescriptors(maxDescriptors);
  const prefix = prefixOf(prefixSize, littleEndian, prefixIncluded);
  const longest = delimiter === undefined
    ? Math.min(longestWith(prefix), MAX_SIZE)
    : MAX_SIZE;
  const maxSize = most ?? Math.min(DEFAULT_MAX_SIZE, longest);
  checkInteger("maxSize", maxSize, 1, longest, "bytes of one message");
  if (delimiter === undefined) {
    const framing = new LengthPrefix(prefix, maxSize, maxDescriptors === 0);
    return { framing, maxSize, maxDescriptors };
  }
  const others = { prefixSize, littleEndian, prefixIncluded };
  for (const [name, value] of Object.entries(others)) {
    if (value !== undefined) throw leaveOut(name);
  }
  if (maxDescriptors > 0) throw leaveOut("maxDescriptors");
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

function delimiterOf(delimiter: unknown): Uint8Array<ArrayBuffer> {
  const bytes = isBytes(delimiter)
    ? copyOf(delimiter)
    : typeof delimiter === "string" && delimiter.isWellFormed()
    ? new TextEncoder().encode(delimiter)
    : undefined;
  if (bytes === undefined) {
    throw new TypeError(
      'Argument "delimiter" must be a Uint8Array, or a string without lone ' +
        "surrogates",
    );
  }
  if (bytes.length > 0) return bytes;
  throw new RangeError('Argument "delimiter" must have at least 1 byte');
}

/** The error of all later sends or receives. */
interface Failure {
  readonly error: unknown;
}

/** Bytes to write, waiting for room. */
interface Piece {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether this is the first byte of a frame. */
  readonly begins: boolean;
}

type Step = Waitable | Piece;

/** Waits for room; false when the deadline has passed. */
async function writable(target: Waitable, limits: Limits): Promise<boolean> {
  const { liveness = alwaysRefed } = target;
  liveness.begin();
  try {
    return await ready(target, POLLOUT, limits);
  } finally {
    liveness.end();
  }
}

function isEnded(signal: AbortSignal | undefined): boolean {
  return signal !== undefined && isAborted(signal);
}

function checkStream(name: string, value: unknown): void {
  if (typeof value === "object" && value !== null) return;
  throw new TypeError(
    `Argument "${name}" must be an object that reads and writes`,
  );
}

/** Checks what a stream of the caller has returned. */
function checkCount(
  method: string,
  count: unknown,
  min: number,
  max: number,
): asserts count is number {
  if (
    Number.isInteger(count) && count as number >= min && count as number <= max
  ) return;
  throw new TypeError(
    `Method "${method}" of the stream must return a count of bytes from ${min} to ${max}: ${
      String(count)
    }`,
  );
}

function checkAll({ bytes }: Piece, count: unknown): void {
  checkCount("write", count, bytes.length, bytes.length);
}
