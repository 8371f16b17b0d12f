// C structs that are declared by the names of their fields' types. Unlike the type of a
// call with values, the type of such a declaration can be written down, which projects
// with `isolatedDeclarations` ask of every export.

import {
  bytes,
  type CType,
  i16,
  i32,
  i64,
  type Struct,
  struct,
  type StructOptions,
  u16,
  u32,
  u64,
  u8,
} from "../struct.ts";

interface Scalars {
  u8: CType<number>;
  i16: CType<number>;
  u16: CType<number>;
  i32: CType<number>;
  u32: CType<number>;
  i64: CType<bigint>;
  u64: CType<bigint>;
}

const scalars: Scalars = { u8, i16, u16, i32, u32, i64, u64 };

/** A scalar by its name, bytes by their number, or another struct. */
type Declared = Readonly<
  Record<string, keyof Scalars | number | CType<unknown, unknown>>
>;

type TypeOf<T> = T extends keyof Scalars ? Scalars[T]
  : T extends number ? CType<Uint8Array<ArrayBuffer>, Uint8Array>
  : T extends CType<unknown, unknown> ? T
  : never;

/** The layout of a struct that is declared by names. */
export type CStruct<D extends Declared> = Struct<
  { readonly [Name in keyof D]: TypeOf<D[Name]> }
>;

function typeOf(named: Declared[string]): CType<unknown, unknown> {
  if (typeof named === "number") return bytes(named);
  return typeof named === "string" ? scalars[named] : named;
}

/** Declares a struct. */
export function cStruct<const D extends Declared>(
  declared: D,
  options?: StructOptions,
): CStruct<D> {
  const fields = Object.entries(declared)
    .map(([name, named]) => [name, typeOf(named)]);
  return struct(Object.fromEntries(fields), options);
}
