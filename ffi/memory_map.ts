/**
 * Memory maps: `mmap(2)`, a file as bytes in memory.
 *
 * **Choose a memory map** when processes share data that shall also be in a
 * file, or when a large file is read or changed here and there: what is touched
 * is loaded, nothing else. All who map a file share one memory.
 *
 * **Choose something else** when the file is read once from beginning to end
 * (`Deno.readFile` costs less), or when no file is wanted (shared memory).
 *
 * A file that another process truncates takes memory away under the mapping:
 * touching it then ends this process with SIGBUS. Map files only that their users
 * agree not to shrink; a `MemoryFile` can be sealed against it. The same happens
 * when a hole of a file is written to and the disk is full: what is made here is
 * no hole, unless asked for.
 *
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "hello\n");
 * {
 *   using map = MemoryMap.open(path);
 *   map.bytes[0] = "H".charCodeAt(0);
 *   map.flushSync(); // on the disk, not only in the memory of all who map it
 * }
 * console.log(await Deno.readTextFile(path)); // Hello
 * await Deno.remove(path);
 * ```
 *
 * @module
 */

import {
  checkBytes,
  checkFd,
  checkMode,
  checkSize,
  copyOf,
  cPath,
  setBytes,
  viewOf,
} from "./arguments.ts";
import { Descriptor } from "./kernel/descriptor.ts";
import {
  check,
  checkAddress,
  checkRetrying,
  EAGAIN,
  EFAULT,
  EIO,
  ENOMEM,
  EPERM,
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
import { checkMemory, shortage } from "./kernel/cgroup.ts";
import { checkInternal, internal } from "./internal.ts";
import { type Access, Mapping } from "./kernel/mapping.ts";
import { readProc } from "./kernel/proc.ts";
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DONTDUMP,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_MAYMOVE,
  MS_SYNC,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "./libc/sys_mman.ts";
import { resourceLimit, RLIMIT_MEMLOCK } from "./libc/sys_resource.ts";
import { pageSize, unistd } from "./libc/unistd.ts";
import {
  allocate,
  checkRange,
  mapFile,
  type MappableFile,
  rangeIn,
  type RangeOptions,
  regularStatus,
  resizeFile,
  type ResizeOptions,
  resizeOptions,
  sizeOf,
  truncate,
} from "./memory/file.ts";
import { mappingOf, Memory, replaceMapping } from "./memory/memory.ts";
import { NO_LIMITS } from "./wait/options.ts";
import { WaiterQueue } from "./wait/waiters.ts";

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { RangeOptions, ResizeOptions } from "./memory/file.ts";
export { SequenceCell } from "./memory/cell.ts";
export { type AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryHandle } from "./memory/share.ts";
export type {
  CType,
  Fields,
  FieldValues,
  FieldViews,
  Struct,
} from "./struct.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";

/** Which part of a file is mapped, and how. */
export interface MemoryMapOpenOptions extends RangeOptions {
  /**
   * `MAP_PRIVATE`: writes stay in this process and never reach the file. The
   * file need only be readable then.
   *
   * @default {false}
   */
  private?: boolean | undefined;
  /**
   * `PROT_READ`: the file need only be readable, and what others write to it is
   * seen, but there is no array over the memory: `read` copies from it. (To scan a
   * file that nobody writes to, `private` is faster: it copies nothing.)
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
  /**
   * Keeps a descriptor of the file, as `resize`, `append`, `moveTo` and `fileSize`
   * need it.
   *
   * @default {false}
   */
  resizable?: boolean | undefined;
  /**
   * `MAP_POPULATE`: loads all of the range now, not page by page when it is
   * touched.
   *
   * @default {false}
   */
  populate?: boolean | undefined;
}

/** Which part of an open file is mapped, and how. */
export interface MemoryMapFdOptions extends MemoryMapOpenOptions {
  /**
   * What errors call it, such as the path of the file.
   *
   * @default {`descriptor ${fd}`}
   */
  name?: string | undefined;
}

/** How a file that is mapped is created. */
export interface MemoryMapCreateOptions {
  /**
   * The permission bits; the umask of the process takes its bits away.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * `posix_fallocate`: takes the room on the disk at once, so that there is an
   * error now if it is not there. Without it the file is a hole, and if the disk
   * is full when that is written to, the process ends with SIGBUS.
   *
   * @default {true}
   */
  reserve?: boolean | undefined;
  /**
   * Keeps a descriptor of the file, as `resize`, `append`, `moveTo` and `fileSize`
   * need it.
   *
   * @default {false}
   */
  resizable?: boolean | undefined;
}

/** What memory without a file is like. */
export interface MemoryMapAnonymousOptions {
  /**
   * `MAP_PRIVATE`: memory that can be resized, and cannot be shared with a Worker.
   *
   * @default {false}
   */
  private?: boolean | undefined;
  /**
   * `MAP_HUGETLB`: takes huge pages, as many as the size needs, of those that
   * /proc/sys/vm/nr_hugepages has put aside. (Without that, `advise("hugepage")`
   * asks for those that happen to be free.)
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
  /**
   * `MAP_POPULATE`: takes all of the memory now, not page by page when it is
   * touched.
   *
   * @default {false}
   */
  populate?: boolean | undefined;
}

/** What is said of memory with {@linkcode MemoryMap.advise}: `MADV_...`. */
export type MemoryAdvice =
  | "normal"
  | "random"
  | "sequential"
  | "willneed"
  | "cold"
  | "pageout"
  | "hugepage"
  | "nohugepage"
  | "dontdump"
  | "dodump";

// Not the kinds of advice that throw contents away.
const ADVICE: Record<MemoryAdvice, number> = {
  normal: MADV_NORMAL,
  random: MADV_RANDOM,
  sequential: MADV_SEQUENTIAL,
  willneed: MADV_WILLNEED,
  cold: MADV_COLD,
  pageout: MADV_PAGEOUT,
  hugepage: MADV_HUGEPAGE,
  nohugepage: MADV_NOHUGEPAGE,
  dontdump: MADV_DONTDUMP,
  dodump: MADV_DODUMP,
};

/** Whole pages of a mapping. */
interface Pages {
  readonly mapping: Mapping;
  readonly start: bigint;
  readonly span: bigint;
}

function openFile(path: string, flags: number, mode = 0): Descriptor {
  const bytes = cPath(path);
  const { open } = fcntl();
  // Without O_NONBLOCK the open of a FIFO would wait; on a file it says nothing.
  const all = flags | O_CLOEXEC | O_NONBLOCK;
  const fd = checkRetrying(() => open(bytes, all, mode | 0), "open", path);
  return new Descriptor(fd, path);
}

/** Opens a file that exists, and nothing that an open would already disturb. */
function openRegular(path: string, access: Access): Descriptor {
  using place = openFile(path, O_PATH);
  regularStatus(place);
  return openFile(path, access === "shared" ? O_RDWR : O_RDONLY);
}

/** A descriptor of our own for the file that somebody else's is of. */
function duplicate({ fd, subject }: MappableFile): Descriptor {
  const copy = check(fcntl().fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl", subject);
  return new Descriptor(copy, subject);
}

/** How a file is mapped: the caller's options, read once. */
export interface How {
  readonly range: RangeOptions;
  readonly access: Access;
  readonly resizable: boolean;
  readonly populate: boolean;
}

export function mappingOptions(options: MemoryMapOpenOptions = {}): How {
  const range = checkRange(options);
  const { private: isPrivate, readonly, resizable, populate } = options;
  if (isPrivate && readonly) {
    throw new TypeError(
      'Argument "options" must not have both "private" and "readonly"',
    );
  }
  return {
    range,
    access: isPrivate ? "private" : readonly ? "readonly" : "shared",
    resizable: resizable ?? false,
    populate: populate ?? false,
  };
}

/** The size of the huge pages that MAP_HUGETLB gives, as /proc has it. */
function hugePageSize(): bigint {
  const [, kilobytes] =
    readProc("/proc/meminfo")?.match(/^Hugepagesize: *(\d+) kB/m) ?? [];
  return kilobytes === undefined
    ? BigInt(pageSize())
    : BigInt(kilobytes) * 1024n;
}

const CHUNK = 1n << 30n; // bytes, of which mincore is asked at a time

const ANONYMOUS = "anonymous memory"; // what errors call it

/** `mmap` without a file. */
function mapAnonymous(size: number, flags: number): bigint {
  const { mmap } = sysMman();
  const protection = PROT_READ | PROT_WRITE;
  const all = MAP_ANONYMOUS | flags;
  const address = mmap(0n, BigInt(size), protection, all, -1, 0n);
  return checkAddress(address, "mmap", ANONYMOUS);
}

/** Changes the size of private memory without a file, which may move it. */
function remap(old: Mapping, length: number): Mapping {
  const { start, span, subject, access } = old;
  const { mremap } = sysMman();
  const address = mremap(start, span, BigInt(length), MREMAP_MAYMOVE);
  if (isNoAddress(address) && errno() === EFAULT) return copied(old, length);
  checkAddress(address, "mremap", subject);
  const moved = address !== start;
  old.release(moved ? 0n : BigInt(length));
  return new Mapping({ address, length, subject, access });
}

/**
 * The same for memory of which a part is locked or advised: to the kernel that is
 * several mappings, which mremap does not take at once.
 */
function copied(old: Mapping, length: number): Mapping {
  const { subject, access } = old;
  const address = mapAnonymous(length, MAP_PRIVATE);
  const mapping = new Mapping({ address, length, subject, access });
  const count = Math.min(length, old.length);
  old.copyTo(viewOf(mapping.bytes, 0, count), 0);
  return mapping;
}

/** Maps a file that is open. For this package alone. */
export let mapDescriptor: (file: MappableFile, how: How) => MemoryMap;

// One flush at a time has a thread of the pool: more would not be faster, and file
// I/O lives there.
const flushing = new WaiterQueue();

/**
 * A file, or memory without one, as bytes.
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
  // Of a resizable one: its file, or that it has none and can be moved.
  readonly #file: Descriptor | "none" | undefined;
  #offset: number;

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
   * `open(path, O_RDWR)`, then `mmap(NULL, length, PROT_READ | PROT_WRITE,
   * MAP_SHARED, fd, offset)`: maps a file that exists. The descriptor is closed
   * again, because a mapping does not need it, unless it is to be `resizable`.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `offset`, `length`, `private`, `readonly`, `resizable`,
   * `populate`.
   * @returns The mapping, closed by its `close()`.
   * @throws {TypeError} If the path is empty or contains NUL, or if it is not a
   * regular file.
   * @throws {RangeError} If the file is empty, or if the range is not within it.
   * @throws {IpcError} ENOENT if there is no such file, EACCES if it may not be
   * read and written to (with `private` or `readonly`: read), EISDIR, ETXTBSY, EMFILE, ENOMEM.
   *
   * @example An empty file has nothing to map
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
  static open(path: string, options?: MemoryMapOpenOptions): MemoryMap {
    const how = mappingOptions(options);
    using file = openRegular(path, how.access);
    return MemoryMap.#map(file, how);
  }

  /**
   * `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)`: maps a
   * file that is open already. The descriptor stays the caller's, to be closed when
   * he likes.
   *
   * @param fd The number of the descriptor, open for reading and writing (with
   * `private` or `readonly`: for reading).
   * @param options `offset`, `length`, `private`, `readonly`, `resizable`,
   * `populate`; `name`: what errors call it.
   * @returns The mapping, closed by its `close()`.
   * @throws {TypeError} If it is not a regular file.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647, if the file is
   * empty, or if the range is not within it.
   * @throws {IpcError} EBADF if no such descriptor is open, EACCES if it is not open
   * for what is asked, EPERM if the file is sealed against it, ENODEV, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static fromFd(fd: number, options?: MemoryMapFdOptions): MemoryMap {
    checkFd(fd);
    const how = mappingOptions(options);
    const name: unknown = options?.name ?? `descriptor ${fd}`;
    if (typeof name !== "string") {
      throw new TypeError('Argument "name" must be a string');
    }
    return MemoryMap.#map({ fd, subject: name }, how);
  }

  /**
   * `open(path, O_RDWR | O_CREAT | O_EXCL, mode)`, `ftruncate`, then `mmap`:
   * makes a file of zeroes and maps it.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param size The size of the file in bytes, at least 1.
   * @param options `mode`, `reserve`, `resizable`.
   * @returns The mapping of the whole file.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the size or the mode is out of range.
   * @throws {IpcError} EEXIST if the path exists; ENOENT, ENOTDIR, EACCES; EFBIG,
   * ENOSPC or ENOMEM if there is not enough room. No file is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  static create(
    path: string,
    size: number,
    options?: MemoryMapCreateOptions,
  ): MemoryMap {
    checkSize("size", size);
    const { mode = 0o600, reserve = true, resizable } = options ?? {};
    checkMode(mode);
    using file = openFile(path, O_RDWR | O_CREAT | O_EXCL, mode);
    let map;
    try {
      truncate(file, size);
      map = MemoryMap.#map(file, mappingOptions({ resizable }));
      if (reserve) allocate(file, 0, size);
      return map;
    } catch (error) {
      map?.close();
      unistd().unlink(cPath(path));
      throw error;
    }
  }

  /**
   * `mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)`:
   * memory without a file.
   *
   * @param size The size in bytes, at least 1.
   * @param options `private`, `hugePages`, `populate`.
   * @returns The mapping, zeroed.
   * @throws {RangeError} If the size is out of range.
   * @throws {IpcError} ENOMEM if there is not that much, or not as many huge pages;
   * with `populate` also if a memory cgroup does not have as much.
   *
   * @example A place for a semaphore
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

  static {
    mapDescriptor = MemoryMap.#map;
  }

  static #map(file: MappableFile, how: How): MemoryMap {
    const status = regularStatus(file);
    const size = Number(status.stx_size);
    const range = rangeIn(size, file.subject, how.range);
    const flags = how.populate ? MAP_POPULATE : 0;
    const kept = how.resizable ? duplicate(file) : undefined;
    try {
      const mapping = mapFile(file, range, how.access, flags, status);
      return new MemoryMap(internal, mapping, kept, range.offset);
    } catch (error) {
      kept?.close();
      throw error;
    }
  }

  /**
   * `fstat(fd, ...)`: the size of the file in bytes, now. Another process may have
   * changed it; what is mapped here is `byteLength`.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {TypeError} If it is not resizable.
   */
  get fileSize(): number {
    return sizeOf(this.#resizable());
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`, then `mmap`: changes the
   * size of the file, and maps it up to its new end; or `mremap`, for private
   * memory without a file. All views of this mapping have length 0 from now on;
   * `bytes` and the others give new ones. Advice and locks are to be given anew.
   *
   * If another process has made the file larger already, `resize(map.fileSize)`
   * maps what is new. To grow never takes away what others have made larger
   * meanwhile.
   *
   * @param size The size of the file in bytes, more than the offset of the mapping.
   * @param options `shrink`, without which the file becomes no smaller; `reserve`.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} If this mapping is neither resizable nor private memory
   * without a file, or if it is read-only; if what is to go is mapped once more in
   * this process, on any of its threads, or waited in.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOSPC, EFBIG, ENOMEM if there is not enough room; EPERM if
   * the file is sealed against it; EAGAIN if private memory is locked and may not
   * be locked as large (RLIMIT_MEMLOCK).
   * @throws {Deno.errors.NotSupported} If it is to become smaller and /proc is not
   * mounted.
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
    this.#resize(size, resizeOptions(options));
  }

  #resize(size: number, how: Required<ResizeOptions>): void {
    checkSize("size", size, this.#offset + 1);
    const own = mappingOf(this);
    own.checkOwn();
    if (this.#file === "none") {
      checkResize(own, size, how);
      replaceMapping(this, remap(own, size));
      return;
    }
    const file = this.#resizable();
    own.checkWritable();
    const range = { offset: this.#offset, length: size - this.#offset };
    resizeFile(file, size, how, own, () => {
      replaceMapping(this, mapFile(file, range, "shared"));
    });
  }

  /**
   * `posix_fallocate(fd, ...)`, then `mmap`: makes the file larger by these bytes,
   * and maps it up to its new end. All views of this mapping have length 0 from now
   * on. Two who append to one file at the same time need a semaphore.
   *
   * @param bytes What to add at the end of the file.
   * @returns Where it is in the file, in bytes.
   * @throws {TypeError} If `bytes` is no Uint8Array, or if this mapping is not
   * resizable, or read-only.
   * @throws {RangeError} If somebody has made the file end before this mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOSPC, EFBIG, ENOMEM if there is not enough room.
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
    const copy = copyOf(bytes); // they may be a view of this mapping
    const end = sizeOf(this.#resizable());
    const place = end - this.#offset;
    if (place < 0) {
      const { subject } = mappingOf(this);
      throw new RangeError(
        `Cannot append to ${subject}: it is ${end} bytes, and the mapping begins ` +
          `at ${this.#offset}`,
      );
    }
    this.#resize(end + copy.length, resizeOptions(undefined));
    setBytes(mappingOf(this).bytes, copy, place);
    return end;
  }

  /**
   * `mmap(NULL, length, ..., fd, offset)`: maps another part of the file, as a
   * window that moves over a file that is larger than what can be, or should be,
   * mapped at once. All views of the part before have length 0 from now on.
   *
   * @param offset Where the mapping begins in the file, in bytes.
   * @param length Its length in bytes; by default what it is now, or what the file
   * has from there, if that is less.
   * @throws {RangeError} If the range is not within the file.
   * @throws {TypeError} If this mapping is not resizable.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM if there are not as many addresses.
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
   * `msync(address, length, MS_SYNC)`, waiting without blocking the thread until
   * what was written to the memory is in the file on its device. Without it others
   * who map or read the file see every write all the same; only a crash of the
   * system can lose it.
   *
   * The call blocks on another thread, one flush at a time, and has the memory
   * stay mapped until it is over, also when this object is closed meanwhile.
   *
   * @param range The part of the mapping that matters; the whole, if absent.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIO if the device fails, or has no room for a hole.
   *
   * @example Only what was changed
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
    const { mapping, start, span } = this.#pages(range);
    const unpin = mapping.pin();
    try {
      await flushing.enter(NO_LIMITS);
      try {
        const result = await sysMman().msync_nonblocking(start, span, MS_SYNC);
        // errno is on the other thread; with pages that are mapped it can only be
        // what the device says, and that is said once.
        if (result === -1) throw ipcError(EIO, "msync", mapping.subject);
      } finally {
        flushing.leave();
      }
    } finally {
      unpin();
    }
  }

  /**
   * `msync(address, length, MS_SYNC)`, blocking this thread until what was
   * written to the memory is in the file on its device.
   *
   * @param range The part of the mapping that matters; the whole, if absent.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIO if the device fails, ENOSPC or EDQUOT if it has no room
   * for a hole.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msync.2.html | msync(2)}
   */
  flushSync(range?: RangeOptions): void {
    const { mapping, start, span } = this.#pages(range);
    check(sysMman().msync(start, span, MS_SYNC), "msync", mapping.subject);
  }

  /**
   * `madvise(address, length, MADV_...)`: tells the kernel how the memory is going
   * to be used. No advice changes what is in it.
   *
   * | advice                      | says                                          |
   * | --------------------------- | --------------------------------------------- |
   * | `normal`                    | nothing: the beginning                        |
   * | `sequential`, `random`      | in which order, so what to read ahead         |
   * | `willneed`                  | soon: begin to load it                        |
   * | `cold`, `pageout`           | not soon: give it up first, or now            |
   * | `hugepage`, `nohugepage`    | whether to take huge pages where it can       |
   * | `dontdump`, `dodump`        | whether it belongs into a core dump           |
   *
   * @param advice What to say.
   * @param range The part of the mapping that is meant; the whole, if absent.
   * @throws {TypeError} If there is no such advice.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EINVAL if this kernel, or this kind of memory, does not know
   * the advice; EIO, EAGAIN, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/madvise.2.html | madvise(2)}
   */
  advise(advice: MemoryAdvice, range?: RangeOptions): void {
    if (typeof advice !== "string" || !Object.hasOwn(ADVICE, advice)) {
      const known = Object.keys(ADVICE).join(", ");
      throw new TypeError(
        `Argument "advice" must be one of ${known}: ${String(advice)}`,
      );
    }
    madvise(this.#pages(range), ADVICE[advice]);
  }

  /**
   * `madvise(address, length, MADV_POPULATE_WRITE)`, or `MADV_POPULATE_READ` for
   * read-only memory: loads the pages, so that touching them does not wait. What
   * would end the process there, is an error here: no room left, no such page any
   * more.
   *
   * @param range The part of the mapping that is meant; the whole, if absent.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EFAULT if a page cannot be had, for one because the file was
   * made smaller; ENOMEM, also if a memory cgroup of this process does not have 16 MiB
   * or more that are missing (if others take it meanwhile, the kernel answers with
   * SIGKILL); EINVAL before Linux 5.14.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/madvise.2.html | madvise(2)}
   */
  populate(range?: RangeOptions): void {
    const pages = this.#pages(range);
    const readonly = pages.mapping.access === "readonly";
    checkPages(pages, "madvise");
    madvise(pages, readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
  }

  /**
   * `mlock(address, length)`: loads the pages and keeps them in memory, never
   * swapped out, until `unlock()`, `resize()` or `close()`.
   *
   * @param range The part of the mapping that is meant; the whole, if absent.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOMEM, EPERM or EAGAIN if this process may not lock as much
   * (RLIMIT_MEMLOCK, `ulimit -l`); ENOMEM if a memory cgroup does not have as much,
   * as with `populate`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mlock.2.html | mlock(2)}
   */
  lock(range?: RangeOptions): void {
    const pages = this.#pages(range);
    const { mapping, start, span } = pages;
    checkPages(pages, "mlock");
    if (sysMman().mlock(start, span) !== -1) return;
    const number = errno();
    const limit = LOCK_LIMIT_ERRORS.has(number)
      ? resourceLimit("RLIMIT_MEMLOCK", RLIMIT_MEMLOCK)
      : undefined;
    throw ipcError(number, "mlock", mapping.subject, limit);
  }

  /**
   * `munlock(address, length)`: lets the pages be swapped out again.
   *
   * @param range The part of the mapping that is meant; the whole, if absent.
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mlock.2.html | mlock(2)}
   */
  unlock(range?: RangeOptions): void {
    const { mapping, start, span } = this.#pages(range);
    check(sysMman().munlock(start, span), "munlock", mapping.subject);
  }

  /**
   * `mincore(address, length, ...)`: which pages are in memory now, so that
   * touching them reads nothing from the device.
   *
   * @param range The part of the mapping that is meant; the whole, if absent.
   * @returns One number for each page that the range is in, in order: 1 if it is in
   * memory, 0 if not. (To whoever may not write to the file the kernel says 1.)
   * @throws {RangeError} If the range is not within the mapping.
   * @throws {ClosedError} If this object is closed.
   *
   * @example What was touched is there
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
    return residencyOf(this.#pages(range));
  }

  /**
   * `munmap(address, length)`: gives the memory back. Every view of it has length
   * 0 then. The file stays. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: the memory
   * stays mapped until the process ends, because somebody may be using it.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/munmap.2.html | munmap(2)}
   */
  override close(): void {
    if (this.#file instanceof Descriptor) this.#file.close();
    super.close();
  }

  #resizable(): Descriptor {
    const mapping = mappingOf(this);
    mapping.checkOpen();
    if (this.#file instanceof Descriptor) return this.#file;
    throw new TypeError(
      `Cannot change what ${mapping.subject} maps: it was not made "resizable"`,
    );
  }

  /** The pages that a range of the mapping is in. */
  #pages(options: RangeOptions | undefined): Pages {
    const range = checkRange(options);
    const mapping = mappingOf(this);
    mapping.checkOwn();
    const { offset, length } = rangeIn(mapping.length, mapping.subject, range);
    const address = mapping.address + BigInt(offset);
    const skip = address % BigInt(pageSize());
    return { mapping, start: address - skip, span: BigInt(length) + skip };
  }
}

function madvise({ mapping, start, span }: Pages, advice: number): void {
  check(sysMman().madvise(start, span, advice), "madvise", mapping.subject);
}

/** For each page 1 if it is in memory, 0 if not. */
function residencyOf({ mapping, start, span }: Pages): Uint8Array<ArrayBuffer> {
  const pages = new Uint8Array(Math.ceil(Number(span) / pageSize()));
  check(sysMman().mincore(start, span, pages), "mincore", mapping.subject);
  return pages.map((page) => page & 1); // the other bits are reserved
}

/** Refuses to load pages for which there cannot be memory, as far as is known. */
function checkPages({ mapping, start, span }: Pages, syscall: string): void {
  if (!mapping.takesMemory || shortage(Number(span)) === undefined) return;
  let missing = 0;
  for (let at = start; at < start + span; at += CHUNK) {
    const left = start + span - at;
    const part = { mapping, start: at, span: left < CHUNK ? left : CHUNK };
    for (const page of residencyOf(part)) missing += 1 - page;
  }
  checkMemory(missing * pageSize(), syscall, mapping.subject);
}

// What mlock says when RLIMIT_MEMLOCK is too low, by how low it is.
const LOCK_LIMIT_ERRORS = new Set([EPERM, EAGAIN, ENOMEM]);

function checkResize(
  own: Mapping,
  size: number,
  { shrink }: ResizeOptions,
): void {
  if (own.pinned) {
    throw new TypeError(`Cannot move ${own.subject}: it is in use`);
  }
  if (size >= own.length || shrink) return;
  throw new RangeError(
    `Argument "size" must be at least ${own.length} (the size of ` +
      `${own.subject}, without "shrink"): ${size}`,
  );
}
