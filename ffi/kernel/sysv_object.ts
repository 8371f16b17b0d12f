// What all System V objects have in common: their identifier, what the kernel tells of
// them, owner and permissions, removal, and the table in /proc.

import type { IpcError, SystemLimit } from "../errors.ts";
import { EIDRM, EINVAL, errno, ipcError } from "../libc/errno.ts";
import { IPC_RMID, IPC_SET, IPC_STAT } from "../libc/sys_ipc.ts";
import { Closing } from "./closing.ts";
import { readProc } from "./proc.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The calls of one family: message queues, segments, semaphore sets. */
export interface SysvFamily {
  /** The function that controls an object: "msgctl", "shmctl", "semctl". */
  readonly syscall: string;
  /** `msgctl(id, operation, bytes)` and its siblings. */
  readonly control: (id: number, operation: number, bytes: Bytes) => number;
  /** `sizeof (struct msqid_ds)` and its siblings. */
  readonly size: number;
  /** The table of all objects: a file of /proc/sysvipc. */
  readonly table: string;
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

  /** `IPC_STAT`: the bytes of the family's struct. */
  stat(): Bytes {
    return this.#control(IPC_STAT);
  }

  /** `IPC_SET`: what `write` makes of the struct; `limitOf` explains a refusal. */
  set(
    write: (bytes: Bytes) => void,
    limitOf?: (error: number) => SystemLimit | undefined,
  ): void {
    const bytes = this.#control(IPC_STAT);
    write(bytes);
    this.#control(IPC_SET, bytes, limitOf);
  }

  /** `IPC_RMID` */
  remove(): void {
    this.#control(IPC_RMID);
  }

  /** The result of a call on the object that says -1 for "see errno". */
  check(
    result: number,
    syscall: string,
    limitOf?: (error: number) => SystemLimit | undefined,
  ): number {
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

  #control(
    operation: number,
    change?: Bytes,
    limitOf?: (error: number) => SystemLimit | undefined,
  ): Bytes {
    this.closing.checkOpen();
    const { control, syscall, size } = this.#family;
    const bytes = change ?? new Uint8Array(size);
    this.check(control(this.id, operation, bytes), syscall, limitOf);
    return bytes;
  }
}

/** The cells of the rows of a table of /proc/sysvipc; undefined without /proc. */
export function rowsOfTable({ table }: SysvFamily): string[][] | undefined {
  return readProc(table)?.trimEnd().split("\n").slice(1)
    .map((row) => row.trim().split(/\s+/));
}
