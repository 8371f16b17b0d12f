// C structs that are declared by the names of their fields' types. Their fields are
// integers, bytes and other such structs: a small part of what struct.ts does, which every
// program would load otherwise. A layout is made when it is first used.

/** The integers, by their names: what they are in JavaScript. */
interface Scalars {
  u8: number;
  i16: number;
  u16: number;
  i32: number;
  u32: number;
  i64: bigint;
  u64: bigint;
}

type Bytes = Uint8Array<ArrayBuffer>;
/** A scalar by its name, bytes by their number, or another struct. */
type Declared = Readonly<Record<string, keyof Scalars | number | Nested>>;

/** What is needed of a struct that is a field of another one. */
interface Nested {
  readonly size: number;
  readonly alignment: number;
  decode(bytes: Uint8Array, offset?: number): unknown;
  write(bytes: Uint8Array, values: never, offset?: number): void;
  view(bytes: Uint8Array): unknown;
}

type ValueOf<T> = T extends keyof Scalars ? Scalars[T]
  : T extends number ? Bytes
  : T extends CStruct<infer D> ? Values<D>
  : never;

type InputOf<T> = T extends keyof Scalars ? Scalars[T]
  : T extends number ? Uint8Array
  : T extends CStruct<infer D> ? Inputs<D>
  : never;

type ViewOf<T> = T extends keyof Scalars ? Scalars[T]
  : T extends number ? Uint8Array
  : T extends CStruct<infer D> ? View<D>
  : never;

/** The values of the fields, copied. */
export type Values<D extends Declared> = {
  -readonly [Name in keyof D]: ValueOf<D[Name]>;
};

/** The values of the fields to write: all of them. */
export type Inputs<D extends Declared> = {
  readonly [Name in keyof D]: InputOf<D[Name]>;
};

/** The fields where they are in memory. */
export type View<D extends Declared> = {
  -readonly [Name in keyof D]: ViewOf<D[Name]>;
};

/** The layout of a struct that is declared by names. */
export interface CStruct<D extends Declared> extends Nested {
  /** `sizeof` */
  readonly size: number;
  /** `alignof` */
  readonly alignment: number;
  /** `offsetof` of each field. */
  readonly offsets: { readonly [Name in keyof D]: number };
  /** Makes bytes of values. */
  encode(values: Inputs<D>): Bytes;
  /** Writes values; padding stays. Throws a RangeError if one does not fit. */
  write(bytes: Uint8Array, values: Inputs<D>, offset?: number): void;
  /** Reads values, as copies. */
  decode(bytes: Uint8Array, offset?: number): Values<D>;
  /** Fields that read and write the bytes; they do not check values. */
  view(bytes: Uint8Array, offset?: number): View<D>;
}

/** How a field is read and written. */
interface Access {
  readonly size: number;
  readonly alignment: number;
  get(memory: DataView, at: number): unknown;
  set(memory: DataView, at: number, value: never): void;
  /** As `get`, if that copies. */
  view?(memory: DataView, at: number): unknown;
}

interface Field extends Access {
  readonly name: string;
  readonly offset: number;
}

function scalar<T>(
  size: number,
  get: (memory: DataView, at: number) => T,
  set: (memory: DataView, at: number, value: T) => void,
): Access {
  return { size, alignment: size, get, set };
}

const scalars: Record<keyof Scalars, Access> = {
  u8: scalar(
    1,
    (memory, at) => memory.getUint8(at),
    (memory, at, value) => memory.setUint8(at, value),
  ),
  i16: scalar(
    2,
    (memory, at) => memory.getInt16(at, true),
    (memory, at, value) => memory.setInt16(at, value, true),
  ),
  u16: scalar(
    2,
    (memory, at) => memory.getUint16(at, true),
    (memory, at, value) => memory.setUint16(at, value, true),
  ),
  i32: scalar(
    4,
    (memory, at) => memory.getInt32(at, true),
    (memory, at, value) => memory.setInt32(at, value, true),
  ),
  u32: scalar(
    4,
    (memory, at) => memory.getUint32(at, true),
    (memory, at, value) => memory.setUint32(at, value, true),
  ),
  i64: scalar(
    8,
    (memory, at) => memory.getBigInt64(at, true),
    (memory, at, value) => memory.setBigInt64(at, value, true),
  ),
  u64: scalar(
    8,
    (memory, at) => memory.getBigUint64(at, true),
    (memory, at, value) => memory.setBigUint64(at, value, true),
  ),
};

/** The bytes from there on. */
function bytesAt(memory: DataView, at: number, size: number): Bytes {
  const { buffer, byteOffset } = memory;
  return new Uint8Array(buffer as ArrayBuffer, byteOffset + at, size);
}

