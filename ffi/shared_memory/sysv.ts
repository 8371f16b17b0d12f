// System V shared memory.

import { checkInteger, checkMode, checkSize, cKey } from "../arguments.ts";
import {
  check,
  checkAddress,
  EINVAL,
  ENOSPC,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { systemLimit } from "../libc/limits.ts";
import { Mapping } from "../libc/memory.ts";
import { IPC_CREAT, IPC_EXCL, IPC_RMID, IPC_STAT } from "../libc/sys_ipc.ts";
import { shmidDs, sysShm } from "../libc/sys_shm.ts";
import type { Fields, FieldViews, Struct } from "../struct.ts";

/** How a System V shared memory segment is created. */
export interface SysvSharedMemoryCreateOptions {
  /**
   * The permission bits. The umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** How a System V shared memory segment is opened. */
export interface SysvSharedMemoryOpenOptions {
  /**
   * The least size in bytes that the segment must have.
   *
   * @default {0}
   */
  size?: number | undefined;
}

/** What the kernel tells of a System V segment: `struct shmid_ds`. */
export interface SysvSharedMemoryStat {
  /** The size in bytes, as it was asked for. */
  readonly size: number;
  /** How often it is attached, in all processes together. */
  readonly attachments: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The process that created the segment. */
  readonly creator: number;
  /** The process that attached or detached last. */
  readonly lastUser: number;
}

const SHMMAX = "/proc/sys/kernel/shmmax";
const SHMMNI = "/proc/sys/kernel/shmmni";

function stat(id: number, subject: string): SysvSharedMemoryStat {
  const bytes = new Uint8Array(shmidDs.size);
  check(sysShm().shmctl(id, IPC_STAT, bytes), "shmctl", subject);
  const ds = shmidDs.decode(bytes);
  return {
    size: Number(ds.shm_segsz),
    attachments: Number(ds.shm_nattch),
    mode: ds.shm_perm.mode & 0o777,
    uid: ds.shm_perm.uid,
    gid: ds.shm_perm.gid,
    creator: ds.shm_cpid,
    lastUser: ds.shm_lpid,
  };
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
export class SysvSharedMemory implements Disposable {
  readonly #id: number;
  readonly #mapping: Mapping;

  private constructor(id: number, subject: string) {
    const { size } = stat(id, subject);
    const { shmat, shmdt } = sysShm();
    const address = checkAddress(shmat(id, 0n, 0), "shmat", subject);
    this.#id = id;
    this.#mapping = new Mapping(address, size, subject, () => shmdt(address));
  }

  /**
   * `shmget(key, size, IPC_CREAT | IPC_EXCL | mode)`, then `shmat`: makes a
   * segment under a new key.
   *
   * @param key A 32-bit number, not 0; null makes a private segment
   * (`IPC_PRIVATE`), which others find by its `id` only.
   * @param size The size in bytes, at least 1.
   * @param options `mode`.
   * @returns The segment, attached and zeroed.
   * @throws {RangeError} If the key, the size or the mode is out of range.
   * @throws {IpcError} EEXIST if there is a segment under this key, EINVAL if the
   * size is above /proc/sys/kernel/shmmax, ENOSPC if there are too many segments
   * (/proc/sys/kernel/shmmni), ENOMEM. No segment is left behind.
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
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    const { id, subject } = get(number, size, IPC_CREAT | IPC_EXCL | mode);
    try {
      return new SysvSharedMemory(id, subject);
    } catch (error) {
      sysShm().shmctl(id, IPC_RMID, null);
      throw error;
    }
  }

  /**
   * `shmget(key, size, 0)`, then `shmat`: opens a segment that exists.
   *
   * @param key A 32-bit number, not 0.
   * @param options `size`: the least that it must have.
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
    const size = options?.size ?? 0;
    checkSize("size", size, 0);
    const { id, subject } = get(number, size, 0);
    return new SysvSharedMemory(id, subject);
  }

  /**
   * `shmget(key, size, IPC_CREAT | mode)`, then `shmat`: opens a segment, or
   * makes it.
   *
   * @param key A 32-bit number, not 0.
   * @param size The size in bytes of a segment that is made, and the least that
   * an existing one must have.
   * @param options `mode`, of a segment that is made.
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
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    const { id, subject } = get(number, size, IPC_CREAT | mode);
    return new SysvSharedMemory(id, subject);
  }

  /**
   * `shmat(id, NULL, 0)`: attaches a segment by its identifier, which is how a
   * private one is found. On Linux that works as well for a segment that was
   * removed and is still attached somewhere.
   *
   * @param id What {@linkcode SysvSharedMemory.id} is in the other process.
   * @returns The segment, attached.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EINVAL or EIDRM if there is no such segment, EACCES if it
   * may not be read and written to, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmat.2.html | shmat(2)}
   */
  static fromId(id: number): SysvSharedMemory {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    return new SysvSharedMemory(id, `shared memory id ${id}`);
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#id;
  }

  /**
   * The memory: as long as the segment, not as its last page. After `close()`
   * its length is 0, and so is that of every view made from it.
   */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#mapping.bytes;
  }

  /**
   * A C struct in the memory: its fields are read and written in place.
   *
   * @param layout The struct, as `struct({...})` declares it.
   * @param offset Where it begins, in bytes.
   * @returns The live view, which fails after `close()`.
   * @throws {RangeError} If the struct does not fit into the memory there.
   * @throws {ClosedError} If this object is closed.
   *
   * @example A counter in shared memory
   * ```ts
   * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
   * import { i32, struct } from "@linux/ipc/struct";
   * import { assertEquals } from "@std/assert";
   *
   * using memory = SysvSharedMemory.create(null, 4);
   * memory.remove(); // gone when it is closed
   * const counter = memory.view(struct({ value: i32 }));
   * counter.value++;
   * assertEquals(memory.bytes, Uint8Array.of(1, 0, 0, 0));
   * ```
   */
  view<F extends Fields>(layout: Struct<F>, offset = 0): FieldViews<F> {
    this.#mapping.checkOpen();
    return layout.view(this.bytes, offset);
  }

  /**
   * `shmctl(id, IPC_STAT, ...)`: what the kernel tells of the segment.
   *
   * @returns Sizes in bytes, counts, permissions and process ids.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the segment may not be read.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  stat(): SysvSharedMemoryStat {
    this.#mapping.checkOpen();
    return stat(this.#id, this.#mapping.subject);
  }

  /**
   * `shmctl(id, IPC_RMID)`: destroys the segment as soon as nobody has it
   * attached any more. Nobody finds it under its key from now on; who has it, and
   * this object, can go on using it.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmctl.2.html | shmctl(2)}
   */
  remove(): void {
    this.#mapping.checkOpen();
    check(
      sysShm().shmctl(this.#id, IPC_RMID, null),
      "shmctl",
      this.#mapping.subject,
    );
  }

  /**
   * `shmdt(address)`: detaches the memory. Every view of it has length 0 then.
   * The segment and its contents stay. Closing twice does nothing.
   *
   * @throws {Error} If the ArrayBuffer of `bytes` was transferred: the memory
   * stays attached until the process ends, because somebody may be using it.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shmdt.2.html | shmdt(2)}
   */
  close(): void {
    this.#mapping.close();
  }

  /** Closes this object; the segment stays. */
  [Symbol.dispose](): void {
    this.close();
  }
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
  const limit = number === EINVAL
    ? systemLimit(SHMMAX)
    : number === ENOSPC
    ? systemLimit(SHMMNI)
    : undefined;
  throw ipcError(number, "shmget", subject, limit);
}

/** Tells a segment that is too small from the other reasons for EINVAL. */
function checkLargeEnough(key: number, size: number, subject: string): void {
  const id = sysShm().shmget(key, 0n, 0);
  if (id === -1) return; // there is none: the size is above the limit
  const present = stat(id, subject).size;
  if (present >= size) return;
  throw new RangeError(
    `Argument "size" must be at most ${present} (the size of ${subject}): ${size}`,
  );
}
