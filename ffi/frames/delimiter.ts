// Frames that end with a delimiter.

import { firstOf, setBytes } from "../arguments.ts";
import { indexOf } from "../reader/byte_buffer.ts";
import { Delimited } from "../reader/items.ts";
import type { Framing } from "./framing.ts";

/** Frames with a delimiter at their end. */
export class Delimiter extends Delimited implements Framing {
  get overhead(): number {
    return this.delimiter.length;
  }

  write(
    frame: Uint8Array<ArrayBuffer>,
    message: Uint8Array,
    length: number,
  ): void {
    setBytes(frame, firstOf(message, length));
    setBytes(frame, this.delimiter, length);
    // Of the whole frame: the end of the message may form one with the delimiter.
    if (indexOf(frame, this.delimiter) === length) return;
    throw new TypeError('Argument "message" must not contain the delimiter');
  }
}