function bytes(size: number): Access {
  const view = (memory: DataView, at: number) => bytesAt(memory, at, size);
  return {
    size,
    alignment: 1,
    get: (memory, at) => view(memory, at).slice(),
    set(memory, at, value: Uint8Array) {
      if (value.length !== size) throw misfit(value);
      view(memory, at).set(value);
    },
    view,
  };
}

function nested(struct: Nested): Access {
  const { size, alignment } = struct;
  const view = (memory: DataView, at: number) => bytesAt(memory, at, size);
  return {
    size,
    alignment,
    get: (memory, at) => struct.decode(view(memory, at)),
    set: (memory, at, value) => struct.write(view(memory, at), value),
    view: (memory, at) => struct.view(view(memory, at)),
  };
}

function misfit(value: unknown): RangeError {
  return new RangeError(`The value does not fit into the field: ${value}`);
}

function memoryOf(
  { buffer, byteOffset, byteLength }: Uint8Array,
  offset = 0,
): DataView {
  return new DataView(buffer, byteOffset + offset, byteLength - offset);
}

/** The base of views: a class for each struct has its fields. */
class Live {
  readonly #memory: DataView;

  constructor(memory: DataView) {
    this.#memory = memory;
  }

  static define(prototype: Live, { name, offset, get, set, view }: Field) {
    const read = view ?? get;
    Object.defineProperty(prototype, name, {
      get(this: Live) {
        return read(this.#memory, offset);
      },
      set(this: Live, value: never) {
        set(this.#memory, offset, value);
      },
    });
  }
}

class Layout {
  readonly size: number;
  readonly alignment: number;
  readonly offsets: Record<string, number> = {};
  readonly fields: readonly Field[];
  readonly type: typeof Live;

  constructor(declared: Declared, packed: boolean) {
    let end = 0;
    let alignment = 1;
    class type extends Live {}
    const place = (name: string): Field => {
      const access = accessTo(declared[name]!);
      const own = packed ? 1 : access.alignment;
      const offset = roundUp(end, own);
      end = offset + access.size;
      alignment = Math.max(alignment, own);
      this.offsets[name] = offset;
      const field = { name, offset, ...access };
      Live.define(type.prototype, field);
      return field;
    };
    this.fields = Object.keys(declared).map(place);
    this.size = roundUp(end, alignment);
    this.alignment = alignment;
    this.type = type;
  }
}

function accessTo(named: Declared[string]): Access {
  if (typeof named === "number") return bytes(named);
  return typeof named === "string" ? scalars[named] : nested(named);
}

function roundUp(size: number, alignment: number): number {
  return Math.ceil(size / alignment) * alignment;
}

class Struct {
  readonly #declared: Declared;
  readonly #packed: boolean;
  #made: Layout | undefined;

  constructor(declared: Declared, packed: boolean) {
    this.#declared = declared;
    this.#packed = packed;
  }

  get #layout(): Layout {
    return this.#made ??= new Layout(this.#declared, this.#packed);
  }

  get size(): number {
    return this.#layout.size;
  }

  get alignment(): number {
    return this.#layout.alignment;
  }

  get offsets(): Record<string, number> {
    return this.#layout.offsets;
  }

  encode(values: Record<string, unknown>): Bytes {
    const bytes = new Uint8Array(this.size);
    this.write(bytes, values);
    return bytes;
  }

  write(
    bytes: Uint8Array,
    values: Record<string, unknown>,
    offset = 0,
  ): void {
    const memory = memoryOf(bytes);
    for (const { name, offset: at, get, set, view } of this.#layout.fields) {
      const value = values[name];
      set(memory, offset + at, value as never);
      // An integer that does not fit is cut silently.
      const isKept = view !== undefined || get(memory, offset + at) === value;
      if (!isKept) throw misfit(value);
    }
  }

  decode(bytes: Uint8Array, offset = 0): Record<string, unknown> {
    const memory = memoryOf(bytes);
    const values: Record<string, unknown> = {};
    for (const { name, offset: at, get } of this.#layout.fields) {
      values[name] = get(memory, offset + at);
    }
    return values;
  }

  view(bytes: Uint8Array, offset = 0): object {
    return new this.#layout.type(memoryOf(bytes, offset));
  }
}

/** Declares a struct; packed, it has no padding. */
export function cStruct<const D extends Declared>(
  declared: D,
  { packed = false }: { packed?: boolean } = {},
): CStruct<D> {
  return new Struct(declared, packed) as unknown as CStruct<D>;
}
