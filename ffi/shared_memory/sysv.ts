// System V shared memory segments: memory that is found by a number.

import {
  checkMode,
  checkSize,
  cKey,
  showKey,
  unsignedKey,
} from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { systemLimit } from "../kernel/limits.ts";
import { Mapping } from "../kernel/mapping.ts";
import {
  changeOf,
  rowsOfTable,
  type SysvChange,
  type SysvFamily,
  SysvObject,
  type SysvTarget,
} from "../kernel/sysv_object.ts";
import {
  EEXIST,
  EIDRM,
  EINVAL,
  ENOENT,
  ENOMEM,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
  isNoAddress,
  unless,
} from "../libc/errno.ts";
import { IPC_CREAT, IPC_EXCL } from "../libc/sys_ipc.ts";
import {
  segmentUse,
  SHM_DEST,
  SHM_HUGETLB,
  SHM_LOCK,
  SHM_LOCKED,
  SHM_RDONLY,
  SHM_STAT_ANY,
  SHM_UNLOCK,
  shmidDs,
  sysShm,
} from "../libc/sys_shm.ts";
import { resourceLimit, RLIMIT_MEMLOCK } from "../libc/sys_resource.ts";
import { dateOf } from "../libc/time.ts";
import { pageSize } from "../libc/unistd.ts";
import { mappingOf, Memory } from "../memory/memory.ts";

/** Options of {@linkcode SysvSharedMemory.create} and `openOrCreate()`. */
export interface SysvSharedMemoryCreateOptions {
  /**
   * The permission bits. The umask does not apply to System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * `SHM_HUGETLB`: uses huge pages, as many as the size needs, from those reserved in
   * /proc/sys/vm/nr_hugepages.
   *
   * @default {false}
   */
  hugePages?: boolean | undefined;
}

/** Options of {@linkcode SysvSharedMemory.open} and `fromId()`. */
export interface SysvSharedMemoryOpenOptions {
  /**
   * `SHM_RDONLY`: attaches the segment for reading, which needs no permission to write.
   * The memory has no arrays; `read` copies from it.
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
  /**
   * The least size of the segment, in bytes.
   *
   * @default {0}
   */
  size?: number | undefined;
}

/** The status of a System V shared memory segment: `struct shmid_ds`. */
export interface SysvSharedMemoryStat {
  /** The key, from 0 to 0xffffffff; 0 of a private segment, and after a removal. */
  readonly key: number;
  /** The size in bytes, as requested by its creator. */
  readonly size: number;
  /** The number of attachments, in all processes. */
  readonly attachments: number;
  /** The permission bits. */
  readonly mode: number;
  /** Whether it is destroyed at the last detachment. */
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
  readonly creatorPid: number;
  /** The process that attached or detached it last; 0 if there was none. */
  readonly lastPid: number;
  /** The time of the last attachment, in whole seconds; null if there was none. */
  readonly attached: Date | null;
  /** The time of the last detachment, in whole seconds; null if there was none. */
  readonly detached: Date | null;
  /** The time of its creation, or of the last `change()`, in whole seconds. */
  readonly changed: Date;
}

