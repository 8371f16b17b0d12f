// Addresses <-> ArrayBuffers, and detaching them.

import { bufferOf, byteLengthOf, byteOffsetOf } from "../arguments.ts";
import { ClosedError } from "../errors.ts";
import { checkAddress } from "../libc/errno.ts";
import { header } from "../libc/library.ts";
import { retire, retireHole } from "./retired.ts";
import { copyFrom } from "../libc/string.ts";
import { MREMAP_MAYMOVE, sysMman } from "../libc/sys_mman.ts";
import { pageSize } from "../libc/unistd.ts";

const string = header({
  // void *memmem(const void *hay, size_t hay_size, const void *needle, size_t size)
  memmem: {
    parameters: ["usize", "usize", "buffer", "usize"],
    result: "usize",
  },
});

/**
 * Who sees what is written to memory: all who map it; all, but this one writes
 * nothing; this one alone, of its own copy.
 */
export type Access = "shared" | "readonly" | "private";

/** Takes a mapping out of the address space. */
export type Unmap = (mapping: Mapping) => void;

/** What a {@linkcode Mapping} is made of. */
export interface MappingInit {
  /** The address of the first byte that is shown. */
  readonly address: bigint;
  /** How many bytes are shown. */
  readonly length: number;
  /** What errors call it. */
  readonly subject: string;
  readonly access: Access;
  /** Whether to load its pages takes memory that cannot be had back for others. */
  readonly takesMemory?: boolean;
  /** The size of its pages in bytes, where it is not the usual one. */
  readonly unit?: bigint;
  /** Instead of munmap. */
  readonly unmap?: Unmap;
}

const WORD = 4; // bytes

// Which mapping a buffer belongs to. Only what was mapped here has an address
// that a call of libc may be given; a slice of anything else is refused.
const mappings = new WeakMap<ArrayBufferLike, Mapping>();

// The buffer is the caller's to change, so what it says of itself is not asked.
const { apply } = Reflect;
const { transfer } = ArrayBuffer.prototype;
const detachedGetter = Object.getOwnPropertyDescriptor(
  ArrayBuffer.prototype,
  "detached",
)!.get!;

function isDetached(buffer: ArrayBuffer): boolean {
  return apply(detachedGetter, buffer, []) as boolean;
}

function detach(buffer: ArrayBuffer): void {
  apply(transfer, buffer, [0]);
}

/** Up to a whole number of pages. */
export function roundUp(span: bigint, page: bigint): bigint {
  return (span + page - 1n) / page * page;
}

function munmap({ start, extent }: Mapping): void {
  sysMman().munmap(start, extent);
}

/**
 * A range of mapped memory and the one ArrayBuffer over it. There is only one
 * because two over the same bytes could not both be detached. Memory that may
 * not be written to has none, because a write would end the process with SIGSEGV.
 *
 * Nothing unmaps a forgotten mapping: views of it may be alive.
 */
export class Mapping {
  readonly address: bigint;
  readonly length: number;
  readonly subject: string;
  readonly access: Access;
  readonly takesMemory: boolean;
  readonly #skip: number; // bytes of the first page that are not shown
  readonly #unit: bigint;
  readonly #unmap: Unmap;
  #pointer: Deno.PointerValue = null;
  #words: Int32Array | undefined; // handed to nobody
  #buffer: ArrayBuffer | undefined; // made when it is wanted
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #open = true;
  #pins = 0;

  /** Takes over mapped bytes, and unmaps them when it fails. */
  constructor(init: MappingInit) {
    this.address = init.address;
    this.length = init.length;
    this.subject = init.subject;
    this.access = init.access;
    this.takesMemory = init.takesMemory ?? init.access === "private";
    this.#skip = Number(init.address % BigInt(pageSize()));
    this.#unit = init.unit ?? BigInt(pageSize());
    this.#unmap = init.unmap ?? munmap;
    if (this.access === "readonly") return;
    try { // fails under a permission that is for libc's path only
      this.#pointer = Deno.UnsafePointer.create(this.address);
    } catch (error) {
      this.#unmap(this);
      throw error;
    }
  }

