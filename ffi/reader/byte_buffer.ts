// Bytes that were read from a stream and are not taken yet. Memory is claimed as bytes
// arrive, in proportion to what has come, whatever size is asked for. (The kernel
// provides the pages of a large array when they are first written.)

import { setBytes } from "../arguments.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes to read ahead. */
const CHUNK = 65536;

/** How many times as much as has come is claimed: of a size that is known, and not. */
const GROWTH = 16;
const UNKNOWN_GROWTH = 2;

const EMPTY: Bytes = new Uint8Array(0);

/** The index of the first occurrence in bytes, from an index on; -1 if there is none. */
export function indexOf(bytes: Bytes, searched: Bytes, from = 0): number {
  const next = (start: number) => bytes.indexOf(searched[0]!, start);
  for (let at = next(from); at !== -1; at = next(at + 1)) {
    if (searched.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  return -1;
}

/** A contiguous buffer: bytes are added at its end, and taken from its start. */
export class ByteBuffer {
  #bytes = EMPTY;
  #start = 0;
  #end = 0;
  #position = 0;

  /** The number of bytes in it. */
  get length(): number {
    return this.#end - this.#start;
  }

  /** The number of bytes that were taken so far: where in the stream it begins. */
  get position(): number {
    return this.#position;
  }

  /** The byte at an index. */
  at(index: number): number {
    return this.#bytes[this.#start + index]!;
  }

  /**
   * Where the next bytes are stored, of at least 1 byte. `size` is the length that the
   * buffer is to reach, or Infinity.
   */
  room(size: number): Bytes {
    const { length } = this;
    const capacity = this.#bytes.length;
    const growth = size === Infinity ? UNKNOWN_GROWTH : GROWTH;
    const wanted = Math.max(CHUNK, Math.min(size, growth * length));
    if (length === capacity || capacity > 2 * wanted) {
      this.#replace(new Uint8Array(wanted));
    } else if (this.#start > 0) {
      this.#replace(this.#bytes);
    }
    return this.#end === 0 ? this.#bytes : this.#bytes.subarray(this.#end);
  }

  #replace(bytes: Bytes): void {
    const rest = this.#bytes.subarray(this.#start, this.#end);
    bytes.set(rest); // also where the two overlap
    this.#bytes = bytes;
    this.#start = 0;
    this.#end = rest.length;
  }

  /** Counts bytes that were stored in the room; with a negative count, takes that back. */
  add(count: number): void {
    this.#end += count;
  }

  /** The index of these bytes, from an index on; -1 if they are not there. */
  indexOf(searched: Bytes, from: number): number {
    const bytes = this.#bytes.subarray(this.#start, this.#end);
    return indexOf(bytes, searched, from);
  }

  /** Copies the first bytes. */
  copy(size: number): Bytes {
    return this.#bytes.slice(this.#start, this.#start + size);
  }

  /** Takes the first bytes; without a copy if they fill the memory. */
  take(size: number): Bytes {
    const bytes = this.#bytes;
    const isWhole = size === bytes.length;
    const taken = isWhole ? bytes : this.copy(size);
    this.skip(size);
    if (isWhole) this.#bytes = EMPTY;
    return taken;
  }

  /** Moves the first bytes to the start of a caller's array. */
  moveTo(target: Uint8Array, size: number): void {
    setBytes(target, this.#bytes.subarray(this.#start, this.#start + size));
    this.skip(size);
  }

  /** Drops the first bytes. */
  skip(size: number): void {
    this.#position += size;
    this.#start += size;
    if (this.#start === this.#end) this.#start = this.#end = 0;
  }
}
