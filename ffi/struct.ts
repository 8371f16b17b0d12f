/**
 * C structs over bytes, as a header file such as `data.h` declares them in C.
 *
 * A struct is declared once, field by field, with the types and in the order of
 * the C declaration. Its layout, padding included, is that of a C compiler on
 * x86_64 or aarch64 Linux. So its bytes can be exchanged with C programs through
 * pipes, queues, sockets, files and shared memory.
 *
 * **Choose it** when the peer is written in C (or in another language that uses C
 * structs), when records must have a fixed size (a slot in shared memory, a
 * message with a size limit), or to read and write a record in shared memory in
 * place, with {@linkcode Struct.view}.
 *
 * **Choose something else**
 * - for messages between two Deno programs: `JSON.stringify` needs no declaration,
 *   and a new field does not break it;
 * - for many numbers of one type: `new Int32Array(buffer)` is faster than
 *   {@linkcode array}, and `Atomics` needs it. Accesses to a live view are not
 *   atomic: a reader can see half of what another process writes, so guard
 *   shared records with a semaphore or a lock.
 *
 * | C on x86_64 and aarch64 Linux                                                | here                       |
 * | ---------------------------------------------------------------------------- | -------------------------- |
 * | `signed char`, `int8_t`; plain `char` as a number on x86_64                  | {@linkcode i8}             |
 * | `unsigned char`, `uint8_t`; plain `char` as a number on aarch64              | {@linkcode u8}             |
 * | `short`, `int16_t`                                                           | {@linkcode i16}            |
 * | `unsigned short`, `uint16_t`                                                 | {@linkcode u16}            |
 * | `int`, `int32_t`, `pid_t`; `wchar_t` on x86_64; an `enum` with negatives     | {@linkcode i32}            |
 * | `unsigned`, `uint32_t`, `uid_t`, `mode_t`; `wchar_t` on aarch64; an `enum`   | {@linkcode u32}            |
 * | `long`, `long long`, `int64_t`, `ssize_t`, `off_t`, `time_t`                 | {@linkcode i64}            |
 * | `unsigned long`, `unsigned long long`, `uint64_t`, `size_t`, any pointer     | {@linkcode u64}            |
 * | `float`, `double`                                                            | {@linkcode f32}, {@linkcode f64} |
 * | `bool`, `_Bool`                                                              | {@linkcode bool}           |
 * | `char text[20]`                                                              | {@linkcode cstring}`(20)`  |
 * | `unsigned char data[20]`                                                     | {@linkcode bytes}`(20)`    |
 * | `int numbers[20]`                                                            | {@linkcode array}`(i32, 20)` |
 * | `struct { ... }`                                                             | {@linkcode struct}`({ ... })` |
 * | `struct { ... } __attribute__((packed))`                                     | {@linkcode struct}`({ ... }, { packed: true })` |
 *
 * Bit-fields, flexible array members, `long double`, `__int128` and `alignas`
 * are not supported; implement a {@linkcode CType} for them. For a `union`, use
 * several views of the same bytes.
 *
 * @example A message that a C program can receive
 * ```c
 * struct human { short age; char name[20]; };
 * struct message { long type; struct human data; };
 * ```
 *
 * ```ts
 * import { cstring, i16, i64, struct, type ValueOf } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const human = struct({ age: i16, name: cstring(20) });
 * const message = struct({ type: i64, data: human });
 * type Message = ValueOf<typeof message>;
 *
 * // The sender:
 * const sent: Message = { type: 1n, data: { age: 80, name: "ghkim" } };
 * const bytes = message.encode(sent);
 * assertEquals(bytes.length, 32);
 *
 * // The receiver:
 * const received = message.decode(bytes);
 * assertEquals(received, sent);
 *
 * // Both, with shared memory: no copy, every access reaches the bytes.
 * const shared = message.view(bytes);
 * shared.data.age += 1;
 * assertEquals(message.decode(bytes).data, { age: 81, name: "ghkim" });
 * ```
 *
 * @module
 */

import {
  bufferOf,
  byteLengthOf,
  byteOffsetOf,
  copyOf,
  isBytes,
  setBytes,
} from "./arguments.ts";

// The byte order of C on x86_64 and aarch64 Linux. That of DataView is big-endian by
// default.
const LITTLE_ENDIAN = true;

/** The largest draft, in bytes, that is kept for the next write. */
const MAX_SPARE_SIZE = 4096;

/** The types made by this module, which are frozen. */
const own = new WeakSet<object>();

