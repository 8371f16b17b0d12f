// The memory of shared memory and of memory maps: one model for all of them.

import {
  bufferOf,
  byteLengthOf,
  checkBytes,
  checkInteger,
  setBytes,
} from "../arguments.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Mapping } from "../kernel/mapping.ts";
import type { Fields, FieldViews, Struct } from "../struct.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { wait, waitSync, wake, type Word } from "./futex.ts";
import { adopt, type MemoryHandle, share } from "./share.ts";

/** The words of a memory, for `Atomics`. */
export interface AtomicWords {
  /** All its 32-bit words, the first one at the beginning. */
  readonly int32: Int32Array<ArrayBuffer>;
  /** All its 64-bit words, the first one at the beginning. */
  readonly bigInt64: BigInt64Array<ArrayBuffer>;
}

/** The mapping behind a memory. For this module alone. */
export let mappingOf: (memory: Memory) => Mapping;
/** Puts another mapping in the place of a memory's. For this module alone. */
export let replaceMapping: (memory: Memory, mapping: Mapping) => void;

const INT_MAX = 0x7fffffff;
const WORD = 8; // bytes: the widest that Atomics know

/**
 * Mapped memory: what `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`
 * have in common.
 *
 * | to                                   | take                                     |
 * | ------------------------------------ | ---------------------------------------- |
 * | work on the memory itself            | {@linkcode Memory.bytes}                 |
 * | work on a C struct in it             | {@linkcode Memory.view}                  |
 * | count, and publish, between processes | {@linkcode Memory.atomics}              |
 * | copy from it or into it              | {@linkcode Memory.read}, {@linkcode Memory.write} |
 * | look through it                      | {@linkcode Memory.indexOf}               |
 * | tell the other side, and be told     | {@linkcode Memory.notify}, {@linkcode Memory.wait} |
 *
 * **Closing** detaches: every array and view of the memory has length 0 then, and
 * is never somebody else's memory. Resizing does the same to the old ones. A
 * memory that is forgotten, and not closed, stays mapped until the process ends,
 * because its views may be alive. Neither an ArrayBuffer that was transferred away
 * (`postMessage`, `transfer`) is ever unmapped.
 *
 * Wait for the calls of others that were given `bytes` before you close it. The
 * calls of this module do that, or copy. Some of the runtime's keep the address
 * (`file.read(memory.bytes)`, `pbkdf2` and `scrypt` of node:crypto): what they have
 * not read by then they read as zeroes, and what they write is lost. Empty pages
 * take the place of up to 16 GiB, or 512 mappings, that a thread has closed last;
 * a call that is still running after that, or under `ulimit -v`, or in a larger
 * mapping, can end the process.
 *
 * **Read-only** memory is mapped without permission to write, so a write to an
 * array over it would end the process with SIGSEGV. It has no arrays, therefore:
 * `read` copies from it, and what would show it (`bytes`, `view`, `atomics`,
 * `write`) is a TypeError. What others write there is seen by the next `read`.
 *
 * @example The four ways to one memory
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 64);
 * memory.remove(); // gone when it is closed
 * memory.bytes[0] = 80;
 * const { int32 } = memory.atomics;
 * assertEquals(Atomics.add(int32, 0, 1), 80);
 * assertEquals(memory.view(struct({ value: i32 })).value, 81);
 * assertEquals(memory.read(0, 4), Uint8Array.of(81, 0, 0, 0));
 * ```
 */
export class Memory implements Disposable {
  #mapping: Mapping;
  #atomics: AtomicWords | undefined;

  /** Made by this module alone. */
  protected constructor(token: typeof internal, mapping: Mapping) {
    checkInternal(token, "Memory", "create(), open() or Memory.adopt()");
    this.#mapping = mapping;
  }

  static {
    mappingOf = (memory) => {
      if (Object(memory) === memory && #mapping in memory) {
        return memory.#mapping;
      }
      throw new TypeError('Argument "memory" must be a Memory');
    };
    replaceMapping = (memory, mapping) => {
      const old = memory.#mapping;
      memory.#mapping = mapping;
      memory.#atomics = undefined;
      old.close();
    };
  }

