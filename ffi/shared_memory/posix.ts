// POSIX shared memory objects.

import { checkMode, checkSize, cName, NAME_MAX } from "../arguments.ts";
import { Descriptor } from "../kernel/descriptor.ts";
import { check, checkRetrying } from "../libc/errno.ts";
import {
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
} from "../libc/fcntl.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { sysMman } from "../libc/sys_mman.ts";
import {
  allocate,
  checkRange,
  mapFile,
  rangeIn,
  type RangeOptions,
  regularStatus,
  resizeFile,
  type ResizeOptions,
  resizeOptions,
  sizeOf,
  truncate,
} from "../memory/file.ts";
import { mappingOf, Memory, replaceMapping } from "../memory/memory.ts";

/** How a POSIX shared memory object is created. */
export interface PosixSharedMemoryCreateOptions {
  /**
   * The permission bits; the umask of the process takes its bits away.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * `posix_fallocate`: takes the memory at once, so that there is an error now if
   * /dev/shm has no room for it (in a container it often has 64 MiB). Without it
   * memory is taken when it is written to, and if there is none then, the process
   * ends with SIGBUS.
   *
   * A memory cgroup has a limit, too, and the kernel ends the process with SIGKILL
   * there. 16 MiB or more that it does not have now are ENOMEM here; what others in
   * it take meanwhile, and what is written to later, cannot be foreseen.
   *
   * @default {true}
   */
  reserve?: boolean | undefined;
}

/** Which part of a POSIX shared memory object is mapped, and how. */
export interface PosixSharedMemoryOpenOptions extends RangeOptions {
  /**
   * `O_RDONLY`: opens and maps the object for reading only, which needs no
   * permission to write. What is read is a copy, made by `read`; see `Memory`.
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
}

/** A name that nobody else has, and that says whose it is. */
function randomName(): string {
  return `/ipc-${Deno.pid}-${crypto.randomUUID()}`;
}

function openObject(name: string, flags: number, mode = 0): Descriptor {
  const cname = cName(name, NAME_MAX);
  // With close-on-exec, as shm_open(3) has it. O_NONBLOCK is for a FIFO that
  // somebody has put there; to an object it says nothing.
  const { shm_open } = sysMman();
  const open = () => shm_open(cname, flags | O_NONBLOCK, mode | 0);
  const fd = checkRetrying(open, "shm_open", name);
  return new Descriptor(fd, `shared memory ${name}`);
}

/**
 * A POSIX shared memory object, mapped into this process: memory with a name,
 * which is a file in /dev/shm.
 *
 * It stays until somebody unlinks it and everybody has closed it, or until the
 * system is restarted. Its contents begin as zeroes. Unlike a System V segment it
 * can change its size, and a part of it can be mapped.
 *
 * An object that another process makes smaller takes memory away under those who
 * have mapped it: touching that ends them with SIGBUS. With a peer that is not
 * trusted, use a `MemoryFile` that is sealed against it.
 *
 * @example Two mappings of one object
 * ```ts
 * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = PosixSharedMemory.create(null, 4096); // or "/some-name"
 * using other = PosixSharedMemory.open(memory.name); // mostly in another process
 * PosixSharedMemory.unlink(memory.name); // gone when both are closed
 * memory.bytes[7] = 42;
 * assertEquals(other.bytes[7], 42);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/shm_overview.7.html | shm_overview(7)}
 */
export class PosixSharedMemory extends Memory {
  readonly #name: string;
  readonly #descriptor: Descriptor;
  readonly #offset: number;

  private constructor(
    token: typeof internal,
    name: string,
    descriptor: Descriptor,
    mapping: Mapping,
    offset = 0,
  ) {
    const ways = "PosixSharedMemory.create() or PosixSharedMemory.open()";
    checkInternal(token, "PosixSharedMemory", ways);
    super(token, mapping);
    this.#name = name;
    this.#descriptor = descriptor;
    this.#offset = offset;
  }

  /**
   * `shm_open(name, O_RDWR | O_CREAT | O_EXCL, mode)`, `ftruncate`, then `mmap`:
   * makes an object under a new name.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash. null
   * picks a free one: see {@linkcode PosixSharedMemory.name}.
   * @param size The size in bytes, at least 1.
   * @param options `mode`, `reserve`.
   * @returns The object, mapped and zeroed. Its name stays until somebody unlinks it.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long, or the size or mode is out of
   * range.
   * @throws {IpcError} EEXIST if the name is taken; ENOSPC if /dev/shm is full;
   * ENOMEM if a memory cgroup of this process does not have as much; EFBIG, EACCES, EMFILE, ENFILE. No name is left behind.
   *
   * @example A name that is taken
   * ```ts
   * import { IpcError, PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertThrows } from "@std/assert";
   *
   * using memory = PosixSharedMemory.create(null, 8);
   * const create = () => PosixSharedMemory.create(memory.name, 8);
   * assertThrows(create, IpcError, "EEXIST");
   * PosixSharedMemory.unlink(memory.name);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_open.3.html | shm_open(3)}
   */
  static create(
    name: string | null,
    size: number,
    options?: PosixSharedMemoryCreateOptions,
  ): PosixSharedMemory {
    checkSize("size", size);
    const { mode = 0o600, reserve = true } = options ?? {};
    checkMode(mode);
    const chosen = name === null ? randomName() : name;
    const file = openObject(chosen, O_RDWR | O_CREAT | O_EXCL, mode);
    let mapping;
    try {
      truncate(file, size);
      mapping = mapFile(file, { offset: 0, length: size }, "shared");
      if (reserve) allocate(file, 0, size);
    } catch (error) {
      mapping?.close();
      file.close();
      sysMman().shm_unlink(cName(chosen, NAME_MAX));
      throw error;
    }
    return new PosixSharedMemory(internal, chosen, file, mapping);
  }

