// Reading the messages of a ring.

import { checkInteger } from "../arguments.ts";
import { EBUSY, ipcError } from "../libc/errno.ts";
import { internal } from "../internal.ts";
import { attempt } from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import {
  hide,
  type ReceivedRingMessage,
  type RingHandler,
  RingMessage,
  show,
} from "./message.ts";
import {
  closingOf,
  RingParticipant,
  type RingWaitOptions,
  spinOf,
} from "./participant.ts";
import { settleConsumer, unblock } from "./recovery.ts";
import {
  aligned,
  MANY_TO_ONE,
  ONE_TO_ONE,
  PADDING,
  RECORD,
  type Region,
} from "./region.ts";
import { Sleepers, Waiting } from "./sleep.ts";
import { Ended, Slot } from "./slots.ts";

const LOOK_AFTER = 1 << 12; // tries in vain after which dead producers are looked for

/** Checks a number of messages. */
export function checkLimit(limit: unknown): asserts limit is number {
  if (limit === Infinity) return;
  checkInteger("limit", limit, 1, Number.MAX_SAFE_INTEGER, "messages");
}

/** Checks a handler. */
export function checkHandler(handler: unknown): asserts handler is RingHandler {
  if (typeof handler === "function") return;
  throw new TypeError('Argument "handler" must be a function');
}

/** What a consumer owns: its slot, and its place in the ring. */
export class ConsumerState {
  readonly region: Region;
  readonly slot: Slot;
  readonly producers: readonly Slot[];
  readonly space: Sleepers;
  head: number;
  /** Whether a handler runs, and the bytes that it need not see again. */
  reading = false;
  done = 0;

  constructor(region: Region) {
    this.region = region;
    this.slot = Slot.ofConsumer(region);
    if (!this.slot.take(() => true)) {
      throw ipcError(EBUSY, "consumer", region.subject);
    }
    try {
      const all = Slot.ofProducers(region);
      this.producers = region.kind === ONE_TO_ONE ? all.slice(0, 1) : all;
      this.space = Sleepers.forSpace(region);
      settleConsumer(region, this.slot);
      this.head = region.position(region.head);
    } catch (error) {
      this.slot.release();
      throw error;
    }
  }

  leave(): void {
    if (this.reading) this.advance(this.done);
    this.slot.release();
    this.space.wake(); // so that producers find that it is gone
  }

  /** Gives the space of the next bytes back to the producers. */
  advance(count: number): void {
    if (count === 0) return;
    const { region, head } = this;
    const next = head + count;
    if (region.kind === MANY_TO_ONE) {
      // Producers expect zeroes, and the next consumer must not stop at half of them.
      this.slot.begin(next, 0);
      const at = region.data + (head & (region.capacity - 1));
      region.bytes.fill(0, at, at + count);
    }
    region.publishPosition(region.head, head, next);
    this.head = next;
    this.space.wake();
  }
}

/**
 * Reads the messages of a {@linkcode SharedRing}, which has one consumer at a time.
 * `SharedRing.consumer()` makes one.
 *
 * **Each message is delivered at least once.** The space of messages is given back after
 * the handler has returned for the last one of a batch. If the consumer is killed before
 * that, the next one gets the whole batch again; otherwise no message is repeated.
 *
 * **A producer that dies** during a write, or with a claim that is not committed, loses
 * that message: the consumer recognises that the thread has ended, skips the message
 * within a few tenths of a second, and counts it in {@linkcode RingConsumer.lost}.
 *
 * @example In place, as copies, and all of them
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
 *   for (let i = 0; i < 5; i++) producer.tryWrite(Uint8Array.of(i), 7);
 * }
 * let sum = 0;
 * consumer.tryRead((message) => sum += message.bytes[0]!, 2); // two, in place
 * assertEquals(sum, 1);
 * assertEquals((await consumer.read())?.data, Uint8Array.of(2));
 * for await (const { type, data } of consumer) {
 *   assertEquals(type, 7);
 *   sum += data[0]!;
 * } // it ends when all producers have closed the ring
 * assertEquals(sum, 8);
 * ```
 */