/** An entry of {@linkcode SysvSharedMemory.list}. */
export interface SysvSharedMemoryEntry {
  /** The key, from 0 to 0xffffffff; 0 of a private segment, and after a removal. */
  readonly key: number;
  /** The identifier, for {@linkcode SysvSharedMemory.fromId}. */
  readonly id: number;
  /** The permission bits. */
  readonly mode: number;
  /** The size in bytes. */
  readonly size: number;
  /** The number of attachments, in all processes. */
  readonly attachments: number;
  /** Whether it is destroyed at the last detachment. */
  readonly removed: boolean;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

const SHMMAX = "/proc/sys/kernel/shmmax";
const SHMMNI = "/proc/sys/kernel/shmmni";
const SHMALL = "/proc/sys/kernel/shmall";

/** Segments, among the System V objects. */
export const SEGMENTS: SysvFamily = {
  kind: "shared memory",
  plural: "shared memory",
  getter: "shmget",
  get: (key) => sysShm().shmget(key, 0n, 0),
  syscall: "shmctl",
  control: (id, operation, bytes) => sysShm().shmctl(id, operation, bytes),
  statAny: SHM_STAT_ANY,
  size: shmidDs.size,
  table: "/proc/sysvipc/shm",
};

function statOf(bytes: Uint8Array<ArrayBuffer>): SysvSharedMemoryStat {
  const ds = shmidDs.decode(bytes);
  return {
    key: unsignedKey(ds.shm_perm.key),
    size: Number(ds.shm_segsz),
    attachments: Number(ds.shm_nattch),
    mode: ds.shm_perm.mode & 0o777,
    removed: (ds.shm_perm.mode & SHM_DEST) !== 0,
    locked: (ds.shm_perm.mode & SHM_LOCKED) !== 0,
    uid: ds.shm_perm.uid,
    gid: ds.shm_perm.gid,
    creatorUid: ds.shm_perm.cuid,
    creatorGid: ds.shm_perm.cgid,
    creatorPid: ds.shm_cpid,
    lastPid: ds.shm_lpid,
    attached: dateOf(ds.shm_atime),
    detached: dateOf(ds.shm_dtime),
    changed: dateOf(ds.shm_ctime)!,
  };
}

/** `shmat`, then `IPC_STAT` for the size. */
function attach(segment: SysvObject, readonly = false, size = 0): Mapping {
  const { id, subject } = segment;
  const { shmat, shmdt } = sysShm();
  const address = shmat(id, 0n, readonly ? SHM_RDONLY : 0);
  if (isNoAddress(address)) throw segment.failure(errno(), "shmat");
  let length;
  try { // after shmat, because an id that is not attached can be reused
    length = Number(shmidDs.view(segment.stat()).shm_segsz);
    checkLargeEnough(length, size, subject);
  } catch (error) {
    shmdt(address);
    throw error;
  }
  return new Mapping({
    address,
    length,
    subject,
    access: readonly ? "readonly" : "shared",
    takesMemory: true,
    unmap: ({ address }) => sysShm().shmdt(address),
  });
}

function checkLargeEnough(length: number, size: number, subject: string): void {
  if (length >= size) return;
  throw new RangeError(
    `Argument "size" must be at most ${length} (the size of ${subject}): ${size}`,
  );
}

/**
 * `shmget(key, ...)`, `shmat(id, ...)`: a System V shared memory segment, attached to
 * this process.
 *
 * It exists until it is removed and all processes have detached it. It begins as zeroes.
 *
 * @example Two attachments, one memory
 * ```ts
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 4096);
 * using other = SysvSharedMemory.fromId(memory.id); // usually in another process
 * memory.remove(); // destroyed when both are closed
 * memory.bytes[7] = 42;
 * assertEquals(other.bytes[7], 42);
 *
 * const { bytes } = memory;
 * memory.close();
 * assertEquals(bytes.length, 0); // detached, so no access can fault
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sysvipc.7.html | sysvipc(7)}
 */
export class SysvSharedMemory extends Memory {
  readonly #segment: SysvObject;
  readonly #key: number | undefined;

  /** @ignore */
  private constructor(
    token: typeof internal,
    segment: SysvObject,
    readonly?: boolean,
    size?: number,
    key?: number,
  ) {
    checkInternal(token, "SysvSharedMemory");
    super(token, attach(segment, readonly, size));
    this.#segment = segment;
    this.#key = key;
  }

  /**
   * `shmget(key, size, IPC_CREAT | IPC_EXCL | mode)`, then `shmat`: creates a
   * segment under a new key.
   *
   * @param key A 32-bit number, signed or unsigned, but not 0; null creates a private
   * segment (`IPC_PRIVATE`), which other processes find by its `id` only.
   * @param size The size in bytes, at least 1.
   * @param options `mode`, `hugePages`.
   * @returns The segment, attached and zeroed.
   * @throws {RangeError} If the key, the size or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a segment under this key, EINVAL if the
   * size is above /proc/sys/kernel/shmmax (never by default), ENOSPC if there are too
   * many segments (/proc/sys/kernel/shmmni) or all of them together are too large
   * (shmall), EACCES if the mode does not permit this process to attach it, ENOMEM; with
   * `hugePages` EPERM without permission to use them. The segment is removed then.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmget.2.html | shmget(2)}
   */
  static create(
    key: number | null,
    size: number,
    options?: SysvSharedMemoryCreateOptions,
  ): SysvSharedMemory {
    const ckey = cKey(key, true);
    checkSize("size", size);
    return SysvSharedMemory.#create(ckey, size, flagsOf(options));
  }

