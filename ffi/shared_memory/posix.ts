// POSIX shared memory objects: memory that has a name.

import {
  checkFd,
  checkMode,
  checkSize,
  cName,
  NAME_MAX,
} from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import {
  filesOfShm,
  SHM_DIRECTORY,
  spaceLimit,
} from "../kernel/file_system.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { notMounted } from "../kernel/not_mounted.ts";
import { linkInProc } from "../kernel/proc.ts";
import {
  check,
  checkRetrying,
  EEXIST,
  ENOENT,
  ENOSPC,
  unless,
} from "../libc/errno.ts";
import { encodeName } from "../libc/dirent.ts";
import {
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
} from "../libc/fcntl.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { sysMman } from "../libc/sys_mman.ts";
import {
  type FileStatus,
  permissionsOf,
  S_IFMT,
  S_IFREG,
  setMode,
  statusOfFd,
  statusOfPath,
} from "../libc/sys_stat.ts";
import {
  type CreateRequest,
  createRequest,
  deadlineToOpen,
  DEFAULT_MODE,
  grow,
  type MapCreateOptions,
  mapFile,
  mapNew,
  type MapOpenOptions,
  type MapOptions,
  mapPart,
  type MapRequest,
  mapRequest,
  regularStatus,
  resizeFile,
  type ResizeOptions,
  resizeRequest,
  sizeOf,
  waitForSize,
  waitForSizeSync,
} from "../memory/file.ts";
import { mappingOf, Memory, replaceMapping } from "../memory/memory.ts";
import { limitsOf, type WaitOptions } from "../wait/options.ts";

/** The status of a POSIX shared memory object. */
export interface PosixSharedMemoryStat {
  /** The size of the whole object in bytes; 0 until its creator has set it. */
  readonly size: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

/** An entry of {@linkcode PosixSharedMemory.list}. */
export interface PosixSharedMemoryEntry extends PosixSharedMemoryStat {
  /** The name, for {@linkcode PosixSharedMemory.open}. */
  readonly name: string;
}

const DIRECTORY = `${SHM_DIRECTORY}/`;
const SEMAPHORE = "sem."; // the prefix of sem_open

/** An unused name that contains the process id. */
function randomName(): string {
  return `/ipc-${runtime.pid}-${crypto.randomUUID()}`;
}

/** `shm_open`, which sets close-on-exec. */
function openObject(name: string, flags: number, mode = 0): Descriptor {
  const cname = cName(name, NAME_MAX);
  const { shm_open } = sysMman();
  // The open of a FIFO in /dev/shm would block without O_NONBLOCK.
  const open = () => shm_open(cname, flags | O_NONBLOCK, mode | 0);
  const checked = () => checkRetrying(open, "shm_open", name, limitOf);
  const creates = (flags & O_CREAT) !== 0;
  const fd = creates ? unless(ENOENT, checked) : checked();
  if (fd === undefined) throw notMounted(`create ${name}`, SHM_DIRECTORY);
  return new Descriptor(fd, `shared memory ${name}`);
}

/** The limit behind ENOSPC; undefined for the usual one. */
function limitOf(error: number): SystemLimit | undefined {
  return error === ENOSPC ? spaceLimit(SHM_DIRECTORY) : undefined;
}

/** Opens an existing object, to be mapped like that. */
function openFor({ access }: MapRequest, name: string): Descriptor {
  return openObject(name, access === "shared" ? O_RDWR : O_RDONLY);
}

/** The name of the object that a descriptor refers to. */
function nameOf(fd: number, { stx_nlink }: FileStatus): string {
  const action = `tell the name of descriptor ${fd}`;
  const path = linkInProc(`/proc/self/fd/${fd}`, action);
  const name = path.slice(DIRECTORY.length);
  if (!path.startsWith(DIRECTORY) || name.includes("/")) {
    throw new TypeError(
      `Argument "fd" must be a POSIX shared memory object: ${fd} is ${path}`,
    );
  }
  return `/${stx_nlink > 0 ? name : name.replace(/ \(deleted\)$/, "")}`;
}

function statOf(status: FileStatus): PosixSharedMemoryStat {
  return { size: Number(status.stx_size), ...permissionsOf(status) };
}

/** The entry of a file in /dev/shm; undefined if it is not an object, or is removed. */
function entryOf(file: string): PosixSharedMemoryEntry | undefined {
  const path = DIRECTORY + file;
  const cpath = encodeName(path);
  const status = unless(ENOENT, () => statusOfPath(cpath, path));
  if (status === undefined || (status.stx_mode & S_IFMT) !== S_IFREG) {
    return undefined;
  }
  return { name: `/${file}`, ...statOf(status) };
}

/**
 * `shm_open(name, ...)`, `mmap(...)`: a POSIX shared memory object, mapped into this
 * process: memory that has a name. It is a file in /dev/shm.
 *
 * It exists until its name is removed and all processes have closed it, or until the
 * system restarts. It begins as zeroes. Unlike a System V segment it can change its
 * size, and be mapped in part.
 *
 * If another process makes the object smaller, an access of JavaScript beyond its new end
 * ends this process with SIGBUS: see {@linkcode Memory}. With a peer that is not trusted,
 * use a `MemoryFile` that is sealed against that.
 *
 * @example Two mappings of one object
 * ```ts
 * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = PosixSharedMemory.create(null, 4096); // or "/some-name"
 * using other = PosixSharedMemory.open(memory.name); // usually in another process
 * PosixSharedMemory.unlink(memory.name); // destroyed when both are closed
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

  /** @ignore */
  private constructor(
    token: typeof internal,
    name: string,
    descriptor: Descriptor,
    mapping: Mapping,
    offset = 0,
  ) {
    checkInternal(token, "PosixSharedMemory");
    super(token, mapping);
    this.#name = name;
    this.#descriptor = descriptor;
    this.#offset = offset;
  }

