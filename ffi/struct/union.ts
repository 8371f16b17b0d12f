// Unions.

import { copyOf, setBytes } from "../arguments.ts";
import { type Draft, Live } from "./compound.ts";
import {
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
import { bytesOf, cannotWrite, ours, pathTo, wrongType } from "./type.ts";

/** A value that can be written to a union: one of its members, or a value or view of it. */
export type UnionInput<Declared extends Fields> =
  | { [Name in keyof Declared]: Pick<FieldInputs<Declared>, Name> }[
    keyof Declared
  ]
  | FieldValues<Declared>
  | FieldViews<Declared>;

/** A C union, made by {@linkcode union}. */
export type Union<Declared extends Fields> = Layout<
  FieldValues<Declared>,
  FieldViews<Declared>,
  UnionInput<Declared>
>;

/**
 * `union`: declares a C union: members of these types at the same place.
 *
 * Reading returns all members, each of which shows the same bytes. Only the program
 * knows which of them is meant: usually a field beside the union tells.
 *
 * Writing takes an object with exactly one member; the other bytes of the union are
 * zeroed. A value that was read is written back as it was, all bytes of it, so it
 * is frozen. In a live view, assigning to a member writes the bytes of that member only.
 *
 * @param members The members. Their names must be C identifiers, but need not be those
 * of the C program.
 * @param options `packed`.
 * @returns The union: a field of a struct, or a layout of its own.
 *
 * @example A message of two kinds
 * ```ts
 * import { cstring, i32, struct, union } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * const message = struct({
 *   kind: i32,
 *   data: union({ number: i32, text: cstring(8) }),
 * });
 * const bytes = message.encode({ kind: 1, data: { text: "hi" } });
 * assertEquals(bytes, Uint8Array.of(1, 0, 0, 0, 104, 105, 0, 0, 0, 0, 0, 0));
 * const { kind, data } = message.decode(bytes);
 * assertEquals(kind === 1 ? data.text : data.number, "hi");
 * message.view(bytes).data.number = 7;
 * assertEquals(message.decode(bytes).data.number, 7);
 * ```
 *
 * @throws {TypeError} If there are no members, or a name is not a C identifier, or is
 * `__proto__`, or a member is not a {@linkcode CType}.
 */
export function union<Declared extends Fields>(
  members: Declared,
  options: StructOptions = {},
): Union<Declared> {
  return new UnionType(members, options.packed ?? false);
}

// The bytes that a value was read from: members may show a part of them only.
const origins = new WeakMap<object, { type: object; bytes: Uint8Array }>();

class UnionType<Declared extends Fields> extends RecordType<
  FieldValues<Declared>,
  FieldViews<Declared>,
  UnionInput<Declared>
> {
  readonly name = "union";

  constructor(declared: Declared, packed: boolean) {
    super(
      fieldNames(declared).map((name) =>
        place(name, declared[name], 0, packed)
      ),
      packed,
    );
    ours(this);
  }

  get(memory: DataView, offset: number): FieldValues<Declared> {
    const value = this.valuesOf(memory, offset);
    const bytes = copyOf(bytesOf(memory, offset, this.size));
    origins.set(value, { type: this, bytes });
    return Object.freeze(value) as FieldValues<Declared>;
  }

  fill(
    draft: Draft,
    offset: number,
    value: UnionInput<Declared>,
    path: string,
  ) {
    if (typeof value !== "object" || value === null) {
      throw wrongType(path, "an object", this.name, value);
    }
    const origin = origins.get(value);
    const bytes = origin?.type === this
      ? origin.bytes
      : Live.bytesOf(value, this);
    if (bytes !== undefined) return setBytes(draft.bytes, bytes, offset);
    const names = Object.keys(value);
    const field = this.fields.find(({ name }) => name === names[0]);
    if (field === undefined || names.length > 1) {
      const known = this.fields.map(({ name }) => name).join(", ");
      const given = names.join(", ") || "none";
      throw new TypeError(
        cannotWrite(path, `expected one member of ${known}, got ${given}`),
      );
    }
    const { name, type } = field;
    const member = (value as Record<string, unknown>)[name];
    type.set(draft, offset, member, pathTo(path, name));
  }
}

Object.freeze(UnionType);
Object.freeze(UnionType.prototype);
