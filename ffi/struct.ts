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

export { array, type ArrayView } from "./struct/array.ts";
export { bits } from "./struct/bits.ts";
export { bytes, cstring } from "./struct/bytes.ts";
export type {
  FieldInputs,
  Fields,
  FieldValues,
  FieldViews,
  Layout,
  StructOptions,
} from "./struct/record.ts";
export {
  bigEndian,
  bool,
  enumeration,
  f32,
  f64,
  i16,
  i32,
  i64,
  i8,
  u16,
  u32,
  u64,
  u8,
} from "./struct/scalar.ts";
export { type Struct, struct } from "./struct/struct.ts";
export type { CType, InputOf, ValueOf, ViewOf } from "./struct/type.ts";
export { type Union, union, type UnionInput } from "./struct/union.ts";