const CUSTOM_INSPECT = Symbol.for("Deno.customInspect");
const ENCODER = new TextEncoder();
// A byte order mark is part of the text, as in C.
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * A C type: its size, its alignment, and how its values move between
 * JavaScript and memory.
 *
 * Every type of a field implements it: numbers, strings, arrays, structs.
 * Implement it for a type that is missing here, preferably on top of an existing
 * one. The properties of your type are read once, when it becomes part of a struct
 * or an array, and its functions receive the bytes of their field only. The types
 * of this module are frozen.
 *
 * @typeParam Value What `get` returns: a copy, independent of the memory.
 * @typeParam View What `live` returns and `set` accepts. A `Value` must be
 * assignable to it, so that a value that was read can be written. For a type
 * without parts it is the same as `Value`.
 *
 * @example A `time_t` that is a `Date`
 * ```ts
 * import { type CType, i64, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const time: CType<Date> = {
 *   name: "time_t",
 *   size: i64.size,
 *   alignment: i64.alignment,
 *   get: (memory, offset) => new Date(Number(i64.get(memory, offset)) * 1000),
 *   set: (memory, offset, value, path) =>
 *     i64.set(memory, offset, BigInt(Math.floor(value.getTime() / 1000)), path),
 *   live: (memory, offset) => time.get(memory, offset),
 * };
 *
 * const entry = struct({ created: time });
 * const bytes = entry.encode({ created: new Date("2024-02-29T12:00:00Z") });
 * assertEquals(entry.decode(bytes).created.toISOString(), "2024-02-29T12:00:00.000Z");
 * ```
 */
export interface CType<Value, View = Value> {
  /** The name of the type in C, for error messages: `int16_t`, `char[20]`. */
  readonly name: string;
  /** `sizeof`, in bytes. At least 1. */
  readonly size: number;
  /** `_Alignof`, in bytes. A power of two, and a divisor of the size. */
  readonly alignment: number;
  /**
   * Reads a copy of the value.
   *
   * @param memory The memory to read.
   * @param offset The position of the value in it, in bytes; not necessarily
   * aligned.
   * @returns The value.
   */
  get(memory: DataView, offset: number): Value;
  /**
   * Checks a value, then writes all `size` bytes of it.
   *
   * @param memory The memory to write to.
   * @param offset The position of the value in it, in bytes; not necessarily
   * aligned.
   * @param value The value to write.
   * @param path The name of the value in error messages, such as `data.age`.
   * @throws {TypeError} If the value has the wrong type. Nothing is written.
   * @throws {RangeError} If the value does not fit. Nothing is written.
   */
  set(memory: DataView, offset: number, value: View, path: string): void;
  /**
   * Returns the value in a live view: for a type with parts an object that reads
   * and writes the memory, otherwise the same as `get`.
   *
   * @param memory The memory to show.
   * @param offset The position of the value in it, in bytes; not necessarily
   * aligned.
   * @returns The view.
   */
  live(memory: DataView, offset: number): View;
}

/**
 * The type of the values of a C type, as `decode` returns them: a copy.
 *
 * @example From a declaration to a TypeScript type
 * ```ts
 * import { cstring, i16, struct, type ValueOf } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const human = struct({ age: i16, name: cstring(20) });
 * type Human = ValueOf<typeof human>; // { age: number; name: string }
 *
 * const older = (human: Human): Human => ({ ...human, age: human.age + 1 });
 * assertEquals(older({ age: 80, name: "ghkim" }).age, 81);
 * ```
 */
export type ValueOf<Type> = Type extends CType<infer Value, infer _> ? Value
  : never;

/**
 * The type of the live views of a C type, as `view` returns them. A value is
 * assignable to it, too.
 *
 * @example A function on shared memory
 * ```ts
 * import { array, i32, struct, type ViewOf } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const game = struct({ scores: array(i32, 2) });
 *
 * function reset(view: ViewOf<typeof game>) {
 *   view.scores = [0, 0];
 * }
 *
 * const bytes = game.encode({ scores: [3, 1] });
 * reset(game.view(bytes));
 * assertEquals(game.decode(bytes), { scores: [0, 0] });
 * ```
 */
export type ViewOf<Type> = Type extends CType<infer _, infer View> ? View
  : never;

/** The declaration of a struct: its fields, in the order of C. */
export type Fields = { readonly [name: string]: CType<unknown, unknown> };

/** The value of a struct with these fields: a plain object. */
export type FieldValues<Declared extends Fields> = {
  -readonly [Name in keyof Declared]: ValueOf<Declared[Name]>;
};

/** The live view of a struct with these fields. */
export type FieldViews<Declared extends Fields> = {
  -readonly [Name in keyof Declared]: ViewOf<Declared[Name]>;
};

/** Options of {@linkcode struct}. */
export interface StructOptions {
  /**
   * `__attribute__((packed))`: no padding, and an alignment of 1. As in C, nested
   * structs keep their own layout.
   *
   * @default {false}
   */
  readonly packed?: boolean;
}

