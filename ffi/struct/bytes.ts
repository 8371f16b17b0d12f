// Arrays of characters and of bytes.

import { byteLengthOf, copyOf, isBytes, setBytes } from "../arguments.ts";
import {
  bytesOf,
  cannotWrite,
  checkCount,
  checkLength,
  checkPrimitive,
  type CType,
  ours,
  wrongType,
} from "./type.ts";

const ENCODER = new TextEncoder();
// A byte order mark is part of the text, as in C.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * `char[size]`: a string in UTF-8 that ends with a NUL.
 *
 * Reading stops at the first NUL, or at the end of the field if there is none.
 * Invalid UTF-8, such as a truncated character, reads as U+FFFD.
 *
 * Writing zeroes the rest of the field. A lone surrogate is written as U+FFFD.
 * Writing throws a `RangeError` if the string takes more than `size - 1` bytes in
 * UTF-8, or contains a NUL, and a `TypeError` if it is not a string.
 *
 * @param size The size of the field in bytes, the NUL included.
 * @returns The type.
 *
 * @example The size counts bytes, not characters
 * ```ts
 * import { cstring, struct } from "@linux/ipc/struct";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const file = struct({ name: cstring(8) });
 * const bytes = file.encode({ name: "naïve" });
 * assertEquals(bytes, new Uint8Array([110, 97, 195, 175, 118, 101, 0, 0]));
 * assertEquals(file.decode(bytes), { name: "naïve" });
 * assertThrows(
 *   () => file.encode({ name: "naïveté" }),
 *   RangeError,
 *   "Cannot write field 'name': 9 bytes do not fit in char[8] (7 and a NUL)",
 * );
 * ```
 *
 * @throws {RangeError} If the size is not an integer of at least 1.
 */
export function cstring(size: number): CType<string> {
  const name = `char[${checkLength("cstring", size)}]`;
  const field = new Uint8Array(size);
  const text = field.subarray(0, size - 1); // the last byte stays NUL

  function get(memory: DataView, offset: number): string {
    const field = bytesOf(memory, offset, size);
    const end = field.indexOf(0);
    return DECODER.decode(end === -1 ? field : field.subarray(0, end));
  }
  function set(memory: DataView, offset: number, value: string, path: string) {
    checkPrimitive(value, "string", name, path);
    const nul = value.indexOf("\0");
    if (nul !== -1) {
      throw new RangeError(
        cannotWrite(path, `to C, the string ends with the NUL at index ${nul}`),
      );
    }
    const { read, written } = ENCODER.encodeInto(value, text);
    if (read < value.length) {
      const { length } = ENCODER.encode(value);
      const limit = `${name} (${size - 1} and a NUL)`;
      throw new RangeError(
        cannotWrite(path, `${length} bytes do not fit in ${limit}`),
      );
    }
    text.fill(0, written);
    bytesOf(memory, offset, size).set(field);
  }
  return ours({ name, size, alignment: 1, get, set, live: get });
}

/**
 * `unsigned char[size]`: bytes as they are.
 *
 * Reading copies them. In a live view, the field is a `Uint8Array` of the
 * memory itself. Writing takes exactly `size` bytes: another length is a
 * `RangeError`, and another type a `TypeError`.
 *
 * @param size The size of the field in bytes.
 * @returns The type.
 *
 * @example Live bytes
 * ```ts
 * import { bytes, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const packet = struct({ address: bytes(4) });
 * const memory = packet.encode({ address: new Uint8Array([127, 0, 0, 1]) });
 * packet.view(memory).address[3] = 2;
 * assertEquals(memory, new Uint8Array([127, 0, 0, 2]));
 * ```
 *
 * @throws {RangeError} If the size is not an integer of at least 1.
 */
export function bytes(
  size: number,
): CType<Uint8Array<ArrayBuffer>, Uint8Array> {
  const name = `uint8_t[${checkLength("bytes", size)}]`;

  function live(memory: DataView, offset: number): Uint8Array {
    return bytesOf(memory, offset, size);
  }
  function set(
    memory: DataView,
    offset: number,
    value: Uint8Array,
    path: string,
  ) {
    if (!isBytes(value)) throw wrongType(path, "a Uint8Array", name, value);
    checkCount(byteLengthOf(value), size, name, path);
    setBytes(live(memory, offset), value);
  }
  return ours({
    name,
    size,
    alignment: 1,
    get: (memory, offset) => copyOf(live(memory, offset)),
    set,
    live,
  });
}