  /**
   * `shmget(key, 0, 0)`, then `shmat`: attaches an existing segment.
   *
   * @param key A 32-bit number, signed or unsigned, but not 0.
   * @param options `size`: the least size of the segment; `readonly`.
   * @returns The segment. All of it is attached.
   * @throws {RangeError} If the key or the size is out of range, or if the segment is
   * smaller than `size`.
   * @throws {IpcError} ENOENT if there is no segment under this key, EACCES without
   * permission to read and write (with `readonly`: to read), ENOMEM.
   *
   * @example A key that is not in use
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
    const ckey = cKey(key, false);
    const { size = 0, readonly } = options ?? {};
    checkSize("size", size, 0);
    const segment = get(ckey, 0, 0);
    return new SysvSharedMemory(internal, segment, readonly, size, ckey);
  }

  /**
   * `shmget(key, size, IPC_CREAT | mode)`, then `shmat`: attaches a segment, or creates
   * it.
   *
   * @param key A 32-bit number, signed or unsigned, but not 0.
   * @param size The size in bytes of a new segment, and the least size of an existing
   * one.
   * @param options `mode`, `hugePages`, for a new segment.
   * @returns The segment. All of it is attached.
   * @throws {RangeError} If the key, the size or the mode is out of range, or if an
   * existing segment is smaller.
   * @throws {IpcError} EACCES without permission to read and write to an existing
   * segment, EINVAL if the size is above /proc/sys/kernel/shmmax (never by default),
   * ENOSPC if there are too many segments (/proc/sys/kernel/shmmni) or all of them
   * together are too large (shmall), ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmget.2.html | shmget(2)}
   */
  static openOrCreate(
    key: number,
    size: number,
    options?: SysvSharedMemoryCreateOptions,
  ): SysvSharedMemory {
    const ckey = cKey(key, false);
    checkSize("size", size);
    const flags = flagsOf(options);
    // In two steps, because one call would not tell whether the segment is new, and a
    // new one that cannot be attached must be removed.
    for (;;) {
      const create = () => SysvSharedMemory.#create(ckey, size, flags);
      const open = () => {
        const segment = get(ckey, 0, flags);
        return new SysvSharedMemory(internal, segment, false, size, ckey);
      };
      const memory = unless(EEXIST, () => unless(EIDRM, create)) ??
        unless(ENOENT, () => unless(EIDRM, open));
      if (memory !== undefined) return memory; // else removed in between
    }
  }

  /**
   * `shmat(id, NULL, 0)`: attaches a segment by its identifier, the only way to find a
   * private one.
   *
   * On Linux, that also works for a segment that was removed and is still attached
   * somewhere. A process can attach a segment several times, each time at another
   * address.
   *
   * @param id The {@linkcode SysvSharedMemory.prototype.id | SysvSharedMemory.id} in the
   * other process.
   * @param options `size`: the least size of the segment; `readonly`.
   * @returns The segment. All of it is attached.
   * @throws {RangeError} If the id is not an integer from 0 to 2147483647, or if the
   * segment is smaller than `size`.
   * @throws {IpcError} EIDRM if there is no such segment, EACCES without permission to
   * read and write (with `readonly`: to read), ENOMEM.
   *
   * @example A writer and a reader
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals, assertThrows } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 4);
   * memory.remove(); // destroyed when both are closed
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
    options?: SysvSharedMemoryOpenOptions,
  ): SysvSharedMemory {
    const segment = SysvObject.withId(SEGMENTS, id);
    const { size = 0, readonly } = options ?? {};
    checkSize("size", size, 0);
    return new SysvSharedMemory(internal, segment, readonly, size);
  }

  /**
   * `/proc/sysvipc/shm`: lists the segments of this IPC namespace, like `ipcs -m`, also
   * those that this process has no permission for.
   *
   * @returns The segments, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If the file cannot be read: /proc is not mounted,
   * or the kernel has no System V IPC.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Find a segment
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
    return rowsOfTable(SEGMENTS).map((row) => {
      const [key, id, perms, size, , , attachments, uid, gid] = row;
      const mode = parseInt(perms!, 8);
      return {
        key: unsignedKey(Number(key)),
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

  /**
   * `shmctl(id, SHM_STAT_ANY, ...)`: returns the status of a segment, which needs no
   * permission.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @returns Its size, attachments, permissions, owner, process ids and times.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no segment has this key; EIDRM if no segment has this
   * id; EACCES without read permission, before Linux 4.17 only.
   *
   * @example A segment that its owner may not read
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 100);
   * const { id } = memory;
   * memory.change({ mode: 0 });
   * assertEquals(SysvSharedMemory.stat({ id }).size, 100);
   * SysvSharedMemory.change({ id }, { mode: 0o600 });
   * SysvSharedMemory.remove({ id });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  static stat(target: SysvTarget): SysvSharedMemoryStat {
    return statOf(SysvObject.at(SEGMENTS, target).statAny());
  }

  /**
   * `shmctl(id, IPC_SET, ...)`: changes the owner or the permissions of a segment. Only
   * its owner, its creator and a privileged process may do that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @param change `uid`, `gid`, `mode`; absent ones stay.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or if an
   * argument is not a number.
   * @throws {RangeError} If an argument is out of range.
   * @throws {IpcError} ENOENT if no segment has this key; EIDRM if no segment has this
   * id; otherwise as the method {@linkcode SysvSharedMemory.prototype.change}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  static change(target: SysvTarget, change: SysvChange): void {
    const fields = changeOf(change);
    SysvObject.at(SEGMENTS, target).set(fields);
  }

  /**
   * `shmctl(id, IPC_RMID)`: removes the key of a segment, and destroys it as soon as all
   * processes have detached it. Only its owner, its creator and a privileged process may
   * do that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no segment has this key; EIDRM if no segment has this
   * id; EPERM if this process is neither owner nor creator, nor privileged.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  static remove(target: SysvTarget): void {
    SysvObject.at(SEGMENTS, target).remove();
  }

  static #create(key: number, size: number, flags: number): SysvSharedMemory {
    const segment = get(key, size, IPC_CREAT | IPC_EXCL | flags);
    try {
      return new SysvSharedMemory(internal, segment, false, size, key);
    } catch (error) {
      segment.remove();
      throw error;
    }
  }

  /** The identifier: the same in every process. It is not the key. */
  get id(): number {
    return this.#segment.id;
  }

