// Frames that end with a delimiter.

import { setBytes } from "../arguments.ts";
import { indexOf } from "../reader/byte_buffer.ts";
import { Delimited } from "../reader/items.ts";
import type { Framing } from "./framing.ts";

/** Frames with a delimiter at their end. */
export class Delimiter extends Delimited implements Framing {
  frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { length } = message;
    const frame = new Uint8Array(length + this.delimiter.length);
    setBytes(frame, message);
    setBytes(frame, this.delimiter, length);
    // Of the whole frame: the end of the message may form one with the delimiter.
    if (indexOf(frame, this.delimiter) === length) return frame;
    throw new TypeError('Argument "message" must not contain the delimiter');
  }
}
