// Memory files: memory without a name, with a descriptor.

import { checkFd, checkInteger, checkSize, cString } from "../arguments.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import { check, EINVAL, errno, ipcError } from "../libc/errno.ts";
import {
  F_ADD_SEALS,
  F_GET_SEALS,
  F_SEAL_EXEC,
  F_SEAL_FUTURE_WRITE,
  F_SEAL_GROW,
  F_SEAL_SEAL,
  F_SEAL_SHRINK,
  F_SEAL_WRITE,
  fcntl,
} from "../libc/fcntl.ts";
import { checkInternal, internal } from "../internal.ts";
import {
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  sysMman,
} from "../libc/sys_mman.ts";
import {
  type RangeOptions,
  resizeFile,
  type ResizeOptions,
  resizeOptions,
  sizeOf,
  truncate,
} from "../memory/file.ts";
import {
  mapDescriptor,
  mappingOptions,
  type MemoryMap,
} from "../memory_map.ts";

/**
 * What nobody can do to a memory file any more, once and for all: `F_SEAL_...`.
 *
 * | seal           | forbids                                                  |
 * | -------------- | -------------------------------------------------------- |
 * | `seal`         | more seals                                               |
 * | `shrink`       | a smaller size                                           |
 * | `grow`         | a larger size                                            |
 * | `write`        | any change of the contents                               |
 * | `future-write` | changes but through mappings that are there already (since Linux 5.1) |
 * | `exec`         | a change of the permission to execute it (since Linux 6.3) |
 */
export type Seal =
  | "seal"
  | "shrink"
  | "grow"
  | "write"
  | "future-write"
  | "exec";

const SEALS: Record<Seal, number> = {
  seal: F_SEAL_SEAL,
  shrink: F_SEAL_SHRINK,
  grow: F_SEAL_GROW,
  write: F_SEAL_WRITE,
  "future-write": F_SEAL_FUTURE_WRITE,
  exec: F_SEAL_EXEC,
};

/** How a memory file is made. */
export interface MemoryFileCreateOptions {
  /**
   * `MFD_HUGETLB`: takes huge pages, of those that /proc/sys/vm/nr_hugepages has
   * put aside. The size must be a multiple of theirs, which is mostly 2 MiB.
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
}

/** How a memory file that came from elsewhere is taken over. */
export interface MemoryFileFromFdOptions {
  /**
   * The seals that it must have. Without `shrink` whoever sent it can end this
   * process with SIGBUS; without `write` or `future-write` he can change what was
   * checked already, so copy first.
   *
   * @default {["shrink"]}
   */
  seals?: readonly Seal[] | undefined;
}

/** How a memory file is mapped. */
export interface MemoryFileMapOptions extends RangeOptions {
  /**
   * `MAP_PRIVATE`: writes stay in this process and never reach the file.
   *
   * @default {false}
   */
  private?: boolean | undefined;
  /**
   * `PROT_READ`: there is no array over the memory, and `read` copies from it.
   * A file with the seal `write` or `future-write` can be mapped in this way, or as
   * private, only.
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
  /**
   * `MAP_POPULATE`: takes all of the memory now, not page by page when it is
   * touched.
   *
   * @default {false}
   */
  populate?: boolean | undefined;
}

const NAME_BYTES = 249; // as memfd_create(2) has it

function maskOf(seals: readonly Seal[]): number {
  let mask = 0;
  for (const seal of seals) {
    if (typeof seal !== "string" || !Object.hasOwn(SEALS, seal)) {
      const known = Object.keys(SEALS).join(", ");
      throw new TypeError(
        `Argument "seals" must be of ${known}: ${String(seal)}`,
      );
    }
    mask |= SEALS[seal];
  }
  return mask;
}

function sealsOf(mask: number): Seal[] {
  const all = Object.keys(SEALS) as Seal[];
  return all.filter((seal) => (mask & SEALS[seal]) !== 0);
}

/**
 * A memory file: memory that others get with its descriptor, and by no name.
 *
 * This is the way to share memory with a peer that is not trusted. Its size can be
 * sealed: then nobody can take memory away under those who have mapped it. Its
 * contents can be sealed, too: then what was checked stays as it was.
 *
 * The descriptor reaches another process through a Unix domain socket, or by
 * inheritance. The memory is gone when all have closed and unmapped it, also after
 * a crash.
 *
 * @example Something to be read by everybody
 * ```ts
 * import { MemoryFile } from "@linux/ipc/shared-memory";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * using file = MemoryFile.create("greeting", 5);
 * {
 *   using map = file.map();
 *   map.bytes.set(new TextEncoder().encode("hello"));
 * }
 * file.seal(["shrink", "grow", "write", "seal"]);
 *
 * // Who gets the descriptor, takes it over with MemoryFile.fromFd(fd).
 * using map = file.map({ readonly: true });
 * assertEquals(new TextDecoder().decode(map.read(0, 5)), "hello");
 * assertThrows(() => file.resize(6), Error, "EPERM");
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/memfd_create.2.html | memfd_create(2)}
 */
export class MemoryFile implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(token: typeof internal, descriptor: Descriptor) {
    checkInternal(
      token,
      "MemoryFile",
      "MemoryFile.create() or MemoryFile.fromFd()",
    );
    this.#descriptor = descriptor;
  }

