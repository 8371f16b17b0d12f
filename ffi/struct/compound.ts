// Types with parts, and live views of them.

import { runtime } from "../libc/runtime/mod.ts";
import { bytesOf, type CType, isDetached } from "./type.ts";

/** The largest draft, in bytes, that is kept for the next write. */
const MAX_SPARE_SIZE = 4096;

/**
 * Memory of this module's own. A value with parts is written to a draft first, and
 * copied to its destination when all parts are valid.
 */
export class Draft extends DataView<ArrayBuffer> {
  readonly bytes: Uint8Array<ArrayBuffer>;

  constructor(size: number) {
    super(new ArrayBuffer(size));
    this.bytes = new Uint8Array(this.buffer);
  }
}

/** A type with parts, of which a write writes all or none. */
export abstract class CompoundType<Value, View, Input>
  implements CType<Value, View, Input> {
  #spare: Draft | null = null;

  abstract readonly name: string;
  abstract readonly size: number;
  abstract readonly alignment: number;
  abstract get(memory: DataView, offset: number): Value;
  abstract live(memory: DataView, offset: number): View;

  /** Writes part by part. If it throws, some parts have been written. */
  abstract fill(draft: Draft, offset: number, value: Input, path: string): void;

  set(memory: DataView, offset: number, value: Input, path: string): void {
    if (memory instanceof Draft) {
      this.fill(memory, offset, value, path);
    } else {
      const bytes = this.draft(value, path);
      bytesOf(memory, offset, this.size).set(bytes);
    }
  }

  /** Encodes a value. The bytes are valid until the next call. */
  draft(value: Input, path: string): Uint8Array<ArrayBuffer> {
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

/** A view of the memory of a value with parts. */
export class Live {
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

  /** The bytes of a view of this type; undefined if the value is no such view. */
  static bytesOf(
    value: unknown,
    type: CType<unknown, unknown>,
  ): Uint8Array | undefined {
    if (Object(value) !== value || !(#type in (value as Live))) {
      return undefined;
    }
    const view = value as Live;
    if (view.#type !== type) return undefined;
    return bytesOf(view.#memory, view.#offset, type.size);
  }

  toJSON(): unknown {
    return this.#type.get(this.#memory, this.#offset);
  }

  static {
    // Some runtimes show a proxy, which has the methods of its target, bound to it, but
    // not its private fields.
    const itself = Symbol("itself");
    const value = function (this: Live) {
      return this;
    };
    Object.defineProperty(this.prototype, itself, { value });
    runtime.inspectAs(this.prototype, (shown, show) => {
      const view = (shown as unknown as Record<symbol, () => Live>)[itself]!();
      // Printing a view never throws.
      if (isDetached(view.#memory.buffer)) return "[detached]";
      return show(view.#type.get(view.#memory, view.#offset));
    });
  }
}

for (const type of [CompoundType, Live]) {
  Object.freeze(type);
  Object.freeze(type.prototype);
}
