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
 * A mapping cannot change the size of its file, and a file that another process
 * truncates takes memory away under the mapping: touching it then ends this
 * process with SIGBUS. Map files only that their users agree not to shrink.
 *
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "hello\n");
 * {
 *   using map = MemoryMap.open(path);
 *   map.bytes[0] = "H".charCodeAt(0);
 *   map.flush(); // on the disk, not only in the memory of all who map it
 * }
 * console.log(await Deno.readTextFile(path)); // Hello
 * await Deno.remove(path);
 * ```
 *
 * @module
 */

import { checkMode, checkSize, cPath } from "./arguments.ts";
import { Descriptor } from "./libc/descriptor.ts";
import { check, checkAddress, checkRetrying } from "./libc/errno.ts";
import {
  fcntl,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
} from "./libc/fcntl.ts";
import { Mapping } from "./libc/memory.ts";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "./libc/sys_mman.ts";
import { S_IFMT, S_IFREG, statusOfFd } from "./libc/sys_stat.ts";
import { pageSize, unistd } from "./libc/unistd.ts";
import type { Fields, FieldViews, Struct } from "./struct.ts";

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type {
  CType,
  Fields,
  FieldValues,
  FieldViews,
  Struct,
} from "./struct.ts";

/** Which part of a file is mapped, and how. */
export interface MemoryMapOpenOptions {
  /**
   * Where the mapping begins in the file, in bytes; it need not be the beginning
   * of a page.
   *
   * @default {0}
   */
  offset?: number | undefined;
  /**
   * The length of the mapping in bytes.
   *
   * @default {to the end of the file}
   */
  length?: number | undefined;
  /**
   * `MAP_PRIVATE`: writes stay in this process and never reach the file. The
   * file need only be readable then.
   *
   * @default {false}
   */
  private?: boolean | undefined;
}

/** How a file that is mapped is created. */
export interface MemoryMapCreateOptions {
  /**
   * The permission bits; the umask of the process takes its bits away.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** A range of a file, found to lie inside it. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The part of the file that was asked for, if there is that much. */
function rangeIn(
  size: number,
  path: string,
  options?: MemoryMapOpenOptions,
): Range {
  const offset = options?.offset ?? 0;
  if (size === 0) {
    throw new RangeError(`Cannot map ${path}: it is empty`);
  }
  if (offset >= size) {
    throw new RangeError(
      `Argument "offset" must be below ${size} (the size of ${path}): ${offset}`,
    );
  }
  const length = options?.length ?? size - offset;
  if (length > size - offset) {
    throw new RangeError(
      `Argument "length" must be at most ${size - offset} ` +
        `(what ${path} has from offset ${offset}): ${length}`,
    );
  }
  return { offset, length };
}

function map(
  descriptor: Descriptor,
  path: string,
  range: Range,
  flags: number,
): Mapping {
  const { mmap, munmap } = sysMman();
  // The kernel maps from the beginning of a page; the view begins where asked.
  const skip = range.offset % pageSize();
  const mapped = BigInt(range.length + skip);
  const start = checkAddress(
    mmap(
      0n,
      mapped,
      PROT_READ | PROT_WRITE,
      flags,
      descriptor.fd,
      BigInt(range.offset - skip),
    ),
    "mmap",
    path,
  );
  const unmap = () => munmap(start, mapped);
  return new Mapping(start + BigInt(skip), range.length, path, unmap);
}

function openFile(path: string, flags: number, mode: number): Descriptor {
  const bytes = cPath(path);
  const { open } = fcntl();
  // Without O_NONBLOCK the open of a FIFO would wait; on a file it says nothing.
  const all = flags | O_CLOEXEC | O_NONBLOCK;
  const fd = checkRetrying(() => open(bytes, all, mode), "open", path);
  return new Descriptor(fd, path);
}

function regularSize(descriptor: Descriptor, path: string): number {
  const status = statusOfFd(descriptor.fd, path);
  if ((status.stx_mode & S_IFMT) !== S_IFREG) {
    throw new TypeError(`Cannot map ${path}: it is not a regular file`);
  }
  return Number(status.stx_size);
}

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
export class MemoryMap implements Disposable {
  readonly #mapping: Mapping;

  private constructor(mapping: Mapping) {
    this.#mapping = mapping;
  }

  /**
   * `open(path, O_RDWR)`, then `mmap(NULL, length, PROT_READ | PROT_WRITE,
   * MAP_SHARED, fd, offset)`: maps a file that exists. The descriptor is closed
   * again: a mapping does not need it.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `offset`, `length`, `private`.
   * @returns The mapping, closed by its `close()`.
   * @throws {TypeError} If the path is empty or contains NUL, or if it is not a
   * regular file.
   * @throws {RangeError} If the file is empty, or if the range is not within it.
   * @throws {IpcError} ENOENT if there is no such file, EACCES if it may not be
   * read and written to (with `private`: read), EISDIR, ETXTBSY, EMFILE, ENOMEM.
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
    checkSize("offset", options?.offset ?? 0, 0);
    checkSize("length", options?.length ?? 1);
    const isPrivate = options?.private ?? false;
    using file = openFile(path, isPrivate ? O_RDONLY : O_RDWR, 0);
    const range = rangeIn(regularSize(file, path), path, options);
    const flags = isPrivate ? MAP_PRIVATE : MAP_SHARED;
    return new MemoryMap(map(file, path, range, flags));
  }

  /**
   * `open(path, O_RDWR | O_CREAT | O_EXCL, mode)`, `ftruncate`, then `mmap`:
   * makes a file of zeroes and maps it.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param size The size of the file in bytes, at least 1.
   * @param options `mode`.
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
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    using file = openFile(path, O_RDWR | O_CREAT | O_EXCL, mode);
    try {
      check(unistd().ftruncate(file.fd, BigInt(size)), "ftruncate", path);
      return new MemoryMap(
        map(file, path, { offset: 0, length: size }, MAP_SHARED),
      );
    } catch (error) {
      unistd().unlink(cPath(path));
      throw error;
    }
  }

  /**
   * `mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS)`:
   * memory without a file.
   *
   * @param size The size in bytes, at least 1.
   * @returns The mapping, zeroed.
   * @throws {RangeError} If the size is out of range.
   * @throws {IpcError} ENOMEM if there is not that much.
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
  static anonymous(size: number): MemoryMap {
    checkSize("size", size);
    const { mmap, munmap } = sysMman();
    const name = "anonymous memory";
    const flags = MAP_SHARED | MAP_ANONYMOUS;
    const length = BigInt(size);
    const address = checkAddress(
      mmap(0n, length, PROT_READ | PROT_WRITE, flags, -1, 0n),
      "mmap",
      name,
    );
    return new MemoryMap(
      new Mapping(address, size, name, () => munmap(address, length)),
    );
  }

  /**
   * The memory. After `close()` its length is 0, and so is that of every view
   * made from it.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#mapping.bytes;
  }

  /**
   * A C struct in the memory: its fields are read and written in place.
   *
   * @param layout The struct, as `struct({...})` declares it.
   * @param offset Where it begins, in bytes from the beginning of the mapping.
   * @returns The live view, which fails after `close()`.
   * @throws {RangeError} If the struct does not fit into the memory there.
   * @throws {ClosedError} If this object is closed.
   */
  view<F extends Fields>(layout: Struct<F>, offset = 0): FieldViews<F> {
    this.#mapping.checkOpen();
    return layout.view(this.bytes, offset);
  }

  /**
   * `msync(address, length, MS_SYNC)`, blocking this thread until what was
   * written to the memory is in the file on its device. Without it others who map
   * or read the file see every write all the same; only a crash of the system can
   * lose it.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EIO if the device fails.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msync.2.html | msync(2)}
   */
  flush(): void {
    this.#mapping.checkOpen();
    const { address, bytes, subject } = this.#mapping;
    const skip = address % BigInt(pageSize()); // msync wants a whole page
    const length = BigInt(bytes.length) + skip;
    const { msync } = sysMman();
    check(msync(address - skip, length, MS_SYNC), "msync", subject);
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
  close(): void {
    this.#mapping.close();
  }

  /** Closes this object; the file stays. */
  [Symbol.dispose](): void {
    this.close();
  }
}
