// Messages over a stream of bytes.

import { checkBytes, checkInteger } from "../arguments.ts";
import { untilClosed } from "../wait/iteration.ts";
import { Mutex } from "../wait/mutex.ts";
import {
  deadlineOf,
  remaining,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";

/** Where frames come from, such as a `UnixStream` or a `PipeReader`. */
export interface FrameReader {
  /** Reads what is there, waiting until something is; null at the end. */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null>;
  /** Reads what is there, blocking this thread until something is. */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null;
  /** Releases it. */
  close(): void;
}

/** Where frames go, such as a `UnixStream` or a `PipeWriter`. */
export interface FrameWriter {
  /** Writes all bytes, waiting while there is no room. */
  write(
    bytes: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number>;
  /** Writes all bytes, blocking this thread while there is no room. */
  writeSync(
    bytes: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number;
  /** Writes as many bytes as there is room for; null when there is none. */
  tryWrite(bytes: Uint8Array<ArrayBuffer>): number | null;
  /** Releases it. */
  close(): void;
}

/** How messages are framed. */
export interface FramedStreamOptions {
  /**
   * The most bytes that a message may have, on either side; up to 2 GiB.
   *
   * @default {16777216} 16 MiB
   */
  maxSize?: number | undefined;
}

const DEFAULT_MAX_SIZE = 16 * 1024 * 1024;
const MAX_SIZE = 0x7fff_ffff;
const PREFIX = 4; // bytes: the length
const CHUNK = 64 * 1024;
// What a pipe (PIPE_BUF) and a Unix socket write as a whole or not at all.
const ATOMIC = 4096;

/**
 * `read(2)` and `write(2)` of messages: each is sent as its length, in 4 bytes, and
 * its bytes, because a stream has no boundaries. For connections that need nothing
 * but messages, and no stream, a {@linkcode UnixSeqpacket} has them by itself.
 *
 * The length has its high byte first (`htonl` in C), as nearly all protocols of this
 * kind have it: any program on any machine can be the other side.
 *
 * What has been read ahead belongs to this object: leave the stream itself alone.
 *
 * @example Over a socket
 * ```ts
 * import { FramedStream, UnixStream } from "@linux/ipc/socket";
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
 * import { FramedStream } from "@linux/ipc/socket";
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

  readonly #sendTurn = new Mutex();
  #sending = 0;
  #sendError: unknown;

  readonly #receiveTurn = new Mutex();
  #receiving = 0;
  #receiveError: unknown;

  readonly #ahead = new Uint8Array(CHUNK); // what is read and not yet taken
  #start = 0;
  #end = 0;
  #message: Uint8Array<ArrayBuffer> | null = null; // the one that is coming
  #filled = 0;

  /**
   * Frames over a stream, which is this object's from now on.
   *
   * @param stream One stream for both directions, or one for each.
   * @param options `maxSize`.
   * @throws {RangeError} If `maxSize` is no integer from 1 to 2147483647.
   */
  constructor(
    stream:
      | (FrameReader & FrameWriter)
      | { readonly reader: FrameReader; readonly writer: FrameWriter },
    options?: FramedStreamOptions,
  ) {
    const maxSize = options?.maxSize ?? DEFAULT_MAX_SIZE;
    checkInteger("maxSize", maxSize, 1, MAX_SIZE, "bytes of one message");
    this.#maxSize = maxSize;
    this.#reader = "reader" in stream ? stream.reader : stream;
    this.#writer = "writer" in stream ? stream.writer : stream;
  }

  /**
   * `write(2)` of one message, waiting without blocking the thread. Several at a
   * time are sent one after the other; to wait for each is what keeps memory
   * bounded.
   *
   * @param message The message; it may be empty. Leave it as it is until the promise
   * is settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {RangeError} If the message has more than `maxSize` bytes.
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. If a part was
   * sent, so that the peer waits for the rest, every later send fails, too.
   * @throws {IpcError} EPIPE if the peer has closed.
   * @throws The reason of the signal, if it is aborted; with a part, as above.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  async send(
    message: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<void> {
    this.#checkMessage(message);
    const deadline = deadlineOf(options);
    const signal = options?.signal;
    signal?.throwIfAborted();
    this.#sending++;
    try {
      const free = this.#sendTurn.acquire("framed stream", deadline, signal);
      if (free !== undefined) await free;
      try {
        await this.#write(this.#frame(message), deadline, signal);
      } finally {
        this.#sendTurn.release();
      }
    } finally {
      this.#sending--;
    }
  }

  /**
   * `write(2)` of one message, blocking this thread while there is no room.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param message The message; it may be empty.
   * @param options `timeout` in milliseconds.
   * @throws {RangeError} If the message has more than `maxSize` bytes.
   * @throws {Error} If an asynchronous send is pending.
   * @throws {ClosedError} If the stream is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed. A part may have
   * been sent, so every later send fails, too.
   * @throws {IpcError} EPIPE if the peer has closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  sendSync(
    message: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): void {
    this.#checkMessage(message);
    if (this.#sending > 0) {
      throw new Error("Cannot send now: an asynchronous send is pending");
    }
    const frame = this.#frame(message);
    try {
      this.#writer.writeSync(frame, options);
    } catch (error) {
      this.#sendError = error;
      throw error;
    }
  }

  /**
   * `read(2)` of one message, waiting without blocking the thread. A message that
   * has come in part when the wait is ended is not lost: the next call goes on.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The message, or null at the end between two messages.
   * @throws {Deno.errors.UnexpectedEof} If the end is in the middle of one.
   * @throws {Deno.errors.InvalidData} If the peer announces more than `maxSize`
   * bytes; what follows cannot be read.
   * @throws {ClosedError} If the stream is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  async receive(
    options?: WaitOptions,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const deadline = deadlineOf(options);
    const signal = options?.signal;
    signal?.throwIfAborted();
    this.#receiving++;
    try {
      const free = this.#receiveTurn.acquire("framed stream", deadline, signal);
      if (free !== undefined) await free;
      try {
        for (;;) {
          const message = this.#take();
          if (message !== undefined) return message;
          const left = { timeout: timeoutOf(deadline), signal };
          if (!this.#add(await this.#reader.read(this.#room(), left))) {
            return null;
          }
        }
      } finally {
        this.#receiveTurn.release();
      }
    } finally {
      this.#receiving--;
    }
  }

  /**
   * `read(2)` of one message, blocking this thread until it is there.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The message, or null at the end between two messages.
   * @throws {Deno.errors.UnexpectedEof} If the end is in the middle of one.
   * @throws {Deno.errors.InvalidData} If the peer announces more than `maxSize`
   * bytes; what follows cannot be read.
   * @throws {Error} If an asynchronous receive is pending.
   * @throws {ClosedError} If the stream is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  receiveSync(options?: SyncWaitOptions): Uint8Array<ArrayBuffer> | null {
    const deadline = deadlineOf(options);
    if (this.#receiving > 0) {
      throw new Error("Cannot receive now: an asynchronous receive is pending");
    }
    for (;;) {
      const message = this.#take();
      if (message !== undefined) return message;
      const left = { timeout: timeoutOf(deadline) };
      if (!this.#add(this.#reader.readSync(this.#room(), left))) return null;
    }
  }

  /** The messages, one after another, until the end, or until this is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<
    Uint8Array<ArrayBuffer>,
    void,
    unknown
  > {
    return untilClosed(() => this.receive());
  }

  /** Closes the stream, or both. Pending waits end with a ClosedError. */
  close(): void {
    this.#reader.close();
    this.#writer.close();
  }

  /** Closes the stream, or both. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkMessage(message: Uint8Array<ArrayBuffer>): void {
    checkBytes("message", message);
    if (message.byteLength <= this.#maxSize) return;
    throw new RangeError(
      `Argument "message" must have at most ${this.#maxSize} bytes ` +
        `(maxSize): ${message.byteLength}`,
    );
  }

  /** The message with its length, when it is its turn. */
  #frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#sendError !== undefined) throw this.#sendError;
    const frame = new Uint8Array(PREFIX + message.byteLength);
    new DataView(frame.buffer).setUint32(0, message.byteLength);
    frame.set(message, PREFIX);
    return frame;
  }

  /** Writes a frame; if it fails in the middle, there can be no other. */
  async #write(
    frame: Uint8Array<ArrayBuffer>,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let written = 0;
    try {
      while (written < frame.length) {
        // What has to wait is a piece of which nothing is written if the wait fails.
        const rest = frame.subarray(written);
        written += this.#writer.tryWrite(rest) ??
          await this.#writer.write(rest.subarray(0, ATOMIC), {
            timeout: timeoutOf(deadline),
            signal,
          });
      }
    } catch (error) {
      if (written > 0) this.#sendError = error;
      throw error;
    }
  }

  /** A message that is complete, if one is. */
  #take(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#receiveError !== undefined) throw this.#receiveError;
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
    this.#receiveError = new Deno.errors.InvalidData(
      `Cannot receive a message of ${length} bytes: at most ${this.#maxSize} ` +
        "are allowed (maxSize)",
    );
    throw this.#receiveError;
  }

  /** Where to read more: a long message directly, others into what is read ahead. */
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

  /** Notes what was read there; false at the end. */
  #add(count: number | null): boolean {
    if (count !== null) {
      if (this.#isDirect()) this.#filled += count;
      else this.#end += count;
      return true;
    }
    if (this.#message === null && this.#start === this.#end) return false;
    throw this.#receiveError = new Deno.errors.UnexpectedEof(
      "Cannot receive the rest of a message: the stream has ended in it",
    );
  }
}

function timeoutOf(deadline: number): number | undefined {
  return deadline === Infinity ? undefined : remaining(deadline);
}
