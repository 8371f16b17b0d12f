// What can be read from a buffer as a whole: where it ends, and what is made of it.

import { byteLengthOf, copyOf, isBytes } from "../arguments.ts";
import type { ByteBuffer } from "./byte_buffer.ts";
import { endless } from "./failures.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Something to read as a whole. */
export interface Item<T> {
  /**
   * Its length, or, if the bytes do not tell, the number that it has at least; Infinity
   * for unknown. `ended` says that no bytes will follow. Throws if it is invalid.
   */
  sizeIn(buffer: ByteBuffer, ended: boolean): number;
  /** Takes its bytes, which are all there. */
  take(buffer: ByteBuffer, size: number): T;
}

/** So many bytes. */
export class Exactly implements Item<Bytes> {
  readonly #size: number;

  constructor(size: number) {
    this.#size = size;
  }

  sizeIn(): number {
    return this.#size;
  }

  take(buffer: ByteBuffer, size: number): Bytes {
    return buffer.take(size);
  }
}

/** So many bytes, which stay in the buffer. */
export class Peeked extends Exactly {
  override take(buffer: ByteBuffer, size: number): Bytes {
    return buffer.copy(size);
  }
}

/** The bytes that are there, up to the length of an array. */
export class Available implements Item<number> {
  readonly #target: Uint8Array;

  constructor(target: Uint8Array) {
    this.#target = target;
  }

  sizeIn({ length }: ByteBuffer): number {
    return Math.min(Math.max(length, 1), byteLengthOf(this.#target));
  }

  take(buffer: ByteBuffer, size: number): number {
    buffer.moveTo(this.#target, size);
    return size;
  }
}

/** The bytes up to a delimiter. */
export class Delimited implements Item<Bytes> {
  readonly delimiter: Bytes;
  readonly #maxSize: number;
  #searched = 0; // the position in the stream before which no delimiter begins

  constructor(delimiter: Bytes, maxSize: number) {
    this.delimiter = delimiter;
    this.#maxSize = maxSize;
  }

  sizeIn(buffer: ByteBuffer): number {
    const { length } = this.delimiter;
    const from = Math.max(this.#searched - buffer.position, 0);
    const at = buffer.indexOf(this.delimiter, from);
    // A delimiter may have arrived in part.
    const end = at === -1 ? Math.max(buffer.length - length + 1, 0) : at;
    this.#searched = buffer.position + end;
    if (end > this.#maxSize) throw endless("the delimiter", this.#maxSize);
    return at === -1 ? Infinity : at + length;
  }

  take(buffer: ByteBuffer, size: number): Bytes {
    const { length } = this.delimiter;
    const bytes = buffer.take(size - length);
    buffer.skip(length);
    return bytes;
  }
}

/** Checks and copies a delimiter of the caller's. */
export function delimiterOf(delimiter: unknown): Bytes {
  const bytes = isBytes(delimiter)
    ? copyOf(delimiter)
    : typeof delimiter === "string" && delimiter.isWellFormed()
    ? new TextEncoder().encode(delimiter)
    : undefined;
  if (bytes === undefined) {
    throw new TypeError(
      'Argument "delimiter" must be a Uint8Array, or a string without lone ' +
        "surrogates",
    );
  }
  if (bytes.length > 0) return bytes;
  throw new RangeError('Argument "delimiter" must have at least 1 byte');
}

const NEWLINE = Uint8Array.of(10);
const RETURN = 13;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** A line of text, which ends with "\n" or "\r\n". */
export class Line implements Item<string> {
  readonly #bytes: Delimited;

  constructor(maxSize: number) {
    this.#bytes = new Delimited(NEWLINE, maxSize);
  }

  sizeIn(buffer: ByteBuffer): number {
    return this.#bytes.sizeIn(buffer);
  }

  take(buffer: ByteBuffer, size: number): string {
    const line = this.#bytes.take(buffer, size);
    const end = line.at(-1) === RETURN ? -1 : line.length;
    return decoder.decode(line.subarray(0, end));
  }
}

/** All bytes up to the end of the stream. */
export class Rest implements Item<Bytes> {
  readonly #maxSize: number;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  sizeIn({ length }: ByteBuffer, ended: boolean): number {
    if (length > this.#maxSize) {
      throw endless("the end of the stream", this.#maxSize);
    }
    return ended ? length : Infinity;
  }

  take(buffer: ByteBuffer, size: number): Bytes {
    return buffer.take(size);
  }
}
