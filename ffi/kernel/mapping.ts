// A range of mapped memory, and the ArrayBuffer over it.

import {
  bufferOf,
  byteLengthOf,
  byteOffsetOf,
  copyOf,
  setBytes,
} from "../arguments.ts";
import { checkAddress } from "../libc/errno.ts";
import { viewError } from "../libc/library.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { copyFrom, findIn, pointerTo } from "../libc/string.ts";
import { MREMAP_MAYMOVE, sysMman } from "../libc/sys_mman.ts";
import { pageSize } from "../libc/unistd.ts";
import {
  changeWord,
  checkReadable,
  readBetween,
  readMemory,
  wordIs,
  type WordOperation,
  writeMemory,
} from "./checked_copy.ts";
import { Closing } from "./closing.ts";
import { retire } from "./retired.ts";

/**
 * "shared": writes reach every process that maps the memory. "readonly": this process
 * cannot write. "private": writes stay in this process's own copy.
 */
export type Access = "shared" | "readonly" | "private";

/** Removes a mapping from the address space. */
type Unmap = (mapping: Mapping) => void;

/** The properties of a new {@linkcode Mapping}. */
export interface MappingInit {
  /** The address of the first byte; not necessarily that of a page. */
  readonly address: bigint;
  /** The number of bytes. */
  readonly length: number;
  /** Name used in error messages. */
  readonly subject: string;
  readonly access: Access;
  /** Whether loading its pages takes memory that the kernel cannot reclaim. */
  readonly takesMemory?: boolean;
  /** Whether another process can truncate it; an access then raises SIGBUS. */
  readonly truncatable?: boolean;
  /** The size of its pages in bytes; that of the system, if absent. */
  readonly unit?: bigint;
  /** Called instead of munmap. */
  readonly unmap?: Unmap;
}

/** What can be held in the memory, such as a lock. */
export interface Holder {
  /** Whether it is held: then the memory stays mapped. */
  readonly isHeld: boolean;
  /** Called when the memory is closed. */
  closed(): void;
}

const WORD = 4; // bytes
const CHUNK = 1 << 16; // bytes that a search copies at a time

// The mapping of each buffer. Calls of libc that take an address accept mapped memory
// only: the address of any other buffer may change.
const mappings = new WeakMap<ArrayBufferLike, Mapping>();

function isHeld(holder: Holder): boolean {
  return holder.isHeld;
}

// Callers can override the properties of the buffer, so the intrinsic ones are used.
const { apply } = Reflect;
const { transfer } = ArrayBuffer.prototype;
const { get: detachedGetter } = Object.getOwnPropertyDescriptor(
  ArrayBuffer.prototype,
  "detached",
) ?? {}; // absent in versions of Node without FFI

function isDetached(buffer: ArrayBuffer): boolean {
  return apply(detachedGetter!, buffer, []) as boolean;
}

function detach(buffer: ArrayBuffer): void {
  apply(transfer, buffer, [0]);
}

/** Rounds up to a whole number of pages. */
export function roundUp(span: bigint, page: bigint): bigint {
  return (span + page - 1n) / page * page;
}

function munmap({ start, extent }: Mapping): void {
  sysMman().munmap(start, extent);
}

/**
 * A range of mapped memory and its ArrayBuffer. There is only one buffer, so that
 * closing can detach every view. Read-only memory has none, because a write through it
 * would end the process with SIGSEGV.
 *
 * A mapping that is garbage-collected is not unmapped: views of it may be in use.
 */
export class Mapping {
  readonly address: bigint;
  readonly length: number;
  readonly subject: string;
  readonly access: Access;
  readonly takesMemory: boolean;
  readonly truncatable: boolean;
  /** Tells the waits for words of the memory. */
  readonly closing: Closing;
  readonly #skip: number; // bytes of the first page before the address
  readonly #unit: bigint;
  readonly #unmap: Unmap;
  #words: Int32Array | undefined; // never handed out
  #buffer: ArrayBuffer | undefined; // made at the first use
  #bytes: Uint8Array<ArrayBuffer> | undefined;
  #pins = 0;
  readonly #holders = new Set<Holder>();

