// Types without parts: numbers, bool and enumerations, in both byte orders.

import {
  cannotWrite,
  checkPrimitive,
  type CType,
  ours,
  wrongType,
} from "./type.ts";

/** Reads a value, in this byte order. */
type Get<Value> = (memory: DataView, offset: number, little: boolean) => Value;
/** Writes a value that was checked, in this byte order. */
type Put<Value> = (
  memory: DataView,
  offset: number,
  value: Value,
  little: boolean,
) => void;

/** The properties of its type that a bit-field needs. */
interface Bits {
  readonly signed: boolean;
  /** The most bits of a bit-field. */
  readonly width: number;
}

const bitsOfTypes = new WeakMap<object, Bits>();

/** The types that a bit-field can have: those of integers, in the byte order of C. */
export function bitsOfType(type: CType<unknown, unknown>): Bits | undefined {
  return bitsOfTypes.get(type);
}

// The same types, big-endian. Types of one byte are their own.
const bigEndians = new WeakMap<object, object>();
// Integers that are numbers in JavaScript: what an enumeration can be.
const integers = new WeakSet<object>();

/** `int8_t`, `signed char`: an integer from -128 to 127. */
export const i8: CType<number> = integer(
  "int8_t",
  1,
  -(2 ** 7),
  (memory, offset) => memory.getInt8(offset),
  (memory, offset, value) => memory.setInt8(offset, value),
);

/** `uint8_t`, `unsigned char`: an integer from 0 to 255. */
export const u8: CType<number> = integer(
  "uint8_t",
  1,
  0,
  (memory, offset) => memory.getUint8(offset),
  (memory, offset, value) => memory.setUint8(offset, value),
);

/** `int16_t`, `short`: an integer from -32768 to 32767. */
export const i16: CType<number> = integer(
  "int16_t",
  2,
  -(2 ** 15),
  (memory, offset, little) => memory.getInt16(offset, little),
  (memory, offset, value, little) => memory.setInt16(offset, value, little),
);

/** `uint16_t`, `unsigned short`: an integer from 0 to 65535. */
export const u16: CType<number> = integer(
  "uint16_t",
  2,
  0,
  (memory, offset, little) => memory.getUint16(offset, little),
  (memory, offset, value, little) => memory.setUint16(offset, value, little),
);

/**
 * `int32_t`, `int`: an integer from -2147483648 to 2147483647.
 *
 * @example The range of values
 * ```ts
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const point = struct({ x: i32 });
 * assertEquals(point.encode({ x: -2 }), new Uint8Array([254, 255, 255, 255]));
 * assertThrows(
 *   () => point.encode({ x: 0.5 }),
 *   RangeError,
 *   "Cannot write field 'x': 0.5 is not an integer from -2147483648 to 2147483647",
 * );
 * ```
 */
export const i32: CType<number> = integer(
  "int32_t",
  4,
  -(2 ** 31),
  (memory, offset, little) => memory.getInt32(offset, little),
  (memory, offset, value, little) => memory.setInt32(offset, value, little),
);

/** `uint32_t`, `unsigned`: an integer from 0 to 4294967295. */
export const u32: CType<number> = integer(
  "uint32_t",
  4,
  0,
  (memory, offset, little) => memory.getUint32(offset, little),
  (memory, offset, value, little) => memory.setUint32(offset, value, little),
);

/**
 * `int64_t`, `long`: a bigint from -2n ** 63n to 2n ** 63n - 1n.
 *
 * It is read and written as a bigint, because a number cannot hold all values.
 *
 * @example Bigints in and out
 * ```ts
 * import { i64, struct } from "@linux/ipc/struct";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const message = struct({ type: i64 });
 * assertEquals(message.decode(message.encode({ type: -1n })), { type: -1n });
 * assertThrows(
 *   () => message.encode({ type: 2n ** 63n }),
 *   RangeError,
 *   "Cannot write field 'type': 9223372036854775808n is not from",
 * );
 * ```
 */
