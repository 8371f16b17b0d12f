// What structs and unions have in common: named fields, and conversions of bytes.

import {
  bufferOf,
  byteLengthOf,
  byteOffsetOf,
  copyOf,
  isBytes,
} from "../arguments.ts";
import { BitField } from "./bits.ts";
import { CompoundType, Live } from "./compound.ts";
import {
  checkTotal,
  type CType,
  type InputOf,
  isDetached,
  kind,
  roundUp,
  typeOf,
  type ValueOf,
  type ViewOf,
} from "./type.ts";

/** The declaration of a struct or a union: its fields, in the order of C. */
export type Fields = { readonly [name: string]: CType<unknown, unknown> };

/** The value of a struct or a union with these fields: a plain object. */
export type FieldValues<Declared extends Fields> = {
  -readonly [Name in keyof Declared]: ValueOf<Declared[Name]>;
};

/** The live view of a struct or a union with these fields. */
export type FieldViews<Declared extends Fields> = {
  -readonly [Name in keyof Declared]: ViewOf<Declared[Name]>;
};

/** The values that can be written to a struct with these fields. */
export type FieldInputs<Declared extends Fields> = {
  readonly [Name in keyof Declared]: InputOf<Declared[Name]>;
};

/** Options of {@linkcode struct} and {@linkcode union}. */
export interface StructOptions {
  /**
   * `__attribute__((packed))`: no padding, and an alignment of 1. As in C, nested
   * structs keep their own layout.
   *
   * @default {false}
   */
  packed?: boolean | undefined;
}

/**
 * The conversions between the bytes of a struct or a union and JavaScript values.
 *
 * Methods on bytes take a `Uint8Array`, which may be longer than the struct, and the
 * position of the struct in it, in bytes, 0 by default. The position need not be
 * aligned.
 */
export interface Layout<Value, View, Input> extends CType<Value, View, Input> {
  /**
   * Encodes a value into new bytes, `size` of them. Padding is zero.
   *
   * Allocating them takes longer than filling them: in a loop,
   * {@linkcode Layout.write} into the same bytes is faster.
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
  encode(value: Input): Uint8Array<ArrayBuffer>;

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
  decode(bytes: Uint8Array, offset?: number): Value;

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
  write(bytes: Uint8Array, value: Input, offset?: number): void;

  /**
   * Returns a live view: an object whose properties are the memory.
   *
   * Getting a property reads the memory. Setting it writes the memory, with the
   * checks of {@linkcode Layout.write}. Nested structs, arrays and `bytes` are
   * live, too; assigning to one of them copies. Error messages name a field
   * relative to the view that was assigned to.
   *
   * `console.log` and `JSON.stringify` show the present values. The properties
   * are accessors of the prototype, so `{ ...view }` copies nothing: use
   * {@linkcode Layout.decode} instead.
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
  view(bytes: Uint8Array, offset?: number): View;
}

/** A field and its position. */
export interface Field {
  readonly name: string;
  readonly type: CType<unknown, unknown>;
  /** The position of its first byte. */
  readonly offset: number;
  /** The position behind its last byte. */
  readonly end: number;
}

/** A type with named fields. */
export abstract class RecordType<Value, View, Input>
  extends CompoundType<Value, View, Input>
  implements Layout<Value, View, Input> {
  readonly size: number;
  readonly alignment: number;
  readonly fields: readonly Field[];
  #View: typeof Live | undefined; // made at the first use

  constructor(fields: readonly Field[], packed: boolean) {
    super();
    const alignments = fields.map(({ type }) => type.alignment);
    const ends = fields.map(({ end }) => end);
    this.alignment = packed ? 1 : Math.max(...alignments);
    this.size = checkTotal(
      "struct",
      roundUp(Math.max(...ends), this.alignment),
    );
    this.fields = fields;
  }

  encode(value: Input): Uint8Array<ArrayBuffer> {
    return copyOf(this.draft(value, ""));
  }

  decode(bytes: Uint8Array, offset = 0): Value {
    return this.get(memoryOf(bytes, offset, this.size, "read"), 0);
  }

  write(bytes: Uint8Array, value: Input, offset = 0): void {
    this.set(memoryOf(bytes, offset, this.size, "write"), 0, value, "");
  }

  view(bytes: Uint8Array, offset = 0): View {
    return this.live(memoryOf(bytes, offset, this.size, "view"), 0);
  }

  live(memory: DataView, offset: number): View {
    const Fields = this.#View ??= viewClass(this.fields);
    return new Fields(this, memory, offset) as View;
  }

  /** The values of all fields. */
  valuesOf(memory: DataView, offset: number): Record<string, unknown> {
    const value: Record<string, unknown> = {};
    for (const field of this.fields) {
      value[field.name] = field.type.get(memory, offset + field.offset);
    }
    return value;
  }
}

Object.freeze(RecordType);
Object.freeze(RecordType.prototype);

/**
 * The position of a field behind bits that are taken. A bit-field begins at any bit, as
 * long as it crosses no boundary of its type.
 */
export function place(
  name: string,
  declared: CType<unknown, unknown> | undefined,
  taken: number,
  packed: boolean,
): Field & { readonly endBit: number } {
  const type = typeOf(declared, `field '${name}'`);
  const unit = 8 * (packed ? 1 : type.alignment);
  let bit = roundUp(taken, unit);
  let width = 8 * type.size;
  let placed = type;
  if (type instanceof BitField) {
    width = type.width;
    if (packed || taken % unit + width <= unit) {
      bit = taken;
    }
    placed = type.at(bit % 8);
  }
  const endBit = bit + width;
  return {
    name,
    type: placed,
    offset: Math.floor(bit / 8),
    end: Math.ceil(endBit / 8),
    endBit,
  };
}

/** Returns the names of the fields, after checking them. */
export function fieldNames(declared: Fields): string[] {
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
    // For most names; the other expression takes long to compile.
    if (/^[a-z_$][\w$]*$/i.test(name)) continue;
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