  /**
   * `shm_open(name, O_RDWR | O_CREAT | O_EXCL, mode)`, `ftruncate`, then `mmap`:
   * creates an object under a new name.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash. null picks
   * an unused one: see
   * {@linkcode PosixSharedMemory.prototype.name | PosixSharedMemory.name}.
   * @param size The size in bytes, at least 1.
   * @param options `mode`, `reserve`.
   * @returns The object, mapped and zeroed. Its name stays until it is unlinked.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long, or the size or mode is out
   * of range.
   * @throws {IpcError} EEXIST if the name is taken; ENOSPC if /dev/shm is full, or has no
   * room for more files; ENOMEM if a memory cgroup of this process does not have enough;
   * EINTR if signals interrupt `posix_fallocate` 100 times without a pause; EFBIG,
   * EACCES, EROFS, EMFILE, ENFILE. The name is removed then.
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
    options?: MapCreateOptions,
  ): PosixSharedMemory {
    const request = createRequest(size, options);
    const chosen = name === null ? randomName() : name;
    return PosixSharedMemory.#create(chosen, request);
  }

  /**
   * `shm_open(name, O_RDWR, 0)`, then `mmap`: opens an existing object. Its size does
   * not change.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options `offset`, `length`, `private`, `readonly`, `populate`, `timeout`.
   * @returns The object, mapped.
   * @throws {TypeError} If the name is malformed, or is not that of an object.
   * @throws {RangeError} If the name is too short or too long; if the range does not lie
   * inside the object; if the object is empty, without a `timeout`.
   * @throws {DOMException} `TimeoutError` if it is still empty after the `timeout`, for
   * which this thread is blocked ({@linkcode PosixSharedMemory.openWhenReady} does not).
   * @throws {IpcError} ENOENT if there is no such object, EACCES without permission to
   * read and write (with `private` or `readonly`: to read), EROFS if /dev/shm is mounted
   * read-only (without those), EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that is not in use
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
    options?: MapOpenOptions,
  ): PosixSharedMemory {
    const request = mapRequest(options);
    const deadline = deadlineToOpen(options);
    const file = openFor(request, name);
    try {
      waitForSizeSync(file, deadline);
      return PosixSharedMemory.#map(name, file, request);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * `shm_open(name, O_RDWR, 0)`, then `mmap`: opens an existing object.
   *
   * If it is empty, waits, without blocking the thread, until its creator has set its
   * size: it is tried every millisecond at first, and every 20 milliseconds later.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param options Those of {@linkcode PosixSharedMemory.open}, and `signal`.
   * @returns The object, mapped.
   * @throws {TypeError} If the name is malformed, or is not that of an object.
   * @throws {RangeError} If the name is too short or too long; if the range does not lie
   * inside the object.
   * @throws {DOMException} `TimeoutError` if it is still empty after the `timeout`.
   * @throws The reason of the signal, if it is aborted.
   * @throws {IpcError} As {@linkcode PosixSharedMemory.open}.
   *
   * @example Its creator is slow
   * ```ts
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const name = `/example-${crypto.randomUUID()}`;
   * Deno.createSync(`/dev/shm${name}`).close(); // usually shm_open in another process
   * const opened = PosixSharedMemory.openWhenReady(name, { timeout: 10_000 });
   * Deno.truncateSync(`/dev/shm${name}`, 8);
   * using memory = await opened;
   * PosixSharedMemory.unlink(name);
   * assertEquals(memory.byteLength, 8);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_open.3.html | shm_open(3)}
   */
  static async openWhenReady(
    name: string,
    options?: MapOpenOptions & WaitOptions,
  ): Promise<PosixSharedMemory> {
    const request = mapRequest(options);
    const limits = limitsOf(options);
    const file = openFor(request, name);
    try {
      await waitForSize(file, limits);
      return PosixSharedMemory.#map(name, file, request);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * `shm_open(name, O_RDWR | O_CREAT, mode)`, `ftruncate` if the object is empty, then
   * `mmap`: opens an object, or creates it.
   *
   * Processes that call this at the same time get the same object. One that is empty,
   * because its creator has not set its size yet, gets its size here.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @param size The size in bytes of a new object, and the least size of an existing
   * one; at least 1.
   * @param options `mode`, `reserve`, for a new object.
   * @returns The object. All of it is mapped.
   * @throws {TypeError} If the name is malformed, or is not that of an object.
   * @throws {RangeError} If the name is too short or too long, if the size or mode is out
   * of range, or if an existing object is smaller.
   * @throws {IpcError} EACCES without permission to read and write; ENOSPC if /dev/shm
   * is full; EROFS, ENOMEM, EFBIG, EMFILE, ENFILE. A new name is removed then.
   *
   * @example Two processes, in any order
   * ```ts
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const name = `/example-${crypto.randomUUID()}`;
   * using memory = PosixSharedMemory.openOrCreate(name, 8);
   * using other = PosixSharedMemory.openOrCreate(name, 8); // usually in another process
   * PosixSharedMemory.unlink(name);
   * memory.bytes[0] = 80;
   * assertEquals(other.bytes[0], 80);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_open.3.html | shm_open(3)}
   */
  static openOrCreate(
    name: string,
    size: number,
    options?: MapCreateOptions,
  ): PosixSharedMemory {
    const request = createRequest(size, options);
    // In two steps, because O_CREAT without O_EXCL does not tell whether the object is
    // new, and its name must be removed if a later step fails.
    for (;;) {
      const memory = unless(
        EEXIST,
        () => PosixSharedMemory.#create(name, request),
      );
      if (memory !== undefined) return memory;
      const file = unless(ENOENT, () => openObject(name, O_RDWR));
      if (file === undefined) continue; // unlinked in between
      return PosixSharedMemory.#mapAll(name, file, request);
    }
  }

  /**
   * `fstat(fd, ...)`, `mmap(...)`: takes ownership of an object that came from another
   * process.
   *
   * Nothing else in this process may use the descriptor, because `close()` closes it. An
   * object of another Worker is not noticed.
   *
   * @param fd The number of the descriptor: one that was passed through a socket, or
   * that this process has inherited.
   * @param options `offset`, `length`, `private`, `readonly`, `populate`.
   * @returns The object, mapped. Its `name` is the one in /proc/self/fd.
   * @throws {TypeError} If it is not a shared memory object, or if an object of this
   * package on this thread owns the descriptor. The caller keeps ownership then.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647, if the object
   * is empty, or if the range does not lie inside it.
   * @throws {IpcError} EBADF if the descriptor is not open, EACCES if it is not open for
   * reading and writing (with `private` or `readonly`: reading), ENOMEM.
   * @throws {Deno.errors.NotSupported} If /proc, which has the name, is not mounted.
   *
   * @example A child process that needs neither the name nor a permission
   * ```ts ignore
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   *
   * if (Deno.args[0] === "child") {
   *   using memory = PosixSharedMemory.fromFd(Number(Deno.args[1]));
   *   console.log(memory.bytes[0]); // 80
   * } else {
   *   using memory = PosixSharedMemory.create(null, 8);
   *   PosixSharedMemory.unlink(memory.name);
   *   memory.bytes[0] = 80;
   *   const child = memory.inherit((fd) =>
   *     new Deno.Command(Deno.execPath(), {
   *       args: ["run", "--allow-ffi", import.meta.filename!, "child", `${fd}`],
   *     }).spawn()
   *   );
   *   await child.status;
   * }
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  static fromFd(fd: number, options?: MapOptions): PosixSharedMemory {
    checkFd(fd);
    const request = mapRequest(options);
    const name = nameOf(fd, regularStatus({ fd, subject: `descriptor ${fd}` }));
    const subject = `shared memory ${name}`;
    const { mapping, offset } = mapPart({ fd, subject }, request);
    try {
      takeOver(fd, subject);
    } catch (error) {
      mapping.close();
      throw error;
    }
    const file = new Descriptor(fd, subject);
    return new PosixSharedMemory(internal, name, file, mapping, offset);
  }

  /**
   * `shm_unlink(name)`: removes the name. Processes that have opened the object can
   * continue to use it.
   *
   * @param name A slash, then 1 to 255 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long.
   * @throws {IpcError} ENOENT if there is no such object, EACCES, EROFS.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/shm_unlink.3.html | shm_unlink(3)}
   */
  static unlink(name: string): void {
    const cname = cName(name, NAME_MAX);
    check(sysMman().shm_unlink(cname), "shm_unlink", name);
  }

  /**
   * `readdir(3)` of /dev/shm: lists the objects of this system, also those that this
   * process has no permission for, and those of 0 bytes.
   *
   * POSIX semaphores, whose files have the prefix `sem.`, are left out.
   *
   * @returns The objects, in no particular order.
   * @throws {Deno.errors.NotSupported} If /dev/shm is not mounted.
   * @throws {IpcError} EACCES if the directory cannot be read; EMFILE or ENFILE if there
   * are too many descriptors; ENOMEM.
   *
   * @example Find an object
   * ```ts
   * import { PosixSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = PosixSharedMemory.create(null, 100);
   * const found = PosixSharedMemory.list().find(({ name }) => name === memory.name);
   * PosixSharedMemory.unlink(memory.name);
   * assertEquals([found?.size, found?.mode], [100, 0o600]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/shm_overview.7.html | shm_overview(7)}
   */
  static list(): PosixSharedMemoryEntry[] {
    return filesOfShm("list shared memory")
      .filter((file) => !file.startsWith(SEMAPHORE))
      .map(entryOf)
      .filter((entry) => entry !== undefined);
  }

  static #create(name: string, request: CreateRequest): PosixSharedMemory {
    const { mode = DEFAULT_MODE } = request;
    const file = openObject(name, O_RDWR | O_CREAT | O_EXCL, mode);
    try {
      const unlink = () => sysMman().shm_unlink(cName(name, NAME_MAX));
      const mapping = mapNew(file, request, unlink);
      return new PosixSharedMemory(internal, name, file, mapping);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  static #map(
    name: string,
    file: Descriptor,
    request: MapRequest,
  ): PosixSharedMemory {
    const { mapping, offset } = mapPart(file, request);
    return new PosixSharedMemory(internal, name, file, mapping, offset);
  }

  /** Maps all of an existing object; sets its size if it is empty. */
  static #mapAll(
    name: string,
    file: Descriptor,
    { size, reserve }: CreateRequest,
  ): PosixSharedMemory {
    try {
      let length = Number(regularStatus(file).stx_size);
      if (length === 0) {
        grow(file, 0, size, reserve);
        length = sizeOf(file);
      }
      if (length < size) {
        throw new RangeError(
          `Argument "size" must be at most ${length} (the size of ` +
            `${file.subject}): ${size}`,
        );
      }
      const mapping = mapFile(file, { offset: 0, length }, "shared");
      return new PosixSharedMemory(internal, name, file, mapping);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** The name, beginning with a slash. */
  get name(): string {
    return this.#name;
  }

  /**
   * The number of the descriptor. This object keeps the ownership. It can be passed
   * through a socket.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `fstat(fd, ...)`: the present size of the whole object, in bytes. Another process
   * may have changed it; the size of the mapping is `byteLength`.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get size(): number {
    return sizeOf(this.#descriptor);
  }

  /**
   * `fstat(fd, ...)`: returns the status of the object.
   *
   * @returns Its present size, permissions and owner.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fstat.2.html | fstat(2)}
   */
  stat(): PosixSharedMemoryStat {
    const { fd, subject } = this.#descriptor;
    return statOf(statusOfFd(fd, subject));
  }

  /**
   * `fchmod(fd, mode)`: changes the permission bits of the object. The umask does not
   * apply. Processes that have opened it can continue to use it.
   *
   * @param mode The permission bits, 0 to 0o777.
   * @throws {RangeError} If the mode is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process does not own the object, EROFS.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/chmod.2.html | fchmod(2)}
   */
  chmod(mode: number): void {
    checkMode(mode);
    const { fd, subject } = this.#descriptor;
    setMode(fd, mode, subject);
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`, then `mmap`: changes the size of
   * the object, and maps it up to its new end.
   *
   * All existing views of this mapping have length 0 afterwards; `bytes`, `atomics` and
   * `view` return new ones. Advice and locks do not carry over.
   *
   * If another process has made the object larger, `resize(memory.size)` maps the new
   * part. Growing never shrinks an object that another process has made even larger
   * meanwhile.
   *
   * @param size The size in bytes, more than the offset of the mapping.
   * @param options `shrink`, without which the object becomes no smaller; `reserve`.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} If this mapping is read-only or private; when shrinking, if
   * another mapping of this process, on any of its threads, has pages beyond the new
   * end, or a wait uses them.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOSPC if /dev/shm is full, EFBIG, ENOMEM; EINTR if signals
   * interrupt `posix_fallocate` 100 times without a pause; EMFILE if it becomes smaller,
   * and there is no descriptor to see what is mapped. The object may have grown then.
   * @throws {Deno.errors.NotSupported} When shrinking, if /proc is not mounted.
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
    const request = resizeRequest(options);
    checkSize("size", size, this.#offset + 1);
    const own = mappingOf(this);
    own.checkWritable();
    const file = this.#descriptor;
    const range = { offset: this.#offset, length: size - this.#offset };
    resizeFile(file, size, request, own, () => {
      replaceMapping(this, mapFile(file, range, "shared"));
    });
  }

  /**
   * `fcntl(fd, F_SETFD, 0)` while `spawn` runs: processes that it starts inherit the
   * descriptor, under the same number. There, {@linkcode PosixSharedMemory.fromFd}
   * maps the object.
   *
   * A process that another thread starts in that moment inherits it, too.
   *
   * @param spawn Starts the process, and gets the number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /**
   * `munmap(address, length)`: unmaps the memory, and gives the descriptor away. The
   * caller closes it; this object is closed.
   *
   * @returns The number of the descriptor.
   * @throws {ClosedError} If this object is closed.
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred. This object keeps the
   * descriptor then.
   */
  detach(): number {
    this.#descriptor.checkOpen();
    super.close();
    return this.#descriptor.detach();
  }

  /**
   * `munmap(address, length)` and `close(fd)`: unmaps the memory. All its views have
   * length 0 from then on. The object stays. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: its new owner may use
   * the memory, so it stays mapped until the process ends.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/munmap.2.html | munmap(2)}
   */
  override close(): void {
    this.#descriptor.close();
    super.close();
  }

  static {
    inspectAs(this, (memory) => ({
      name: memory.name,
      byteLength: memory.byteLength,
      closed: memory.#descriptor.closed,
    }));
  }
}