export const i64: CType<bigint> = bigInteger(
  "int64_t",
  -(2n ** 63n),
  (memory, offset, little) => memory.getBigInt64(offset, little),
  (memory, offset, value, little) => memory.setBigInt64(offset, value, little),
);

/**
 * `uint64_t`, `unsigned long`, `size_t`: a bigint from 0n to 2n ** 64n - 1n.
 *
 * It is read and written as a bigint, because a number cannot hold all values.
 */
export const u64: CType<bigint> = bigInteger(
  "uint64_t",
  0n,
  (memory, offset, little) => memory.getBigUint64(offset, little),
  (memory, offset, value, little) => memory.setBigUint64(offset, value, little),
);

/**
 * `float`: a number, rounded to 24 significant bits.
 *
 * `NaN` and the infinities are valid, too. A finite number that rounds to infinity
 * is a `RangeError`.
 */
export const f32: CType<number> = scalar(
  "float",
  4,
  checkFloat,
  (memory, offset, little) => memory.getFloat32(offset, little),
  (memory, offset, value, little) => memory.setFloat32(offset, value, little),
);

/** `double`: any number. */
export const f64: CType<number> = scalar(
  "double",
  8,
  (value, path) => checkPrimitive(value, "number", "double", path),
  (memory, offset, little) => memory.getFloat64(offset, little),
  (memory, offset, value, little) => memory.setFloat64(offset, value, little),
);

/** `bool`, `_Bool`: one byte. `true` is written as 1; any byte but 0 reads as `true`. */
export const bool: CType<boolean> = scalar(
  "bool",
  1,
  (value, path) => checkPrimitive(value, "boolean", "bool", path),
  (memory, offset) => memory.getUint8(offset) !== 0,
  (memory, offset, value) => memory.setUint8(offset, value ? 1 : 0),
);

bitsOfTypes.set(bool, { signed: false, width: 1 });

/**
 * A number that is big-endian in memory, as in network protocols, file formats and
 * device registers: `__be32`, or what `htonl` returns.
 *
 * (A struct with `__attribute__((scalar_storage_order("big-endian")))` has this for each
 * of its numbers.)
 *
 * @param type A number type of this module.
 * @returns The same type, big-endian.
 *
 * @example The header of a packet
 * ```ts
 * import { bigEndian, struct, u16, u32 } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const header = struct({ port: bigEndian(u16), length: bigEndian(u32) });
 * const bytes = header.encode({ port: 80, length: 258 });
 * assertEquals(bytes, Uint8Array.of(0, 80, 0, 0, 0, 0, 1, 2));
 * ```
 *
 * @throws {TypeError} If it is another type. An array is declared as
 * `array(bigEndian(u16), 4)`.
 */
export function bigEndian<Value>(type: CType<Value>): CType<Value> {
  const big = bigEndians.get(type);
  if (big !== undefined) return big as CType<Value>;
  throw new TypeError(
    "Cannot declare a big-endian type: expected a number type such as u32",
  );
}

/**
 * `enum`: declares names for numbers.
 *
 * A number that has no name, which C allows, is read and written as a number. Of
 * several names of one number the first is read. Writing throws a `RangeError` for a
 * name that is not declared, and a `TypeError` if it is neither a string nor a number.
 *
 * @param members The names, and their numbers.
 * @param type The type that the C compiler has chosen. As in C, it is `int` if there
 * is a negative number, else `unsigned`. Another one is for
 * `enum __attribute__((packed))`, `-fshort-enums` and C++'s `enum name : type`.
 * @returns The type.
 *
 * @example The state of a job
 * ```ts
 * import { enumeration, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const state = enumeration({ idle: 0, running: 1, failed: 99 });
 * const job = struct({ state });
 * const bytes = job.encode({ state: "running" });
 * assertEquals(bytes, Uint8Array.of(1, 0, 0, 0));
 * bytes[0] = 2;
 * assertEquals(job.decode(bytes), { state: 2 });
 * ```
 *
 * @throws {TypeError} If there are no members, or the type is not a number type of at
 * most 32 bits.
 * @throws {RangeError} If a number does not fit in the type.
 */