  /** Takes ownership of mapped memory. Unmaps it if that fails. */
  constructor(init: MappingInit) {
    this.address = init.address;
    this.length = init.length;
    this.subject = init.subject;
    this.closing = new Closing(init.subject);
    this.access = init.access;
    this.takesMemory = init.takesMemory ?? init.access === "private";
    this.truncatable = init.truncatable ?? false;
    this.#skip = Number(init.address % BigInt(pageSize()));
    this.#unit = init.unit ?? BigInt(pageSize());
    this.#unmap = init.unmap ?? munmap;
    if (this.access === "readonly") return;
    try { // fails with a permission for the path of libc only
      runtime.checkMemory();
    } catch (error) {
      this.#unmap(this);
      throw viewError(error);
    }
  }

  /** The address of the first page: the result of mmap. */
  get start(): bigint {
    return this.address - BigInt(this.#skip);
  }

  /** The number of bytes from `start` to the end. */
  get span(): bigint {
    return BigInt(this.#skip) + BigInt(this.length);
  }

  /** `span`, rounded up to whole pages. */
  get extent(): bigint {
    return roundUp(this.span, this.#unit);
  }

  /** The memory; of length 0 after `close()`. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ??= this.#createBytes();
  }

  #createBytes(): Uint8Array<ArrayBuffer> {
    if (this.access === "readonly") {
      throw new TypeError(
        `Cannot write to ${this.subject}: it is read-only; use read() to copy ` +
          "its bytes",
      );
    }
    if (this.closed) return new Uint8Array();
    const buffer = runtime.bufferAt(this.address, this.length);
    mappings.set(buffer, this);
    this.#buffer = buffer;
    return new Uint8Array(buffer);
  }

  get closed(): boolean {
    return this.closing.closed;
  }

  /** Whether the ArrayBuffer was transferred, and the memory with it. */
  get transferred(): boolean {
    return this.#buffer?.detached === true && !this.closed;
  }

  /** Whether a call on another thread is using the memory, or something in it is held. */
  get pinned(): boolean {
    return this.#pins > 0 || this.#holders.values().some(isHeld);
  }

  /** Throws a ClosedError if the memory is closed. */
  checkOpen(): void {
    this.closing.checkOpen();
  }

  /** Throws if the memory is closed, or its ArrayBuffer was transferred. */
  checkOwn(): void {
    this.checkOpen();
    if (this.#buffer !== undefined && isDetached(this.#buffer)) {
      throw new TypeError(
        `Cannot use ${this.subject}: its ArrayBuffer was transferred`,
      );
    }
  }

  /** Throws unless other processes can see what this one writes. */
  checkWritable(): void {
    this.checkOwn();
    if (this.access === "shared") return;
    const kind = this.access === "readonly" ? "read-only" : "private";
    throw new TypeError(`Cannot change ${this.subject}: it is mapped ${kind}`);
  }

  /**
   * Fills `target` with bytes of the memory. Unlike accesses to a typed array, the
   * compiler can neither move nor merge calls of libc.
   */
  read(offset: number, target: Uint8Array<ArrayBuffer>): void {
    copyFrom(this.address + BigInt(offset), target);
  }

  /**
   * The same, but memory that another process has truncated is EFAULT. Mapped bytes may
   * overlap, so they are copied twice.
   */
  readChecked(offset: number, target: Uint8Array<ArrayBuffer>): void {
    const other = mappings.get(bufferOf(target));
    if (!this.truncatable && !other?.truncatable) {
      this.read(offset, target);
    } else if (other === undefined) {
      const address = this.address + BigInt(offset);
      readMemory(address, target, this.subject) || this.read(offset, target);
    } else {
      const copy = new Uint8Array(byteLengthOf(target));
      this.readChecked(offset, copy);
      other.writeChecked(byteOffsetOf(target), copy);
    }
  }

  /**
   * The same, and reads the word at an offset before that and after it: in one system
   * call, where it takes any. Returns the two; undefined if that is not possible.
   */
  readBetween(
    word: number,
    offset: number,
    target: Uint8Array<ArrayBuffer>,
  ): Int32Array | undefined {
    if (!this.truncatable || mappings.has(bufferOf(target))) return undefined;
    const { address } = this;
    return readBetween(
      address + BigInt(word),
      address + BigInt(offset),
      target,
    );
  }

  /** Copies bytes into the memory. What another process has truncated is EFAULT. */
  writeChecked(offset: number, source: Uint8Array): void {
    const { bytes } = this; // throws for read-only memory
    const mapping = mappings.get(bufferOf(source));
    const checked = this.truncatable || mapping?.truncatable;
    const own = checked && mapping !== undefined ? copyChecked(source) : source;
    const address = this.address + BigInt(offset);
    if (this.truncatable && writeMemory(address, own, this.subject)) return;
    setBytes(bytes, own, offset);
  }

  /**
   * The offset of the first occurrence of bytes from `offset` on, or -1. What another
   * process has truncated is EFAULT.
   */
  indexOf(offset: number, search: Uint8Array<ArrayBuffer>): number {
    if (byteLengthOf(search) === 0) return offset;
    if (this.truncatable) return this.#indexOfCopied(offset, search);
    const start = this.address + BigInt(offset);
    const found = findIn(start, BigInt(this.length - offset), search);
    return found === 0n ? -1 : Number(BigInt(found) - this.address);
  }

  /** Searches in copies, each of which begins with the end of the one before. */
  #indexOfCopied(from: number, search: Uint8Array<ArrayBuffer>): number {
    const overlap = Math.max(byteLengthOf(search) - 1, 0);
    const size = Math.min(this.length - from, CHUNK + overlap);
    const copy = new Uint8Array(size);
    for (let at = from;; at += size - overlap) {
      const part = copy.subarray(0, Math.min(size, this.length - at));
      this.readChecked(at, part);
      const start = pointerTo(part);
      const found = findIn(start, BigInt(part.length), search);
      if (found !== 0n) return at + Number(BigInt(found) - start);
      if (at + part.length === this.length) return -1;
    }
  }

  /** EFAULT if another process has truncated the word at an address, or it has no space. */
  checkWord(address: bigint): void {
    if (this.truncatable) wordIs(address, 0, this.subject);
  }

  /**
   * EFAULT if another process has truncated the 8 bytes at an address, a multiple of 8, to
   * which something was written already.
   */
  checkUsed(address: bigint): void {
    if (this.truncatable) checkReadable(address, this.subject);
  }

  /** Whether the word at an offset has this value. */
  hasWord(offset: number, value: number): boolean {
    if (!this.truncatable) return this.load(offset) === value;
    this.checkOwn();
    return wordIs(this.address + BigInt(offset), value, this.subject);
  }

  /** `load`, but a word that another process has truncated is EFAULT. */
  loadChecked(offset: number): number {
    if (!this.truncatable) return this.load(offset);
    this.checkOwn();
    const word = new Int32Array(1);
    const bytes = new Uint8Array(word.buffer);
    do this.readChecked(offset, bytes); // perhaps half of a change
     while (!this.hasWord(offset, word[0]!));
    return word[0]!;
  }

  /** `atomic_load`: the word at an offset. Works on read-only memory, too. */
  load(offset: number): number {
    const index = this.#wordAt(offset);
    return Atomics.load(this.#words!, index);
  }

  /**
   * `atomic_fetch_or`, `atomic_fetch_add`: changes the word at an offset. What another
   * process has truncated is EFAULT.
   */
  change(offset: number, operation: WordOperation, operand: number): void {
    const index = this.#wordAt(offset);
    void this.bytes; // throws for read-only memory
    if (this.truncatable) {
      const address = this.address + BigInt(offset);
      changeWord(address, operation, operand, this.subject);
    } else Atomics[operation](this.#words!, index, operand);
  }

  /**
   * The index of a word in `#words`. That array begins with the first page, so that an
   * odd offset in a file does not misalign it. Over read-only memory it is safe because
   * it is never handed out.
   */
  #wordAt(offset: number): number {
    this.checkOwn();
    const index = (this.#skip + offset) / WORD;
    if (!Number.isInteger(index)) {
      throw new RangeError(
        `Argument "offset" must be that of an aligned word of ${WORD} bytes: ${offset}`,
      );
    }
    this.#words ??= new Int32Array(
      runtime.bufferAt(
        this.start,
        Math.floor((this.#skip + this.length) / WORD) * WORD,
      ),
    );
    return index;
  }

  /**
   * Keeps the memory mapped while a call on another thread uses its address, even if
   * it is closed meanwhile. Returns a function that ends that, to be called once.
   */
  pin(): () => void {
    this.addPin();
    return () => this.removePin();
  }

  /** The same, without a function for each: call `removePin` once for each call. */
  addPin(): void {
    this.#pins++;
  }

  /** Takes back one `addPin`. */
  removePin(): void {
    this.#pins--;
    this.unmapIfUnused();
  }

  /**
   * Keeps the memory mapped while something in it is held, even if it is closed
   * meanwhile. When that is given back, call `unmapIfUnused`.
   */
  addHolder(holder: Holder): void {
    this.#holders.add(holder);
  }

  /** Takes back `addHolder`, for something that cannot be held any more. */
  removeHolder(holder: Holder): void {
    this.#holders.delete(holder);
  }

  /**
   * `mremap(start, 0, ...)`: maps the same memory once more. Returns the address of the
   * second mapping, which is unmapped independently.
   */
  duplicate(): bigint {
    const skip = this.address - this.start;
    const { mremap } = sysMman();
    const start = mremap(this.start, 0n, this.span, MREMAP_MAYMOVE);
    return checkAddress(start, "mremap", this.subject) + skip;
  }

  /**
   * Detaches the buffer, so that all its views have length 0, and unmaps the memory.
   * The addresses of a buffer are retired: calls on other threads may still use them.
   *
   * @throws {Error} If the buffer was transferred. Its new owner uses the memory, so
   * it stays mapped until the process ends.
   */
  close(): void {
    if (this.closed) return;
    this.closing.close();
    for (const holder of this.#holders) holder.closed();
    this.#words = undefined;
    if (this.#buffer !== undefined && isDetached(this.#buffer)) {
      this.#pins = Infinity;
      throw new Error(
        `Cannot unmap ${this.subject}: its ArrayBuffer was transferred, so ` +
          "the memory stays mapped until the process ends",
      );
    }
    if (this.#buffer !== undefined) detach(this.#buffer);
    this.unmapIfUnused();
  }

  /** Whether calls on other threads may use the addresses: a buffer was handed out. */
  get hasBuffer(): boolean {
    return this.#buffer !== undefined;
  }

  /**
   * Detaches the buffer, and gives the first `left` bytes to another mapping. The pages
   * behind them, if they are still mapped, are replaced without a moment in between.
   */
  release(left: bigint): void {
    this.closing.close();
    for (const holder of this.#holders) holder.closed();
    this.#words = undefined;
    if (this.#buffer !== undefined) detach(this.#buffer);
    const kept = roundUp(left, this.#unit);
    const rest = this.extent - kept;
    if (rest <= 0n) return;
    if (this.hasBuffer && retire(this.start + kept, rest)) return;
    sysMman().munmap(this.start + kept, rest);
  }

  /** Unmaps the memory if it is closed, and nothing uses it any more. */
  unmapIfUnused(): void {
    if (!this.closed || this.pinned) return;
    this.#holders.clear();
    if (this.#buffer !== undefined && retire(this.start, this.extent)) return;
    this.#unmap(this);
  }
}

/** `copyOf`, but memory that another process has truncated is EFAULT. */
export function copyChecked(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const mapping = mappings.get(bufferOf(bytes));
  if (!mapping?.truncatable) return copyOf(bytes);
  const copy = new Uint8Array(byteLengthOf(bytes));
  mapping.readChecked(byteOffsetOf(bytes), copy);
  return copy;
}

/** The address of bytes, and their mapping. */
export interface Place {
  readonly mapping: Mapping;
  readonly address: bigint;
}

/** Finds the mapping of bytes; `name` is the argument named in error messages. */
export function placeOf(name: string, bytes: Uint8Array): Place {
  const buffer = bufferOf(bytes);
  const mapping = mappings.get(buffer);
  if (mapping === undefined) {
    throw new TypeError(
      `Argument "${name}" must be bytes of shared memory or of a memory map`,
    );
  }
  mapping.checkOpen();
  if (isDetached(buffer)) {
    throw new TypeError(
      `Argument "${name}" must not belong to a buffer that was transferred`,
    );
  }
  const offset = BigInt(byteOffsetOf(bytes));
  return { mapping, address: mapping.address + offset };
}