/**
 * The live view of a C array: every access to an element reads or writes the
 * memory.
 *
 * Its length is fixed, and it has none of the methods of `Array`; `[...view]` is
 * an `Array`. An index outside of the array reads `undefined`, as in JavaScript,
 * and cannot be written.
 *
 * @example Some elements, and all of them
 * ```ts
 * import { array, i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const game = struct({ scores: array(i32, 3) });
 * const bytes = new Uint8Array(game.size);
 * const { scores } = game.view(bytes);
 * scores[2] = 7;
 * assertEquals(scores[2], 7);
 * assertEquals([...scores], [0, 0, 7]);
 * assertEquals(game.decode(bytes), { scores: [0, 0, 7] });
 * ```
 */
export interface ArrayView<Element> {
  /** One element. */
  [index: number]: Element;
  /** The number of elements, which is fixed. */
  readonly length: number;
  /** Visits the elements in order. */
  [Symbol.iterator](): Iterator<Element>;
}

/**
 * A C struct, made by {@linkcode struct}: its layout, and the conversions between
 * its bytes and JavaScript values.
 *
 * Methods on bytes take a `Uint8Array`, which may be longer than the struct, and the
 * position of the struct in it, in bytes, 0 by default. The position need not be
 * aligned.
 */
export interface Struct<Declared extends Fields>
  extends CType<FieldValues<Declared>, FieldViews<Declared>> {
  /**
   * `offsetof`: the position of every field, in bytes.
   *
   * @example The positions of fields
   * ```ts
   * import { cstring, i16, i64, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const human = struct({ age: i16, name: cstring(20), id: i64 });
   * assertEquals(human.offsets, { age: 0, name: 2, id: 24 });
   * ```
   */
  readonly offsets: { readonly [Name in keyof Declared]: number };

  /**
   * Encodes a value into new bytes, `size` of them. Padding is zero.
   *
   * Allocating them takes longer than filling them: in a loop,
   * {@linkcode Struct.write} into the same bytes is faster.
   *
   * @param value The value of every field.
   * @returns The bytes.
   *
   * @example Bytes for a C program
   * ```ts
   * import { cstring, i16, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const human = struct({ age: i16, name: cstring(6) });
   * const bytes = human.encode({ age: 80, name: "ghkim" });
   * assertEquals(bytes, new Uint8Array([80, 0, 103, 104, 107, 105, 109, 0]));
   * ```
   *
   * @throws {TypeError} If a field is missing, unknown, or of the wrong type.
   * @throws {RangeError} If the value of a field does not fit.
   */
  encode(value: FieldViews<Declared>): Uint8Array<ArrayBuffer>;

  /**
   * Reads a struct as a copy, which later changes of the bytes do not affect.
   *
   * @param bytes The memory to read.
   * @param offset The position of the struct in it, in bytes.
   * @returns A plain object.
   *
   * @example Two records in a row
   * ```ts
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const point = struct({ x: i32, y: i32 });
   * const bytes = new Uint8Array(2 * point.size);
   * point.write(bytes, { x: 3, y: 4 }, point.size);
   * assertEquals(point.decode(bytes), { x: 0, y: 0 });
   * assertEquals(point.decode(bytes, point.size), { x: 3, y: 4 });
   * ```
   *
   * @throws {TypeError} If `bytes` is not a `Uint8Array`, or its memory is
   * detached.
   * @throws {RangeError} If the offset is not an integer of at least 0, or the
   * struct does not fit into the bytes from there.
   */
  decode(bytes: Uint8Array, offset?: number): FieldValues<Declared>;

  /**
   * Writes a struct into memory. Padding is zeroed.
   *
   * It writes all or nothing: if it throws, the memory is unchanged. The write is
   * not atomic for other processes that read the memory at the same time.
   *
   * @param bytes The memory to write to.
   * @param value The value of every field.
   * @param offset The position of the struct in it, in bytes.
   *
   * @example Bad input changes nothing
   * ```ts
   * import { cstring, i16, struct } from "@linux/ipc/struct";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * const human = struct({ age: i16, name: cstring(20) });
   * const bytes = human.encode({ age: 80, name: "ghkim" });
   * assertThrows(
   *   () => human.write(bytes, { age: 81, name: "a name that is too long" }),
   *   RangeError,
   *   "Cannot write field 'name': 23 bytes do not fit in char[20] (19 and a NUL)",
   * );
   * assertEquals(human.decode(bytes), { age: 80, name: "ghkim" });
   * ```
   *
   * @throws {TypeError} If `bytes` is not a `Uint8Array`, or its memory is
   * detached, or a field is missing, unknown, or of the wrong type.
   * @throws {RangeError} If the offset is not an integer of at least 0, or the
   * struct does not fit into the bytes from there, or the value of a field does
   * not fit.
   */
  write(bytes: Uint8Array, value: FieldViews<Declared>, offset?: number): void;

  /**
   * Returns a live view: an object whose properties are the memory.
   *
   * Getting a property reads the memory. Setting it writes the memory, with the
   * checks of {@linkcode Struct.write}. Nested structs, arrays and `bytes` are
   * live, too; assigning to one of them copies. Error messages name a field
   * relative to the view that was assigned to.
   *
   * `console.log` and `JSON.stringify` show the present values. The properties
   * are accessors of the prototype, so `{ ...view }` copies nothing: use
   * {@linkcode Struct.decode} instead.
   *
   * Once the memory is detached (because the mapping was closed, or the buffer was
   * transferred), every access throws a `TypeError`, and a `Uint8Array` from the
   * view has length 0.
   *
   * @param bytes The memory to show.
   * @param offset The position of the struct in it, in bytes.
   * @returns The view.
   *
   * @example A counter in memory
   * ```ts
   * import { struct, u32 } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * const counter = struct({ hits: u32 });
   * const bytes = new Uint8Array(counter.size);
   * const view = counter.view(bytes);
   * view.hits += 1;
   * assertEquals(bytes[0], 1);
   * bytes[0] = 5;
   * assertEquals(view.hits, 5);
   * ```
   *
   * @throws {TypeError} If `bytes` is not a `Uint8Array`, or its memory is
   * detached.
   * @throws {RangeError} If the offset is not an integer of at least 0, or the
   * struct does not fit into the bytes from there.
   */
  view(bytes: Uint8Array, offset?: number): FieldViews<Declared>;
}

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
  (memory, offset) => memory.getInt16(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setInt16(offset, value, LITTLE_ENDIAN),
);