  /**
   * `void *`: takes over memory that another thread of this process has shared.
   *
   * @param handle What {@linkcode Memory.share} returned there, as it came in a
   * message.
   * @returns The memory, closed by its `close()`.
   * @throws {TypeError} If it is no handle, if it was adopted already, or if there is
   * no such memory on its way in this process.
   *
   * @example A Worker
   * ```ts ignore
   * import { Memory } from "@linux/ipc/shared-memory";
   *
   * self.onmessage = ({ data }) => {
   *   using memory = Memory.adopt(data);
   *   Atomics.add(memory.atomics.int32, 0, 1);
   *   memory.notify(0);
   * };
   * ```
   */
  static adopt(handle: MemoryHandle): Memory {
    return new Memory(internal, adopt(handle));
  }

  /** How many bytes there are; 0 after `close()`. */
  get byteLength(): number {
    return this.#mapping.closed ? 0 : this.#mapping.length;
  }

  /**
   * The memory itself: exactly as long as was asked for, not as its last page.
   * After `close()` its length is 0, and so is that of every array made from it.
   *
   * @throws {TypeError} If the memory is read-only.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#mapping.bytes;
  }

  /**
   * `_Atomic int32_t *`, `_Atomic int64_t *`: the memory as words for
   * `Atomics.load`, `store`, `add`, `compareExchange` and so on, which are those of
   * C's `<stdatomic.h>` in memory_order_seq_cst. What was written before a store,
   * to `bytes` as well, is seen by who has loaded what it stored, or was told by
   * `wait`. (`Atomics.wait` and `Atomics.notify` are not for memory of this kind.)
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If the memory is read-only.
   * @throws {RangeError} If it does not begin at a multiple of 8 bytes, as a memory
   * map with an odd offset: a word across two cache lines is not atomic.
   *
   * @example A counter that loses nothing
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * using map = MemoryMap.anonymous(16);
   * const { bigInt64 } = map.atomics;
   * Atomics.add(bigInt64, 1, 5n); // bytes 8 to 15
   * assertEquals(map.bytes[8], 5);
   * ```
   */
  get atomics(): AtomicWords {
    this.#mapping.checkOwn();
    return this.#atomics ??= wordsOf(this.#mapping);
  }