  /**
   * `shm_open(name, O_RDWR, 0)`, then `mmap`: opens an object that exists. Its size
   * stays as it is.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `offset`, `length`, `readonly`.
   * @returns The object, mapped.
   * @throws {TypeError} If the name is malformed, or names no object.
   * @throws {RangeError} If the name is too long; if the range is not within the
   * object; if the object is empty, as it is until its maker has given it a size.
   * @throws {IpcError} ENOENT if there is no such object, EACCES if it may not be
   * read and written to (with `readonly`: read), EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that nobody uses
   * ```ts
   * import { IpcError, PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => PosixSharedMemory.open("/no-such"), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_open.3.html | shm_open(3)}
   */
  static open(
    name: string,
    options?: PosixSharedMemoryOpenOptions,
  ): PosixSharedMemory {
    const wanted = checkRange(options);
    const readonly = options?.readonly ?? false;
    const file = openObject(name, readonly ? O_RDONLY : O_RDWR);
    try {
      const status = regularStatus(file);
      const range = rangeIn(Number(status.stx_size), file.subject, wanted);
      const access = readonly ? "readonly" : "shared";
      const mapping = mapFile(file, range, access, 0, status);
      return new PosixSharedMemory(internal, name, file, mapping, range.offset);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * `shm_unlink(name)`: removes the name. Who has the object open goes on using it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long.
   * @throws {IpcError} ENOENT if there is no such object, EACCES.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_unlink.3.html | shm_unlink(3)}
   */
  static unlink(name: string): void {
    const cname = cName(name, NAME_MAX);
    check(sysMman().shm_unlink(cname), "shm_unlink", name);
  }

  /** The name, beginning with a slash. */
  get name(): string {
    return this.#name;
  }

  /**
   * The number of the descriptor, which stays this object's. It can be passed
   * through a socket.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `fstat(fd, ...)`: the size of the whole object in bytes, now. Another process
   * may have changed it; what is mapped here is `byteLength`.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get size(): number {
    return sizeOf(this.#descriptor);
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`, then `mmap`: changes the
   * size of the object, and maps it up to its new end. All views of this mapping
   * have length 0 from now on; `bytes` and the others give new ones.
   *
   * If another process has made the object larger already, `resize(memory.size)`
   * maps what is new. To grow never takes away what others have made larger
   * meanwhile.
   *
   * @param size The size in bytes, more than the offset of the mapping.
   * @param options `shrink`, without which the object becomes no smaller;
   * `reserve`.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} If this mapping is read-only; or if what is to go is mapped
   * once more in this process, on any of its threads, or waited in.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOSPC if /dev/shm is full, EFBIG, ENOMEM.
   * @throws {Deno.errors.NotSupported} If it is to become smaller and /proc is not
   * mounted.
   *
   * @example Twice as large
   * ```ts
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using memory = PosixSharedMemory.create(null, 4);
   * PosixSharedMemory.unlink(memory.name);
   * const old = memory.bytes;
   * old[3] = 7;
   * memory.resize(8);
   * assertEquals(old.length, 0);
   * assertEquals(memory.bytes, Uint8Array.of(0, 0, 0, 7, 0, 0, 0, 0));
   * assertThrows(() => memory.resize(4), RangeError);
   * memory.resize(4, { shrink: true });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  resize(size: number, options?: ResizeOptions): void {
    const how = resizeOptions(options);
    checkSize("size", size, this.#offset + 1);
    const own = mappingOf(this);
    own.checkWritable();
    const file = this.#descriptor;
    const range = { offset: this.#offset, length: size - this.#offset };
    resizeFile(file, size, how, own, () => {
      replaceMapping(this, mapFile(file, range, "shared"));
    });
  }

  /**
   * `munmap(address, length)` and `close(fd)`: ends this process's hold. Every
   * view has length 0 then. The object stays. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: the memory
   * stays mapped until the process ends, because somebody may be using it.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/munmap.2.html | munmap(2)}
   */
  override close(): void {
    this.#descriptor.close();
    super.close();
  }
}
