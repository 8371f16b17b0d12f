// What all System V objects have in common: their identifier, what the kernel tells of
// them, owner and permissions, removal, and the table in /proc.

import { checkInteger, checkMode, cKey, showKey } from "../arguments.ts";
import type { IpcError, SystemLimit } from "../errors.ts";
import { EACCES, EIDRM, EINVAL, errno, ipcError } from "../libc/errno.ts";
import { IPC_RMID, IPC_SET, IPC_STAT, ipcPerm } from "../libc/sys_ipc.ts";
import { unistd } from "../libc/unistd.ts";
import { Closing } from "./closing.ts";
import { notMounted } from "./not_mounted.ts";
import { readProc } from "./proc.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type LimitOf = (error: number) => SystemLimit | undefined;

/** The calls of one family: message queues, segments, semaphore sets. */
export interface SysvFamily {
  /** Name used in error messages: "queue". */
  readonly kind: string;
  /** The same for all objects: "message queues". */
  readonly plural: string;
  /** The function that finds an object by its key: "msgget", "shmget", "semget". */
  readonly getter: string;
  /** `msgget(key, 0)` and its siblings. */
  readonly get: (key: number) => number;
  /** The function that controls an object: "msgctl", "shmctl", "semctl". */
  readonly syscall: string;
  /** `msgctl(id, operation, bytes)` and its siblings. */
  readonly control: (id: number, operation: number, bytes: Bytes) => number;
  /** `MSG_STAT_ANY` and its siblings: they need no permission. */
  readonly statAny: number;
  /** `sizeof (struct msqid_ds)` and its siblings. */
  readonly size: number;
  /** The table of all objects: a file of /proc/sysvipc. */
  readonly table: string;
}

/** A System V object: by its key, or by its identifier. */
export type SysvTarget = { readonly key: number } | { readonly id: number };

/** The fields that `change()` of a System V object sets; absent ones stay. */
export interface SysvChange {
  /** The user id of the owner. */
  uid?: number | undefined;
  /** The group id of the owner. */
  gid?: number | undefined;
  /** The permission bits. */
  mode?: number | undefined;
}

/** The checked fields of a change. */
export function changeOf({ uid, gid, mode }: SysvChange): SysvChange {
  if (uid !== undefined) checkInteger("uid", uid, 0, 0xfffffffe, "uid_t");
  if (gid !== undefined) checkInteger("gid", gid, 0, 0xfffffffe, "gid_t");
  if (mode !== undefined) checkMode(mode);
  return { uid, gid, mode };
}

// Bits of an identifier that are the index of its object, without and with the boot
// parameter ipcmni_extend.
const INDEX_BITS = [15, 24];

/** The fields that `IPC_SET` changes in one family besides the permissions. */
export interface MoreChange {
  /** Writes it into the struct. */
  readonly write: (bytes: Bytes) => void;
  /** Whether that is all that there is. */
  readonly complete: boolean;
  /** Explains a refusal. */
  readonly limitOf: LimitOf;
}

/** A System V object, as one object of this module uses it. */
export class SysvObject {
  readonly id: number;
  readonly subject: string;
  readonly closing: Closing;
  readonly #family: SysvFamily;

  constructor(family: SysvFamily, id: number, subject: string) {
    this.#family = family;
    this.id = id;
    this.subject = subject;
    this.closing = new Closing(subject);
  }

  /** The object that a caller names. It needs no permission. */
  static at(family: SysvFamily, target: SysvTarget): SysvObject {
    const { key, id } = Object(target) as { key?: unknown; id?: unknown };
    if ((key === undefined) === (id === undefined)) {
      throw new TypeError(
        'Argument "target" must have either a "key" or an "id"',
      );
    }
    if (id !== undefined) return SysvObject.withId(family, id);
    const ckey = cKey(key, false);
    const subject = `${family.kind} key ${showKey(ckey)}`;
    const found = family.get(ckey);
    if (found === -1) throw ipcError(errno(), family.getter, subject);
    return new SysvObject(family, found, subject);
  }