  /**
   * `memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)`, then `ftruncate`: makes a
   * file of zeroes in memory.
   *
   * @param name What /proc shows, at most 249 bytes of UTF-8; many files may have
   * the same.
   * @param size The size in bytes. Memory is taken when it is written to.
   * @param options `hugePages`.
   * @returns The file, closed by its `close()`.
   * @throws {TypeError} If the name contains NUL.
   * @throws {RangeError} If the name is too long, or the size out of range.
   * @throws {IpcError} EMFILE, ENFILE, EFBIG, ENOMEM; with `hugePages` EINVAL if the
   * size is no multiple of theirs, EPERM, ENODEV.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/memfd_create.2.html | memfd_create(2)}
   */
  static create(
    name: string,
    size: number,
    options?: MemoryFileCreateOptions,
  ): MemoryFile {
    const cname = cString("name", name);
    const origin = "as memfd_create(2) has it";
    checkInteger("name.length", cname.length - 1, 0, NAME_BYTES, origin);
    checkSize("size", size, 0);
    const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING |
      (options?.hugePages ? MFD_HUGETLB : 0);
    const subject = `memory file ${name}`;
    const fd = check(
      sysMman().memfd_create(cname, flags),
      "memfd_create",
      subject,
    );
    const file = new Descriptor(fd, subject);
    try {
      truncate(file, size);
    } catch (error) {
      file.close();
      throw error;
    }
    return new MemoryFile(internal, file);
  }

  /**
   * `fcntl(fd, F_GET_SEALS)`: takes over a memory file that came from another
   * process, after making sure that it has the seals that this process relies on.
   * The number must not belong to anything else in this process: `close()` closes
   * it.
   *
   * @param fd The number of the descriptor: what came through a socket, or what
   * this process was started with.
   * @param options `seals`.
   * @returns The file.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is no memory file, if a seal is missing, or if it belongs
   * to an object of this module. The descriptor stays the caller's then.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @example A file that its maker can still shrink
   * ```ts
   * import { MemoryFile } from "@linux/ipc/shared-memory";
   * import { assertThrows } from "@std/assert";
   *
   * using file = MemoryFile.create("trap", 4096);
   * assertThrows(() => MemoryFile.fromFd(file.fd), TypeError, "shrink");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html | F_GET_SEALS(2const)}
   */
  static fromFd(fd: number, options?: MemoryFileFromFdOptions): MemoryFile {
    checkFd(fd);
    const wanted = maskOf(options?.seals ?? ["shrink"]);
    const subject = `memory file ${fd}`;
    const { fcntl: call } = fcntl();
    const present = call(fd, F_GET_SEALS, 0);
    if (present === -1) {
      const number = errno();
      if (number !== EINVAL) throw ipcError(number, "fcntl", subject);
      throw new TypeError(
        `Argument "fd" must be a memory file: descriptor ${fd} is not`,
      );
    }
    const missing = sealsOf(wanted & ~present);
    if (missing.length > 0) {
      throw new TypeError(
        `Cannot take over ${subject}: it is not sealed against ${
          missing.join(", ")
        }`,
      );
    }
    takeOver(fd, subject);
    return new MemoryFile(internal, new Descriptor(fd, subject));
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
   * `fstat(fd, ...)`: the size in bytes, now. As long as it is not sealed others may
   * change it.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get size(): number {
    return sizeOf(this.#descriptor);
  }

  /**
   * `fcntl(fd, F_GET_SEALS)`: what nobody can do any more.
   *
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html | F_GET_SEALS(2const)}
   */
  get seals(): Seal[] {
    const { fd, subject } = this.#descriptor;
    return sealsOf(check(fcntl().fcntl(fd, F_GET_SEALS, 0), "fcntl", subject));
  }

  /**
   * `fcntl(fd, F_ADD_SEALS, seals)`: takes possibilities away from everybody, this
   * process included, for as long as the file is there.
   *
   * @param seals What nobody shall be able to do any more, in addition to what
   * nobody can already.
   * @throws {TypeError} If there is no such seal.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against more seals; EBUSY for `write`
   * if somebody has it mapped for writing; EINVAL if this kernel does not know the
   * seal.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html | F_ADD_SEALS(2const)}
   */
  seal(seals: readonly Seal[]): void {
    const mask = maskOf(seals);
    const { fd, subject } = this.#descriptor;
    check(fcntl().fcntl(fd, F_ADD_SEALS, mask), "fcntl", subject);
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`: changes the size. What is
   * mapped stays as it is; map again what is new.
   *
   * @param size The size in bytes.
   * @param options `shrink`, without which the file becomes no smaller; `reserve`,
   * which is false here, if absent. Room is taken as long as there is memory: to
   * reserve more than that is no error, but the end of this or another process.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} If what is to go is mapped in this process, on any of its
   * threads.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against that; EFBIG, ENOMEM.
   * @throws {Deno.errors.NotSupported} If it is to become smaller and /proc is not
   * mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  resize(size: number, options?: ResizeOptions): void {
    checkSize("size", size, 0);
    resizeFile(this.#descriptor, size, resizeOptions(options, false));
  }

  /**
   * `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)`: the file
   * as memory. It stays mapped when the file is closed.
   *
   * @param options `offset`, `length`, `private`, `readonly`, `populate`.
   * @returns The mapping, closed by its `close()`.
   * @throws {RangeError} If the file is empty, or if the range is not within it.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against writes, and neither `private`
   * nor `readonly` is asked for; EACCES if the descriptor is not open for writing;
   * ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  map(options?: MemoryFileMapOptions): MemoryMap {
    const how = mappingOptions(options);
    return mapDescriptor(this.#descriptor, how);
  }

  /**
   * `fcntl(fd, F_SETFD, 0)`, for as long as `spawn` runs: processes started by it
   * have the file under the same descriptor number. Others do not, unless another
   * thread starts one in that moment.
   *
   * @param spawn Starts the child before it returns, or first awaits; gets the
   * descriptor's number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /** `close(2)`. What is mapped stays mapped. Closing twice does nothing. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.close();
  }
}