export function enumeration<Name extends string>(
  members: { readonly [name in Name]: number },
  type?: CType<number>,
): CType<Name | number> {
  const numbers = new Map(Object.entries<number>(members));
  if (numbers.size === 0) {
    throw new TypeError(
      "Cannot declare an enumeration: C has none without names",
    );
  }
  const isNegative = [...numbers.values()].some((number) => number < 0);
  const base = type ?? (isNegative ? i32 : u32);
  if (!integers.has(base)) {
    throw new TypeError(
      "Cannot declare an enumeration: expected a type such as i32 or u8",
    );
  }
  const names = new Map<number, string>();
  const probe = new DataView(new ArrayBuffer(base.size));
  for (const [name, number] of numbers) {
    base.set(probe, 0, number, name);
    if (!names.has(number)) names.set(number, name);
  }

  function get(memory: DataView, offset: number): Name | number {
    const number = base.get(memory, offset);
    return (names.get(number) ?? number) as Name | number;
  }
  function set(
    memory: DataView,
    offset: number,
    value: Name | number,
    path: string,
  ) {
    if (typeof value !== "string" && typeof value !== "number") {
      throw wrongType(path, "a name or a number", "enum", value);
    }
    const number = typeof value === "number" ? value : numbers.get(value);
    if (number === undefined) {
      const known = [...numbers.keys()].join(", ");
      throw new RangeError(
        cannotWrite(path, `${JSON.stringify(value)} is none of ${known}`),
      );
    }
    base.set(memory, offset, number, path);
  }
  const { size, alignment } = base;
  const own = ours({ name: "enum", size, alignment, get, set, live: get });
  const bits = bitsOfTypes.get(base);
  if (bits !== undefined) bitsOfTypes.set(own, bits);
  return own;
}

/** Makes a type without parts. Its alignment is its size, on both machines. */
function scalar<Value>(
  name: string,
  size: number,
  check: (value: Value, path: string) => void,
  get: Get<Value>,
  put: Put<Value>,
): CType<Value> {
  const inOrder = (little: boolean) => {
    const read = (memory: DataView, offset: number) =>
      get(memory, offset, little);
    return ours({
      name: little ? name : `${name} (big-endian)`,
      size,
      alignment: size,
      get: read,
      set(memory: DataView, offset: number, value: Value, path: string) {
        check(value, path);
        put(memory, offset, value, little);
      },
      live: read,
    });
  };
  const type = inOrder(true);
  bigEndians.set(type, size === 1 ? type : inOrder(false));
  return type;
}

function integer(
  name: string,
  size: number,
  min: number,
  get: Get<number>,
  put: Put<number>,
): CType<number> {
  const max = min + 2 ** (8 * size) - 1;
  const range = `an integer from ${min} to ${max} (${name})`;
  function check(value: number, path: string) {
    checkPrimitive(value, "number", name, path);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(cannotWrite(path, `${value} is not ${range}`));
    }
  }
  const type = scalar(name, size, check, get, put);
  integers.add(type).add(bigEndians.get(type)!);
  bitsOfTypes.set(type, { signed: min < 0, width: 8 * size });
  return type;
}

function bigInteger(
  name: string,
  min: bigint,
  get: Get<bigint>,
  put: Put<bigint>,
): CType<bigint> {
  const max = min + 2n ** 64n - 1n;
  const range = `from ${min}n to ${max}n (${name})`;
  function check(value: bigint, path: string) {
    checkPrimitive(value, "bigint", name, path);
    if (value < min || value > max) {
      throw new RangeError(cannotWrite(path, `${value}n is not ${range}`));
    }
  }
  const type = scalar(name, 8, check, get, put);
  bitsOfTypes.set(type, { signed: min < 0n, width: 64 });
  return type;
}

function checkFloat(value: number, path: string): void {
  checkPrimitive(value, "number", "float", path);
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
    throw new RangeError(cannotWrite(path, `${value} does not fit in a float`));
  }
}
