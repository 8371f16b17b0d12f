// What a C type is to this module, and what all types have in common: checks, and the
// words of error messages.

/** The types made by this module, which are frozen. */
const own = new WeakSet<object>();

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
 * @typeParam View What `live` returns. For a type without parts it is the same as
 * `Value`.
 * @typeParam Input What `set` accepts. Values and views must be assignable to it, so
 * that what was read can be written.
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
export interface CType<Value, View = Value, Input = View> {
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
  set(memory: DataView, offset: number, value: Input, path: string): void;
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
export type ValueOf<Type> = Type extends
  CType<infer Value, infer _View, infer _Input> ? Value
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
export type ViewOf<Type> = Type extends
  CType<infer _Value, infer View, infer _Input> ? View
  : never;

/**
 * The type of what can be written to a C type, as `encode` and `write` accept it.
 * Values and views are assignable to it.
 *
 * @example A function that makes a message
 * ```ts
 * import { array, i32, type InputOf, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const game = struct({ scores: array(i32, 2) });
 * const start: InputOf<typeof game> = { scores: Int32Array.of(3, 1) };
 * assertEquals(game.decode(game.encode(start)), { scores: [3, 1] });
 * ```
 */
export type InputOf<Type> = Type extends
  CType<infer _Value, infer _View, infer Input> ? Input : never;

export function ours<Type extends object>(type: Type): Type {
  own.add(type);
  return Object.freeze(type);
}

/**
 * The type to use for a declared one: a type of this module is used as it is. The
 * properties of a caller's type, which may change, are read once, and its functions
 * receive the bytes of their own field only.
 */
export function typeOf<Value, View, Input>(
  declared: CType<Value, View, Input> | undefined,
  where: string,
): CType<Value, View, Input> {
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
    set(memory: DataView, offset: number, value: Input, path: string): void {
      apply(set, declared, [part(memory, offset), 0, value, path]);
    },
    live: (memory: DataView, offset: number): View =>
      apply(live, declared, [part(memory, offset), 0]),
  });
}

/** Checks a type in a declaration, such as a `cstring` without a length. */
export function checkCType(
  type: unknown,
  where: string,
): asserts type is CType<unknown, unknown> {
  if (typeof type !== "object" || type === null || !("live" in type)) {
    throw new TypeError(
      `Cannot lay out ${where}: expected a type such as i32, got ${kind(type)}`,
    );
  }
}

export function checkPrimitive(
  value: unknown,
  type: "bigint" | "boolean" | "number" | "string",
  name: string,
  path: string,
): void {
  const actual: string = typeof value;
  if (actual !== type) throw wrongType(path, `a ${type}`, name, value);
}

export function checkCount(
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
export function checkLength(type: string, length: number): number {
  if (!Number.isSafeInteger(length) || length < 1) {
    throw new RangeError(
      `Cannot declare ${type}: the length must be an integer of at least 1, got ${length}`,
    );
  }
  return length;
}

/** Checks the size of a type with parts, and returns it. */
export function checkTotal(type: string, size: number): number {
  if (Number.isSafeInteger(size)) return size;
  throw new RangeError(`Cannot declare ${type}: ${size} bytes are too many`);
}

/** Returns a part of the memory as bytes. */
export function bytesOf(
  memory: DataView,
  offset: number,
  size: number,
): Uint8Array {
  return new Uint8Array(memory.buffer, memory.byteOffset + offset, size);
}

export function isDetached(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

export function roundUp(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** Returns the path of a part: `data.age`, `scores[2]`. */
export function pathTo(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

export function cannotWrite(path: string, reason: string): string {
  const subject = path === "" ? "the struct" : `field '${path}'`;
  return `Cannot write ${subject}: ${reason}`;
}

export function wrongType(
  path: string,
  expected: string,
  name: string,
  value: unknown,
): TypeError {
  const reason = `expected ${expected} (${name}), got ${kind(value)}`;
  return new TypeError(cannotWrite(path, reason));
}

/** Names the type of a value in a message: `a string`, `null`. */
export function kind(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  const type = typeof value;
  return type === "object" ? "an object" : `a ${type}`;
}
