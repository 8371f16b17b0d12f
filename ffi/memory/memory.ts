// Mapped memory: what shared memory and memory maps have in common.

import {
  bufferOf,
  byteLengthOf,
  checkBytes,
  checkInteger,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { copyChecked, type Mapping } from "../kernel/mapping.ts";
import type { Fields, FieldViews, Struct } from "../struct.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { wait, waitSync, wake, type Word } from "./futex.ts";
import {
  adviceOf,
  lock,
  madvise,
  type MemoryAdvice,
  type Pages,
  pagesOf,
  populate,
  residency,
  unlock,
} from "./pages.ts";
import { checkRange, type RangeOptions } from "./range.ts";
import { adopt, type MemoryHandle, share } from "./share.ts";

/** The words of a memory, for `Atomics`. */
export interface AtomicWords {
  /** The memory as 32-bit words. */
  readonly int32: Int32Array<ArrayBuffer>;
  /** The memory as 64-bit words. */
  readonly bigInt64: BigInt64Array<ArrayBuffer>;
}

/** The mapping of a memory. Internal to this package. */
export let mappingOf: (memory: Memory) => Mapping;
/** Replaces the mapping of a memory. Internal to this package. */
export let replaceMapping: (memory: Memory, mapping: Mapping) => void;

const INT_MAX = 0x7fffffff;
const WORD = 8; // bytes: the widest word of Atomics

/**
 * Mapped memory: the base of `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`.
 *
 * | to                                     | use                                      |
 * | -------------------------------------- | ---------------------------------------- |
 * | access the memory itself               | {@linkcode Memory.prototype.bytes Memory.bytes} |
 * | access a C struct in place             | {@linkcode Memory.prototype.view Memory.view} |
 * | count, and publish, between processes  | {@linkcode Memory.prototype.atomics Memory.atomics} |
 * | copy                                   | {@linkcode Memory.prototype.read Memory.read}, {@linkcode Memory.prototype.write Memory.write} |
 * | search                                 | {@linkcode Memory.prototype.indexOf Memory.indexOf} |
 * | wait for a change, and wake waiters    | {@linkcode Memory.prototype.wait Memory.wait}, {@linkcode Memory.prototype.notify Memory.notify} |
 * | load pages, or keep them loaded        | {@linkcode Memory.prototype.populate Memory.populate}, {@linkcode Memory.prototype.lock Memory.lock} |
 *
 * Where a method takes an offset in the memory, that is its first argument. (`indexOf`
 * has the arguments of `Array.prototype.indexOf`.)
 *
 * **Closing** detaches all arrays and views of the memory: their length is 0 from then
 * on, and they never show other memory. Resizing does the same to the old ones. A
 * memory that is garbage-collected without being closed stays mapped until the process
 * ends, because its views may be in use. An ArrayBuffer that was transferred
 * (`postMessage`, `transfer`) is never unmapped either.
 *
 * **Finish all other I/O into the memory before closing it.** Methods of this package
 * either copy, or keep the memory mapped until they end. Some APIs of the runtime keep
 * the address of `bytes` while they run on another thread: `file.read(memory.bytes)`,
 * and `pbkdf2` and `scrypt` of node:crypto. JavaScript cannot tell when they are done.
 * If the memory is closed or resized meanwhile, they read zeroes, and what they write
 * is lost: empty pages replace the memory, for up to 16 GiB or 512 mappings that a
 * thread has closed last. The process can end with SIGSEGV if such a call is still
 * running after that, under `ulimit -v`, or with larger mappings.
 *
 * **Truncation.** If another process truncates the file of a mapping, an access of
 * JavaScript beyond its new end (through `bytes`, `view` or `atomics`) ends this process
 * with SIGBUS. The same happens where a hole of the file is accessed and there is no
 * space left, or where its device fails. The methods that copy, search, wait or load
 * throw an `IpcError` instead, EFAULT, and so do a {@linkcode SequenceCell} and a
 * semaphore in the memory. Before that they may have copied a part.
 *
 * For that the kernel copies, which takes a few microseconds more, and about twice the
 * time for large copies. Memory that cannot be truncated is copied as fast as `memmove`:
 * a System V segment, memory without a file, and a `MemoryFile` that was sealed against
 * shrinking before it was mapped. (Where a seccomp filter forbids `process_vm_readv` and
 * `process_vm_writev`, the methods that copy or search are not protected.)
 *
 * **Read-only** memory has no arrays, because a write to one would end the process with
 * SIGSEGV: `bytes`, `view`, `atomics` and `write` throw a TypeError. `read` copies from
 * it, and returns what other processes have written.
 *
 * @example Four ways to access one memory
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { i32, struct } from "@linux/ipc/struct";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 64);
 * memory.remove(); // destroyed when it is closed
 * memory.bytes[0] = 80;
 * const { int32 } = memory.atomics;
 * assertEquals(Atomics.add(int32, 0, 1), 80);
 * assertEquals(memory.view(0, struct({ value: i32 })).value, 81);
 * assertEquals(memory.read(0, 4), Uint8Array.of(81, 0, 0, 0));
 * ```
 */
export class Memory implements Disposable {
  #mapping: Mapping;
  #atomics: AtomicWords | undefined;

  /**
   * Internal: use the static methods.
   *
   * @ignore
   */
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
      mapping.closing.liveness = old.closing.liveness;
      memory.#mapping = mapping;
      memory.#atomics = undefined;
      old.close();
    };
  }

  /**
   * `void *`: takes ownership of memory that another thread of this process has shared.
   *
   * @param handle The result of {@linkcode Memory.prototype.share | Memory.share}, as it
   * came in a message.
   * @returns The memory. Close it with `close()`.
   * @throws {TypeError} If it is not a handle, if it was adopted already, or if no
   * thread of this process has shared such memory.
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

  /** The size of the mapping in bytes; 0 after `close()`. */
  get byteLength(): number {
    return this.#mapping.closed ? 0 : this.#mapping.length;
  }

  /**
   * The memory itself.
   *
   * Its length is exactly the one asked for, and does not include the rest of the last
   * page. After `close()` its length is 0, as is that of every array over its buffer.
   *
   * @throws {TypeError} If the memory is read-only.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#mapping.bytes;
  }

  /**
   * `_Atomic int32_t *`, `_Atomic int64_t *`: the memory as words for `Atomics.load`,
   * `store`, `add`, `compareExchange` and so on, which are those of C's `<stdatomic.h>`
   * with memory_order_seq_cst.
   *
   * A store publishes all earlier writes, those to `bytes` included, to any process that
   * loads the stored value or is woken by `wait`. (`Atomics.wait` and `Atomics.notify` do
   * not work on mapped memory.)
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If the memory is read-only.
   * @throws {RangeError} If it does not begin at a multiple of 8 bytes, as a memory map
   * with an odd offset: a word across two cache lines is not atomic.
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
   * `(struct T *) (memory + offset)`: a C struct in the memory, whose fields are read
   * and written in place, one at a time.
   *
   * @param offset The position of the struct, in bytes.
   * @param layout The struct, as declared with `struct({...})`.
   * @returns The live view. It throws after `close()`.
   * @throws {RangeError} If the struct does not fit into the memory there.
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If the memory is read-only. Use
   * `layout.decode(memory.read(offset, layout.size))` instead.
   *
   * @example A counter in shared memory
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 4);
   * memory.remove(); // destroyed when it is closed
   * const counter = memory.view(0, struct({ value: i32 }));
   * counter.value++;
   * assertEquals(memory.bytes, Uint8Array.of(1, 0, 0, 0));
   * ```
   */
  view<F extends Fields>(offset: number, layout: Struct<F>): FieldViews<F> {
    this.#mapping.checkOwn();
    return layout.view(this.#mapping.bytes, offset);
  }

  /**
   * `memmove(target, memory + offset, length)`: copies bytes out of the memory.
   *
   * @param offset The position of the first byte.
   * @param target The number of bytes to read, or an array to fill.
   * @returns The copy: a new array, or the one that was filled.
   * @throws {TypeError} If the target is neither a number nor a Uint8Array.
   * @throws {RangeError} If the memory does not have that many bytes there.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory,
   * or of the target.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/memmove.3.html | memmove(3)}
   * @see {@link https://man7.org/linux/man-pages/man2/process_vm_readv.2.html | process_vm_readv(2)}
   */
  read(
    offset: number,
    target: number | Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> {
    this.#mapping.checkOwn();
    const isLength = typeof target === "number";
    if (!isLength) checkBytes("target", target);
    const name = isLength ? "target" : "target.length";
    this.#checkInside(offset, isLength ? target : byteLengthOf(target), name);
    const copy = isLength ? new Uint8Array(target) : target;
    this.#mapping.readChecked(offset, copy);
    return copy;
  }

  /**
   * `memmove(memory + offset, bytes, length)`: copies bytes into the memory. They may
   * belong to another memory, or overlap with the destination.
   *
   * @param offset The position of the first byte.
   * @param bytes The bytes to copy.
   * @throws {TypeError} If `bytes` is not a Uint8Array, or if the memory is read-only.
   * @throws {RangeError} If the memory does not have that many bytes there. Nothing is
   * written then.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory,
   * or that of `bytes`.
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
    checkBytes("bytes", bytes);
    this.#checkInside(offset, byteLengthOf(bytes), "bytes.length");
    this.#mapping.writeChecked(offset, bytes);
  }

  /**
   * `memmem(memory + from, length - from, search, n)`: finds bytes in the memory.
   *
   * Works on read-only memory, too. It blocks this thread during the search, and is
   * several times faster than `bytes.indexOf()` or a loop. Memory that can be truncated
   * is searched in copies of 64 KiB.
   *
   * While other processes write, it may miss new bytes, and find old ones.
   *
   * @param search One byte from 0 to 255, or several bytes.
   * @param from The offset at which the search begins, in bytes.
   * @returns The offset of the first occurrence, from the beginning of the memory; -1
   * if there is none. For a `search` of length 0 it is `from`.
   * @throws {TypeError} If `search` is neither a number nor a Uint8Array, or if the
   * memory's ArrayBuffer was transferred.
   * @throws {RangeError} If `search` is a number but not a byte, or if `from` is out of
   * range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file of the memory,
   * or of `search`.
   *
   * @example The lines of a log
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
  indexOf(search: number | Uint8Array, from = 0): number {
    this.#mapping.checkOwn();
    const isByte = typeof search === "number";
    if (isByte) checkInteger("search", search, 0, 255, "a byte");
    else checkBytes("search", search);
    this.#checkInside(from, 0, "from", "from");
    const bytes = isByte ? Uint8Array.of(search) : copyChecked(search);
    return this.#mapping.indexOf(from, bytes);
  }

  /**
   * `futex(address, FUTEX_WAKE, count)`: wakes the waiters of a word of this memory, in
   * any process. Change the word first, with `Atomics`.
   *
   * @param offset The position of the word, in bytes: a multiple of 4.
   * @param count The maximum number of waiters to wake.
   * @returns The number of waiters that were woken. Waiters that poll are not counted.
   * @throws {RangeError} If there is no word at this offset, or the count is neither an
   * integer of at least 0 nor Infinity.
   * @throws {TypeError} If the memory is private.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file there.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/futex.2.html | futex(2)}
   */
  notify(offset: number, count: number = Infinity): number {
    if (count !== Infinity) checkInteger("count", count, 0, INT_MAX, "int");
    return wake(this.#mapping, offset, Math.min(count, INT_MAX));
  }

  /**
   * `futex(address, FUTEX_WAIT, value, ...)`: waits, without blocking the thread, while a
   * 32-bit word of this memory has this value.
   *
   * The process that changes the word calls
   * {@linkcode Memory.prototype.notify | Memory.notify} afterwards, or in C
   * `futex(address, FUTEX_WAKE, ...)` without FUTEX_PRIVATE_FLAG.
   *
   * Waits share threads of the runtime's blocking pool: one serves up to 127 of them
   * (since Linux 5.16). A truncation ends the wait within 50 milliseconds.
   *
   * @param offset The position of the word, in bytes: a multiple of 4.
   * @param value The value of the word while waiting, as an `int32_t`.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The new value of the word.
   * @throws {RangeError} If there is no word at this offset, or the value is not a
   * 32-bit integer.
   * @throws {TypeError} If the memory is private: no other process can change it.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {IpcError} EFAULT if another process has truncated the file there, now or
   * during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Waiting for data
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 64);
   * memory.remove(); // destroyed when all processes have closed it
   * const ready = memory.wait(0, 0); // usually in another process
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
   * `futex(address, FUTEX_WAIT, value, ...)`: blocks this thread while a 32-bit word of
   * this memory has this value.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param offset The position of the word, in bytes: a multiple of 4.
   * @param value The value of the word while waiting, as an `int32_t`.
   * @param options `timeout` in milliseconds.
   * @returns The new value of the word.
   * @throws {RangeError} If there is no word at this offset, or the value is not a
   * 32-bit integer.
   * @throws {TypeError} If the memory is private: no other process can change it.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if another process has truncated the file there. A
   * truncation does not end a wait that has begun.
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
   * `madvise(address, length, MADV_...)`: tells the kernel how the memory will be used.
   * No advice changes the contents.
   *
   * | advice                      | meaning                                       |
   * | --------------------------- | --------------------------------------------- |
   * | `normal`                    | no particular use: the default                |
   * | `sequential`, `random`      | the order of accesses, for reading ahead      |
   * | `willneed`                  | used soon: begin to load it                   |
   * | `cold`, `pageout`           | not used soon: reclaim it first, or now       |
   * | `hugepage`, `nohugepage`    | whether to use huge pages if possible         |
   * | `dontdump`, `dodump`        | whether core dumps contain it                 |
   *
   * @param advice The advice.
   * @param range The part of the memory that it applies to; all of it, if absent.
   * @throws {TypeError} If there is no such advice.
   * @throws {RangeError} If the range does not lie inside the memory.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if this kernel, or this kind of memory, does not support
   * the advice; EIO, EAGAIN, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/madvise.2.html | madvise(2)}
   */
  advise(advice: MemoryAdvice, range?: RangeOptions): void {
    const code = adviceOf(advice);
    madvise(this.#pages(range), code);
  }

  /**
   * `madvise(address, length, MADV_POPULATE_WRITE)`, or `MADV_POPULATE_READ` for
   * read-only memory: loads the pages, so that later accesses do not wait.
   *
   * Conditions for which an access would end the process with SIGBUS are errors here: no
   * space, or a truncated file.
   *
   * @param range The part of the memory to load; all of it, if absent.
   * @throws {RangeError} If the range does not lie inside the memory.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if a page cannot be loaded, such as one beyond the end of
   * a truncated file; ENOMEM, also if a memory cgroup of this process lacks 16 MiB or
   * more of the memory (if other processes take it meanwhile, the kernel sends SIGKILL);
   * EINVAL before Linux 5.14.
   *
   * @example No page fault in the time-critical part
   * ```ts
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assert } from "@std/assert";
   *
   * using memory = PosixSharedMemory.create(null, 65536);
   * PosixSharedMemory.unlink(memory.name);
   * memory.populate();
   * assert(memory.residency().every((page) => page === 1));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/madvise.2.html | madvise(2)}
   */
  populate(range?: RangeOptions): void {
    populate(this.#pages(range));
  }

  /**
   * `mlock(address, length)`: loads the pages and keeps them in memory, never swapped
   * out, until `unlock()`, `close()`, or a change of the mapping such as `resize()`.
   *
   * @param range The part of the memory to lock; all of it, if absent.
   * @throws {RangeError} If the range does not lie inside the memory.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM, EPERM or EAGAIN if this process may not lock as much
   * (RLIMIT_MEMLOCK, `ulimit -l`); ENOMEM if a memory cgroup does not have as much, and
   * EFAULT if a page cannot be loaded, as with `populate`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mlock.2.html | mlock(2)}
   */
  lock(range?: RangeOptions): void {
    lock(this.#pages(range));
  }

  /**
   * `munlock(address, length)`: allows the pages to be swapped out again.
   *
   * @param range The part of the memory to unlock; all of it, if absent.
   * @throws {RangeError} If the range does not lie inside the memory.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mlock.2.html | munlock(2)}
   */
  unlock(range?: RangeOptions): void {
    unlock(this.#pages(range));
  }

  /**
   * `mincore(address, length, ...)`: tells which pages are in memory now, so that an
   * access reads nothing from the device.
   *
   * @param range The part of the memory to look at; all of it, if absent.
   * @returns One number for each page of the range, in order: 1 if it is in memory, 0
   * if not. (Without permission to write to the file, the kernel always reports 1.)
   * @throws {RangeError} If the range does not lie inside the memory.
   * @throws {ClosedError} If this object is closed.
   *
   * @example The pages that were accessed
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * using map = MemoryMap.anonymous(3 * 65536);
   * map.bytes[65536] = 1;
   * assertEquals(map.residency({ offset: 65536, length: 1 }), Uint8Array.of(1));
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mincore.2.html | mincore(2)}
   */
  residency(range?: RangeOptions): Uint8Array<ArrayBuffer> {
    return residency(this.#pages(range));
  }

  /**
   * `mremap(address, 0, length, MREMAP_MAYMOVE)`: maps the memory once more, for another
   * thread of this process, which adopts it.
   *
   * The two mappings are closed independently. (Posting `bytes.buffer` itself would take
   * the memory away from this thread.)
   *
   * A handle that is not adopted stays mapped until the process ends. To discard one,
   * adopt it and close it.
   *
   * @returns The handle, for one `postMessage` and one {@linkcode Memory.adopt}.
   * @throws {TypeError} If the memory is private.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM if there is no room in the address space; EINVAL for huge
   * pages.
   *
   * @example To a Worker, or within one thread
   * ```ts
   * import { Memory, MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const map = MemoryMap.anonymous(64);
   * const handle = structuredClone(map.share()); // as postMessage does
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
   * Keeps the program alive while waits of this memory are pending. This is the default.
   */
  ref(): void {
    this.#mapping.closing.liveness.ref();
  }

  /** Lets the program end while waits of this memory are pending. */
  unref(): void {
    this.#mapping.closing.liveness.unref();
  }

  /**
   * `munmap(address, length)`, or `shmdt(address)`: unmaps the memory. All its arrays
   * and views have length 0 from then on. The mapped object stays. Closing twice does
   * nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: its new owner may
   * use the memory, so it stays mapped until the process ends.
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

  static {
    inspectAs(this, (memory) => memory.#state);
  }

  get #state(): { byteLength: number; closed: boolean } {
    return { byteLength: this.byteLength, closed: this.#mapping.closed };
  }

  #pages(options: RangeOptions | undefined): Pages {
    const range = checkRange(options);
    return pagesOf(this.#mapping, range);
  }

  #checkInside(
    offset: number,
    length: number,
    name: string,
    offsetName = "offset",
  ): void {
    const { length: size, subject } = this.#mapping;
    checkInteger(offsetName, offset, 0, size, `the size of ${subject}`);
    const left = size - offset;
    checkInteger(name, length, 0, left, `the bytes of ${subject} from there`);
  }
}

/** A word of a memory, wherever its mapping is. Internal to this package. */
export function wordOf(memory: Memory, offset: number): Word {
  return {
    offset,
    get mapping() {
      return mappingOf(memory);
    },
  };
}

/** Checks a 32-bit value, signed or unsigned. */
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
