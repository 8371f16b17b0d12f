// Where messages begin and end in a stream of bytes.

import { runtime } from "../libc/runtime/mod.ts";

/** Makes frames of messages, and messages of the bytes that are read. */
export interface Framing {
  /** The frame of a message, which has at most maxSize bytes. */
  frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Where the next bytes are read to: at least 1 byte. */
  room(): Uint8Array<ArrayBuffer>;
  /** Counts the bytes that were read there. */
  add(count: number): void;
  /** The next message, if it is complete. Throws InvalidData. */
  take(): Uint8Array<ArrayBuffer> | undefined;
  /** Whether no byte of the next message was read. */
  readonly isBetween: boolean;
}

/** Bytes to read ahead. */
export const CHUNK = 65536;

/** The error of a message that is too long. */
export function tooLong(size: number, maxSize: number): Error {
  return new runtime.errors.InvalidData(
    `Cannot receive a message of ${size} bytes: at most ${maxSize} are ` +
      "allowed (maxSize)",
  );
}