  /** The beginning of the first page: what mmap returned. */
  get start(): bigint {
    return this.address - BigInt(this.#skip);
  }

  /** The bytes from there to the end. */
  get span(): bigint {
    return BigInt(this.#skip) + BigInt(this.length);
  }

  /** The same in whole pages. */
  get extent(): bigint {
    return roundUp(this.span, this.#unit);
  }

  /** All the memory, of length 0 after `close()`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ??= this.#show();
  }

  #show(): Uint8Array<ArrayBuffer> {
    if (this.access === "readonly") {
      throw new TypeError(
        `Cannot write to ${this.subject}: it is read-only, and its bytes can be ` +
          "had by read() only",
      );
    }
    if (!this.#open) return new Uint8Array();
    const { getArrayBuffer } = Deno.UnsafePointerView;
    const buffer = getArrayBuffer(this.#pointer!, this.length);
    mappings.set(buffer, this);
    this.#buffer = buffer;
    return new Uint8Array(buffer);
  }

  get closed(): boolean {
    return !this.#open;
  }

  /** Whether the caller has transferred the ArrayBuffer, and with it the memory. */
  get transferred(): boolean {
    return this.#buffer?.detached === true && this.#open;
  }

  /** Whether a call on another thread uses the memory. */
  get pinned(): boolean {
    return this.#pins > 0;
  }

  /** Throws when the memory is gone. */
  checkOpen(): void {
    if (!this.#open) throw new ClosedError(this.subject);
  }

  /** Throws when the memory is gone, or has become somebody else's. */
  checkOwn(): void {
    this.checkOpen();
    if (this.#buffer !== undefined && isDetached(this.#buffer)) {
      throw new TypeError(
        `Cannot use ${this.subject}: its ArrayBuffer was transferred`,
      );
    }
  }

  /** Throws when the memory cannot be written to, and seen by all. */
  checkWritable(): void {
    this.checkOwn();
    if (this.access === "shared") return;
    const kind = this.access === "readonly" ? "read-only" : "private";
    throw new TypeError(`Cannot change ${this.subject}: it is mapped ${kind}`);
  }

  /**
   * Copies bytes out of the memory. Unlike a typed array, a call of libc is nothing
   * that the compiler could move, or do once instead of twice.
   */
  copyTo(target: Uint8Array<ArrayBuffer>, offset: number): void {
    copyFrom(this.address + BigInt(offset), target);
  }

  /** Where bytes are, from the beginning; -1 for nowhere. */
  indexOf(bytes: Uint8Array<ArrayBuffer>, offset: number): number {
    const { memmem } = string();
    const from = this.address + BigInt(offset);
    const left = BigInt(this.length - offset);
    const found = memmem(from, left, bytes, BigInt(byteLengthOf(bytes)));
    return found === 0n ? -1 : Number(BigInt(found) - this.address);
  }

  /** `atomic_load`: the word at an offset, of read-only memory, too. */
  load(offset: number): number {
    const index = this.#wordAt(offset);
    return Atomics.load(this.#words!, index);
  }

  /** `atomic_store`: sets the word at an offset. */
  store(offset: number, value: number): void {
    const index = this.#wordAt(offset);
    void this.bytes; // throws for read-only memory
    Atomics.store(this.#words!, index, value);
  }

  /**
   * The index of a word in `#words`, which begin with the first page: an odd offset
   * in a file moves no word. Over read-only memory an array is safe as long as
   * nobody else has it.
   */
  #wordAt(offset: number): number {
    this.checkOwn();
    const index = (this.#skip + offset) / WORD;
    if (!Number.isInteger(index)) {
      throw new RangeError(
        `Argument "offset" must be of a word that begins at a multiple of ${WORD}: ${offset}`,
      );
    }
    this.#words ??= new Int32Array(
      Deno.UnsafePointerView.getArrayBuffer(
        Deno.UnsafePointer.create(this.start)!,
        Math.floor((this.#skip + this.length) / WORD) * WORD,
      ),
    );
    return index;
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
   * `mremap(start, 0, ...)`: maps the same memory once more, and returns where. The
   * two have nothing to do with each other: each is unmapped for itself.
   */
  duplicate(): bigint {
    const skip = this.address - this.start;
    const { mremap } = sysMman();
    const start = mremap(this.start, 0n, this.span, MREMAP_MAYMOVE);
    return checkAddress(start, "mremap", this.subject) + skip;
  }

  /**
   * Detaches the buffer, so that every view of it has length 0, and unmaps. The
   * addresses that a buffer had are retired: a call on another thread may have them.
   *
   * @throws {Error} If the buffer was transferred away. Somebody else's views
   * use the memory then, so it stays mapped until the process ends.
   */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#words = undefined;
    if (this.#buffer !== undefined && isDetached(this.#buffer)) {
      this.#pins = Infinity;
      throw new Error(
        `Cannot unmap ${this.subject}: its ArrayBuffer was transferred, so ` +
          "the memory stays mapped until the process ends",
      );
    }
    if (this.#buffer !== undefined) detach(this.#buffer);
    this.#unmapIfUnused();
  }

  /** Detaches the buffer of memory of which mremap has left so many bytes here. */
  release(left: bigint): void {
    this.#open = false;
    this.#words = undefined;
    if (this.#buffer === undefined) return;
    detach(this.#buffer);
    const kept = roundUp(left, this.#unit);
    retireHole(this.start + kept, this.extent - kept);
  }

  #unmapIfUnused(): void {
    if (this.#open || this.#pins > 0) return;
    if (this.#buffer !== undefined && retire(this.start, this.extent)) return;
    this.#unmap(this);
  }
}

/** Where bytes of a mapping of this module are. */
export interface Place {
  readonly mapping: Mapping;
  readonly address: bigint;
}

/** Finds the mapping that bytes belong to; `name` is what errors call them. */
export function placeOf(name: string, bytes: Uint8Array): Place {
  const buffer = bufferOf(bytes);
  const mapping = mappings.get(buffer);
  if (mapping === undefined) {
    throw new TypeError(
      `Argument "${name}" must be bytes of a shared memory or memory map of this module`,
    );
  }
  mapping.checkOpen();
  if (isDetached(buffer)) {
    throw new TypeError(
      `Argument "${name}" must not be bytes of a buffer that was transferred`,
    );
  }
  const offset = BigInt(byteOffsetOf(bytes));
  return { mapping, address: mapping.address + offset };
}