  /**
   * A C struct in the memory: its fields are read and written in place, one at a
   * time.
   *
   * @param layout The struct, as `struct({...})` declares it.
   * @param offset Where it begins, in bytes.
   * @returns The live view, which fails after `close()`.
   * @throws {RangeError} If the struct does not fit into the memory there.
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If the memory is read-only: there
   * `layout.decode(memory.read(offset, layout.size))` is what can be had.
   *
   * @example A counter in shared memory
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 4);
   * memory.remove(); // gone when it is closed
   * const counter = memory.view(struct({ value: i32 }));
   * counter.value++;
   * assertEquals(memory.bytes, Uint8Array.of(1, 0, 0, 0));
   * ```
   */
  view<F extends Fields>(layout: Struct<F>, offset = 0): FieldViews<F> {
    this.#mapping.checkOwn();
    return layout.view(this.#mapping.bytes, offset);
  }

  /**
   * `memmove(target, memory + offset, length)`: copies bytes out of the memory.
   *
   * @param offset Where to begin, in bytes.
   * @param target How many bytes to read, or an array to fill.
   * @returns The copy: a new array, or the one that was to be filled.
   * @throws {TypeError} If the target is neither a number nor a Uint8Array.
   * @throws {RangeError} If the memory does not have as many bytes there.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/memmove.3.html | memmove(3)}
   */
  read(
    offset: number,
    target: number | Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> {
    this.#mapping.checkOwn();
    const isLength = typeof target === "number";
    if (!isLength) checkBytes("target", target);
    const name = isLength ? "target" : "target.length";
    this.#checkRange(offset, isLength ? target : byteLengthOf(target), name);
    const copy = isLength ? new Uint8Array(target) : target;
    this.#mapping.copyTo(copy, offset);
    return copy;
  }

  /**
   * `memmove(memory + offset, bytes, length)`: copies bytes into the memory. They
   * may be those of another memory, or of another place of this one.
   *
   * @param offset Where to begin, in bytes.
   * @param bytes What to copy.
   * @throws {TypeError} If `bytes` is no Uint8Array, or if the memory is read-only.
   * @throws {RangeError} If the memory does not have as many bytes there. Nothing
   * is written then.
   * @throws {ClosedError} If this object is closed.
   *
   * @example From one memory into another
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using from = MemoryMap.anonymous(8);
   * using to = MemoryMap.anonymous(4);
   * from.bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
   * to.write(1, from.bytes.subarray(4, 7));
   * assertEquals(to.read(0, 4), Uint8Array.of(0, 5, 6, 7));
   * assertThrows(() => to.write(0, from.bytes), RangeError);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/memmove.3.html | memmove(3)}
   */
  write(offset: number, bytes: Uint8Array): void {
    this.#mapping.checkOwn();
    const { bytes: all } = this.#mapping;
    checkBytes("bytes", bytes);
    this.#checkRange(offset, byteLengthOf(bytes), "bytes.length");
    setBytes(all, bytes, offset);
  }

  /**
   * `memmem(memory + offset, size - offset, search, n)`: finds bytes in the memory,
   * of a read-only one, too, without copying it. It blocks this thread until it has
   * looked through, which takes as long as in C, and several times less than
   * `bytes.indexOf()` or a loop does.
   *
   * Where others write at the same time, it may miss what comes and find what goes.
   *
   * @param search One byte from 0 to 255, or some.
   * @param offset Where to begin, in bytes.
   * @returns Where they are, in bytes from the beginning of the memory; -1 if they
   * are nowhere. Of no bytes at all it is `offset`.
   * @throws {TypeError} If `search` is neither a number nor a Uint8Array, or if the
   * memory's ArrayBuffer was transferred.
   * @throws {RangeError} If `search` is a number and no byte, or if the offset is out
   * of range.
   * @throws {ClosedError} If this object is closed.
   *
   * @example The lines of a log, one after another
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = await Deno.makeTempFile();
   * await Deno.writeTextFile(path, "one\ntwo\nthree\n");
   * using log = MemoryMap.open(path, { readonly: true });
   * const lines = [];
   * const newline = "\n".charCodeAt(0);
   * for (let at = 0, end; (end = log.indexOf(newline, at)) !== -1; at = end + 1) {
   *   lines.push(new TextDecoder().decode(log.read(at, end - at)));
   * }
   * assertEquals(lines, ["one", "two", "three"]);
   * await Deno.remove(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/memmem.3.html | memmem(3)}
   */
  indexOf(search: number | Uint8Array<ArrayBuffer>, offset = 0): number {
    this.#mapping.checkOwn();
    const isByte = typeof search === "number";
    if (isByte) checkInteger("search", search, 0, 255, "a byte");
    else checkBytes("search", search);
    this.#checkRange(offset, 0, "offset");
    const bytes = isByte ? Uint8Array.of(search) : search;
    return this.#mapping.indexOf(bytes, offset);
  }

  /**
   * `futex(address, FUTEX_WAKE, count)`: wakes those who wait for a word of this
   * memory to change, in any process. Change the word first, with `Atomics`.
   *
   * @param offset Where the word is, in bytes: a multiple of 4.
   * @param count At most how many to wake.
   * @returns How many were woken. Those who wait by looking again and again are
   * not counted.
   * @throws {RangeError} If there is no word in this place, or the count is no
   * integer of at least 0, or Infinity.
   * @throws {TypeError} If the memory is private.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  notify(offset: number, count = Infinity): number {
    if (count !== Infinity) checkInteger("count", count, 0, INT_MAX, "int");
    return wake(this.#mapping, offset, Math.min(count, INT_MAX));
  }

  /**
   * `futex(address, FUTEX_WAIT, value, ...)`, waiting without blocking the thread
   * as long as a 32-bit word of this memory has this value. Whoever changes it calls
   * {@linkcode Memory.notify} then, or in C `futex(address, FUTEX_WAKE, ...)`
   * without FUTEX_PRIVATE_FLAG.
   *
   * The call blocks on another thread, for at most 50 milliseconds at a time; that
   * late an end by the signal, the timeout or `close()` may come. At most four
   * waits of this kind have a thread; the others look again every 20 milliseconds.
   *
   * @param offset Where the word is, in bytes: a multiple of 4.
   * @param value The value to wait with, as an `int32_t`.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The value that the word has instead.
   * @throws {RangeError} If there is no word in this place, or the value is no
   * 32-bit integer.
   * @throws {TypeError} If the memory is private: nobody else can change it.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example It is known when to read
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 64);
   * memory.remove(); // gone when everybody has closed it
   * const ready = memory.wait(0, 0); // mostly in another process
   *
   * memory.bytes[4] = 80;
   * Atomics.store(memory.atomics.int32, 0, 1);
   * memory.notify(0);
   * assertEquals(await ready, 1);
   * assertEquals(memory.bytes[4], 80);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  async wait(
    offset: number,
    value: number,
    options?: WaitOptions,
  ): Promise<number> {
    const limits = limitsOf(options);
    checkWord(value);
    return await wait(wordOf(this, offset), value | 0, limits);
  }

  /**
   * `futex(address, FUTEX_WAIT, value, ...)`, blocking this thread as long as a
   * 32-bit word of this memory has this value.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param offset Where the word is, in bytes: a multiple of 4.
   * @param value The value to wait with, as an `int32_t`.
   * @param options `timeout` in milliseconds.
   * @returns The value that the word has instead.
   * @throws {RangeError} If there is no word in this place, or the value is no
   * 32-bit integer.
   * @throws {TypeError} If the memory is private: nobody else can change it.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  waitSync(offset: number, value: number, options?: SyncWaitOptions): number {
    const deadline = deadlineOf(options);
    checkWord(value);
    return waitSync(wordOf(this, offset), value | 0, deadline);
  }

  /**
   * `mremap(address, 0, length, MREMAP_MAYMOVE)`: maps the memory once more, for
   * another thread of this process, which adopts it. The two are closed each for
   * itself, so neither takes memory away from the other. (To pass `bytes.buffer`
   * itself would take it away from here.)
   *
   * A handle that nobody adopts stays mapped until the process ends; to give one up,
   * adopt and close it.
   *
   * @returns The handle, for one `postMessage` and one {@linkcode Memory.adopt}.
   * @throws {TypeError} If the memory is private.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM if there are not as many addresses; EINVAL for huge
   * pages.
   *
   * @example To a Worker, or here to oneself
   * ```ts
   * import { Memory, MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const map = MemoryMap.anonymous(64);
   * const handle = structuredClone(map.share()); // what postMessage does
   * using other = Memory.adopt(handle);
   * map.bytes[0] = 80;
   * map.close();
   * assertEquals(other.bytes[0], 80);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mremap.2.html | mremap(2)}
   */
  share(): MemoryHandle {
    return share(this.#mapping);
  }

  /**
   * `munmap(address, length)`, or `shmdt(address)`: gives the memory back. Every
   * array and view of it has length 0 then. What it was mapped from stays. Closing
   * twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: the memory
   * stays mapped until the process ends, because somebody may be using it.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/munmap.2.html | munmap(2)}
   */
  close(): void {
    this.#mapping.close();
  }

  /** Closes this object. */
  [Symbol.dispose](): void {
    this.close();
  }

  #checkRange(offset: number, length: number, name: string): void {
    const size = this.#mapping.length;
    const { subject } = this.#mapping;
    checkInteger("offset", offset, 0, size, `the size of ${subject}`);
    const left = size - offset;
    checkInteger(name, length, 0, left, `what ${subject} has from there`);
  }
}

/** A word, wherever the memory is by then. For this module alone. */
export function wordOf(memory: Memory, offset: number): Word {
  return {
    offset,
    get mapping() {
      return mappingOf(memory);
    },
  };
}

/** A value of 32 bits, signed or not. */
function checkWord(value: unknown): asserts value is number {
  const origin = "int32_t, or the same 32 bits unsigned";
  checkInteger("value", value, -0x80000000, 0xffffffff, origin);
}

function wordsOf(mapping: Mapping): AtomicWords {
  const buffer = bufferOf(mapping.bytes);
  if (mapping.address % BigInt(WORD) !== 0n) {
    throw new RangeError(
      `Cannot use Atomics on ${mapping.subject}: it does not begin at a multiple ` +
        `of ${WORD} bytes`,
    );
  }
  const length = mapping.length;
  return Object.freeze({
    int32: new Int32Array(buffer, 0, Math.floor(length / 4)),
    bigInt64: new BigInt64Array(buffer, 0, Math.floor(length / WORD)),
  });
}