/** `uint16_t`, `unsigned short`: an integer from 0 to 65535. */
export const u16: CType<number> = integer(
  "uint16_t",
  2,
  0,
  (memory, offset) => memory.getUint16(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setUint16(offset, value, LITTLE_ENDIAN),
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
  (memory, offset) => memory.getInt32(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setInt32(offset, value, LITTLE_ENDIAN),
);

/** `uint32_t`, `unsigned`: an integer from 0 to 4294967295. */
export const u32: CType<number> = integer(
  "uint32_t",
  4,
  0,
  (memory, offset) => memory.getUint32(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setUint32(offset, value, LITTLE_ENDIAN),
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
  (memory, offset) => memory.getBigInt64(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setBigInt64(offset, value, LITTLE_ENDIAN),
);

/**
 * `uint64_t`, `unsigned long`, `size_t`: a bigint from 0n to 2n ** 64n - 1n.
 *
 * It is read and written as a bigint, because a number cannot hold all values.
 */
export const u64: CType<bigint> = bigInteger(
  "uint64_t",
  0n,
  (memory, offset) => memory.getBigUint64(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setBigUint64(offset, value, LITTLE_ENDIAN),
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
  (memory, offset) => memory.getFloat32(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setFloat32(offset, value, LITTLE_ENDIAN),
);

/** `double`: any number. */
export const f64: CType<number> = scalar(
  "double",
  8,
  (value, path) => checkPrimitive(value, "number", "double", path),
  (memory, offset) => memory.getFloat64(offset, LITTLE_ENDIAN),
  (memory, offset, value) => memory.setFloat64(offset, value, LITTLE_ENDIAN),
);

/** `bool`, `_Bool`: one byte. `true` is written as 1; any byte but 0 reads as `true`. */
export const bool: CType<boolean> = scalar(
  "bool",
  1,
  (value, path) => checkPrimitive(value, "boolean", "bool", path),
  (memory, offset) => memory.getUint8(offset) !== 0,
  (memory, offset, value) => memory.setUint8(offset, value ? 1 : 0),
);

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

/**
 * `type[length]`: contiguous elements of one type.
 *
 * Reading returns an `Array`. In a live view, the field is an
 * {@linkcode ArrayView}. Writing takes an array, a typed array or a view with
 * exactly `length` elements: another length is a `RangeError`.
 *
 * @param type The type of the elements. An array of arrays is a matrix.
 * @param length The number of elements.
 * @returns The type.
 *
 * @example An array of structs
 * ```ts
 * import { array, f64, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const point = struct({ x: f64, y: f64 });
 * const triangle = struct({ corners: array(point, 3) });
 * const bytes = new Uint8Array(triangle.size);
 * const { corners } = triangle.view(bytes);
 * corners[1] = { x: 1, y: 0 };
 * corners[2] = { x: 0, y: 1 };
 * assertEquals(triangle.decode(bytes).corners, [
 *   { x: 0, y: 0 },
 *   { x: 1, y: 0 },
 *   { x: 0, y: 1 },
 * ]);
 * ```
 *
 * @throws {TypeError} If the type is not a {@linkcode CType}.
 * @throws {RangeError} If the length is not an integer of at least 1.
 */
export function array<Value, View>(
  type: CType<Value, View>,
  length: number,
): CType<Value[], ArrayView<View>> {
  return new ArrayType(type, length);
}

/**
 * `struct`: declares a C struct, with fields of these types in this order.
 *
 * Every field has the alignment of its type, and the end is padded, so that
 * structs can be elements of an array.
 *
 * @param fields The fields, in the order of their memory. Their names must be C
 * identifiers, but need not be those of the C program.
 * @param options `packed`.
 * @returns The struct.
 *
 * @example Padding, and none
 * ```ts
 * import { i16, i64, struct, u8 } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const fields = { tag: u8, id: i64, age: i16 };
 * const human = struct(fields);
 * assertEquals(human.offsets, { tag: 0, id: 8, age: 16 });
 * assertEquals([human.size, human.alignment], [24, 8]);
 *
 * const packed = struct(fields, { packed: true });
 * assertEquals(packed.offsets, { tag: 0, id: 1, age: 9 });
 * assertEquals([packed.size, packed.alignment], [11, 1]);
 * ```
 *
 * @throws {TypeError} If there are no fields, or a name is not a C identifier
 * (JavaScript would move a field named `1` to the front), or is `__proto__`, or
 * a field is not a {@linkcode CType}.
 */
export function struct<Declared extends Fields>(
  fields: Declared,
  options: StructOptions = {},
): Struct<Declared> {
  return new StructType(fields, options.packed ?? false);
}

/**
 * Memory of this module's own. A value with parts is written to a draft first, and
 * copied to its destination when all parts are valid.
 */
class Draft extends DataView<ArrayBuffer> {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(size: number) {
    super(new ArrayBuffer(size));
    this.bytes = new Uint8Array(this.buffer);
  }
}

/** A type with parts, of which a write writes all or none: an array or a struct. */
abstract class CompoundType<Value, View> implements CType<Value, View> {
  #spare: Draft | null = null;

  abstract readonly name: string;
  abstract readonly size: number;
  abstract readonly alignment: number;
  abstract get(memory: DataView, offset: number): Value;
  abstract live(memory: DataView, offset: number): View;

  /** Writes part by part. If it throws, some parts have been written. */
  abstract fill(draft: Draft, offset: number, value: View, path: string): void;

  set(memory: DataView, offset: number, value: View, path: string): void {
    if (memory instanceof Draft) {
      this.fill(memory, offset, value, path);
    } else {
      const bytes = this.draft(value, path);
      bytesOf(memory, offset, this.size).set(bytes);
    }
  }

  /** Encodes a value. The bytes are valid until the next call. */
  draft(value: View, path: string): Uint8Array<ArrayBuffer> {
    // The spare is taken, because a getter of the value could write a value of the
    // same type.
    const draft = this.#spare ?? new Draft(this.size);
    this.#spare = null;
    draft.bytes.fill(0);
    this.fill(draft, 0, value, path);
    if (this.size <= MAX_SPARE_SIZE) this.#spare = draft;
    return draft.bytes;
  }
}

class ArrayType<Value, View> extends CompoundType<Value[], ArrayView<View>> {
  readonly name: string;
  readonly size: number;
  readonly alignment: number;
  readonly type: CType<Value, View>;
  readonly length: number;

  constructor(declared: CType<Value, View>, length: number) {
    super();
    const type = typeOf(declared, "an array");
    // C writes the outer length first: an array of three int[2] is int[3][2].
    const dimension = `[${checkLength("array", length)}]`;
    this.name = type.name.replace(/(?=\[)|$/, dimension);
    this.size = checkTotal("array", type.size * length);
    this.alignment = type.alignment;
    this.type = type;
    this.length = length;
    ours(this);
  }

  get(memory: DataView, offset: number): Value[] {
    return Array.from(
      { length: this.length },
      (_, index) => this.type.get(memory, offset + index * this.type.size),
    );
  }

  live(memory: DataView, offset: number): ArrayView<View> {
    const elements = new Elements(this, memory, offset);
    return new Proxy(elements, Elements.handler) as unknown as ArrayView<View>;
  }

  fill(draft: Draft, offset: number, value: ArrayView<View>, path: string) {
    const count = typeof value === "object" ? value?.length : undefined;
    if (typeof count !== "number") {
      throw wrongType(path, "an array", this.name, value);
    }
    checkCount(count, this.length, this.name, path);
    for (let index = 0; index < this.length; index++) {
      const element = value[index] as View; // the type rejects a hole
      const place = offset + index * this.type.size;
      this.type.set(draft, place, element, pathTo(path, index));
    }
  }
}

class StructType<Declared extends Fields>
  extends CompoundType<FieldValues<Declared>, FieldViews<Declared>>
  implements Struct<Declared> {
  readonly name = "struct";
  readonly size: number;
  readonly alignment: number;
  readonly offsets: { readonly [Name in keyof Declared]: number };
  readonly #fields: readonly Field[];
  readonly #View: typeof Live;

  constructor(declared: Declared, packed: boolean) {
    super();
    const fields = layOut(declared, packed);
    const alignments = fields.map(({ type }) => type.alignment);
    const ends = fields.map(({ type, offset }) => offset + type.size);
    this.alignment = packed ? 1 : Math.max(...alignments);
    this.size = checkTotal(
      "struct",
      roundUp(Math.max(...ends), this.alignment),
    );
    this.offsets = Object.freeze(
      Object.fromEntries(fields.map(({ name, offset }) => [name, offset])),
    ) as typeof this.offsets;
    this.#fields = fields;
    this.#View = viewClass(fields);
    ours(this);
  }

  encode(value: FieldViews<Declared>): Uint8Array<ArrayBuffer> {
    return copyOf(this.draft(value, ""));
  }

  decode(bytes: Uint8Array, offset = 0): FieldValues<Declared> {
    return this.get(memoryOf(bytes, offset, this.size, "read"), 0);
  }

  write(bytes: Uint8Array, value: FieldViews<Declared>, offset = 0): void {
    this.set(memoryOf(bytes, offset, this.size, "write"), 0, value, "");
  }

  view(bytes: Uint8Array, offset = 0): FieldViews<Declared> {
    return this.live(memoryOf(bytes, offset, this.size, "view"), 0);
  }

  get(memory: DataView, offset: number): FieldValues<Declared> {
    const value: Record<string, unknown> = {};
    for (const field of this.#fields) {
      value[field.name] = field.type.get(memory, offset + field.offset);
    }
    return value as FieldValues<Declared>;
  }

  live(memory: DataView, offset: number): FieldViews<Declared> {
    const view: unknown = new this.#View(this, memory, offset);
    return view as FieldViews<Declared>;
  }

  fill(
    draft: Draft,
    offset: number,
    value: FieldViews<Declared>,
    path: string,
  ) {
    if (typeof value !== "object" || value === null) {
      throw wrongType(path, "an object", this.name, value);
    }
    for (const name of Object.keys(value)) {
      if (Object.hasOwn(this.offsets, name)) continue;
      throw new TypeError(
        cannotWrite(pathTo(path, name), "the struct has no such field"),
      );
    }
    for (const field of this.#fields) {
      const part = value[field.name];
      const partPath = pathTo(path, field.name);
      if (part === undefined) {
        throw new TypeError(cannotWrite(partPath, "the value is missing"));
      }
      field.type.set(draft, offset + field.offset, part, partPath);
    }
  }
}

/** A field and its position. */
interface Field {
  readonly name: string;
  readonly type: CType<unknown, unknown>;
  readonly offset: number;
}

/** Computes the positions of the fields, as C does. */
function layOut(declared: Fields, packed: boolean): Field[] {
  let end = 0;
  return fieldNames(declared).map((name) => {
    const type = typeOf(declared[name], `field '${name}'`);
    const offset = roundUp(end, packed ? 1 : type.alignment);
    end = offset + type.size;
    return { name, type, offset };
  });
}

/** Returns the names of the fields, after checking them. */
function fieldNames(declared: Fields): string[] {
  // `{ __proto__: i16 }` has no field, but another prototype.
  const prototype = Object.getPrototypeOf(declared ?? 0);
  if (prototype !== null && prototype !== Object.prototype) {
    throw new TypeError("Cannot lay out a struct: expected a plain object");
  }
  const names = Reflect.ownKeys(declared).map(String);
  if (names.length === 0) {
    throw new TypeError("Cannot lay out a struct: C has none without fields");
  }
  for (const name of names) {
    if (/^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name)) continue;
    throw new TypeError(
      `Cannot lay out field '${name}': the name is not a C identifier`,
    );
  }
  if (names.includes("__proto__")) {
    throw new TypeError(
      "Cannot lay out field '__proto__': the name has a meaning in JavaScript",
    );
  }
  return names;
}

/**
 * Returns the class of the live views of a struct with these fields.
 *
 * The accessors are on the prototype, once per struct. With own properties,
 * creating a view would take a hundred times as long.
 */
function viewClass(fields: readonly Field[]): typeof Live {
  class View extends Live {}
  for (const { name, type, offset } of fields) {
    Object.defineProperty(View.prototype, name, {
      enumerable: true,
      get(this: Live) {
        return Live.read(this, type, offset);
      },
      set(this: Live, value: unknown) {
        Live.write(this, type, offset, value, name);
      },
    });
  }
  Object.freeze(View.prototype);
  return Object.freeze(View);
}

/** A view of the memory of a value with parts. */
class Live {
  readonly #type: CType<unknown, unknown>;
  readonly #memory: DataView;
  readonly #offset: number;

  constructor(
    type: CType<unknown, unknown>,
    memory: DataView,
    offset: number,
  ) {
    this.#type = type;
    this.#memory = memory;
    this.#offset = offset;
  }

  /** Reads a part. It is static, like `write`, so that a field can have any name. */
  static read(
    view: Live,
    type: CType<unknown, unknown>,
    offset: number,
  ): unknown {
    return type.live(view.#memory, view.#offset + offset);
  }

  /** Writes a part. Error messages name it relative to the view. */
  static write(
    view: Live,
    type: CType<unknown, unknown>,
    offset: number,
    value: unknown,
    path: string,
  ): void {
    type.set(view.#memory, view.#offset + offset, value, path);
  }

  toJSON(): unknown {
    return this.#type.get(this.#memory, this.#offset);
  }

  [CUSTOM_INSPECT](
    inspect: (value: unknown, options: unknown) => string,
    options: unknown,
  ): string {
    // Printing a view never throws.
    if (isDetached(this.#memory.buffer)) return "[detached]";
    return inspect(this.#type.get(this.#memory, this.#offset), options);
  }
}

/** The elements of an array in memory: the target of the proxy of an `ArrayView`. */
class Elements extends Live {
  /** Implements elements as properties. An accessor for each could be too many. */
  static readonly handler: ProxyHandler<Elements> = {
    get(elements, key) {
      const index = elements.#indexOf(key);
      if (index >= 0) return elements.#read(index);
      // Methods need private fields, which the proxy does not have.
      const member: unknown = Reflect.get(elements, key);
      return typeof member === "function" ? member.bind(elements) : member;
    },
    set(elements, key, value) {
      const index = elements.#indexOf(key);
      if (index < 0) throw elements.#noElement(key);
      const { type } = elements.#array;
      Live.write(elements, type, index * type.size, value, pathTo("", index));
      return true;
    },
    has(elements, key) {
      return elements.#indexOf(key) >= 0 || Reflect.has(elements, key);
    },
  };

  readonly #array: ArrayType<unknown, unknown>;

  constructor(
    array: ArrayType<unknown, unknown>,
    memory: DataView,
    offset: number,
  ) {
    super(array, memory, offset);
    this.#array = array;
  }

  get length(): number {
    return this.#array.length;
  }

  *[Symbol.iterator](): Generator<unknown> {
    for (let index = 0; index < this.length; index++) yield this.#read(index);
  }

  #read(index: number): unknown {
    const { type } = this.#array;
    return Live.read(this, type, index * type.size);
  }

  /** The index of a property key, or -1. */
  #indexOf(key: string | symbol): number {
    const index = typeof key === "string" ? Number(key) : -1;
    const exists = Number.isInteger(index) && index < this.length;
    return exists && String(index) === key ? index : -1;
  }

  #noElement(key: string | symbol): RangeError {
    const { name, length } = this.#array;
    return new RangeError(
      `Cannot write element '${String(key)}': ${name} has ${length} elements`,
    );
  }
}

// Callers can reach these through any struct, and all structs rely on them.
for (
  const type of [CompoundType, ArrayType, StructType, Live, Elements]
) {
  Object.freeze(type);
  Object.freeze(type.prototype);
}
Object.freeze(Elements.handler);

function ours<Type extends object>(type: Type): Type {
  own.add(type);
  return Object.freeze(type);
}

/**
 * The type to use for a declared one: a type of this module is used as it is. The
 * properties of a caller's type, which may change, are read once, and its functions
 * receive the bytes of their own field only.
 */
function typeOf<Value, View>(
  declared: CType<Value, View> | undefined,
  where: string,
): CType<Value, View> {
  checkCType(declared, where);
  if (own.has(declared)) return declared;
  const { name, size, alignment, get, set, live } = declared;
  if (typeof name !== "string") {
    throw new TypeError(`Cannot lay out ${where}: its type has no name`);
  }
  checkLength(name, size);
  if (
    !Number.isSafeInteger(alignment) || alignment < 1 ||
    !Number.isInteger(Math.log2(alignment)) || size % alignment !== 0
  ) {
    throw new RangeError(
      `Cannot lay out ${where}: the alignment of ${name} must be a power of two ` +
        `that divides its size, got ${alignment}`,
    );
  }
  const { apply } = Reflect;
  const part = (memory: DataView, offset: number) =>
    new DataView(memory.buffer, memory.byteOffset + offset, size);
  return ours({
    name,
    size,
    alignment,
    get: (memory: DataView, offset: number): Value =>
      apply(get, declared, [part(memory, offset), 0]),
    set(memory: DataView, offset: number, value: View, path: string): void {
      apply(set, declared, [part(memory, offset), 0, value, path]);
    },
    live: (memory: DataView, offset: number): View =>
      apply(live, declared, [part(memory, offset), 0]),
  });
}

/** Makes a type without parts. Its alignment is its size, on both machines. */
function scalar<Value>(
  name: string,
  size: number,
  check: (value: Value, path: string) => void,
  get: (memory: DataView, offset: number) => Value,
  put: (memory: DataView, offset: number, value: Value) => void,
): CType<Value> {
  function set(memory: DataView, offset: number, value: Value, path: string) {
    check(value, path);
    put(memory, offset, value);
  }
  return ours({ name, size, alignment: size, get, set, live: get });
}

function integer(
  name: string,
  size: number,
  min: number,
  get: (memory: DataView, offset: number) => number,
  put: (memory: DataView, offset: number, value: number) => void,
): CType<number> {
  const max = min + 2 ** (8 * size) - 1;
  const range = `an integer from ${min} to ${max} (${name})`;
  function check(value: number, path: string) {
    checkPrimitive(value, "number", name, path);
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(cannotWrite(path, `${value} is not ${range}`));
    }
  }
  return scalar(name, size, check, get, put);
}

function bigInteger(
  name: string,
  min: bigint,
  get: (memory: DataView, offset: number) => bigint,
  put: (memory: DataView, offset: number, value: bigint) => void,
): CType<bigint> {
  const max = min + 2n ** 64n - 1n;
  const range = `from ${min}n to ${max}n (${name})`;
  function check(value: bigint, path: string) {
    checkPrimitive(value, "bigint", name, path);
    if (value < min || value > max) {
      throw new RangeError(cannotWrite(path, `${value}n is not ${range}`));
    }
  }
  return scalar(name, 8, check, get, put);
}

function checkFloat(value: number, path: string): void {
  checkPrimitive(value, "number", "float", path);
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value))) {
    throw new RangeError(cannotWrite(path, `${value} does not fit in a float`));
  }
}

function checkPrimitive(
  value: unknown,
  type: "bigint" | "boolean" | "number" | "string",
  name: string,
  path: string,
): void {
  const actual: string = typeof value;
  if (actual !== type) throw wrongType(path, `a ${type}`, name, value);
}

function checkCount(
  count: number,
  length: number,
  name: string,
  path: string,
): void {
  if (count !== length) {
    throw new RangeError(
      cannotWrite(path, `${name} takes exactly ${length}, got ${count}`),
    );
  }
}

/** Checks the length in a declaration, and returns it. */
function checkLength(type: string, length: number): number {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new RangeError(
      `Cannot declare ${type}: the length must be an integer of at least 1, got ${length}`,
    );
  }
  return length;
}

/** Checks the size of a type with parts, and returns it. */
function checkTotal(type: string, size: number): number {
  if (Number.isSafeInteger(size)) return size;
  throw new RangeError(`Cannot declare ${type}: ${size} bytes are too many`);
}

/** Checks a type in a declaration, such as a `cstring` without a length. */
function checkCType(
  type: unknown,
  where: string,
): asserts type is CType<unknown, unknown> {
  if (typeof type !== "object" || type === null || !("live" in type)) {
    throw new TypeError(
      `Cannot lay out ${where}: expected a type such as i32, got ${kind(type)}`,
    );
  }
}

/** Returns the memory of a struct, after checking that it lies inside the bytes. */
function memoryOf(
  bytes: Uint8Array,
  offset: number,
  size: number,
  verb: "read" | "view" | "write",
): DataView {
  if (!isBytes(bytes)) {
    throw new TypeError(
      `Cannot ${verb} the struct: expected a Uint8Array, got ${kind(bytes)}`,
    );
  }
  const buffer = bufferOf(bytes);
  if (isDetached(buffer)) {
    throw new TypeError(
      `Cannot ${verb} the struct: the memory is detached, by closing or transferring it`,
    );
  }
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new RangeError(
      `Cannot ${verb} the struct: the offset must be an integer of at least 0, got ${offset}`,
    );
  }
  const length = byteLengthOf(bytes);
  if (offset + size > length) {
    throw new RangeError(
      `Cannot ${verb} the struct: ${size} bytes at offset ${offset} do not fit in ${length} bytes`,
    );
  }
  return new DataView(buffer, byteOffsetOf(bytes) + offset, size);
}

/** Returns a part of the memory as bytes. */
function bytesOf(memory: DataView, offset: number, size: number): Uint8Array {
  return new Uint8Array(memory.buffer, memory.byteOffset + offset, size);
}

function isDetached(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

function roundUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** Returns the path of a part: `data.age`, `scores[2]`. */
function pathTo(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

function cannotWrite(path: string, reason: string): string {
  const subject = path === "" ? "the struct" : `field '${path}'`;
  return `Cannot write ${subject}: ${reason}`;
}

function wrongType(
  path: string,
  expected: string,
  name: string,
  value: unknown,
): TypeError {
  const reason = `expected ${expected} (${name}), got ${kind(value)}`;
  return new TypeError(cannotWrite(path, reason));
}

/** Names the type of a value in a message: `a string`, `null`. */
function kind(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  const type = typeof value;
  return type === "object" ? "an object" : `a ${type}`;
}
