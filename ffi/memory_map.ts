/**
 * Memory maps: `mmap(2)`, a file as bytes in memory.
 *
 * **Choose a memory map** when processes share persistent data, or when a program reads
 * or changes parts of a large file: only the accessed pages are loaded. All processes
 * that map a file share the same memory.
 *
 * **Choose something else** to read a small file once (`Deno.readFile` is simpler and
 * faster; for one of many megabytes a map is faster), or when no file is needed (shared
 * memory).
 *
 * **Truncation.** If another process truncates the file, an access of JavaScript beyond
 * its new end ends this process with SIGBUS; `read`, `write`, `indexOf` and `wait` throw
 * an `IpcError` instead. Use `bytes`, `view` and `atomics` with files whose users agree
 * not to shrink them; a `MemoryFile` can be sealed against it. The same happens when a
 * hole of the file is accessed and the disk is full. `create` and `resize` leave no hole
 * unless asked to.
 *
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "hello\n");
 * {
 *   using map = MemoryMap.open(path);
 *   map.bytes[0] = "H".charCodeAt(0);
 *   map.flushSync(); // to the disk, not only to the memory that all processes share
 * }
 * console.log(await Deno.readTextFile(path)); // Hello
 * await Deno.remove(path);
 * ```
 *
 * @module
 */

