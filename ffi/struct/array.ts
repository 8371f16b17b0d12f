// Arrays.

import { BitField } from "./bits.ts";
import { CompoundType, type Draft, Live } from "./compound.ts";
import {
  checkCount,
  checkLength,
  checkTotal,
  type CType,
  ours,
  pathTo,
  typeOf,
  wrongType,
} from "./type.ts";

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
 * @throws {TypeError} If the type is not a {@linkcode CType}, or is a bit-field.
 * @throws {RangeError} If the length is not an integer of at least 1.
 */
export function array<Value, View, Input>(
  type: CType<Value, View, Input>,
  length: number,
): CType<Value[], ArrayView<View>, ArrayLike<Input>> {
  return new ArrayType(type, length);
}

class ArrayType<Value, View, Input>
  extends CompoundType<Value[], ArrayView<View>, ArrayLike<Input>> {
  readonly name: string;
  readonly size: number;
  readonly alignment: number;
  readonly type: CType<Value, View, Input>;
  readonly length: number;

  constructor(declared: CType<Value, View, Input>, length: number) {
    super();
    const type = typeOf(declared, "an array");
    if (type instanceof BitField) {
      throw new TypeError("Cannot lay out an array: C has none of bit-fields");
    }
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

  fill(draft: Draft, offset: number, value: ArrayLike<Input>, path: string) {
    const count = typeof value === "object" ? value?.length : undefined;
    if (typeof count !== "number") {
      throw wrongType(path, "an array", this.name, value);
    }
    checkCount(count, this.length, this.name, path);
    for (let index = 0; index < this.length; index++) {
      const element = value[index] as Input; // the type rejects a hole
      const place = offset + index * this.type.size;
      this.type.set(draft, place, element, pathTo(path, index));
    }
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

  readonly #array: ArrayType<unknown, unknown, unknown>;

  constructor(
    array: ArrayType<unknown, unknown, unknown>,
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

// Callers can reach these through any array.
for (const type of [ArrayType, Elements]) {
  Object.freeze(type);
  Object.freeze(type.prototype);
}
Object.freeze(Elements.handler);
