// Where messages begin and end in a stream of bytes.

import type { Item } from "../reader/items.ts";

/** Makes frames of messages, and reads messages out of frames. */
export interface Framing extends Item<Uint8Array<ArrayBuffer>> {
  /** How many bytes a frame has besides the message. */
  readonly overhead: number;
  /** Writes the frame of the first bytes of a message: at most maxSize. */
  write(
    frame: Uint8Array<ArrayBuffer>,
    message: Uint8Array,
    length: number,
  ): void;
}
