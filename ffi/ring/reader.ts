// What the consumer of a ring and the receiver of a broadcast have in common: all forms of
// reading and waiting. They differ in where the next message is.

import { checkInteger } from "../arguments.ts";
import { attempt, promised } from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import type {
  ReceivedRingMessage,
  RingHandler,
  RingMessage,
} from "./message.ts";
import { closingOf, RingParticipant } from "./participant.ts";
import type { Region } from "./region.ts";
import { type Sleepers, Waiting } from "./sleep.ts";
import { Ended, type Slot } from "./slots.ts";

/** The messages of one reader. */
export interface Messages {
  readonly region: Region;
  /** The slots of the producers that there can be. */
  readonly producers: readonly Slot[];
  /** The readers that sleep until there is a message. */
  readonly readers: Sleepers;
  /** Calls the handler for each message, `limit` at the most; returns how many. */
  read(handler: RingHandler, limit: number): number;
  /** Whether there is a message. */
  hasMessage(): boolean;
  /** Called when a wait takes long: a producer may have died. */
  review(): void;
  /** Called once when the reader is closed, while the memory is still mapped. */
  leave(): void;
}

function checkLimit(limit: unknown): asserts limit is number {
  if (limit === Infinity) return;
  checkInteger("limit", limit, 1, Number.MAX_SAFE_INTEGER, "messages");
}

function checkHandler(handler: unknown): asserts handler is RingHandler {
  if (typeof handler === "function") return;
  throw new TypeError('Argument "handler" must be a function');
}

/** The base class of the readers of a ring and of a broadcast. */
export abstract class RingReader extends RingParticipant
  implements AsyncIterable<ReceivedRingMessage> {
  readonly #messages: Messages;
  readonly #waiting: Waiting;
  readonly #queue = new WaiterQueue();
  readonly #ended = new Ended();
  #copy: ReceivedRingMessage | undefined;
  readonly #takeCopy = (message: RingMessage): void => {
    const { type, missed } = message;
    this.#copy = { type, data: message.copy(), missed };
  };

  /**
   * Internal.
   *
   * @ignore
   */
  protected constructor(token: symbol, messages: Messages, spins: boolean) {
    super(token, messages.region, () => messages.leave());
    this.#messages = messages;
    this.#waiting = new Waiting(
      messages.region.subject,
      spins,
      closingOf(this),
      messages.readers,
      () => this.#review(),
    );
  }

  /**
   * Calls a handler for each message that there is, in order.
   *
   * The messages of a ring are in place; those of a broadcast are copies. What the
   * handler throws ends the call; the message counts as read.
   *
   * @param handler It gets the message, which is valid until it returns.
   * @param limit The maximum number of messages to read. Of a ring, at most the contents
   * of one that is full are read, so that the call ends.
   * @returns How many messages were read; 0 if there was none.
   * @throws {TypeError} If the handler is not a function.
   * @throws {RangeError} If the limit is not an integer of at least 1.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory. The messages before that
   * are read.
   * @throws {Error} If a handler of this object is running.
   */
  tryRead(handler: RingHandler, limit?: number): number;
  /**
   * Reads one message if there is one.
   *
   * @returns A copy of it; undefined if there is none now.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   */
  tryRead(): ReceivedRingMessage | undefined;
  tryRead(
    handler?: RingHandler,
    limit: number = Infinity,
  ): number | ReceivedRingMessage | undefined {
    if (handler === undefined) {
      if (!this.#queue.busy) return this.#tryTake();
      closingOf(this).checkOpen();
      return undefined;
    }
    checkHandler(handler);
    checkLimit(limit);
    return this.#read(handler, limit);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: reads one message, blocking this thread until
   * there is one. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns A copy of the message; null at the end: all producers that there have been
   * have closed the ring or the broadcast, or have ended.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  readSync(options?: SyncWaitOptions): ReceivedRingMessage | null {
    const deadline = deadlineOf(options);
    return this.#waiting.sync(() => this.#tryTakeOrEnd(), deadline);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: reads one message, waiting without blocking the
   * thread until there is one. Calls are served in their order.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns A copy of the message; null at the end: all producers that there have been
   * have closed the ring or the broadcast, or have ended.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  read(options?: WaitOptions): Promise<ReceivedRingMessage | null> {
    return promised(() => {
      const limits = limitsOf(options);
      const tryOnce = () => this.#tryTakeOrEnd();
      return attempt(this.#waiting, tryOnce, limits, this.#queue);
    });
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: blocks this thread until there is a message, for
   * `tryRead`.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns True if there is a message; false at the end: all producers that there have
   * been have closed the ring or the broadcast, or have ended.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  waitSync(options?: SyncWaitOptions): boolean {
    const deadline = deadlineOf(options);
    return this.#waiting.sync(() => this.#look(), deadline);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: waits, without blocking the thread, until there is
   * a message, for `tryRead`.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns True if there is a message; false at the end: all producers that there have
   * been have closed the ring or the broadcast, or have ended.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Read in batches
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { SharedRing } from "@linux/ipc/ring";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = MemoryMap.anonymous(SharedRing.size(4096));
   * const ring = SharedRing.create(memory);
   * using consumer = ring.consumer();
   * {
   *   using producer = ring.producer(); // usually in another process
   *   for (let i = 0; i < 10; i++) producer.tryWrite(new Uint8Array(i));
   * }
   * let total = 0;
   * while (await consumer.wait()) {
   *   consumer.tryRead((message) => total += message.byteLength, 64);
   * }
   * assertEquals(total, 45);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async wait(options?: WaitOptions): Promise<boolean> {
    const limits = limitsOf(options);
    const tryOnce = () => this.#look();
    return await attempt(this.#waiting, tryOnce, limits, this.#queue);
  }

  /**
   * Iterates over copies of the messages. It ends when all producers are gone, or this
   * object is closed.
   *
   * @returns The iterator.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<ReceivedRingMessage> {
    return untilClosed(() => this.read());
  }

  #read(handler: RingHandler, limit: number): number {
    closingOf(this).checkOpen();
    return this.#messages.read(handler, limit);
  }

  #tryTake(): ReceivedRingMessage | undefined {
    this.#copy = undefined;
    this.#read(this.#takeCopy, 1);
    return this.#copy;
  }

  #tryTakeOrEnd(): ReceivedRingMessage | null | undefined {
    const copy = this.#tryTake();
    if (copy !== undefined || !this.#areGone()) return copy;
    return this.#tryTake() ?? null; // they may have written in between
  }

  /** Whether there is a message; undefined if there is none now, but may be. */
  #look(): boolean | undefined {
    closingOf(this).checkOpen();
    const messages = this.#messages;
    if (messages.hasMessage()) return true;
    if (!this.#areGone()) return undefined;
    return messages.hasMessage(); // they may have written in between
  }

  /** Whether all producers are gone, as far as that is known without a system call. */
  #areGone(): boolean {
    return this.#ended.includesAll(this.#messages.producers);
  }

  #review(): void {
    this.#ended.look(this.#messages.producers);
    this.#messages.review();
  }
}
