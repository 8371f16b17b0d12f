// Memory files: memory that has a descriptor, but no name.

import {
  checkFd,
  checkInteger,
  checkSize,
  choose,
  cString,
} from "../arguments.ts";
import { heldObjects } from "../inspect/held.ts";
import type { IpcHolder } from "../inspect/types.ts";
import { inspectAs } from "../inspect_object.ts";
import { internal } from "../internal.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import { descriptorOf, DescriptorOwner } from "../kernel/descriptor_owner.ts";
import { check, EACCES, EINVAL, errno, ipcError } from "../libc/errno.ts";
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
import {
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  sysMman,
} from "../libc/sys_mman.ts";
import { setMode, statusOfFd } from "../libc/sys_stat.ts";
import {
  type MapOptions,
  mapPart,
  mapRequest,
  resizeFile,
  type ResizeOptions,
  resizeRequest,
  sizeOf,
  truncate,
} from "../memory/file.ts";
import { MemoryMap } from "../memory_map.ts";

/** An entry of `list()` of a `MemoryFile`. */
export interface MemoryFileEntry {
  /** The name that was given to `memfd_create`. It need not be unique. */
  readonly name: string;
  /** The inode. */
  readonly inode: number;
  /** The size in bytes; null if no process has it open, but only mapped. */
  readonly size: number | null;
  /** The permission bits; null as above. */
  readonly mode: number | null;
  /** The user id of the owner; null as above. */
  readonly uid: number | null;
  /** The group id of the owner; null as above. */
  readonly gid: number | null;
  /** The processes that have it open or mapped. */
  readonly holders: readonly IpcHolder[];
}

