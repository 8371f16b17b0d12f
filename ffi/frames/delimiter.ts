// Frames that end with a delimiter.

import { setBytes } from "../arguments.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { CHUNK, type Framing } from "./framing.ts";

/** The position of the first delimiter in bytes, from `from` on; -1 if there is none. */
function find(
  bytes: Uint8Array<ArrayBuffer>,
  delimiter: Uint8Array<ArrayBuffer>,
  from: number,
): number {
  const next = (start: number) => bytes.indexOf(delimiter[0]!, start);
  for (let at = next(from); at !== -1; at = next(at + 1)) {
    if (delimiter.every((byte, index) => bytes[at + index] === byte)) return at;
  }
  return -1;
}

/** Frames with a delimiter at their end. */
export class Delimiter implements Framing {
  readonly #delimiter: Uint8Array<ArrayBuffer>;
  readonly #maxSize: number;

  #bytes = new Uint8Array(CHUNK); // grows with what arrives
  #start = 0;
  #end = 0;
  #searched = 0;

  constructor(delimiter: Uint8Array<ArrayBuffer>, maxSize: number) {
    this.#delimiter = delimiter;
    this.#maxSize = maxSize;
  }

  frame(message: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { length } = message;
    const frame = new Uint8Array(length + this.#delimiter.length);
    setBytes(frame, message);
    setBytes(frame, this.#delimiter, length);
    // Of the whole frame: the end of the message may form one with the delimiter.
    if (find(frame, this.#delimiter, 0) === length) return frame;
    throw new TypeError('Argument "message" must not contain the delimiter');
  }

  room(): Uint8Array<ArrayBuffer> {
    const { length } = this.#bytes;
    if (this.#start > 0 || this.#end === length) {
      const rest = this.#bytes.subarray(this.#start, this.#end);
      if (rest.length === length || length > CHUNK) {
        this.#bytes = new Uint8Array(Math.max(2 * rest.length, CHUNK));
      }
      this.#bytes.set(rest); // also where the two overlap
      this.#searched -= this.#start;
      this.#start = 0;
      this.#end = rest.length;
    }
    return this.#bytes.subarray(this.#end);
  }

  add(count: number): void {
    this.#end += count;
  }

  take(): Uint8Array<ArrayBuffer> | undefined {
    const { length } = this.#delimiter;
    const arrived = this.#bytes.subarray(0, this.#end);
    const at = find(arrived, this.#delimiter, this.#searched);
    // A delimiter may have arrived in part.
    const end = at === -1 ? this.#end - length + 1 : at;
    this.#searched = Math.max(end, this.#start);
    if (end - this.#start > this.#maxSize) {
      throw new runtime.errors.InvalidData(
        "Cannot receive a message without a delimiter in its first " +
          `${this.#maxSize} bytes (maxSize)`,
      );
    }
    if (at === -1) return undefined;
    const message = this.#bytes.slice(this.#start, at);
    this.#start = this.#searched = at + length;
    return message;
  }

  get isBetween(): boolean {
    return this.#start === this.#end;
  }
}
