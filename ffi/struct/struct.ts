// Structs.

import type { Draft } from "./compound.ts";
import {
  type Field,
  type FieldInputs,
  fieldNames,
  type Fields,
  type FieldValues,
  type FieldViews,
  type Layout,
  place,
  RecordType,
  type StructOptions,
} from "./record.ts";
import { cannotWrite, ours, pathTo, wrongType } from "./type.ts";

/**
 * A C struct, made by `struct()`: its layout, and the conversions between
 * its bytes and JavaScript values.
 */
export interface Struct<Declared extends Fields> extends
  Layout<
    FieldValues<Declared>,
    FieldViews<Declared>,
    FieldInputs<Declared>
  > {
  /**
   * `offsetof`: the position of every field, in bytes; of a bit-field, that of its
   * first byte.
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

class StructType<Declared extends Fields> extends RecordType<
  FieldValues<Declared>,
  FieldViews<Declared>,
  FieldInputs<Declared>
> implements Struct<Declared> {
  readonly name = "struct";
  readonly offsets: { readonly [Name in keyof Declared]: number };

  constructor(declared: Declared, packed: boolean) {
    const fields = layOut(declared, packed);
    super(fields, packed);
    this.offsets = Object.freeze(
      Object.fromEntries(fields.map(({ name, offset }) => [name, offset])),
    ) as typeof this.offsets;
    ours(this);
  }

  get(memory: DataView, offset: number): FieldValues<Declared> {
    return this.valuesOf(memory, offset) as FieldValues<Declared>;
  }

  fill(
    draft: Draft,
    offset: number,
    value: FieldInputs<Declared>,
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
    for (const field of this.fields) {
      const part = value[field.name];
      const partPath = pathTo(path, field.name);
      if (part === undefined) {
        throw new TypeError(cannotWrite(partPath, "the value is missing"));
      }
      field.type.set(draft, offset + field.offset, part, partPath);
    }
  }
}

Object.freeze(StructType);
Object.freeze(StructType.prototype);

/** Computes the positions of the fields, as C does. */
function layOut(declared: Fields, packed: boolean): Field[] {
  let taken = 0; // bits
  return fieldNames(declared).map((name) => {
    const field = place(name, declared[name], taken, packed);
    taken = field.endBit;
    return field;
  });
}