  /**
   * `shmctl(id, IPC_STAT, ...)`: returns the status of the segment.
   *
   * @returns Its size, attachments, permissions, owner, process ids and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES without read permission, which the static method of this
   * name does not need; EIDRM if the segment was destroyed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  stat(): SysvSharedMemoryStat {
    return statOf(this.#segment.stat());
  }

  /**
   * `shmctl(id, IPC_SET, ...)`: changes the owner or the permissions. Existing
   * attachments stay.
   *
   * @param change `uid`, `gid`, `mode`; absent ones stay.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EACCES if it is neither owner nor creator, lacks read permission, and
   * does not give all three; EIDRM if the segment was destroyed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  change(change: SysvChange): void {
    this.#segment.set(changeOf(change));
  }

  /**
   * `shmctl(id, SHM_LOCK)`: keeps the segment in memory, never swapped out, for all
   * processes, and after they have detached it.
   *
   * Pages that were never accessed are not loaded.
   * (`lock()` of {@linkcode Memory} loads pages, and locks those of this
   * process.)
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, or
   * RLIMIT_MEMLOCK (`ulimit -l`) is 0; ENOMEM if the segment exceeds that limit.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  lockSegment(): void {
    this.#control(SHM_LOCK, true);
  }

  /**
   * `shmctl(id, SHM_UNLOCK)`: allows the segment to be swapped out again.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  unlockSegment(): void {
    this.#control(SHM_UNLOCK);
  }

  /**
   * `shmctl(id, IPC_RMID)`: removes the key, and destroys the segment as soon as all
   * processes have detached it.
   *
   * Until then its attachments, including this one, work as before, and on Linux it can
   * still be attached by its id.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  remove(): void {
    this.#segment.remove();
  }

  /**
   * `shmdt(address)`: detaches the segment. All views of the memory have length 0 from
   * then on. The segment stays. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: its new owner may use
   * the memory, so it stays attached until the process ends.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmat.2.html | shmdt(2)}
   */
  override close(): void {
    this.#segment.closing.close();
    super.close();
  }

  static {
    inspectAs(this, (memory) => {
      const { id, byteLength } = memory;
      const { closed } = mappingOf(memory);
      const key = memory.#key ? showKey(memory.#key) : undefined;
      return { id, key, byteLength, closed };
    });
  }

  #control(operation: number, locks = false): void {
    const segment = this.#segment;
    segment.closing.checkOpen();
    const result = sysShm().shmctl(segment.id, operation, null);
    const limit = (error: number) => limitOfLock(segment, error);
    segment.check(result, "shmctl", locks ? limit : undefined);
  }
}

function flagsOf(options?: SysvSharedMemoryCreateOptions): number {
  const { mode = 0o600, hugePages } = options ?? {};
  checkMode(mode);
  return hugePages ? mode | SHM_HUGETLB : mode;
}

/** `shmget` */
function get(key: number, size: number, flags: number): SysvObject {
  const subject = key === 0
    ? "private shared memory"
    : `shared memory key ${showKey(key)}`;
  const id = sysShm().shmget(key, BigInt(size), flags);
  if (id !== -1) return new SysvObject(SEGMENTS, id, subject);
  const error = errno();
  throw ipcError(error, "shmget", subject, limitOf(error, size));
}

/** The limit behind an error of shmget. */
function limitOf(error: number, size: number): SystemLimit | undefined {
  if (error === EINVAL) {
    const max = systemLimit(SHMMAX);
    return max && size > max.value ? max : undefined;
  }
  if (error !== ENOSPC) return undefined;
  // The kernel compares this one first.
  const all = systemLimit(SHMALL);
  const pages = Number(segmentUse().shm_tot) + Math.ceil(size / pageSize());
  return all && pages > all.value ? all : systemLimit(SHMMNI);
}

/** The limit behind an error of SHM_LOCK. */
function limitOfLock(
  segment: SysvObject,
  error: number,
): SystemLimit | undefined {
  const limit = resourceLimit("RLIMIT_MEMLOCK", RLIMIT_MEMLOCK);
  const isHit = error === ENOMEM ||
    error === EPERM && limit.value === 0 && segment.isOwner();
  return isHit ? limit : undefined;
}