/**
 * A permanent restriction on a memory file: `F_SEAL_...`.
 *
 * | seal           | forbids                                                  |
 * | -------------- | -------------------------------------------------------- |
 * | `seal`         | more seals                                               |
 * | `shrink`       | a smaller size                                           |
 * | `grow`         | a larger size                                            |
 * | `write`        | any change of the contents                               |
 * | `future-write` | changes, except through existing mappings (since Linux 5.1) |
 * | `exec`         | changes of the execute permission (since Linux 6.3)      |
 *
 * To a file that may be executed, `exec` makes the kernel add `shrink`, `grow`, `write`
 * and `future-write`: it could not be mapped for writing any more. Files that
 * `create()` of {@linkcode MemoryFile} makes cannot be executed.
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

/** Options of `create()` of a {@linkcode MemoryFile}. */
export interface MemoryFileCreateOptions {
  /**
   * `MFD_HUGETLB`: uses huge pages, from those reserved in /proc/sys/vm/nr_hugepages.
   * The size must be a multiple of theirs, which is usually 2 MiB.
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
}

/** Options of `fromFd()` of a {@linkcode MemoryFile}. */
export interface MemoryFileFromFdOptions {
  /**
   * The seals that it must have.
   *
   * Without `shrink` its sender can end this process with SIGBUS. Without `write` or
   * `future-write` its sender can change the contents after they were checked: copy them
   * first.
   *
   * @default {["shrink"]}
   */
  seals?: readonly Seal[] | undefined;
}

// The constructor of MemoryMap is private to TypeScript, and guarded by its token.
const { construct } = Reflect;

const NAME_BYTES = 249; // the limit in memfd_create(2)

const MODE = 0o600; // the kernel's is 0o777
const EXECUTABLE = 0o111;
// What the kernel adds to `exec` for a file that may be executed.
const SEALS_OF_EXECUTABLE = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
  F_SEAL_FUTURE_WRITE;

/** `memfd_create`, if need be in the only way that sysctl vm.memfd_noexec=2 permits. */
function createFile(
  name: Uint8Array<ArrayBuffer>,
  flags: number,
  subject: string,
): number {
  const { memfd_create } = sysMman();
  const fd = memfd_create(name, flags);
  if (fd !== -1 || errno() !== EACCES) {
    return check(fd, "memfd_create", subject);
  }
  const sealed = memfd_create(name, flags | MFD_NOEXEC_SEAL);
  return check(sealed, "memfd_create", subject);
}

/** Throws if the kernel would add seals that were not asked for. */
function checkExec(mask: number, present: number, file: Descriptor): void {
  if ((mask & F_SEAL_EXEC) === 0) return;
  const missing = sealsOf(SEALS_OF_EXECUTABLE & ~(mask | present));
  const { stx_mode } = statusOfFd(file.fd, file.subject);
  if ((stx_mode & EXECUTABLE) === 0 || missing.length === 0) return;
  throw new TypeError(
    `Cannot seal ${file.subject} with exec: it may be executed, so the kernel would ` +
      `add ${
        missing.join(", ")
      }; add them, or clear its execute permission before`,
  );
}

function maskOf(seals: readonly Seal[]): number {
  let mask = 0;
  for (const seal of seals) mask |= choose("seals", seal, SEALS);
  return mask;
}

function sealsOf(mask: number): Seal[] {
  const seals = Object.keys(SEALS) as Seal[];
  return seals.filter((seal) => (mask & SEALS[seal]) !== 0);
}

/**
 * A memory file: memory that has no name, and that other processes get with its
 * descriptor.
 *
 * It is the way to share memory with peers that are not trusted. A sealed size keeps a
 * peer from truncating it, which would end this process with SIGBUS. Sealed contents
 * cannot change after they were checked.
 *
 * The descriptor reaches another process through a Unix domain socket, or by
 * inheritance. The memory is destroyed when all processes have closed and unmapped it,
 * also after a crash.
 *
 * @example Contents that no process can change
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
 * // A process that receives the descriptor calls MemoryFile.fromFd(fd).
 * using map = file.map({ readonly: true });
 * assertEquals(new TextDecoder().decode(map.read(0, 5)), "hello");
 * assertThrows(() => file.resize(6), Error, "EPERM");
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/memfd_create.2.html | memfd_create(2)}
 */
export class MemoryFile extends DescriptorOwner {
  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "MemoryFile", descriptor);
  }

  /**
   * `memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING)`, then `fchmod` and `ftruncate`:
   * creates a file of zeroes in memory.
   *
   * Its mode is 0o600. Its first seal is `exec` where sysctl vm.memfd_noexec demands
   * that.
   *
   * @param name The name in /proc, at most 249 bytes of UTF-8. It need not be unique.
   * @param size The size in bytes. Each page takes memory when it is first accessed.
   * @param options `hugePages`.
   * @returns The file. Close it with `close()`.
   * @throws {TypeError} If the name contains NUL.
   * @throws {RangeError} If the name is too long, or the size out of range.
   * @throws {IpcError} EMFILE, ENFILE, EFBIG, ENOMEM; with `hugePages` EINVAL if the
   * size is not a multiple of theirs, ENODEV if the system has none.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/memfd_create.2.html | memfd_create(2)}
   */
  static create(
    name: string,
    size: number,
    options?: MemoryFileCreateOptions,
  ): MemoryFile {
    const cname = cString("name", name);
    const origin = "memfd_create(2)";
    checkInteger("name.length", cname.length - 1, 0, NAME_BYTES, origin);
    checkSize("size", size, 0);
    const flags = MFD_CLOEXEC | MFD_ALLOW_SEALING |
      (options?.hugePages ? MFD_HUGETLB : 0);
    const subject = `memory file ${name}`;
    const fd = createFile(cname, flags, subject);
    const file = new Descriptor(fd, subject);
    try {
      setMode(fd, MODE, subject);
      truncate(file, size);
    } catch (error) {
      file.close();
      throw error;
    }
    return new MemoryFile(internal, file);
  }

  /**
   * `fcntl(fd, F_GET_SEALS)`: takes ownership of a memory file that came from another
   * process, after checking that it has the required seals.
   *
   * Nothing else in this process may use the descriptor, because `close()` closes it. An
   * object of another Worker is not noticed.
   *
   * @param fd The number of the descriptor: one that was passed through a socket, or
   * that this process has inherited.
   * @param options `seals`.
   * @returns The file.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a memory file, if a seal is missing, or if an object
   * of this package on this thread owns the descriptor. The caller keeps ownership then.
   * @throws {IpcError} EBADF if the descriptor is not open.
   *
   * @example A file that its creator can still shrink
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
      const error = errno();
      if (error !== EINVAL) throw ipcError(error, "fcntl", subject);
      throw new TypeError(
        `Argument "fd" must be a memory file: descriptor ${fd} is not`,
      );
    }
    const missing = sealsOf(wanted & ~present);
    if (missing.length > 0) {
      throw new TypeError(
        `Cannot take ownership of ${subject}: it is not sealed against ${
          missing.join(", ")
        }`,
      );
    }
    takeOver(fd, subject);
    return new MemoryFile(internal, new Descriptor(fd, subject));
  }

  /**
   * `readlink` and `statx` of what is in `/proc/PID/fd`, and `/proc/PID/maps`: lists the memory
   * files that processes have open or mapped. Without CAP_SYS_PTRACE those of other users'
   * processes are hidden: `inspect()` of `@linux/ipc/inspect` says how many.
   *
   * @returns The files, in no particular order.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Who has a file
   * ```ts
   * import { MemoryFile } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * const name = `frames-${crypto.randomUUID()}`;
   * using file = MemoryFile.create(name, 4096);
   * const entry = MemoryFile.list().find((entry) => entry.name === name);
   * assertEquals(entry?.size, 4096);
   * assertEquals(entry?.holders[0]?.fds, [file.fd]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html | proc_pid_fd(5)}
   */
  static list(): MemoryFileEntry[] {
    return heldObjects("memory-file", "list memory files").map((
      { name, inode, size, mode, uid, gid, holders },
    ) => ({
      name: name.replace(/^memfd:/, ""),
      inode,
      size,
      mode,
      uid,
      gid,
      holders,
    }));
  }

  /**
   * `fstat(fd, ...)`: the present size of the file, in bytes. Other processes can
   * change it until it is sealed.
   *
   * @throws {ClosedError} If this object is closed.
   */
  get size(): number {
    return sizeOf(descriptorOf(this));
  }

  /**
   * `fcntl(fd, F_GET_SEALS)`: the seals of the file.
   *
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html | F_GET_SEALS(2const)}
   */
  get seals(): Seal[] {
    const { fd, subject } = descriptorOf(this);
    return sealsOf(check(fcntl().fcntl(fd, F_GET_SEALS, 0), "fcntl", subject));
  }

  /**
   * `fcntl(fd, F_ADD_SEALS, seals)`: adds seals. They apply to all processes, this one
   * included, and cannot be removed.
   *
   * @param seals The seals to add.
   * @throws {TypeError} If there is no such seal; or if it is `exec`, the file may be
   * executed, and the seals that the kernel adds then are neither there nor in the list.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against more seals; EBUSY for `write` while
   * a process has mapped it for writing; EINVAL if this kernel does not support the
   * seal.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_GET_SEALS.2const.html | F_ADD_SEALS(2const)}
   */
  seal(seals: readonly Seal[]): void {
    const mask = maskOf(seals);
    const file = descriptorOf(this);
    const { fd, subject } = file;
    const { fcntl: call } = fcntl();
    const present = check(call(fd, F_GET_SEALS, 0), "fcntl", subject);
    checkExec(mask, present, file);
    check(call(fd, F_ADD_SEALS, mask), "fcntl", subject);
  }

  /**
   * `posix_fallocate(fd, ...)` or `ftruncate(fd, size)`: changes the size. Existing
   * mappings stay as they are; map the file again for a new part.
   *
   * @param size The size in bytes.
   * @param options `shrink`, without which the file becomes no smaller; `reserve`,
   * which is false by default here: the kernel reserves memory until there is none left,
   * and then ends a process, instead of returning an error.
   * @throws {RangeError} If the size is out of range, or smaller without `shrink`.
   * @throws {TypeError} When shrinking, if this process, on any of its threads, has
   * mapped pages beyond the new end.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against that; EFBIG, ENOMEM.
   * @throws {Deno.errors.NotSupported} When shrinking, if /proc is not mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  resize(size: number, options?: ResizeOptions): void {
    checkSize("size", size, 0);
    resizeFile(descriptorOf(this), size, resizeRequest(options, false));
  }

  /**
   * `mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset)`: maps the
   * file. The mapping stays when the file is closed.
   *
   * @param options `offset`, `length`, `private`, `readonly`, `populate`.
   * @returns The mapping. Close it with `close()`.
   * @throws {RangeError} If the file is empty, or if the range does not lie inside it.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if it is sealed against writes, unless `private` or
   * `readonly` is set; EACCES if the descriptor is not open for writing; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/mmap.2.html | mmap(2)}
   */
  map(options?: MapOptions): MemoryMap {
    const request = mapRequest(options);
    const { mapping, offset } = mapPart(descriptorOf(this), request);
    return construct(MemoryMap, [internal, mapping, undefined, offset]);
  }

  static {
    inspectAs(this, (file) => {
      const { closed, subject } = descriptorOf(file);
      const fd = closed ? undefined : file.fd;
      return { file: subject, fd, closed };
    });
  }
}
