// The layout of a System V message in memory: C's `struct msgbuf`.

import { byteLengthOf, setBytes, viewOf } from "../arguments.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A message received from a System V queue. */
export interface SysvMessage {
  /** C's `mtype`: a number if it is a safe integer, else a bigint. */
  readonly type: number | bigint;
  /** C's `mtext`: the bytes after the type. The receiver owns them. */
  readonly data: Uint8Array<ArrayBuffer>;
}

const SIZEOF_LONG = 8;

/**
 * The first `size` bytes of the caller's buffer; new bytes if there is none, or if it
 * became too small during the wait, because its memory was closed.
 */
function bytesFor(size: number, buffer: Bytes | undefined): Bytes {
  if (buffer === undefined) return new Uint8Array(size);
  const room = byteLengthOf(buffer);
  if (room < size) return new Uint8Array(size);
  return size === room ? buffer : viewOf(buffer, 0, size);
}

/** C's `struct msgbuf`: the type, then the data. */
export class MessageBuffer {
  bytes!: Bytes;
  capacity!: number;
  #type!: BigInt64Array<ArrayBuffer>;
  #halves!: Uint32Array<ArrayBuffer>;
  #data!: Bytes; // the bytes after the type
  #arrived!: Bytes;

  constructor(capacity: number) {
    this.grow(capacity);
  }

  grow(capacity: number): void {
    this.capacity = capacity;
    this.bytes = new Uint8Array(SIZEOF_LONG + capacity);
    this.#type = new BigInt64Array(this.bytes.buffer, 0, 1);
    this.#halves = new Uint32Array(this.bytes.buffer, 0, 2);
    this.#data = this.#arrived = this.bytes.subarray(SIZEOF_LONG);
  }

  /** Writes a message into the buffer. */
  put(type: bigint, data: Bytes): this {
    this.#type[0] = type;
    setBytes(this.#data, data);
    return this;
  }

  /** Returns a copy of the message, which has `size` bytes of data. */
  take(size: number, buffer?: Bytes): SysvMessage {
    const data = bytesFor(size, buffer);
    setBytes(data, this.#first(size));
    return { type: this.#readType(), data };
  }

  /** The first bytes of the data; consecutive messages often have the same size. */
  #first(size: number): Bytes {
    if (this.#arrived.length !== size) {
      this.#arrived = this.#data.subarray(0, size);
    }
    return this.#arrived;
  }

  #readType(): number | bigint {
    const halves = this.#halves;
    if (halves[1] === 0) return halves[0]!; // the common case, without a bigint
    const type = this.#type[0]!;
    const exact = Number(type);
    return Number.isSafeInteger(exact) ? exact : type;
  }
}