export class RingConsumer extends RingParticipant
  implements AsyncIterable<ReceivedRingMessage> {
  readonly #state: ConsumerState;
  readonly #region: Region;
  readonly #message: RingMessage;
  readonly #waiting: Waiting;
  readonly #queue = new WaiterQueue();
  #copy: ReceivedRingMessage | undefined;
  readonly #takeCopy = (message: RingMessage): void => {
    this.#copy = { type: message.type, data: message.copy(), missed: 0 };
  };
  readonly #ended = new Ended();
  #vain = 0;

  /** Internal: use `SharedRing.consumer()`. */
  constructor(
    token: symbol,
    state: ConsumerState,
    options: RingWaitOptions | undefined,
  ) {
    super(token, state.region, () => state.leave());
    this.#state = state;
    this.#region = state.region;
    this.#message = new RingMessage(internal, state.region.bytes);
    this.#waiting = new Waiting(
      state.region.subject,
      spinOf(options),
      closingOf(this),
      Sleepers.forMessages(state.region),
      () => this.#review(),
    );
  }

  /** How many messages of dead producers were given up, since the ring was created. */
  get lost(): number {
    closingOf(this).checkOpen();
    return this.#region.lost;
  }

  /**
   * Calls a handler for each message that there is, in order, with the message in place.
   * What the handler throws ends the call; the message counts as read.
   *
   * @param handler It gets the message, which is valid until it returns.
   * @param limit The most messages to read. At most the contents of one full ring are
   * read, so that the call ends.
   * @returns How many messages were read; 0 if there was none.
   * @throws {TypeError} If the handler is not a function.
   * @throws {RangeError} If the limit is not an integer of at least 1.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring. The messages before that
   * are read.
   * @throws {Error} If a handler of this object is running.
   */
  tryRead(handler: RingHandler, limit?: number): number;
  /**
   * Reads one message if there is one.
   *
   * @returns A copy of it; undefined if there is none now.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
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
   * `futex(address, FUTEX_WAIT, ...)`: reads one message, blocking this thread until there
   * is one. A Worker that blocks here cannot be terminated: see
   * {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns A copy of the message; null at the end: all producers that there have been
   * have closed the ring, or have ended.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
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
   * have closed the ring, or have ended.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async read(options?: WaitOptions): Promise<ReceivedRingMessage | null> {
    const limits = limitsOf(options);
    const tryOnce = () => this.#tryTakeOrEnd();
    return await attempt(this.#waiting, tryOnce, limits, this.#queue);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: blocks this thread until there is a message, for
   * `tryRead`.
   *
   * @param options `timeout` in milliseconds.
   * @returns True if there is a message; false at the end: all producers that there have
   * been have closed the ring, or have ended.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  waitSync(options?: SyncWaitOptions): boolean {
    const deadline = deadlineOf(options);
    return this.#waiting.sync(() => this.#look(), deadline);
  }

  /**
   * `futex(address, FUTEX_WAIT, ...)`: waits, without blocking the thread, until there is a
   * message, for `tryRead`.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns True if there is a message; false at the end: all producers that there have
   * been have closed the ring, or have ended.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {IpcError} EBADMSG if a peer has damaged the ring.
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
    if (this.#hasMessage()) return true;
    if (!this.#areGone()) return undefined;
    return this.#hasMessage(); // they may have written in between
  }

  /** Whether there is a message. Removes padding before it. */
  #hasMessage(): boolean {
    closingOf(this).checkOpen();
    const { int32, data, capacity } = this.#region;
    const state = this.#state;
    for (let i = 0; i <= capacity / 8; i++) {
      const index = state.head & (capacity - 1);
      const at = (data + index) >> 2;
      const length = Atomics.load(int32, at);
      if (length <= 0) return false;
      if (int32[at + 1] !== PADDING || state.reading) return true;
      const size = aligned(length);
      if (!(size >= RECORD && size <= capacity - index)) break;
      state.advance(size);
    }
    throw this.#region.damaged();
  }

  /** Whether all producers are gone, as far as that is known without a system call. */
  #areGone(): boolean {
    closingOf(this).checkOpen();
    return this.#ended.includesAll(this.#state.producers);
  }

  /** Looks after the producers, one of which may have died. */
  #review(): void {
    const { region, producers, head } = this.#state;
    this.#ended.look(producers);
    unblock(region, producers, head);
  }

  #read(handler: RingHandler, limit: number): number {
    closingOf(this).checkOpen();
    const state = this.#state;
    if (state.reading) {
      throw new Error(
        `Cannot read from ${this.#region.subject}: a handler is running`,
      );
    }
    let count = 0;
    for (let part = 0; part < 2 && count < limit; part++) {
      const read = this.#readPart(handler, limit - count);
      count += read.count;
      if (!read.atEnd || this.closed) break;
    }
    if (count > 0) {
      this.#vain = 0;
    } else if (++this.#vain >= LOOK_AFTER && !this.closed) {
      this.#vain = 0;
      unblock(this.#region, state.producers, state.head);
    }
    return count;
  }

  /** Reads up to the end of the memory, behind which the ring goes on at its beginning. */
  #readPart(
    handler: RingHandler,
    limit: number,
  ): { count: number; atEnd: boolean } {
    const state = this.#state;
    const message = this.#message;
    const { int32, data, capacity, maxLength } = this.#region;
    const index = state.head & (capacity - 1);
    const end = capacity - index;
    const start = data + index;
    let done = 0;
    let count = 0;
    state.reading = true;
    state.done = 0;
    try {
      while (done < end && count < limit) {
        const at = start + done;
        const length = Atomics.load(int32, at >> 2);
        if (length <= 0) break;
        const type = int32[(at >> 2) + 1]!;
        // A peer has written the length: it is checked before it is used.
        if (length < RECORD || length > end - done) {
          throw this.#region.damaged();
        }
        if (type > 0) {
          if (length > maxLength + RECORD) throw this.#region.damaged();
          done += aligned(length);
          count++;
          show(message, at + RECORD, length - RECORD, type, 0);
          handler(message);
          state.done = done;
          if (this.closed) return { count, atEnd: false };
        } else if (type === PADDING) {
          done += aligned(length);
        } else throw this.#region.damaged();
      }
      return { count, atEnd: done === end };
    } finally {
      hide(message);
      state.reading = false;
      if (!this.closed) state.advance(done);
    }
  }
}
