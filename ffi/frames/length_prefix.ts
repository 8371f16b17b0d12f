// Frames that begin with their length.

import { firstOf, setBytes } from "../arguments.ts";
import type { ByteBuffer } from "../reader/byte_buffer.ts";
import { tooLong, tooShort } from "../reader/failures.ts";
import type { Framing } from "./framing.ts";

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

  constructor(prefix: Prefix, maxSize: number) {
    this.#prefix = prefix;
    this.#positions = positions(prefix);
    this.#maxSize = maxSize;
  }

  get overhead(): number {
    return this.#prefix.size;
  }

  write(frame: Uint8Array, message: Uint8Array, length: number): void {
    const { size, included } = this.#prefix;
    let rest = length + (included ? size : 0);
    for (let index = size - 1; index >= 0; index--) {
      frame[this.#positions[index]!] = rest; // its lowest byte
      rest = Math.floor(rest / 256);
    }
    setBytes(frame, firstOf(message, length), size);
  }

  sizeIn(buffer: ByteBuffer): number {
    const { size, included } = this.#prefix;
    if (buffer.length < size) return size;
    let length = 0;
    for (const position of this.#positions) {
      length = 256 * length + buffer.at(position);
    }
    if (included) length -= size;
    if (length > this.#maxSize) throw tooLong(length, this.#maxSize);
    if (length < 0) throw tooShort(length + size, size);
    return size + length;
  }

  take(buffer: ByteBuffer, size: number): Uint8Array<ArrayBuffer> {
    buffer.skip(this.#prefix.size);
    return buffer.take(size - this.#prefix.size);
  }
}
