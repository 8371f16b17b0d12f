// Where messages begin and end in a stream of bytes.

import type { Item } from "../reader/items.ts";

/** Makes frames of messages, and reads messages out of frames. */
export interface Framing extends Item<Uint8Array<ArrayBuffer>> {
  /** The frame of a message, which has at most maxSize bytes. */
  frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
}
