// Bit-fields.

import { bitsOfType } from "./scalar.ts";
import { cannotWrite, checkCType, type CType, ours } from "./type.ts";

const HALF = 32; // bits: values are moved as two halves

// Of a value of the type of a bit-field, in the byte order of C.
const scratch = new DataView(new ArrayBuffer(8));

/**
 * `type name : width`: a bit-field.
 *
 * Its position is that of GCC and Clang: the next free bit, or, if it would cross a
 * boundary of its type there, the next boundary; in a packed struct always the next free
 * bit. As in C, a write reads and writes back the bytes of the field. So bit-fields of
 * one byte must not be written by two processes at the same time.
 *
 * Give an unnamed bit-field a name. Instead of one of width 0 declare one with the bits
 * that are left.
 *
 * @param type An integer type of this module, {@linkcode bool}, or an
 * {@linkcode enumeration}. A field of `i32` is `signed int`.
 * @param width The number of bits, from 1 to those of the type; 1 for `bool`.
 * @returns The type of a field of a struct or a union.
 *
 * @example The flags of a TCP header
 * ```ts
 * import { bits, bool, struct, u16 } from "@linux/ipc/struct";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const flags = struct({
 *   reserved: bits(u16, 4),
 *   offset: bits(u16, 4),
 *   fin: bits(bool, 1),
 *   syn: bits(bool, 1),
 * });
 * const bytes = flags.encode({ reserved: 0, offset: 5, fin: false, syn: true });
 * assertEquals(bytes, Uint8Array.of(0x50, 0x02));
 * flags.view(bytes).fin = true;
 * assertEquals(bytes, Uint8Array.of(0x50, 0x03));
 * assertThrows(() => flags.view(bytes).offset = 16, RangeError);
 * ```
 *
 * @throws {TypeError} If the type cannot be that of a bit-field.
 * @throws {RangeError} If the width is out of range.
 */
export function bits<Value>(type: CType<Value>, width: number): CType<Value> {
  checkCType(type, "a bit-field");
  const most = bitsOfType(type)?.width;
  if (most === undefined) {
    throw new TypeError(
      `Cannot declare a bit-field: ${type.name} is not an integer type of C`,
    );
  }
  if (!Number.isInteger(width) || width < 1 || width > most) {
    throw new RangeError(
      `Cannot declare a bit-field: the width must be an integer from 1 to ${most} ` +
        `(${type.name}), got ${width}`,
    );
  }
  return new BitField(type, width);
}

/** A bit-field that begins in the first byte of its memory. */
export class BitField<Value> implements CType<Value> {
  readonly name: string;
  readonly size: number;
  readonly alignment: number;
  readonly width: number;
  readonly #type: CType<Value>;
  readonly #shift: number; // bits of the first byte before it

  constructor(type: CType<Value>, width: number, shift = 0) {
    this.name = `${type.name}:${width}`;
    this.size = type.size;
    this.alignment = type.alignment;
    this.width = width;
    this.#type = type;
    this.#shift = shift;
    ours(this);
  }

  /** The same bit-field behind other bits of its first byte. */
  at(shift: number): BitField<Value> {
    return new BitField(this.#type, this.width, shift);
  }

  get(memory: DataView, offset: number): Value {
    const { width } = this;
    const low = Math.min(width, HALF);
    return this.#extended(
      readBits(memory, offset, this.#shift, low),
      readBits(memory, offset + 4, this.#shift, width - low),
    );
  }

  live(memory: DataView, offset: number): Value {
    return this.get(memory, offset);
  }

  set(memory: DataView, offset: number, value: Value, path: string): void {
    const { width } = this;
    scratch.setBigUint64(0, 0n);
    this.#type.set(scratch, 0, value, path);
    const exact = this.#type.get(scratch, 0);
    const low = Math.min(width, HALF);
    const first = readBits(scratch, 0, 0, low);
    const second = readBits(scratch, 4, 0, width - low);
    if (this.#extended(first, second) !== exact) {
      throw new RangeError(
        cannotWrite(path, `${String(value)} does not fit in ${this.name}`),
      );
    }
    writeBits(memory, offset, this.#shift, low, first);
    writeBits(memory, offset + 4, this.#shift, width - low, second);
  }

  /** The value with these bits, sign-extended. */
  #extended(low: number, high: number): Value {
    const { signed } = bitsOfType(this.#type)!;
    const { width } = this;
    const isNegative = signed &&
      (width > HALF ? high : low) >= 2 ** ((width - 1) % HALF);
    const sign = isNegative ? -1 : 0;
    const highBits = width > HALF ? high + sign * 2 ** (width - HALF) : sign;
    const lowBits = width < HALF ? low + sign * 2 ** width : low;
    scratch.setInt32(0, lowBits, true);
    scratch.setInt32(4, highBits, true);
    return this.#type.get(scratch, 0);
  }
}

Object.freeze(BitField);
Object.freeze(BitField.prototype);

/** The bytes that some bits of memory lie in, as one number: at most 40 bits. */
function readBytes(memory: DataView, offset: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) {
    value = value * 256 + memory.getUint8(offset + index);
  }
  return value;
}

/** Reads at most 32 bits. No bits are 0. */
function readBits(
  memory: DataView,
  offset: number,
  shift: number,
  width: number,
): number {
  if (width === 0) return 0;
  const value = readBytes(memory, offset, Math.ceil((shift + width) / 8));
  return Math.floor(value / 2 ** shift) % 2 ** width;
}

/** Writes at most 32 bits, and leaves those around them as they are. */
function writeBits(
  memory: DataView,
  offset: number,
  shift: number,
  width: number,
  bits: number,
): void {
  if (width === 0) return;
  const count = Math.ceil((shift + width) / 8);
  const old = readBits(memory, offset, shift, width);
  let value = readBytes(memory, offset, count) + (bits - old) * 2 ** shift;
  for (let index = 0; index < count; index++) {
    memory.setUint8(offset + index, value % 256);
    value = Math.floor(value / 256);
  }
}
