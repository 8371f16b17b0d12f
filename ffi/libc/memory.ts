// Addresses <-> ArrayBuffers, and detaching them.

import { ClosedError } from "../errors.ts";

/** Takes a range of memory out of the address space. */
export type Unmap = (address: bigint, length: number) => void;

// Which mapping a buffer belongs to. Only what was mapped here has an address
// that a call of libc may be given; a slice of anything else is refused.
const mappings = new WeakMap<ArrayBufferLike, Mapping>();

/**
 * A range of mapped memory and the one ArrayBuffer over it. There is only one
 * because two over the same bytes could not both be detached.
 *
 * Nothing unmaps a forgotten mapping: views of it may be alive.
 */
export class Mapping {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly address: bigint;
  readonly subject: string;
  readonly #length: number;
  readonly #unmap: Unmap;
  #open = true;
  #pins = 0;

  /**
   * Takes over `length` mapped bytes at `address`; `unmap` gives them back, also
   * when this constructor fails.
   */
  constructor(address: bigint, length: number, subject: string, unmap: Unmap) {
    try {
      const pointer = Deno.UnsafePointer.create(address)!;
      const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, length);
      this.bytes = new Uint8Array(buffer);
    } catch (error) {
      unmap(address, length);
      throw error;
    }
    this.address = address;
    this.#length = length;
    this.subject = subject;
    this.#unmap = unmap;
    mappings.set(this.bytes.buffer, this);
  }

  get closed(): boolean {
    return !this.#open;
  }

  /** Throws when the memory is gone. */
  checkOpen(): void {
    if (!this.#open) throw new ClosedError(this.subject);
  }

  /**
   * Keeps the memory mapped while a call on another thread uses its address, also
   * when it is closed in the meantime. What this returns ends that, once.
   */
  pin(): () => void {
    this.#pins++;
    return () => {
      this.#pins--;
      this.#unmapIfUnused();
    };
  }

  /**
   * Detaches the buffer, so that every view of it has length 0, and unmaps.
   *
   * @throws {Error} If the buffer was transferred away. Somebody else's views
   * use the memory then, so it stays mapped until the process ends.
   */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { buffer } = this.bytes;
    if (buffer.detached) {
      this.#pins = Infinity;
      throw new Error(
        `Cannot unmap ${this.subject}: its ArrayBuffer was transferred, so ` +
          "the memory stays mapped until the process ends",
      );
    }
    buffer.transfer(0);
    this.#unmapIfUnused();
  }

  #unmapIfUnused(): void {
    if (!this.#open && this.#pins === 0) {
      this.#unmap(this.address, this.#length);
    }
  }
}

/** Where bytes of a mapping of this module are. */
export interface Place {
  readonly mapping: Mapping;
  readonly address: bigint;
}

/** Finds the mapping that bytes belong to; `name` is what errors call them. */
export function placeOf(name: string, bytes: Uint8Array): Place {
  const mapping = mappings.get(bytes.buffer);
  if (mapping === undefined) {
    throw new TypeError(
      `Argument "${name}" must be bytes of a shared memory or memory map of this module`,
    );
  }
  mapping.checkOpen();
  if (bytes.buffer.byteLength === 0) {
    throw new TypeError(
      `Argument "${name}" must not be bytes of a buffer that was transferred`,
    );
  }
  return { mapping, address: mapping.address + BigInt(bytes.byteOffset) };
}
