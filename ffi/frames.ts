/**
 * Length-prefixed messages over a stream of bytes.
 *
 * **Choose it** to exchange messages over a pipe, a FIFO or a stream socket, or messages
 * that are larger than a packet can be.
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
  setBytes,
  viewOf,
} from "./arguments.ts";
import { inspected } from "./inspect_object.ts";
import { POLLOUT } from "./libc/poll.ts";
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

export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";

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
  /** Closes the stream. */
  close(): void;
}

/** How messages are framed. */
export interface FramedStreamOptions {
  /**
   * The maximum length of a message that is sent or received, in bytes; up to 2 GiB.
   *
   * @default {16777216} 16 MiB
   */
  maxSize?: number | undefined;
}

const DEFAULT_MAX_SIZE = 16 * 1024 * 1024;
const MAX_SIZE = 0x7fff_ffff;
const PREFIX = 4; // bytes: the length of a message
const CHUNK = 64 * 1024;

/**
 * Sends and receives messages over a stream: `write(2)` and `read(2)` of frames. A frame
 * is the length of the message, as 4 bytes in network byte order (`htonl`), followed by
 * the message.
 *
 * The object owns the stream: it reads ahead, so do not use the stream itself.
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

  readonly #sends = new WaiterQueue();
  #sendFailure: Failure | undefined;

  readonly #receives = new WaiterQueue();
  #receiveFailure: Failure | undefined;

  readonly #ahead = new Uint8Array(CHUNK); // bytes that are read and not yet used
  #start = 0;
  #end = 0;
  #message: Uint8Array<ArrayBuffer> | null = null; // the one that is being read
  #filled = 0;

  /**
   * Frames a stream, and takes ownership of it.
   *
   * @param stream One stream for both directions, or one for each direction.
   * @param options `maxSize`.
   * @throws {TypeError} If `stream` is not an object.
   * @throws {RangeError} If `maxSize` is not an integer from 1 to 2147483647.
   */
  constructor(
    stream:
      | (FrameReader & FrameWriter)
      | { readonly reader: FrameReader; readonly writer: FrameWriter },
    options?: FramedStreamOptions,
  ) {
    const maxSize = options?.maxSize ?? DEFAULT_MAX_SIZE;
    checkInteger("maxSize", maxSize, 1, MAX_SIZE, "bytes of one message");
    checkStream("stream", stream);
    this.#maxSize = maxSize;
    this.#reader = "reader" in stream ? stream.reader : stream;
    this.#writer = "writer" in stream ? stream.writer : stream;
    checkStream("stream.reader", this.#reader);
    checkStream("stream.writer", this.#writer);
  }

  /**
   * `write(2)` of one message, waiting without blocking the thread. Concurrent calls
   * send in the order of the calls; await each one to limit the memory in use.
   *
   * @param message The message; it may be empty. Do not change it until the promise is
   * settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the memory of the message is closed or truncated before it
   * is sent.
   * @throws {RangeError} If the message has more than `maxSize` bytes.
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. If a part of the
   * frame was sent, all later sends fail, too.
   * @throws {IpcError} EPIPE if the peer has closed.
   * @throws The reason of the signal, if it is aborted; after a part, as above.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  async send(message: Uint8Array, options?: WaitOptions): Promise<void> {
    const limits = limitsOf(options);
    const length = this.#lengthOf(message);
    const entered = this.#sends.enter(limits);
    if (entered !== undefined && !await entered) throw timeoutError(SUBJECT);
    try {
      throwIfAborted(limits.signal);
      await this.#write(this.#frame(message, length), limits);
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
   * @param options `timeout` in milliseconds.
   * @throws {RangeError} If the message has more than `maxSize` bytes.
   * @throws {Error} If an asynchronous send is pending.
   * @throws {ClosedError} If the stream is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. If a part of the
   * frame was sent, all later sends fail, too.
   * @throws {IpcError} EPIPE if the peer has closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  sendSync(message: Uint8Array, options?: SyncWaitOptions): void {
    const deadline = deadlineOf(options);
    const length = this.#lengthOf(message);
    if (this.#sends.busy) {
      throw new Error("Cannot send now: an asynchronous send is pending");
    }
    this.#sends.enter(NO_LIMITS); // the caller's writer may call this object
    try {
      this.#writeSync(this.#frame(message, length), deadline);
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
   * bytes; all later receives fail, too.
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
    return await this.#receive(limitsOf(options));
  }

  /**
   * `read(2)` of one message, blocking this thread until it is complete.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The message, or null at the end of the stream.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends within a message.
   * @throws {Deno.errors.InvalidData} If the message has more than `maxSize`
   * bytes; all later receives fail, too.
   * @throws {Error} If an asynchronous receive is pending.
   * @throws {ClosedError} If the stream is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  receiveSync(options?: SyncWaitOptions): Uint8Array<ArrayBuffer> | null {
    const deadline = deadlineOf(options);
    if (this.#receives.busy) {
      throw new Error("Cannot receive now: an asynchronous receive is pending");
    }
    this.#receives.enter(NO_LIMITS);
    try {
      for (;;) {
        const message = this.#take();
        if (message !== undefined) return message;
        const room = this.#room();
        const left = { timeout: timeoutUntil(deadline) };
        if (!this.#add(this.#reader.readSync(room, left), room)) return null;
      }
    } finally {
      this.#receives.leave();
    }
  }

  /** Receives messages until the end of the stream, or until it is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<
    Uint8Array<ArrayBuffer>,
    void,
    unknown
  > {
    return untilClosed(() => this.#receive(NO_LIMITS));
  }

  /** Closes the stream, or both streams. Pending waits end with a ClosedError. */
  close(): void {
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

  /** What `Deno.inspect` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    return inspected("FramedStream", { maxSize: this.#maxSize });
  }

  async #receive(limits: Limits): Promise<Uint8Array<ArrayBuffer> | null> {
    const { deadline, signal } = limits;
    const entered = this.#receives.enter(limits);
    if (entered !== undefined && !await entered) throw timeoutError(SUBJECT);
    try {
      throwIfAborted(signal);
      for (;;) {
        const message = this.#take();
        if (message !== undefined) return message;
        const room = this.#room();
        const left = { timeout: timeoutUntil(deadline), signal };
        const count = await this.#reader.read(room, left);
        if (!this.#add(count, room)) return null;
      }
    } finally {
      this.#receives.leave();
    }
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

  /** The length of a message, followed by the message. */
  #frame(message: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
    if (this.#sendFailure !== undefined) throw this.#sendFailure.error;
    checkKept("message", message, length);
    const frame = new Uint8Array(PREFIX + length);
    new DataView(frame.buffer).setUint32(0, length);
    setBytes(frame, viewOf(message, 0, length), PREFIX);
    return frame;
  }

  async #write(frame: Uint8Array<ArrayBuffer>, limits: Limits): Promise<void> {
    const { deadline, signal } = limits;
    let step: Step | undefined;
    try {
      const { length } = frame;
      const written = this.#tryWrite(frame);
      if (written === length) return;
      for (step of this.#steps(frame, written)) {
        if ("fd" in step) {
          if (!await ready(step, POLLOUT, limits)) throw timeoutError(SUBJECT);
        } else {
          const left = { timeout: timeoutUntil(deadline), signal };
          checkAll(step, await this.#writer.write(step.bytes, left));
        }
        step = undefined;
      }
    } catch (error) {
      this.#noteFailure(error, step, isOver(deadline) || isEnded(signal));
      throw error;
    }
  }

  #writeSync(frame: Uint8Array<ArrayBuffer>, deadline: number): void {
    let step: Step | undefined;
    try {
      const { length } = frame;
      const written = this.#tryWrite(frame);
      if (written === length) return;
      for (step of this.#steps(frame, written)) {
        if ("fd" in step) {
          readySync(step, POLLOUT, deadline);
          if (isOver(deadline)) throw timeoutError(SUBJECT);
        } else {
          const left = { timeout: timeoutUntil(deadline) };
          checkAll(step, this.#writer.writeSync(step.bytes, left));
        }
        step = undefined;
      }
    } catch (error) {
      this.#noteFailure(error, step, isOver(deadline));
      throw error;
    }
  }

  /**
   * The waits of a frame: for the descriptor to be writable; without one, for the write
   * of the first byte, which fails without effect; then for the write of the rest.
   */
  *#steps(
    frame: Uint8Array<ArrayBuffer>,
    written: number,
  ): Generator<Step, void, void> {
    const fd = written === 0 ? this.#writer.fd : undefined;
    if (fd !== undefined) {
      checkFd(fd);
      yield { fd, subject: SUBJECT };
      written = this.#tryWrite(frame);
    }
    if (written === 0) {
      yield { bytes: frame.subarray(0, 1), begins: true };
      written = 1;
    }
    if (written < frame.length) {
      yield { bytes: frame.subarray(written), begins: false };
    }
  }

  #tryWrite(frame: Uint8Array<ArrayBuffer>): number {
    const { length } = frame;
    const count = this.#writer.tryWrite(frame) ?? 0;
    checkCount("tryWrite", count, 0, length);
    return count;
  }

  /** Fails all later sends, unless nothing of the frame was written. */
  #noteFailure(error: unknown, step: Step | undefined, ended: boolean): void {
    if (step !== undefined && ("fd" in step || (step.begins && ended))) return;
    this.#sendFailure = { error };
  }

  /** The next message, if it is complete. */
  #take(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#receiveFailure !== undefined) throw this.#receiveFailure.error;
    if (this.#message === null) {
      if (this.#end - this.#start < PREFIX) return undefined;
      this.#message = new Uint8Array(this.#length());
      this.#filled = 0;
      this.#start += PREFIX;
    }
    const message = this.#message;
    const count = Math.min(
      message.length - this.#filled,
      this.#end - this.#start,
    );
    const from = this.#ahead.subarray(this.#start, this.#start + count);
    message.set(from, this.#filled);
    this.#start += count;
    this.#filled += count;
    if (this.#filled < message.length) return undefined;
    this.#message = null;
    return message;
  }

  #length(): number {
    const length = new DataView(this.#ahead.buffer).getUint32(this.#start);
    if (length <= this.#maxSize) return length;
    throw this.#breakReceiving(
      new Deno.errors.InvalidData(
        `Cannot receive a message of ${length} bytes: at most ${this.#maxSize} ` +
          "are allowed (maxSize)",
      ),
    );
  }

  #breakReceiving(error: unknown): unknown {
    this.#receiveFailure = { error };
    return error;
  }

  /** Where to read: long messages directly, others into the buffer. */
  #room(): Uint8Array<ArrayBuffer> {
    if (this.#isDirect()) return this.#message!.subarray(this.#filled);
    this.#ahead.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    return this.#ahead.subarray(this.#end);
  }

  #isDirect(): boolean {
    const message = this.#message;
    return message !== null && message.length - this.#filled >= CHUNK;
  }

  /** Counts bytes that were read there; false at the end. */
  #add(count: number | null, room: Uint8Array<ArrayBuffer>): boolean {
    if (count !== null) {
      try {
        checkCount("read", count, 1, room.length);
      } catch (error) {
        throw this.#breakReceiving(error);
      }
      if (this.#isDirect()) this.#filled += count;
      else this.#end += count;
      return true;
    }
    if (this.#message === null && this.#start === this.#end) return false;
    throw this.#breakReceiving(
      new Deno.errors.UnexpectedEof(
        "Cannot receive a message: the stream has ended within it",
      ),
    );
  }
}

const SUBJECT = "framed stream";

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
