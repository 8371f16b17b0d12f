// Messages for any number of receivers. Their producer never waits.

import {
  bufferOf,
  byteLengthOf,
  checkBytes,
  checkInteger,
  setBytes,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { fence } from "../libc/stdatomic.ts";
import type { Memory } from "../memory/memory.ts";
import { hide, type RingHandler, RingMessage, show } from "./message.ts";
import {
  closingOf,
  RingParticipant,
  type RingWaitOptions,
  spinOf,
} from "./participant.ts";
import { checkType, producerSlot } from "./producer.ts";
import { RingReader } from "./reader.ts";
import {
  aligned,
  BROADCAST,
  create,
  open,
  PADDING,
  RECORD,
  type Region,
  sizeOf,
} from "./region.ts";
import type { RingOpenOptions, RingSizeOptions } from "./shared_ring.ts";
import { Sleepers } from "./sleep.ts";
import { Slot } from "./slots.ts";

const RETRIES = 64; // of a start between messages that are overwritten all the time
const MOST_LAPS = 64; // in one call, of a receiver that is too slow all the time

/** The latest message, or the one that is being written. */
interface Latest {
  readonly position: number;
  /** How many there have been before it, modulo 2^32. Undefined if they are not counted. */
  readonly before: number | undefined;
}

/**
 * The producer stores the number and the position of a message in one word, the mark, so
 * that they belong together; and it does so before it stores `latest`. So a mark that is
 * behind `latest` is not of that message: a producer of Agrona's does not count.
 */
function latestOf(region: Region): Latest {
  const latest = region.position(region.latest);
  const mark = Atomics.load(region.int64, region.mark >> 3);
  const number = Number(mark >> 32n);
  const ahead = (Number(mark & 0xffffffffn) - latest / 8) | 0;
  return number === 0 || ahead < 0
    ? { position: latest, before: undefined }
    : { position: latest + 8 * ahead, before: (number - 1) | 0 };
}

/** The mark of a message. */
function markOf(number: number, position: number): bigint {
  return BigInt(number) << 32n | BigInt((position / 8) >>> 0);
}

/** The position of the next message, and how many there have been before it. */
function nextOf(region: Region): { next: number; count: number } {
  for (let retry = 0;; retry++) {
    const { position, before = 0 } = latestOf(region);
    const next = region.position(region.tail);
    if (next <= position) return { next, count: before }; // not published yet
    const between = countBetween(region, position, next);
    if (between === undefined && retry < RETRIES) continue;
    return { next, count: (before + (between ?? 1)) | 0 };
  }
}

/** How many messages begin between two positions; undefined if they were overwritten. */
function countBetween(
  region: Region,
  from: number,
  to: number,
): number | undefined {
  let count = 0;
  let position = from;
  while (position < to && to - position <= region.capacity) {
    const record = recordAt(region, position);
    if (record === undefined || !isIntact(region, position)) return undefined;
    position += aligned(record.length);
    if (record.type !== PADDING) count++;
  }
  return position === to ? count : undefined;
}

/** The header of the record at a position; undefined if there cannot be one. */
function recordAt(
  { int32, data, capacity, maxLength }: Region,
  position: number,
): { length: number; type: number } | undefined {
  const index = position & (capacity - 1);
  const at = data + index;
  const length = Atomics.load(int32, at >> 2);
  const type = int32[(at + 4) >> 2]!;
  if (length < RECORD || length > capacity - index) return undefined;
  if (type !== PADDING && (type <= 0 || length - RECORD > maxLength)) {
    return undefined;
  }
  return { length, type };
}

/** Whether nothing from a position on was overwritten before it was read. */
function isIntact(region: Region, position: number): boolean {
  fence();
  const intent = Atomics.load(region.int64, region.intent >> 3);
  return position + region.capacity > Number(intent);
}

/**
 * Messages from one producer to any number of receivers, in shared memory: a broadcast.
 *
 * The producer never waits. A receiver that is so slow that its next message is
 * overwritten goes on with the latest one, and is told how many it has missed.
 *
 * A receiver starts with the first message after it was made. It gets a copy of each
 * message, because the producer may overwrite the memory at any time.
 *
 * Its format is that of [Agrona's broadcast buffer](/docs/ring-format.md). It owns nothing,
 * so it has no `close()`: close its memory, which must be writable and shared.
 *
 * @example Two receivers
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedBroadcast } from "@linux/ipc/ring";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(SharedBroadcast.size(4096));
 * const broadcast = SharedBroadcast.create(memory);
 * using producer = broadcast.producer();
 * using one = broadcast.receiver(); // usually in other processes
 * using other = broadcast.receiver();
 * producer.write(Uint8Array.of(80));
 * assertEquals((await one.read())?.data, Uint8Array.of(80));
 *
 * for (let i = 0; i < 1000; i++) producer.write(Uint8Array.of(i));
 * const message = await other.read();
 * assertEquals([message?.data[0], message?.missed], [999 % 256, 1000]);
 * ```
 */
export class SharedBroadcast {
  readonly #region: Region;

  /** @ignore */
  private constructor(token: symbol, region: Region) {
    checkInternal(token, "SharedBroadcast", "create() or open()");
    this.#region = region;
  }

  static {
    inspectAs(this, ({ capacity, maxMessageLength }) => ({
      capacity,
      maxMessageLength,
    }));
  }

  /**
   * `sizeof`: the size of a broadcast in memory.
   *
   * @param capacity The bytes for records: a power of two from 64 to 2^30.
   * @returns The size in bytes: 4224 more than the capacity.
   * @throws {RangeError} If it is not such a number.
   */
  static size(capacity: number): number {
    return sizeOf(BROADCAST, capacity);
  }

  /**
   * Makes an empty broadcast in a memory.
   *
   * @param memory The memory. Its contents there are lost.
   * @param options `capacity` and `offset`.
   * @returns The broadcast.
   * @throws {TypeError} If an option has the wrong type, or the memory is read-only or
   * private.
   * @throws {RangeError} If an option is out of range, or the broadcast does not fit.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EEXIST if there is a ring already.
   */
  static create(memory: Memory, options?: RingSizeOptions): SharedBroadcast {
    const { offset = 0, capacity } = options ?? {};
    const region = create(memory, BROADCAST, offset, capacity);
    return new SharedBroadcast(internal, region);
  }

  /**
   * Finds a broadcast that another process has made.
   *
   * @param memory The memory.
   * @param options `offset`.
   * @returns The broadcast.
   * @throws {TypeError} If there is none, or one of another version, or a ring; or if the
   * memory is read-only or private.
   * @throws {RangeError} If the offset is out of range.
   * @throws {ClosedError} If the memory is closed.
   */
  static open(memory: Memory, options?: RingOpenOptions): SharedBroadcast {
    const { offset = 0 } = options ?? {};
    return new SharedBroadcast(internal, open(memory, [BROADCAST], offset));
  }

  /** The bytes that there are for records. */
  get capacity(): number {
    return this.#region.capacity;
  }

  /** The length of the longest message, in bytes: an eighth of the capacity. */
  get maxMessageLength(): number {
    return this.#region.maxLength;
  }

  /**
   * Takes part as the producer.
   *
   * @returns The producer.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBUSY if there is a producer that is alive; EBADMSG if a peer has
   * damaged the memory.
   */
  producer(): BroadcastProducer {
    this.#region.mapping.checkOwn();
    return new BroadcastProducer(internal, new Transmitter(this.#region));
  }

  /**
   * Takes part as a receiver, from the next message on.
   *
   * @param options `spin`.
   * @returns The receiver.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBADMSG if a peer has damaged the memory.
   */
  receiver(options?: RingWaitOptions): BroadcastReceiver {
    const spins = spinOf(options);
    this.#region.mapping.checkOwn();
    return new BroadcastReceiver(internal, this.#region, spins);
  }
}

/** What a producer of a broadcast owns. */
class Transmitter {
  readonly region: Region;
  readonly #slot: Slot;
  readonly #receivers: Sleepers;
  #tail: number;
  #latest: number;
  #intent: number; // never less than that of a producer that was killed
  #count: number; // modulo 2^32

  constructor(region: Region) {
    this.region = region;
    this.#slot = producerSlot(region);
    this.#receivers = Sleepers.forBroadcast(region);
    try {
      this.#tail = region.position(region.tail);
      this.#latest = region.position(region.latest);
      this.#intent = region.position(region.intent);
    } catch (error) {
      this.#slot.release();
      throw error;
    }
    this.#count = nextOf(region).count;
  }

  leave(): void {
    this.#slot.release();
    this.#receivers.wake(); // so that they find the end
  }

  /** Writes a message over the oldest ones. */
  write(data: Uint8Array, length: number, type: number): void {
    const { region } = this;
    const { int32, bytes, capacity } = region;
    const size = aligned(length + RECORD);
    let tail = this.#tail;
    let at = region.data + (tail & (capacity - 1));
    const left = capacity - (tail & (capacity - 1));
    const end = tail + size + (size > left ? left : 0);
    const intent = Math.max(end, this.#intent);
    region.publishPosition(region.intent, this.#intent, intent);
    this.#intent = intent;
    fence(); // receivers know that before any byte is overwritten
    if (size > left) {
      int32[at >> 2] = left;
      int32[(at + 4) >> 2] = PADDING;
      tail += left;
      at = region.data;
    }
    int32[at >> 2] = length + RECORD;
    int32[(at + 4) >> 2] = type;
    setBytes(bytes, data, at + RECORD);
    this.#count = (this.#count + 1) | 0;
    Atomics.store(region.int64, region.mark >> 3, markOf(this.#count, tail));
    region.publishPosition(region.latest, this.#latest, tail);
    region.publishPosition(region.tail, this.#tail, end);
    this.#latest = tail;
    this.#tail = end;
    this.#receivers.wake();
  }
}

/**
 * Writes the messages of a {@linkcode SharedBroadcast}. `SharedBroadcast.producer()` makes
 * one.
 */
export class BroadcastProducer extends RingParticipant {
  readonly #transmitter: Transmitter;

  /**
   * Internal: use `SharedBroadcast.producer()`.
   *
   * @ignore
   */
  constructor(token: symbol, transmitter: Transmitter) {
    super(token, transmitter.region, () => transmitter.leave());
    this.#transmitter = transmitter;
  }

  /**
   * Writes a message, and wakes the receivers that sleep. It never waits: the oldest
   * messages are overwritten.
   *
   * @param data The bytes of the message; 0 bytes are a message, too.
   * @param type The type of the message, which receivers get: from 1 to 2147483647.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the data is longer than
   * {@linkcode RingParticipant.prototype.maxMessageLength | RingParticipant.maxMessageLength},
   * or the type is out of range.
   * @throws {ClosedError} If this object or its memory is closed.
   */
  write(data: Uint8Array, type: number = 1): void {
    checkBytes("data", data);
    const { maxLength } = this.#transmitter.region;
    const length = byteLengthOf(data);
    const origin = "an eighth of the capacity";
    checkInteger("data.length", length, 0, maxLength, origin);
    checkType(type);
    closingOf(this).checkOpen();
    this.#transmitter.write(data, length, type);
  }
}

/**
 * Reads the messages of a {@linkcode SharedBroadcast}. `SharedBroadcast.receiver()` makes
 * one. Receivers know nothing of each other, and the producer knows none of them.
 *
 * @example A receiver that was too slow
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedBroadcast } from "@linux/ipc/ring";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = MemoryMap.anonymous(SharedBroadcast.size(4096));
 * const broadcast = SharedBroadcast.create(memory);
 * using producer = broadcast.producer();
 * using receiver = broadcast.receiver(); // usually in another process
 * for (let i = 0; i < 1000; i++) producer.write(Uint8Array.of(i % 256));
 * assertEquals(receiver.tryRead()?.data, Uint8Array.of(999 % 256)); // the latest
 * assertEquals(receiver.missed, 999);
 * ```
 */
export class BroadcastReceiver extends RingReader {
  readonly #region: Region;
  readonly #scratch: Uint8Array<ArrayBuffer>;
  readonly #message: RingMessage;
  #next: number; // the position of the next message
  #count: number; // how many there have been before it, modulo 2^32
  #missed = 0;
  #untold = 0; // those of which no message has told yet
  #missedBytes = 0;
  #reading = false;

  /**
   * Internal: use `SharedBroadcast.receiver()`.
   *
   * @ignore
   */
  constructor(token: symbol, region: Region, spins: boolean) {
    const { next, count } = nextOf(region); // may throw
    super(token, {
      region,
      producers: Slot.ofProducers(region).slice(0, 1),
      readers: Sleepers.forBroadcast(region),
      read: (handler, limit) => this.#read(handler, limit),
      hasMessage: () => region.position(region.tail) > this.#next,
      review: () => {},
      leave: () => {},
    }, spins);
    this.#region = region;
    this.#next = next;
    this.#count = count;
    this.#scratch = new Uint8Array(region.maxLength);
    this.#message = new RingMessage(internal, this.#scratch);
  }

  /** How many messages this receiver has missed so far. */
  get missed(): number {
    return this.#missed;
  }

  /**
   * How many bytes of the memory this receiver has missed so far: their messages, with
   * headers and padding.
   *
   * It is exact also if the producer is one of Agrona's, which does not count its
   * messages.
   */
  get missedBytes(): number {
    return this.#missedBytes;
  }

  #read(handler: RingHandler, limit: number): number {
    const region = this.#region;
    if (this.#reading) {
      throw new Error(
        `Cannot read from ${region.subject}: a handler is running`,
      );
    }
    let count = 0;
    let laps = 0;
    this.#reading = true;
    try {
      while (count < limit && laps < MOST_LAPS) {
        const tail = region.position(region.tail);
        if (tail <= this.#next) break;
        const record = this.#copyRecord();
        if (!isIntact(region, this.#next)) {
          this.#skip();
          laps++;
          continue;
        }
        // Nothing was overwritten, so the tail is less than a capacity ahead.
        const isPossible = tail - this.#next <= region.capacity;
        if (record === undefined || !isPossible) throw region.damaged();
        const { length, type } = record;
        this.#next += aligned(length);
        if (type === PADDING) continue;
        this.#count = (this.#count + 1) | 0;
        count++;
        show(this.#message, 0, length - RECORD, type, this.#untold);
        this.#untold = 0;
        handler(this.#message);
        if (this.closed) break;
      }
    } finally {
      hide(this.#message);
      this.#reading = false;
    }
    return count;
  }

  /**
   * Copies the next record. Undefined if it is none: it was overwritten, or a peer has
   * damaged it.
   */
  #copyRecord(): { length: number; type: number } | undefined {
    const { bytes, data, capacity } = this.#region;
    const record = recordAt(this.#region, this.#next);
    if (record === undefined || record.type === PADDING) return record;
    const at = data + (this.#next & (capacity - 1)) + RECORD;
    const length = record.length - RECORD;
    setBytes(this.#scratch, new Uint8Array(bufferOf(bytes), at, length));
    return record;
  }

  /** Goes on with the latest message. */
  #skip(): void {
    const { position, before } = latestOf(this.#region);
    this.#missedBytes += Math.max(position - this.#next, 0);
    this.#next = position;
    if (before === undefined) return;
    const missed = (before - this.#count) >>> 0;
    this.#missed += missed;
    this.#untold += missed;
    this.#count = before;
  }
}
