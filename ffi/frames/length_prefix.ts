// Frames that begin with their length.

import { setBytes } from "../arguments.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { CHUNK, type Framing, tooLong } from "./framing.ts";

/** How a length is written. */
export interface Prefix {
  /** Its size in bytes. */
  readonly size: number;
  readonly littleEndian: boolean;
  /** Whether the length includes these bytes. */
  readonly included: boolean;
}

/** The longest message whose length can be written. */
export function longestWith({ size, included }: Prefix): number {
  return 256 ** size - 1 - (included ? size : 0);
}

/** The position of each byte of a prefix, from the most significant one on. */
function positions({ size, littleEndian }: Prefix): readonly number[] {
  const ascending = Array.from({ length: size }, (_, index) => index);
  return littleEndian ? ascending.reverse() : ascending;
}

/** Frames with a length prefix. */
export class LengthPrefix implements Framing {
  readonly #prefix: Prefix;
  readonly #positions: readonly number[];
  readonly #maxSize: number;
  readonly #readsAhead: boolean;

  readonly #ahead: Uint8Array<ArrayBuffer>; // bytes that are read and not yet used
  #start = 0;
  #end = 0;
  #message: Uint8Array<ArrayBuffer> | null = null; // the one that is being read
  #filled = 0;

  constructor(prefix: Prefix, maxSize: number, readsAhead: boolean) {
    this.#prefix = prefix;
    this.#positions = positions(prefix);
    this.#maxSize = maxSize;
    this.#readsAhead = readsAhead;
    this.#ahead = new Uint8Array(readsAhead ? CHUNK : prefix.size);
  }

  frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { size, included } = this.#prefix;
    const frame = new Uint8Array(size + message.length);
    let rest = message.length + (included ? size : 0);
    for (const position of this.#positions.toReversed()) {
      frame[position] = rest % 256;
      rest = Math.floor(rest / 256);
    }
    setBytes(frame, message, size);
    return frame;
  }

  /** Long messages are read directly, others into the buffer. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#isDirect()) return this.#message!.subarray(this.#filled);
    this.#ahead.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    return this.#ahead.subarray(this.#end);
  }

  add(count: number): void {
    if (this.#isDirect()) this.#filled += count;
    else this.#end += count;
  }

  take(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#message === null) {
      const { size } = this.#prefix;
      if (this.#end - this.#start < size) return undefined;
      this.#message = new Uint8Array(this.#length());
      this.#filled = 0;
      this.#start += size;
    }
    const message = this.#message;
    const count = Math.min(
      message.length - this.#filled,
      this.#end - this.#start,
    );
    const from = this.#ahead.subarray(this.#start, this.#start + count);
    message.set(from, this.#filled);
    this.#start += count;
    this.#filled += count;
    if (this.#filled < message.length) return undefined;
    this.#message = null;
    return message;
  }

  get isBetween(): boolean {
    return this.#message === null && this.#start === this.#end;
  }

  #isDirect(): boolean {
    const message = this.#message;
    if (message === null) return false;
    return !this.#readsAhead || message.length - this.#filled >= CHUNK;
  }

  #length(): number {
    const { size, included } = this.#prefix;
    let length = 0;
    for (const position of this.#positions) {
      length = 256 * length + this.#ahead[this.#start + position]!;
    }
    if (included) length -= size;
    if (length > this.#maxSize) throw tooLong(length, this.#maxSize);
    if (length >= 0) return length;
    throw new runtime.errors.InvalidData(
      `Cannot receive a frame of ${
        length + size
      } bytes: its prefix alone has ` +
        `${size}`,
    );
  }
}
