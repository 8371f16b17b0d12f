// Messages that are C structs.

import type { FieldInputs, Fields, FieldValues, Struct } from "../struct.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import { untilClosed } from "../wait/iteration.ts";
import type { ReceivedRingMessage } from "./message.ts";
import type { RingProducer, RingWriteOptions } from "./producer.ts";
import type { RingReader } from "./reader.ts";

/**
 * Writes C structs into a ring. The caller keeps ownership of the producer.
 *
 * @typeParam F The fields of the struct.
 *
 * @example Typed on both sides
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing, StructConsumer, StructProducer } from "@linux/ipc/ring";
 * import { f64, i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const trade = struct({ price: f64, volume: i32 });
 * using memory = MemoryMap.anonymous(SharedRing.size(4096));
 * const ring = SharedRing.create(memory);
 * using producer = ring.producer();
 * using consumer = ring.consumer(); // usually in another process
 * await new StructProducer(producer, trade).write({ price: 9.5, volume: 80 });
 * const trades = new StructConsumer(consumer, trade);
 * assertEquals(await trades.read(), { price: 9.5, volume: 80 });
 * ```
 */
export class StructProducer<F extends Fields> {
  readonly #producer: RingProducer;
  readonly #layout: Struct<F>;

  /**
   * A writer of structs.
   *
   * @param producer The producer of the ring.
   * @param layout The struct, as declared with `struct({...})`.
   */
  constructor(producer: RingProducer, layout: Struct<F>) {
    this.#producer = producer;
    this.#layout = layout;
  }

  /**
   * Writes a struct if there is space.
   *
   * @param value The value of every field.
   * @param type The type of the message.
   * @returns Whether it was written.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type.
   * @throws {RangeError} If the value of a field does not fit. Otherwise as
   * {@linkcode RingProducer.prototype.tryWrite | RingProducer.tryWrite}.
   */
  tryWrite(value: FieldInputs<F>, type?: number): boolean {
    return this.#producer.tryWrite(this.#layout.encode(value), type);
  }

  /**
   * Writes a struct, blocking this thread while the ring is full.
   *
   * @param value The value of every field.
   * @param options `type`, and `timeout` in milliseconds.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type.
   * @throws {RangeError} If the value of a field does not fit. Otherwise as
   * {@linkcode RingProducer.prototype.writeSync | RingProducer.writeSync}.
   */
  writeSync(
    value: FieldInputs<F>,
    options?: RingWriteOptions & SyncWaitOptions,
  ): void {
    this.#producer.writeSync(this.#layout.encode(value), options);
  }

  /**
   * Writes a struct, waiting without blocking the thread while the ring is full.
   *
   * @param value The value of every field.
   * @param options `type`; `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type.
   * @throws {RangeError} If the value of a field does not fit. Otherwise as
   * {@linkcode RingProducer.prototype.write | RingProducer.write}.
   */
  async write(
    value: FieldInputs<F>,
    options?: RingWriteOptions & WaitOptions,
  ): Promise<void> {
    await this.#producer.write(this.#layout.encode(value), options);
  }
}

/**
 * Reads C structs from a ring or a broadcast. The caller keeps ownership of its reader.
 *
 * @typeParam F The fields of the struct.
 *
 * @example Structs until all producers have closed the ring
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing, StructConsumer, StructProducer } from "@linux/ipc/ring";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const count = struct({ value: i32 });
 * using memory = MemoryMap.anonymous(SharedRing.size(4096));
 * const ring = SharedRing.create(memory);
 * using consumer = ring.consumer();
 * {
 *   using producer = ring.producer(); // usually in another process
 *   const counts = new StructProducer(producer, count);
 *   for (let value = 1; value <= 3; value++) await counts.write({ value });
 * }
 * let sum = 0;
 * for await (const { value } of new StructConsumer(consumer, count)) sum += value;
 * assertEquals(sum, 6);
 * ```
 */
export class StructConsumer<F extends Fields>
  implements AsyncIterable<FieldValues<F>> {
  readonly #reader: RingReader;
  readonly #layout: Struct<F>;

  /**
   * A reader of structs.
   *
   * @param reader The consumer of a ring, or the receiver of a broadcast.
   * @param layout The struct, as declared with `struct({...})`.
   */
  constructor(reader: RingReader, layout: Struct<F>) {
    this.#reader = reader;
    this.#layout = layout;
  }

  /**
   * Reads one message if there is one.
   *
   * @returns The values of its fields; undefined if there is none now.
   * @throws {RangeError} If the message is shorter than the struct; it counts as read.
   * Otherwise as {@linkcode RingReader.prototype.tryRead | RingReader.tryRead}.
   */
  tryRead(): FieldValues<F> | undefined {
    const message = this.#reader.tryRead();
    return message && this.#decode(message);
  }

  /**
   * Reads one message, blocking this thread until there is one.
   *
   * @param options `timeout` in milliseconds.
   * @returns The values of its fields; null at the end.
   * @throws {RangeError} If the message is shorter than the struct; it counts as read.
   * Otherwise as {@linkcode RingReader.prototype.readSync | RingReader.readSync}.
   */
  readSync(options?: SyncWaitOptions): FieldValues<F> | null {
    const message = this.#reader.readSync(options);
    return message && this.#decode(message);
  }

  /**
   * Reads one message, waiting without blocking the thread until there is one.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The values of its fields; null at the end.
   * @throws {RangeError} If the message is shorter than the struct; it counts as read.
   * Otherwise as {@linkcode RingReader.prototype.read | RingReader.read}.
   */
  async read(options?: WaitOptions): Promise<FieldValues<F> | null> {
    const message = await this.#reader.read(options);
    return message && this.#decode(message);
  }

  /**
   * Iterates over the messages. It ends when all producers are gone, or the reader is
   * closed.
   *
   * @returns The iterator.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<FieldValues<F>> {
    return untilClosed(() => this.read());
  }

  #decode({ data }: ReceivedRingMessage): FieldValues<F> {
    return this.#layout.decode(data);
  }
}
