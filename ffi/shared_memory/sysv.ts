// System V shared memory.

import { checkInteger, checkMode, checkSize, cKey } from "../arguments.ts";
import { ClosedError, IpcError, type SystemLimit } from "../errors.ts";
import {
  check,
  checkAddress,
  EEXIST,
  EINVAL,
  ENOENT,
  ENOSPC,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { checkInternal, internal } from "../internal.ts";
import { rowsIn, systemLimit } from "../kernel/limits.ts";
import { Mapping } from "../kernel/mapping.ts";
import { readProc } from "../kernel/proc.ts";
import {
  changePerm,
  checkPermChange,
  IPC_CREAT,
  IPC_EXCL,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import { dateOf } from "../libc/time.ts";
import {
  SHM_DEST,
  SHM_HUGETLB,
  SHM_LOCK,
  SHM_LOCKED,
  SHM_RDONLY,
  SHM_UNLOCK,
  shmidDs,
  sysShm,
} from "../libc/sys_shm.ts";
import { mappingOf, Memory } from "../memory/memory.ts";

/** How a System V shared memory segment is created. */
export interface SysvSharedMemoryCreateOptions {
  /**
   * The permission bits. The umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * `SHM_HUGETLB`: takes huge pages, as many as the size needs, of those that
   * /proc/sys/vm/nr_hugepages has put aside.
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
}

/** How a System V shared memory segment is attached. */
export interface SysvSharedMemoryAttachOptions {
  /**
   * `SHM_RDONLY`: attaches for reading only, which needs no permission to write.
   * What is read is a copy, made by `read`; see `Memory`.
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
}

/** How a System V shared memory segment is opened. */
export interface SysvSharedMemoryOpenOptions
  extends SysvSharedMemoryAttachOptions {
  /**
   * The least size in bytes that the segment must have.
   *
   * @default {0}
   */
  size?: number | undefined;
}

/** What the kernel tells of a System V segment: `struct shmid_ds`. */
export interface SysvSharedMemoryStat {
  /** The key; 0 for a private segment, and for one that is removed. */
  readonly key: number;
  /** The size in bytes, as it was asked for. */
  readonly size: number;
  /** How often it is attached, in all processes together. */
  readonly attachments: number;
  /** The permission bits. */
  readonly mode: number;
  /** Whether it is gone when the last one closes it. */
  readonly removed: boolean;
  /** Whether it is kept from being swapped out. */
  readonly locked: boolean;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The user id of the creator. */
  readonly creatorUid: number;
  /** The group id of the creator. */
  readonly creatorGid: number;
  /** The process that created the segment. */
  readonly creator: number;
  /** The process that attached or detached last. */
  readonly lastUser: number;
  /** When somebody attached it last; null if nobody did. To the second. */
  readonly attached: Date | null;
  /** When somebody detached it last; null if nobody did. To the second. */
  readonly detached: Date | null;
  /** When it was made, or changed by `set()`. To the second. */
  readonly changed: Date;
}

/** What {@linkcode SysvSharedMemory.set} changes; what is absent stays. */
export interface SysvSharedMemoryChange {
  /** The user id of the owner. */
  uid?: number | undefined;
  /** The group id of the owner. */
  gid?: number | undefined;
  /** The permission bits. */
  mode?: number | undefined;
}

/** One of the segments that {@linkcode SysvSharedMemory.list} finds. */
export interface SysvSharedMemoryEntry {
  /** The key; 0 for a private segment, and for one that is removed. */
  readonly key: number;
  /** The identifier, for {@linkcode SysvSharedMemory.fromId}. */
  readonly id: number;
  /** The permission bits. */
  readonly mode: number;
  /** The size in bytes. */
  readonly size: number;
  /** How often it is attached, in all processes together. */
  readonly attachments: number;
  /** Whether it is gone when the last one closes it. */
  readonly removed: boolean;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

const SHMMAX = "/proc/sys/kernel/shmmax";
const SHMMNI = "/proc/sys/kernel/shmmni";
const SHMALL = "/proc/sys/kernel/shmall";
const LIST = "/proc/sysvipc/shm";

/** `shmctl` with a struct shmid_ds, which it fills or takes. */
function control(
  id: number,
  operation: number,
  subject: string,
  bytes = new Uint8Array(shmidDs.size),
): Uint8Array<ArrayBuffer> {
  check(sysShm().shmctl(id, operation, bytes), "shmctl", subject);
  return bytes;
}

const scratch = new Uint8Array(shmidDs.size);
const scratchView = shmidDs.view(scratch);

function sizeOf(id: number, subject: string): number {
  control(id, IPC_STAT, subject, scratch);
  return Number(scratchView.shm_segsz);
}

function detach({ address }: Mapping): void {
  sysShm().shmdt(address);
}

function attach(id: number, subject: string, readonly = false): Mapping {
  const flags = readonly ? SHM_RDONLY : 0;
  const { shmat, shmdt } = sysShm();
  const address = checkAddress(shmat(id, 0n, flags), "shmat", subject);
  const access = readonly ? "readonly" : "shared";
  let length;
  try { // now that the id cannot become that of another segment any more
    length = sizeOf(id, subject);
  } catch (error) {
    shmdt(address);
    throw error;
  }
  return new Mapping({ address, length, subject, access, unmap: detach });
}

/**
 * A System V shared memory segment, attached to this process.
 *
 * It stays until somebody removes it and everybody has closed it. Its contents
 * begin as zeroes.
 *
 * @example Two attachments, one memory
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 4096);
 * using other = SysvSharedMemory.fromId(memory.id); // mostly in another process
 * memory.remove(); // gone when both are closed
 * memory.bytes[7] = 42;
 * assertEquals(other.bytes[7], 42);
 *
 * const { bytes } = memory;
 * memory.close();
 * assertEquals(bytes.length, 0); // not a crash, and not somebody else's memory
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sysvipc.7.html | sysvipc(7)}
 */
export class SysvSharedMemory extends Memory {
  readonly #id: number;

  private constructor(
    token: typeof internal,
    id: number,
    subject: string,
    readonly = false,
  ) {
    const ways = "SysvSharedMemory.create() or SysvSharedMemory.open()";
    checkInternal(token, "SysvSharedMemory", ways);
    super(token, attach(id, subject, readonly));
    this.#id = id;
  }

  /**
   * `shmget(key, size, IPC_CREAT | IPC_EXCL | mode)`, then `shmat`: makes a
   * segment under a new key.
   *
   * @param key A 32-bit number, not 0; null makes a private segment
   * (`IPC_PRIVATE`), which others find by its `id` only.
   * @param size The size in bytes, at least 1.
   * @param options `mode`, `hugePages`.
   * @returns The segment, attached and zeroed.
   * @throws {RangeError} If the key, the size or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a segment under this key, EINVAL if the
   * size is above /proc/sys/kernel/shmmax, ENOSPC if there are too many segments
   * (/proc/sys/kernel/shmmni) or all of them together are too large (shmall),
   * EACCES if the mode does not let this process attach it, ENOMEM; with
   * `hugePages` EPERM if this process may not have them. No segment is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmget.2.html | shmget(2)}
   */
  static create(
    key: number | null,
    size: number,
    options?: SysvSharedMemoryCreateOptions,
  ): SysvSharedMemory {
    const number = cKey(key, true);
    checkSize("size", size);
    return SysvSharedMemory.#create(number, size, flagsOf(options));
  }

  /**
   * `shmget(key, size, 0)`, then `shmat`: opens a segment that exists.
   *
   * @param key A 32-bit number, not 0.
   * @param options `size`: the least that it must have; `readonly`.
   * @returns The segment, attached; its view is as long as the whole segment.
   * @throws {RangeError} If the key or the size is out of range, or if the
   * segment is smaller than asked.
   * @throws {IpcError} ENOENT if there is no segment under this key, EACCES if it
   * may not be read and written to, ENOMEM.
   *
   * @example A key that nobody uses
   * ```ts
   * import { IpcError, SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => SysvSharedMemory.open(0x7abcdef1), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmget.2.html | shmget(2)}
   */
  static open(
    key: number,
    options?: SysvSharedMemoryOpenOptions,
  ): SysvSharedMemory {
    const number = cKey(key, false);
    const { size = 0, readonly } = options ?? {};
    checkSize("size", size, 0);
    const { id, subject } = get(number, size, 0);
    return new SysvSharedMemory(internal, id, subject, readonly);
  }

  /**
   * `shmget(key, size, IPC_CREAT | mode)`, then `shmat`: opens a segment, or
   * makes it.
   *
   * @param key A 32-bit number, not 0.
   * @param size The size in bytes of a segment that is made, and the least that
   * an existing one must have.
   * @param options `mode`, `hugePages`, of a segment that is made.
   * @returns The segment, attached; its view is as long as the whole segment.
   * @throws {RangeError} If the key, the size or the mode is out of range, or if
   * the segment exists and is smaller than asked.
   * @throws {IpcError} EACCES if the segment exists and may not be read and
   * written to, EINVAL if the size is above /proc/sys/kernel/shmmax, ENOSPC if
   * there are too many segments (/proc/sys/kernel/shmmni), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmget.2.html | shmget(2)}
   */
  static openOrCreate(
    key: number,
    size: number,
    options?: SysvSharedMemoryCreateOptions,
  ): SysvSharedMemory {
    const number = cKey(key, false);
    checkSize("size", size);
    const flags = flagsOf(options);
    // Not in one call, which would not tell whether it made the segment: one that
    // cannot be attached shall not be left behind.
    for (;;) {
      try {
        return SysvSharedMemory.#create(number, size, flags);
      } catch (error) {
        if (!isRefusal(error, "shmget", EEXIST)) throw error;
      }
      try {
        const { id, subject } = get(number, size, flags);
        return new SysvSharedMemory(internal, id, subject);
      } catch (error) {
        if (!isRefusal(error, "shmget", ENOENT)) throw error;
      } // it was removed in between
    }
  }

  /**
   * `shmat(id, NULL, 0)`: attaches a segment by its identifier, which is how a
   * private one is found. On Linux that works as well for a segment that was
   * removed and is still attached somewhere. A process may attach a segment
   * several times, each time at another address.
   *
   * @param id What {@linkcode SysvSharedMemory.id} is in the other process.
   * @param options `readonly`.
   * @returns The segment, attached.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EINVAL or EIDRM if there is no such segment, EACCES if it
   * may not be read and written to (with `readonly`: read), ENOMEM.
   *
   * @example One who may write, and one who may not
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 4);
   * memory.remove(); // gone when both are closed
   * using reader = SysvSharedMemory.fromId(memory.id, { readonly: true });
   * memory.bytes[0] = 80;
   * assertEquals(reader.read(0, 1), Uint8Array.of(80));
   * assertThrows(() => reader.bytes, TypeError, "read-only");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmat.2.html | shmat(2)}
   */
  static fromId(
    id: number,
    options?: SysvSharedMemoryAttachOptions,
  ): SysvSharedMemory {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const { readonly } = options ?? {};
    const subject = `shared memory id ${id}`;
    return new SysvSharedMemory(internal, id, subject, readonly);
  }

  /**
   * `/proc/sysvipc/shm`: the segments of the system, like `ipcs -m`.
   *
   * @returns The segments, in the order of their making or nearly so.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @example Find a segment again
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 100);
   * memory.remove();
   * const found = SysvSharedMemory.list().find(({ id }) => id === memory.id);
   * assertEquals([found?.size, found?.removed], [100, true]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvSharedMemoryEntry[] {
    return list();
  }

  static #create(key: number, size: number, flags: number): SysvSharedMemory {
    const { id, subject } = get(key, size, IPC_CREAT | IPC_EXCL | flags);
    try {
      return new SysvSharedMemory(internal, id, subject);
    } catch (error) {
      sysShm().shmctl(id, IPC_RMID, null);
      throw error;
    }
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#id;
  }

  /**
   * `shmctl(id, IPC_STAT, ...)`: what the kernel tells of the segment.
   *
   * @returns Sizes in bytes, counts, permissions, process ids and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the segment may not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  stat(): SysvSharedMemoryStat {
    const ds = shmidDs.decode(this.#control(IPC_STAT));
    return {
      key: ds.shm_perm.key,
      size: Number(ds.shm_segsz),
      attachments: Number(ds.shm_nattch),
      mode: ds.shm_perm.mode & 0o777,
      removed: (ds.shm_perm.mode & SHM_DEST) !== 0,
      locked: (ds.shm_perm.mode & SHM_LOCKED) !== 0,
      uid: ds.shm_perm.uid,
      gid: ds.shm_perm.gid,
      creatorUid: ds.shm_perm.cuid,
      creatorGid: ds.shm_perm.cgid,
      creator: ds.shm_cpid,
      lastUser: ds.shm_lpid,
      attached: dateOf(ds.shm_atime),
      detached: dateOf(ds.shm_dtime),
      changed: dateOf(ds.shm_ctime)!,
    };
  }

  /**
   * `shmctl(id, IPC_SET, ...)`: changes the owner or the permissions. Who has the
   * segment attached keeps it.
   *
   * @param change `uid`, `gid`, `mode`; what is absent stays.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EACCES if the segment may not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  set(change: SysvSharedMemoryChange): void {
    const { uid, gid, mode } = change; // read once
    checkPermChange({ uid, gid, mode });
    const bytes = this.#control(IPC_STAT);
    const { shm_perm } = shmidDs.view(bytes);
    changePerm(shm_perm, { uid, gid, mode });
    this.#control(IPC_SET, bytes);
  }

  /**
   * `shmctl(id, SHM_LOCK)`: keeps the segment in memory, never swapped out. What
   * has not been touched yet is not loaded by that.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, or may
   * lock nothing; ENOMEM if it may not lock as much (`ulimit -l`).
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  lock(): void {
    this.#control(SHM_LOCK);
  }

  /**
   * `shmctl(id, SHM_UNLOCK)`: lets the segment be swapped out again.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  unlock(): void {
    this.#control(SHM_UNLOCK);
  }

  /**
   * `shmctl(id, IPC_RMID)`: destroys the segment as soon as nobody has it
   * attached any more. Nobody finds it under its key from now on; who has it, and
   * this object, can go on using it, and on Linux others can still attach it by its
   * id.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  remove(): void {
    this.#control(IPC_RMID);
  }

  #control(
    operation: number,
    bytes?: Uint8Array<ArrayBuffer>,
  ): Uint8Array<ArrayBuffer> {
    const mapping = mappingOf(this);
    if (mapping.closed) throw new ClosedError(mapping.subject);
    return control(this.#id, operation, mapping.subject, bytes);
  }
}

function list(): SysvSharedMemoryEntry[] {
  const text = readProc(LIST);
  if (text === undefined) {
    throw new Deno.errors.NotSupported(`Cannot read ${LIST}`);
  }
  return text.trimEnd().split("\n").slice(1).map((line) => {
    const [key, id, perms, size, , , attachments, uid, gid] = line.trim()
      .split(/\s+/);
    const mode = parseInt(perms!, 8);
    return {
      key: Number(key),
      id: Number(id),
      mode: mode & 0o777,
      size: Number(size),
      attachments: Number(attachments),
      removed: (mode & SHM_DEST) !== 0,
      uid: Number(uid),
      gid: Number(gid),
    };
  });
}

function flagsOf(options?: SysvSharedMemoryCreateOptions): number {
  const { mode = 0o600, hugePages } = options ?? {};
  checkMode(mode);
  return hugePages ? mode | SHM_HUGETLB : mode;
}

function isRefusal(error: unknown, syscall: string, number: number): boolean {
  return error instanceof IpcError && error.syscall === syscall &&
    error.errno === number;
}

function get(
  key: number,
  size: number,
  flags: number,
): { id: number; subject: string } {
  const subject = key === 0
    ? "private shared memory"
    : `shared memory key ${key}`;
  const id = sysShm().shmget(key, BigInt(size), flags);
  if (id !== -1) return { id, subject };
  const number = errno();
  if (number === EINVAL && key !== 0) checkLargeEnough(key, size, subject);
  throw ipcError(number, "shmget", subject, limitOf(number));
}

/** Which limit was hit. */
function limitOf(number: number): SystemLimit | undefined {
  if (number === EINVAL) return systemLimit(SHMMAX);
  if (number !== ENOSPC) return undefined;
  const count = systemLimit(SHMMNI);
  const present = rowsIn(LIST);
  return count && present >= count.value ? count : systemLimit(SHMALL);
}

/** Tells a segment that is too small from the other reasons for EINVAL. */
function checkLargeEnough(key: number, size: number, subject: string): void {
  const id = sysShm().shmget(key, 0n, 0);
  if (id === -1) return; // there is none: the size is above the limit
  const present = sizeOf(id, subject);
  if (present >= size) return;
  throw new RangeError(
    `Argument "size" must be at most ${present} (the size of ${subject}): ${size}`,
  );
}
