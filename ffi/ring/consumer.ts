// Reading the messages of a ring.

import { EBUSY, ipcError } from "../libc/errno.ts";
import { internal } from "../internal.ts";
import { hide, type RingHandler, RingMessage, show } from "./message.ts";
import { closingOf } from "./participant.ts";
import { RingReader } from "./reader.ts";
import { settleConsumer, unblock } from "./recovery.ts";
import {
  aligned,
  MANY_TO_ONE,
  ONE_TO_ONE,
  PADDING,
  RECORD,
  type Region,
} from "./region.ts";
import { Sleepers } from "./sleep.ts";
import { Slot } from "./slots.ts";

const LOOK_AFTER = 1 << 12; // tries in vain after which dead producers are looked for

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
 * within a few tenths of a second, and counts it in
 * {@linkcode RingConsumer.prototype.lost | RingConsumer.lost}.
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
export class RingConsumer extends RingReader {
  readonly #state: ConsumerState;
  readonly #region: Region;
  readonly #message: RingMessage;
  #vain = 0;

  /**
   * Internal: use `SharedRing.consumer()`.
   *
   * @ignore
   */
  constructor(token: symbol, state: ConsumerState, spins: boolean) {
    const { region, producers } = state;
    super(token, {
      region,
      producers,
      readers: Sleepers.forMessages(region),
      read: (handler, limit) => this.#read(handler, limit),
      hasMessage: () => this.#hasMessage(),
      review: () => unblock(region, producers, state.head),
      leave: () => state.leave(),
    }, spins);
    this.#state = state;
    this.#region = region;
    this.#message = new RingMessage(internal, region.bytes);
  }

  /** How many messages of dead producers were given up, since the ring was created. */
  get lost(): number {
    closingOf(this).checkOpen();
    return this.#region.lost;
  }

  /** Whether there is a message. Removes padding before it. */
  #hasMessage(): boolean {
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

  #read(handler: RingHandler, limit: number): number {
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
