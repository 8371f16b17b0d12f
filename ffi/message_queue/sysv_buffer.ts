// C's `struct msgbuf`, and the message in it.

import { byteLengthOf, viewOf } from "../arguments.ts";
import { copyBytes } from "../libc/string.ts";

/** A message taken from a System V queue. */
export interface SysvMessage {
  /** The type: a number where that is exact, else a bigint. */
  readonly type: number | bigint;
  /** The bytes after the type: C's `mtext`. They are the receiver's own. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** The bytes of the message type, which comes before the data. */
const SIZEOF_LONG = 8;

/**
 * The beginning of the caller's buffer; or bytes of the message's own, also when the
 * buffer has become too small during the wait: memory that was closed.
 */
function bytesFor(
  size: number,
  into: Uint8Array<ArrayBuffer> | undefined,
): Uint8Array<ArrayBuffer> {
  if (into === undefined) return new Uint8Array(size);
  const room = byteLengthOf(into);
  if (room < size) return new Uint8Array(size);
  return size === room ? into : viewOf(into, 0, size);
}

/** C's `struct msgbuf`: the type, then the data. */
export class MessageBuffer {
  bytes!: Uint8Array<ArrayBuffer>;
  capacity!: number;
  #type!: BigInt64Array<ArrayBuffer>;
  #halves!: Uint32Array<ArrayBuffer>;
  #data!: Uint8Array<ArrayBuffer>; // the bytes after the type

  constructor(capacity: number) {
    this.grow(capacity);
  }

  grow(capacity: number): void {
    this.capacity = capacity;
    this.bytes = new Uint8Array(SIZEOF_LONG + capacity);
    this.#type = new BigInt64Array(this.bytes.buffer, 0, 1);
    this.#halves = new Uint32Array(this.bytes.buffer, 0, 2);
    this.#data = this.bytes.subarray(SIZEOF_LONG);
  }

  put(type: bigint, data: Uint8Array<ArrayBuffer>): void {
    this.#type[0] = type;
    copyBytes(this.#data, data, byteLengthOf(data));
  }

  /** The message of `size` bytes that is in here, as a copy. */
  take(size: number, into?: Uint8Array<ArrayBuffer>): SysvMessage {
    const data = bytesFor(size, into);
    copyBytes(data, this.#data, size);
    return { type: this.#readType(), data };
  }

  #readType(): number | bigint {
    const [low, high] = this.#halves;
    if (high === 0) return low!; // nearly always, and without a bigint
    const exact = Number(this.#type[0]!);
    return Number.isSafeInteger(exact) ? exact : this.#type[0]!;
  }
}
