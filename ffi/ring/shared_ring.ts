// A ring in memory: making one, finding one, and taking part in it.

import { choose } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Memory } from "../memory/memory.ts";
import { ConsumerState, RingConsumer } from "./consumer.ts";
import { type RingWaitOptions, spinOf } from "./participant.ts";
import { ProducerState, RingProducer } from "./producer.ts";
import {
  create,
  MANY_TO_ONE,
  ONE_TO_ONE,
  open,
  type Region,
  sizeOf,
} from "./region.ts";

const KINDS = { one: ONE_TO_ONE, many: MANY_TO_ONE } as const;

/** Where a ring is in its memory. */
export interface RingOpenOptions {
  /**
   * The position of the ring in the memory, in bytes: a multiple of 64.
   *
   * @default {0}
   */
  offset?: number | undefined;
}

/** Options of `create()` of a ring or a broadcast. */
export interface RingSizeOptions extends RingOpenOptions {
  /**
   * The bytes for records: a power of two from 64 to 2^30. The longest message has an
   * eighth of that.
   *
   * @default {the largest one that fits}
   */
  capacity?: number | undefined;
}

/** Options of {@linkcode SharedRing.create}. */
export interface RingCreateOptions extends RingSizeOptions {
  /**
   * "one" if there is one producer at a time, which is faster; "many" for up to 62.
   *
   * @default {"many"}
   */
  producers?: "one" | "many" | undefined;
}

/**
 * A queue of messages in shared memory, between processes: a ring buffer with one
 * producer or many, and one consumer. While neither side sleeps, a message takes no
 * system call.
 *
 * Messages have any length up to an eighth of the capacity, and a type. They arrive in
 * order, whole, and each of them at least once: see {@linkcode RingConsumer}. When the
 * ring is full, its producers wait.
 *
 * The format is that of Agrona's ring buffers, so programs in Java, C and C++ that have
 * it can take part: [the format](/docs/ring-format.md).
 * [c/linux_ipc_ring.h](/c/linux_ipc_ring.h) is the same ring in C.
 *
 * It owns nothing, so it has no `close()`: close its memory. The memory must be writable
 * and shared. Share it only with processes that may see each other's messages: at worst,
 * what a peer writes there leads to wrong messages or to an error. (A peer that truncates
 * the file of the memory ends this process with SIGBUS; a `MemoryFile` can be sealed
 * against that, and a System V segment cannot be truncated.)
 *
 * @example One process writes, another one reads
 * ```ts
 * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
 * import { SharedRing } from "@linux/ipc/ring";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = PosixSharedMemory.create(null, SharedRing.size(1 << 16));
 * using producer = SharedRing.create(memory, { producers: "one" }).producer();
 * producer.writeSync(new TextEncoder().encode("hello"));
 *
 * // Usually in another process:
 * using other = PosixSharedMemory.open(memory.name);
 * PosixSharedMemory.unlink(memory.name);
 * using consumer = SharedRing.open(other).consumer();
 * const message = await consumer.read();
 * assertEquals(new TextDecoder().decode(message?.data), "hello");
 * ```
 */
export class SharedRing {
  readonly #region: Region;

  /** @ignore */
  private constructor(token: symbol, region: Region) {
    checkInternal(token, "SharedRing", "create() or open()");
    this.#region = region;
  }

  static {
    inspectAs(this, ({ capacity, maxMessageLength, producers }) => ({
      capacity,
      maxMessageLength,
      producers,
    }));
  }

  /**
   * `sizeof`: the size of a ring in memory.
   *
   * @param capacity The bytes for records: a power of two from 64 to 2^30.
   * @returns The size in bytes: 4864 more than the capacity.
   * @throws {RangeError} If it is not such a number.
   */
  static size(capacity: number): number {
    return sizeOf(MANY_TO_ONE, capacity);
  }

  /**
   * Makes an empty ring in a memory.
   *
   * @param memory The memory. Its contents there are lost.
   * @param options `producers`, `capacity` and `offset`.
   * @returns The ring.
   * @throws {TypeError} If an option has the wrong type, or the memory is read-only or
   * private.
   * @throws {RangeError} If an option is out of range, or the ring does not fit.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EEXIST if there is a ring already.
   */
  static create(memory: Memory, options?: RingCreateOptions): SharedRing {
    const { producers = "many", offset = 0, capacity } = options ?? {};
    const kind = choose("producers", producers, KINDS);
    return new SharedRing(internal, create(memory, kind, offset, capacity));
  }

  /**
   * Finds a ring that another process has made.
   *
   * @param memory The memory.
   * @param options `offset`.
   * @returns The ring.
   * @throws {TypeError} If there is no ring, or one of another version, or a broadcast;
   * or if the memory is read-only or private.
   * @throws {RangeError} If the offset is out of range.
   * @throws {ClosedError} If the memory is closed.
   */
  static open(memory: Memory, options?: RingOpenOptions): SharedRing {
    const { offset = 0 } = options ?? {};
    const kinds = [ONE_TO_ONE, MANY_TO_ONE] as const;
    return new SharedRing(internal, open(memory, kinds, offset));
  }

  /** The bytes that the ring has for records. */
  get capacity(): number {
    return this.#region.capacity;
  }

  /** The length of the longest message, in bytes: an eighth of the capacity. */
  get maxMessageLength(): number {
    return this.#region.maxLength;
  }

  /** Whether there can be several producers. */
  get producers(): "one" | "many" {
    return this.#region.kind === ONE_TO_ONE ? "one" : "many";
  }

  /**
   * Takes part as a producer. Of a ring for one producer, what a predecessor has not
   * committed when it was killed is skipped.
   *
   * @param options `spin`.
   * @returns The producer.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBUSY if the ring has its one producer, or 62 of them, and they
   * are alive; EBADMSG if a peer has damaged the ring.
   */
  producer(options?: RingWaitOptions): RingProducer {
    const spins = spinOf(options);
    this.#region.mapping.checkOwn();
    return new RingProducer(internal, new ProducerState(this.#region), spins);
  }

  /**
   * Takes part as the consumer. It goes on where the last one has stopped.
   *
   * @param options `spin`.
   * @returns The consumer.
   * @throws {ClosedError} If the memory is closed.
   * @throws {IpcError} EBUSY if the ring has a consumer that is alive; EBADMSG if a peer
   * has damaged the ring.
   */
  consumer(options?: RingWaitOptions): RingConsumer {
    const spins = spinOf(options);
    this.#region.mapping.checkOwn();
    return new RingConsumer(internal, new ConsumerState(this.#region), spins);
  }
}