import { checkBytes, checkSize, cPath, viewOf } from "./arguments.ts";
import { inspectAs } from "./inspect_object.ts";
import { checkInternal, internal } from "./internal.ts";
import { checkMemory } from "./kernel/cgroup.ts";
import { Descriptor } from "./kernel/descriptor.ts";
import { type FromFdOptions, subjectOf } from "./kernel/descriptor_owner.ts";
import { type Access, copyChecked, Mapping } from "./kernel/mapping.ts";
import { readProc } from "./kernel/proc.ts";
import {
  check,
  checkAddress,
  checkRetrying,
  EFAULT,
  EIO,
  errno,
  ipcError,
  isNoAddress,
} from "./libc/errno.ts";
import {
  F_DUPFD_CLOEXEC,
  fcntl,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
} from "./libc/fcntl.ts";
import {
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  MS_SYNC,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "./libc/sys_mman.ts";
import { pageSize, unistd } from "./libc/unistd.ts";
import {
  createRequest,
  deadlineToOpen,
  DEFAULT_MODE,
  type MapCreateOptions,
  mapFile,
  mapNew,
  type MapOpenOptions,
  type MapOptions,
  type MappableFile,
  mapPart,
  type MapRequest,
  mapRequest,
  regularStatus,
  resizeFile,
  type ResizeOptions,
  type ResizeRequest,
  resizeRequest,
  sizeOf,
  waitForSize,
  waitForSizeSync,
} from "./memory/file.ts";
import { mappingOf, Memory, replaceMapping } from "./memory/memory.ts";
import { pagesOf } from "./memory/pages.ts";
import { checkRange, rangeIn, type RangeOptions } from "./memory/range.ts";
import { limitsOf, NO_LIMITS, type WaitOptions } from "./wait/options.ts";
import { WaiterQueue } from "./wait/waiters.ts";

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
export type {
  /** Options of `fromFd()`. */
  FromFdOptions,
} from "./kernel/descriptor_owner.ts";
export type {
  /** Options of `create()` of `MemoryMap` and `PosixSharedMemory`. */
  MapCreateOptions,
  /** Options of `open()` of `MemoryMap` and `PosixSharedMemory`. */
  MapOpenOptions,
  /** Options of a mapping: its range of the file, and its access. */
  MapOptions,
  /** Options of `resize()`. */
  ResizeOptions,
} from "./memory/file.ts";
export {
  /** The words of a memory, for `Atomics`. */
  type AtomicWords,
  /**
   * Mapped memory: the base of `SysvSharedMemory`, `PosixSharedMemory` and `MemoryMap`.
   */
  Memory,
} from "./memory/memory.ts";
export type {
  /** How memory will be used, for `Memory.advise`: `MADV_...`. */
  MemoryAdvice,
} from "./memory/pages.ts";
export type {
  /** A range of bytes in a file, or in a mapping. */
  RangeOptions,
} from "./memory/range.ts";
export {
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) uint8_t value[size]; }`: bytes in
   * memory with one writer, and readers that get consistent copies.
   */
  SequenceBytes,
  /** Options of `SequenceBytes.read` and its siblings. */
  type SequenceBytesReadOptions,
} from "./memory/sequence_bytes.ts";
export {
  /**
   * `struct { _Atomic uint32_t sequence; alignas(8) T value; }`: a struct in memory
   * with one writer, and readers that get consistent copies: a sequence lock.
   */
  SequenceCell,
} from "./memory/sequence_cell.ts";
export type {
  /**
   * Memory on its way to another thread: the result of `Memory.share`, for one
   * `postMessage` and one `Memory.adopt`.
   */
  MemoryHandle,
} from "./memory/share.ts";
export type {
  /**
   * A C type: its size, its alignment, and how its values move between JavaScript and
   * memory.
   */
  CType,
  /** The declaration of a struct or a union: its fields, in the order of C. */
  Fields,
  /** The value of a struct or a union with these fields: a plain object. */
  FieldValues,
  /** The live view of a struct or a union with these fields. */
  FieldViews,
  /**
   * A C struct, made by `struct()`: its layout, and the conversions between its bytes
   * and JavaScript values.
   */
  Struct,
} from "./struct.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";

/** Options of the methods that open a {@linkcode MemoryMap}. */
export interface ResizableOptions {
  /**
   * Keeps a descriptor of the file, which `resize`, `append`, `moveTo` and `size` need.
   *
   * @default {false}
   */
  resizable?: boolean | undefined;
}

/** Options of {@linkcode MemoryMap.anonymous}. */
export interface MemoryMapAnonymousOptions {
  /**
   * `MAP_PRIVATE`: the memory can be resized, but not shared with a Worker.
   *
   * @default {false}
   */
  private?: boolean | undefined;
  /**
   * `MAP_HUGETLB`: takes huge pages, as many as the size needs, from those reserved in
   * /proc/sys/vm/nr_hugepages.
   *
   * (`advise("hugepage")` uses huge pages that are free without a reservation.)
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
  /**
   * `MAP_POPULATE`: takes all of the memory now, instead of each page at the first
   * access.
   *
   * @default {false}
   */
  populate?: boolean | undefined;
}

function openFile(path: string, flags: number, mode = 0): Descriptor {
  const bytes = cPath(path);
  const { open } = fcntl();
  // The open of a FIFO would block without O_NONBLOCK. On a file it has no effect.
  const all = flags | O_CLOEXEC | O_NONBLOCK;
  const fd = checkRetrying(() => open(bytes, all, mode | 0), "open", path);
  return new Descriptor(fd, path);
}

/** Opens an existing regular file. O_PATH checks that first, without side effects. */
function openRegular(path: string, access: Access): Descriptor {
  const place = openFile(path, O_PATH);
  try {
    regularStatus(place);
    return openFile(path, access === "shared" ? O_RDWR : O_RDONLY);
  } finally {
    place[Symbol.dispose]();
  }
}

/** Duplicates a descriptor. The caller keeps ownership of the original. */
function duplicate({ fd, subject }: MappableFile): Descriptor {
  const copy = check(fcntl().fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl", subject);
  return new Descriptor(copy, subject);
}

/** The size of the huge pages of MAP_HUGETLB, from /proc/meminfo. */
function hugePageSize(): bigint {
  const [, kilobytes] =
    readProc("/proc/meminfo")?.match(/^Hugepagesize: *(\d+) kB/m) ?? [];
  return kilobytes === undefined
    ? BigInt(pageSize())
    : BigInt(kilobytes) * 1024n;
}

const ANONYMOUS = "anonymous memory"; // name used in error messages

/** `mmap` without a file. */
function mapAnonymous(size: number, flags: number): bigint {
  const { mmap } = sysMman();
  const protection = PROT_READ | PROT_WRITE;
  const all = MAP_ANONYMOUS | flags;
  const address = mmap(0n, BigInt(size), protection, all, -1, 0n);
  return checkAddress(address, "mmap", ANONYMOUS);
}

/**
 * Changes the size of private anonymous memory. Its address may change. At no moment
 * are the old addresses unmapped: calls on other threads may use them.
 */
function remap(old: Mapping, length: number): Mapping {
  const { start, span, subject, access } = old;
  const { mremap } = sysMman();
  const size = BigInt(length);
  const staysInPlace = size <= span || mremap(start, span, size, 0) === start;
  if (!staysInPlace) return moved(old, length);
  old.release(size);
  return new Mapping({ address: start, length, subject, access });
}

/** Moves the pages to where there is more room; empty ones stay in their place. */
function moved(old: Mapping, length: number): Mapping {
  const { start, span, subject, access } = old;
  const { mremap, mremap_to, munmap } = sysMman();
  const room = mapAnonymous(Number(span), MAP_PRIVATE | MAP_NORESERVE);
  const flags = MREMAP_MAYMOVE | MREMAP_FIXED;
  const leaving = flags | MREMAP_DONTUNMAP;
  if (isNoAddress(mremap_to(start, span, span, leaving, room))) {
    munmap(room, span);
    return copied(old, length); // several mappings to the kernel, or Linux before 5.7
  }
  const address = mremap(room, span, BigInt(length), MREMAP_MAYMOVE);
  if (isNoAddress(address)) {
    const error = errno();
    mremap_to(room, span, span, flags, start);
    if (error === EFAULT) return copied(old, length); // several, since Linux 6.17
    throw ipcError(error, "mremap", subject);
  }
  return new Mapping({ address, length, subject, access });
}

/**
 * Does the same by copying. Memory that is partly locked or advised is several mappings
 * to the kernel, and mremap accepts only one.
 */
function copied(old: Mapping, length: number): Mapping {
  const { subject, access } = old;
  const address = mapAnonymous(length, MAP_PRIVATE);
  const mapping = new Mapping({ address, length, subject, access });
  const count = Math.min(length, old.length);
  old.read(0, viewOf(mapping.bytes, 0, count));
  return mapping;
}

// One flush at a time uses a thread of the blocking pool: more would not be faster, and
// file I/O needs the pool, too.
const flushing = new WaiterQueue();

/**
 * `mmap(...)`: a file, or memory without a file, as bytes.
 *
 * @example Two mappings of one file
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(path, "hello");
 * using map = MemoryMap.open(path);
 * using other = MemoryMap.open(path, { offset: 1, length: 3 });
 * map.bytes[1] = "a".charCodeAt(0);
 * assertEquals(new TextDecoder().decode(other.bytes), "all");
 * assertEquals(Deno.readTextFileSync(path), "hallo");
 * Deno.removeSync(path);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
 */
export class MemoryMap extends Memory {
  // If it can be resized: its file, or "none" for private anonymous memory.
  readonly #file: Descriptor | "none" | undefined;
  #offset: number;

  /** @ignore */
  private constructor(
    token: typeof internal,
    mapping: Mapping,
    file: Descriptor | "none" | undefined,
    offset: number,
  ) {
    checkInternal(token, "MemoryMap", "MemoryMap.open() or MemoryMap.create()");
    super(token, mapping);
    this.#file = file;
    this.#offset = offset;
  }

  /**
   * `open(path, O_RDWR)`, then
   * `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)`: maps an
   * existing file.
   *
   * The descriptor is closed again, because a mapping does not need it, unless it is
   * `resizable`.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `offset`, `length`, `private`, `readonly`, `resizable`,
   * `populate`, `timeout`.
   * @returns The mapping. Close it with `close()`.
   * @throws {TypeError} If the path is empty or contains NUL, or if it is not a
   * regular file.
   * @throws {RangeError} If the path is too long, if the range does not lie inside the
   * file, or if it is empty, without a `timeout`.
   * @throws {DOMException} `TimeoutError` if it is still empty after the `timeout`, for
   * which this thread is blocked ({@linkcode MemoryMap.openWhenReady} does not).
   * @throws {IpcError} ENOENT if there is no such file, ENOTDIR if a part of the path is
   * not a directory, ELOOP if there are too many symbolic links; EACCES without
   * permission to read and write (with `private` or `readonly`: to read), EROFS on a
   * read-only file system (without those), ETXTBSY if it is a program that runs (without
   * those); ENODEV if files of this kind cannot be mapped, as in /sys; EMFILE, ENFILE,
   * ENOMEM.
   *
   * @example An empty file cannot be mapped
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertThrows } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * assertThrows(() => MemoryMap.open(path), RangeError, "it is empty");
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static open(
    path: string,
    options?: MapOpenOptions & ResizableOptions,
  ): MemoryMap {
    const request = mapRequest(options);
    const { resizable } = options ?? {};
    const deadline = deadlineToOpen(options);
    const file = openRegular(path, request.access);
    try {
      waitForSizeSync(file, deadline);
      return MemoryMap.#map(file, request, resizable);
    } finally {
      file[Symbol.dispose]();
    }
  }

  /**
   * `open(path, O_RDWR)`, then `mmap(...)`: maps an existing file.
   *
   * If it is empty, waits, without blocking the thread, until its creator has set its
   * size: it is tried every millisecond at first, and every 20 milliseconds later.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options Those of {@linkcode MemoryMap.open}, and `signal`.
   * @returns The mapping. Close it with `close()`.
   * @throws {TypeError} If the path is empty or contains NUL, or if it is not a
   * regular file.
   * @throws {RangeError} If the path is too long, or if the range does not lie inside the
   * file.
   * @throws {DOMException} `TimeoutError` if it is still empty after the `timeout`.
   * @throws The reason of the signal, if it is aborted.
   * @throws {IpcError} As {@linkcode MemoryMap.open}.
   *
   * @example Its creator is slow
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync(); // usually created by another process
   * const opened = MemoryMap.openWhenReady(path, { timeout: 10_000 });
   * Deno.truncateSync(path, 8);
   * using map = await opened;
   * assertEquals(map.byteLength, 8);
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static async openWhenReady(
    path: string,
    options?: MapOpenOptions & ResizableOptions & WaitOptions,
  ): Promise<MemoryMap> {
    const request = mapRequest(options);
    const { resizable } = options ?? {};
    const limits = limitsOf(options);
    const file = openRegular(path, request.access);
    try {
      await waitForSize(file, limits);
      return MemoryMap.#map(file, request, resizable);
    } finally {
      file[Symbol.dispose]();
    }
  }

  /**
   * `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)`: maps an open
   * file. The caller keeps ownership of the descriptor.
   *
   * @param fd The number of the descriptor, open for reading and writing (with
   * `private` or `readonly`: for reading).
   * @param options `offset`, `length`, `private`, `readonly`, `resizable`,
   * `populate`, `name`.
   * @returns The mapping. Close it with `close()`.
   * @throws {TypeError} If it is not a regular file.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647, if the file is
   * empty, or if the range does not lie inside it.
   * @throws {IpcError} EBADF if the descriptor is not open, EACCES if it is not open for
   * reading and writing (with `private` or `readonly`: for reading), EPERM if the file is
   * sealed against writes, ENODEV if files of this kind cannot be mapped, as in /sys;
   * EMFILE if it is `resizable`; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static fromFd(
    fd: number,
    options?: MapOptions & ResizableOptions & FromFdOptions,
  ): MemoryMap {
    const subject = subjectOf(fd, options);
    const request = mapRequest(options);
    const resizable = options?.resizable;
    return MemoryMap.#map({ fd, subject }, request, resizable);
  }

  /**
   * `open(path, O_RDWR | O_CREAT | O_EXCL, mode)`, `ftruncate`, then `mmap`:
   * creates a file of zeroes and maps it.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param size The size of the file in bytes, at least 1.
   * @param options `mode`, `reserve`, `resizable`.
   * @returns The mapping of the whole file.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long, or the size or the mode is out of
   * range.
   * @throws {IpcError} EEXIST if the path exists, also as a symbolic link; EISDIR if it
   * ends with a slash; ENOENT, ENOTDIR, ELOOP or EACCES of its directory; EROFS on a
   * read-only file system; EMFILE, ENFILE. ENOSPC, EDQUOT, EFBIG or ENOMEM if there is
   * not enough space; EPERM if the file system cannot store the `mode`; EINTR if signals
   * interrupt `posix_fallocate` 100 times without a pause: the file is removed then.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  static create(
    path: string,
    size: number,
    options?: MapCreateOptions & ResizableOptions,
  ): MemoryMap {
    const request = createRequest(size, options);
    const { resizable } = options ?? {};
    const { mode = DEFAULT_MODE } = request;
    const file = openFile(path, O_RDWR | O_CREAT | O_EXCL, mode);
    try {
      const unlink = () => unistd().unlink(cPath(path));
      const mapping = mapNew(file, request, unlink);
      if (!resizable) file.close();
      return new MemoryMap(internal, mapping, resizable ? file : undefined, 0);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * `mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)`: maps memory
   * without a file.
   *
   * @param size The size in bytes, at least 1.
   * @param options `private`, `hugePages`, `populate`.
   * @returns The mapping, zeroed.
   * @throws {RangeError} If the size is out of range.
   * @throws {IpcError} ENOMEM if there is not enough memory, or not enough huge pages;
   * with `populate` also if a memory cgroup does not have enough.
   *
   * @example Memory for a semaphore
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * using map = MemoryMap.anonymous(32);
   * assertEquals(map.bytes.length, 32);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static anonymous(
    size: number,
    options?: MemoryMapAnonymousOptions,
  ): MemoryMap {
    checkSize("size", size);
    const { private: isPrivate, hugePages: huge, populate } = options ?? {};
    const access = isPrivate ? "private" : "shared";
    const unit = huge ? hugePageSize() : BigInt(pageSize());
    if (populate && !huge) checkMemory(size, "mmap", ANONYMOUS);
    const address = mapAnonymous(
      size,
      (isPrivate ? MAP_PRIVATE : MAP_SHARED) |
        (huge ? MAP_HUGETLB : 0) |
        (populate ? MAP_POPULATE : 0),
    );
    const mapping = new Mapping({
      address,
      length: size,
      subject: ANONYMOUS,
      access,
      takesMemory: !huge,
      unit,
    });
    const movable = access === "private" && !huge;
    return new MemoryMap(internal, mapping, movable ? "none" : undefined, 0);
  }

  static #map(
    file: MappableFile,
    request: MapRequest,
    resizable = false,
  ): MemoryMap {
    regularStatus(file);
    const kept = resizable ? duplicate(file) : undefined;
    try {
      const { mapping, offset } = mapPart(file, request);
      return new MemoryMap(internal, mapping, kept, offset);
    } catch (error) {
      kept?.close();
      throw error;
    }
  }

  /**
   * `fstat(fd, ...)`: the present size of the file, in bytes. Another process may have
   * changed it; the size of the mapping is `byteLength`.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If it is not resizable.
   */
  get size(): number {
    return sizeOf(this.#resizable());
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`, then `mmap`: changes the size of
   * the file, and maps it up to its new end; or `mremap`, for private memory without a
   * file.
   *
   * All existing views of this mapping have length 0 afterwards; `bytes`, `atomics` and
   * `view` return new ones. Advice and locks do not carry over.
   *
   * If another process has made the file larger, `resize(map.size)` maps the new part.
   * Growing never shrinks a file that another process has made even larger meanwhile.
   *
   * @param size The size of the file in bytes, more than the offset of the mapping.
   * @param options `shrink`, without which the file becomes no smaller; `reserve`.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} If this mapping is neither resizable nor private memory
   * without a file, or if it is a read-only or private mapping of a file; when shrinking,
   * if another mapping of this process, on any of its threads, has pages beyond the new
   * end, or a wait uses them.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} Of a file ENOSPC, EDQUOT, EFBIG or ENOMEM if there is not enough
   * space, EPERM if it is sealed against that, EINTR if signals interrupt
   * `posix_fallocate` 100 times without a pause; it may have grown then; EMFILE if it
   * becomes smaller, and there is no descriptor to see what is mapped. Of private
   * memory ENOMEM if there is not enough, EINVAL if the size is above the addresses of a
   * process (128 TiB on x86_64), EAGAIN if it is locked, and the new size is above
   * RLIMIT_MEMLOCK.
   * @throws {Deno.errors.NotSupported} When shrinking, if /proc is not mounted.
   *
   * @example A file that grows
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "hello");
   * using map = MemoryMap.open(path, { resizable: true });
   * const old = map.bytes;
   * map.resize(6);
   * map.bytes[5] = "!".charCodeAt(0);
   * assertEquals(old.length, 0);
   * assertEquals(Deno.readTextFileSync(path), "hello!");
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mremap.2.html | mremap(2)}
   */
  resize(size: number, options?: ResizeOptions): void {
    this.#resize(size, resizeRequest(options));
  }

  #resize(size: number, request: ResizeRequest): void {
    checkSize("size", size, this.#offset + 1);
    const own = mappingOf(this);
    own.checkOwn();
    if (this.#file === "none") {
      checkResize(own, size, request);
      replaceMapping(this, remap(own, size));
      return;
    }
    const file = this.#resizable();
    own.checkWritable();
    const range = { offset: this.#offset, length: size - this.#offset };
    resizeFile(file, size, request, own, () => {
      replaceMapping(this, mapFile(file, range, "shared"));
    });
  }

  /**
   * `posix_fallocate(fd, ...)`, then `mmap`: appends bytes to the file, and maps it up to
   * its new end.
   *
   * All existing views of this mapping have length 0 afterwards. Processes that append to
   * one file at the same time need a semaphore or lock.
   *
   * @param bytes The bytes to append.
   * @returns Their offset in the file.
   * @throws {TypeError} If `bytes` is not a Uint8Array, or if this mapping is not
   * resizable, or read-only or private.
   * @throws {RangeError} If the file was truncated to before the beginning of this
   * mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOSPC, EDQUOT, EFBIG, ENOMEM if there is not enough space; EFAULT
   * if another process truncates the file meanwhile, or has truncated that of `bytes`.
   *
   * @example A journal
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "one\n");
   * using map = MemoryMap.open(path, { resizable: true });
   * assertEquals(map.append(new TextEncoder().encode("two\n")), 4);
   * assertEquals(Deno.readTextFileSync(path), "one\ntwo\n");
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/posix_fallocate.3.html | posix_fallocate(3)}
   */
  append(bytes: Uint8Array): number {
    checkBytes("bytes", bytes);
    const copy = copyChecked(bytes); // they may be a view of this mapping
    const end = sizeOf(this.#resizable());
    const offset = end - this.#offset;
    if (offset < 0) {
      const { subject } = mappingOf(this);
      throw new RangeError(
        `Cannot append to ${subject}: it is ${end} bytes, and the mapping begins ` +
          `at ${this.#offset}`,
      );
    }
    this.#resize(end + copy.length, resizeRequest(undefined));
    mappingOf(this).writeChecked(offset, copy);
    return end;
  }

  /**
   * `mmap(NULL, length, ..., fd, offset)`: maps another part of the file instead, such
   * as a window into a large file. All views of the old part have length 0 afterwards.
   *
   * @param offset The offset of the new part in the file, in bytes.
   * @param length Its length in bytes; by default the present length, but at most up to
   * the end of the file.
   * @throws {RangeError} If the range does not lie inside the file.
   * @throws {TypeError} If this mapping is not resizable.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM if there is no room in the address space.
   *
   * @example Ten bytes at a time
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * Deno.writeTextFileSync(path, "0123456789abcdef");
   * using map = MemoryMap.open(path, { length: 10, resizable: true });
   * map.moveTo(10);
   * assertEquals(new TextDecoder().decode(map.bytes), "abcdef");
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  moveTo(offset: number, length?: number): void {
    checkRange({ offset, length });
    const file = this.#resizable();
    const own = mappingOf(this);
    own.checkOwn();
    const size = sizeOf(file);
    const range = rangeIn(size, file.subject, {
      offset,
      length: length ?? Math.min(own.length, Math.max(size - offset, 1)),
    });
    replaceMapping(this, mapFile(file, range, own.access));
    this.#offset = offset;
  }

  /**
   * `msync(address, length, MS_SYNC)`: writes changes of the memory to the device of the
   * file, and waits for it without blocking the thread.
   *
   * Other processes that map or read the file see all changes without a flush; only a
   * crash of the system can lose them.
   *
   * The call runs on the blocking pool, one flush at a time. The memory stays mapped
   * until it ends, even if this object is closed meanwhile.
   *
   * @param range The part of the mapping to write; all of it, if absent.
   * @throws {RangeError} If the range does not lie inside the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIO if the device fails, or has no space for a hole.
   *
   * @example Only the changed part
   * ```ts
   * import { MemoryMap } from "@linux/ipc/memory-map";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using map = MemoryMap.create(path + ".map", 100_000);
   * map.bytes[70_000] = 1;
   * await map.flush({ offset: 70_000, length: 1 });
   * assertEquals(Deno.readFileSync(path + ".map")[70_000], 1);
   * Deno.removeSync(path + ".map");
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msync.2.html | msync(2)}
   */
  async flush(range?: RangeOptions): Promise<void> {
    const wanted = checkRange(range);
    const { mapping, start, span } = pagesOf(mappingOf(this), wanted);
    const unpin = mapping.pin();
    try {
      await flushing.enter(NO_LIMITS);
      try {
        const result = await sysMman().msync_nonblocking(start, span, MS_SYNC);
        // errno is on the other thread. For mapped pages it can only be an error of the
        // device, which is reported once.
        if (result === -1) throw ipcError(EIO, "msync", mapping.subject);
      } finally {
        flushing.leave();
      }
    } finally {
      unpin();
    }
  }

  /**
   * `msync(address, length, MS_SYNC)`: writes changes of the memory to the device of the
   * file. Blocks this thread until that is done.
   *
   * @param range The part of the mapping to write; all of it, if absent.
   * @throws {RangeError} If the range does not lie inside the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIO if the device fails, ENOSPC or EDQUOT if it has no space for
   * a hole.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msync.2.html | msync(2)}
   */
  flushSync(range?: RangeOptions): void {
    const wanted = checkRange(range);
    const { mapping, start, span } = pagesOf(mappingOf(this), wanted);
    check(sysMman().msync(start, span, MS_SYNC), "msync", mapping.subject);
  }

  /**
   * `munmap(address, length)`: unmaps the memory. All its views have length 0 from then
   * on. The file stays. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: its new owner may use
   * the memory, so it stays mapped until the process ends.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/munmap.2.html | munmap(2)}
   */
  override close(): void {
    if (this.#file instanceof Descriptor) this.#file.close();
    super.close();
  }

  static {
    inspectAs(this, (map) => {
      const { subject, closed } = mappingOf(map);
      return {
        file: subject === ANONYMOUS ? undefined : subject,
        offset: map.#offset,
        byteLength: map.byteLength,
        closed,
      };
    });
  }

  #resizable(): Descriptor {
    const mapping = mappingOf(this);
    mapping.checkOpen();
    if (this.#file instanceof Descriptor) return this.#file;
    throw new TypeError(
      `Cannot resize ${mapping.subject}: it was not mapped as "resizable"`,
    );
  }
}

function checkResize(
  own: Mapping,
  size: number,
  { shrink }: ResizeOptions,
): void {
  if (own.pinned) {
    throw new TypeError(`Cannot move ${own.subject}: a call is using it`);
  }
  if (size >= own.length || shrink) return;
  throw new RangeError(
    `Argument "size" must be at least ${own.length} (the size of ` +
      `${own.subject}, without "shrink"): ${size}`,
  );
}
