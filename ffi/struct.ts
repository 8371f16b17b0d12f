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
 * place, with `view()` of a {@linkcode Struct}.
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
 * | `int`, `int32_t`, `pid_t`; `wchar_t` on x86_64                              | {@linkcode i32}            |
 * | `unsigned`, `uint32_t`, `uid_t`, `mode_t`; `wchar_t` on aarch64              | {@linkcode u32}            |
 * | `long`, `long long`, `int64_t`, `ssize_t`, `off_t`, `time_t`                 | {@linkcode i64}            |
 * | `unsigned long`, `unsigned long long`, `uint64_t`, `size_t`, any pointer     | {@linkcode u64}            |
 * | `float`, `double`                                                            | {@linkcode f32}, {@linkcode f64} |
 * | `bool`, `_Bool`                                                              | {@linkcode bool}           |
 * | `char text[20]`                                                              | {@linkcode cstring}`(20)`  |
 * | `unsigned char data[20]`                                                     | {@linkcode bytes}`(20)`    |
 * | `int numbers[20]`                                                            | {@linkcode array}`(i32, 20)` |
 * | `struct { ... }`                                                             | {@linkcode struct}`({ ... })` |
 * | `struct { ... } __attribute__((packed))`                                     | {@linkcode struct}`({ ... }, { packed: true })` |
 * | `union { ... }`                                                              | {@linkcode union}`({ ... })` |
 * | `unsigned flag : 1`                                                          | {@linkcode bits}`(u32, 1)` |
 * | `enum { idle, busy }`                                                        | {@linkcode enumeration}`({ idle: 0, busy: 1 })` |
 * | `__be32`; a number that `htonl` has made                                     | {@linkcode bigEndian}`(u32)` |
 *
 * Flexible array members, `long double`, `__int128` and `alignas` are not supported;
 * implement a {@linkcode CType} for them.
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

export {
  /** `type[length]`: contiguous elements of one type. */
  array,
  /**
   * The live view of a C array: every access to an element reads or writes the memory.
   */
  type ArrayView,
} from "./struct/array.ts";
export {
  /** `type name : width`: a bit-field. */
  bits,
} from "./struct/bits.ts";
export {
  /** `unsigned char[size]`: bytes as they are. */
  bytes,
  /** `char[size]`: a string in UTF-8 that ends with a NUL. */
  cstring,
} from "./struct/bytes.ts";
export type {
  /** The values that can be written to a struct with these fields. */
  FieldInputs,
  /** The declaration of a struct or a union: its fields, in the order of C. */
  Fields,
  /** The value of a struct or a union with these fields: a plain object. */
  FieldValues,
  /** The live view of a struct or a union with these fields. */
  FieldViews,
  /** The conversions between the bytes of a struct or a union and JavaScript values. */
  Layout,
  /** Options of `struct` and `union`. */
  StructOptions,
} from "./struct/record.ts";
export {
  /**
   * A number that is big-endian in memory, as in network protocols, file formats and
   * device registers: `__be32`, or what `htonl` returns.
   */
  bigEndian,
  /** `bool`, `_Bool`: one byte. */
  bool,
  /** `enum`: declares names for numbers. */
  enumeration,
  /** `float`: a number, rounded to 24 significant bits. */
  f32,
  /** `double`: any number. */
  f64,
  /** `int16_t`, `short`: an integer from -32768 to 32767. */
  i16,
  /** `int32_t`, `int`: an integer from -2147483648 to 2147483647. */
  i32,
  /** `int64_t`, `long`: a bigint from -2n ** 63n to 2n ** 63n - 1n. */
  i64,
  /** `int8_t`, `signed char`: an integer from -128 to 127. */
  i8,
  /** `uint16_t`, `unsigned short`: an integer from 0 to 65535. */
  u16,
  /** `uint32_t`, `unsigned`: an integer from 0 to 4294967295. */
  u32,
  /** `uint64_t`, `unsigned long`, `size_t`: a bigint from 0n to 2n ** 64n - 1n. */
  u64,
  /** `uint8_t`, `unsigned char`: an integer from 0 to 255. */
  u8,
} from "./struct/scalar.ts";
export {
  /**
   * A C struct, made by `struct()`: its layout, and the conversions between its bytes
   * and JavaScript values.
   */
  type Struct,
  /** `struct`: declares a C struct, with fields of these types in this order. */
  struct,
} from "./struct/struct.ts";
export type {
  /**
   * A C type: its size, its alignment, and how its values move between JavaScript and
   * memory.
   */
  CType,
  /** The type of what can be written to a C type, as `encode` and `write` accept it. */
  InputOf,
  /** The type of the values of a C type, as `decode` returns them: a copy. */
  ValueOf,
  /** The type of the live views of a C type, as `view` returns them. */
  ViewOf,
} from "./struct/type.ts";
export {
  /** A C union, made by `union`. */
  type Union,
  /** `union`: declares a C union: members of these types at the same place. */
  union,
  /**
   * A value that can be written to a union: one of its members, or a value or view of
   * it.
   */
  type UnionInput,
} from "./struct/union.ts";