  /** The object with an identifier, which may not exist. */
  static withId(family: SysvFamily, id: unknown): SysvObject {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    return new SysvObject(family, id | 0, `${family.kind} id ${id}`);
  }

  /** `IPC_STAT`: the bytes of the family's struct. */
  stat(): Bytes {
    return this.#control(IPC_STAT);
  }

  /**
   * `MSG_STAT_ANY` and its siblings: the same without permission to read. Before Linux
   * 4.17, which added them, EACCES without that permission.
   */
  statAny(): Bytes {
    this.closing.checkOpen();
    const { control, size, statAny } = this.#family;
    for (const bits of INDEX_BITS) {
      const bytes = new Uint8Array(size);
      const index = this.id & ((1 << bits) - 1);
      if (control(index, statAny, bytes) === this.id) return bytes;
    }
    return this.stat();
  }

  /**
   * `IPC_SET` of the fields that are given. Reads the others before, if there are any:
   * that takes a permission, which an owner may lack.
   */
  set({ uid, gid, mode }: SysvChange, more?: MoreChange): void {
    const given = [uid, gid, mode].every((field) => field !== undefined);
    const bytes = given && more?.complete !== false
      ? new Uint8Array(this.#family.size)
      : this.#statToChange();
    const perm = ipcPerm.view(bytes.subarray(0, ipcPerm.size));
    if (uid !== undefined) perm.uid = uid;
    if (gid !== undefined) perm.gid = gid;
    if (mode !== undefined) perm.mode = mode;
    more?.write(bytes);
    this.#control(IPC_SET, bytes, more?.limitOf);
  }

  /** `IPC_RMID` */
  remove(): void {
    this.#control(IPC_RMID);
  }

  /** The result of a call on the object that says -1 for "see errno". */
  check(result: number, syscall: string, limitOf?: LimitOf): number {
    if (result !== -1) return result;
    const error = errno();
    throw this.failure(error, syscall, limitOf?.(error));
  }

  /**
   * The error of a call. An object that was removed is one condition, EIDRM: the kernel
   * says EINVAL to a call that comes after the removal. (A call that has another reason
   * for EINVAL must look before.)
   */
  failure(error: number, syscall: string, limit?: SystemLimit): IpcError {
    const code = error === EINVAL ? EIDRM : error;
    return ipcError(code, syscall, this.subject, limit);
  }

  /** Whether this process is owner or creator; false if the object is gone. */
  isOwner(): boolean {
    try {
      return isOwned(this.statAny());
    } catch {
      return false;
    }
  }

  /** `IPC_STAT`; for an owner without read permission, the same without permission. */
  #statToChange(): Bytes {
    try {
      return this.stat();
    } catch (error) {
      if ((error as Partial<IpcError>).errno !== EACCES) throw error;
      const bytes = this.statAny();
      if (isOwned(bytes)) return bytes;
      throw error;
    }
  }

  #control(operation: number, change?: Bytes, limitOf?: LimitOf): Bytes {
    this.closing.checkOpen();
    const { control, syscall, size } = this.#family;
    const bytes = change ?? new Uint8Array(size);
    this.check(control(this.id, operation, bytes), syscall, limitOf);
    return bytes;
  }
}

/** Whether this process is owner or creator. The struct begins with `struct ipc_perm`. */
function isOwned(bytes: Bytes): boolean {
  const { uid, cuid } = ipcPerm.decode(bytes.subarray(0, ipcPerm.size));
  const user = unistd().geteuid();
  return uid === user || cuid === user;
}

/** The cells of the rows of a table of /proc/sysvipc. */
export function rowsOfTable({ table, plural }: SysvFamily): string[][] {
  const text = readProc(table);
  if (text === undefined) throw notMounted(`list ${plural}`, "/proc");
  return text.trimEnd().split("\n").slice(1)
    .map((row) => row.trim().split(/\s+/));
}
