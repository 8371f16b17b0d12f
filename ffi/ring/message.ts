// A message, as a reader sees it: in place, while its handler runs, or as a copy.

import { bufferOf, byteOffsetOf, viewOf } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, type internal } from "../internal.ts";
import type { Fields, FieldValues, Struct } from "../struct.ts";

/** A message that was copied out of a ring. */
export interface ReceivedRingMessage {
  /** The type that its producer gave it: at least 1. */
  readonly type: number;
  /** Its bytes. */
  readonly data: Uint8Array<ArrayBuffer>;
  /**
   * How many messages of a broadcast were missed right before it. 0 in a ring, which
   * loses none.
   */
  readonly missed: number;
}

/** What a reader does with each message. */
export type RingHandler = (message: RingMessage) => void;

const NONE = -1;

/** Shows a message. For this module alone. */
export let show: (
  message: RingMessage,
  at: number,
  length: number,
  type: number,
  missed: number,
) => void;
/** Ends the life of a message. For this module alone. */
export let hide: (message: RingMessage) => void;

/**
 * A message in the memory of a ring.
 *
 * It is valid until the handler returns: then a producer may write other messages there.
 * The next call of the handler gets the same object, with another message. Use
 * {@linkcode RingMessage.prototype.copy | RingMessage.copy} for what is kept.
 *
 * @example A struct, decoded in place
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { SharedRing } from "@linux/ipc/ring";
 * import { f64, i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const trade = struct({ price: f64, volume: i32 });
 * using memory = MemoryMap.anonymous(SharedRing.size(4096));
 * const ring = SharedRing.create(memory);
 * using producer = ring.producer();
 * using consumer = ring.consumer(); // usually in another process
 * await producer.write(trade.encode({ price: 9.5, volume: 80 }), { type: 2 });
 * consumer.tryRead((message) => {
 *   assertEquals(message.type, 2);
 *   assertEquals(message.decode(trade), { price: 9.5, volume: 80 });
 * });
 * ```
 */
export class RingMessage {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at = 0;
  #length = NONE;
  #type = 0;
  #missed = 0;

  /**
   * Internal: readers make it.
   *
   * @ignore
   */
  constructor(token: typeof internal, bytes: Uint8Array<ArrayBuffer>) {
    checkInternal(token, "RingMessage", "the methods of a ring");
    this.#bytes = bytes;
  }

  static {
    show = (message, at, length, type, missed) => {
      message.#at = at;
      message.#length = length;
      message.#type = type;
      message.#missed = missed;
    };
    hide = (message) => {
      message.#length = NONE;
    };
    inspectAs(this, (message) => ({
      type: message.#type,
      byteLength: message.#length === NONE ? undefined : message.#length,
    }));
  }

  /** The type that its producer gave it: at least 1. */
  get type(): number {
    return this.#type;
  }

  /** The number of its bytes. */
  get byteLength(): number {
    return this.#length;
  }

  /**
   * The position of its first byte in
   * {@linkcode RingMessage.prototype.buffer | RingMessage.buffer}: to read numbers with
   * an array or a DataView that is made once. It is a multiple of 8.
   */
  get byteOffset(): number {
    return this.#at;
  }

  /** The memory of the ring; of a broadcast, the receiver's own copy of the message. */
  get buffer(): ArrayBuffer {
    return bufferOf(this.#bytes);
  }

  /**
   * How many messages of a broadcast were missed right before this one. 0 in a ring,
   * which loses none.
   */
  get missed(): number {
    return this.#missed;
  }

  /**
   * Its bytes, in place. Another process can still change them: copy what is checked
   * first and used later.
   *
   * @throws {Error} If the handler has returned.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    const { length, at } = this.#valid();
    return new Uint8Array(
      bufferOf(this.#bytes),
      byteOffsetOf(this.#bytes) + at,
      length,
    );
  }

  /**
   * Copies the bytes.
   *
   * @returns A new array.
   * @throws {Error} If the handler has returned.
   */
  copy(): Uint8Array<ArrayBuffer> {
    const { length, at } = this.#valid();
    const copy = new Uint8Array(length);
    copy.set(viewOf(this.#bytes, at, at + length));
    return copy;
  }

  /**
   * `*(struct T *) bytes`: copies a C struct out of the message.
   *
   * @param layout The struct, as declared with `struct({...})`.
   * @returns The values of its fields.
   * @throws {RangeError} If the message is shorter than the struct.
   * @throws {Error} If the handler has returned.
   */
  decode<F extends Fields>(layout: Struct<F>): FieldValues<F> {
    return layout.decode(this.copy());
  }

  #valid(): { length: number; at: number } {
    if (this.#length !== NONE) return { length: this.#length, at: this.#at };
    throw new Error(
      "Cannot read the message: it is valid until its handler returns; use copy()",
    );
  }
}
