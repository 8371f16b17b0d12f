// What the kernel tells of System V semaphore sets: struct semid_ds, and the table in
// /proc.

import { unsignedKey } from "../arguments.ts";
import {
  rowsOfTable,
  type SysvFamily,
  SysvObject,
} from "../kernel/sysv_object.ts";
import { SEM_STAT_ANY, semidDs, sysSem } from "../libc/sys_sem.ts";
import { dateOf } from "../libc/time.ts";

/** The status of a System V semaphore set: `struct semid_ds`. */
export interface SysvSemaphoreSetStat {
  /** The key, from 0 to 0xffffffff; 0 of a private set. */
  readonly key: number;
  /** The number of semaphores. */
  readonly size: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The user id of the creator. */
  readonly creatorUid: number;
  /** The group id of the creator. */
  readonly creatorGid: number;
  /** The time of the last `semop`, in whole seconds; null before the first. */
  readonly operated: Date | null;
  /** The time of the creation, or of the last change by `semctl`, in whole seconds. */
  readonly changed: Date;
}

/** An entry of `SysvSemaphoreSet.list()`. */
export interface SysvSemaphoreSetEntry extends SysvSemaphoreSetStat {
  /** The identifier, for `SysvSemaphoreSet.fromId()`. */
  readonly id: number;
}

/** Semaphore sets, among the System V objects. */
export const SEMAPHORE_SETS: SysvFamily = {
  kind: "semaphore set",
  plural: "semaphore sets",
  getter: "semget",
  get: (key) => sysSem().semget(key, 0, 0),
  syscall: "semctl",
  control: (id, operation, bytes) =>
    sysSem().semctl_buf(id, 0, operation, bytes),
  statAny: SEM_STAT_ANY,
  size: semidDs.size,
  table: "/proc/sysvipc/sem",
};

/** The status, from the bytes of `struct semid_ds`. */
export function statOf(bytes: Uint8Array<ArrayBuffer>): SysvSemaphoreSetStat {
  const { sem_perm, sem_nsems, sem_otime, sem_ctime } = semidDs.decode(bytes);
  return {
    key: unsignedKey(sem_perm.key),
    size: Number(sem_nsems),
    mode: sem_perm.mode & 0o777,
    uid: sem_perm.uid,
    gid: sem_perm.gid,
    creatorUid: sem_perm.cuid,
    creatorGid: sem_perm.cgid,
    operated: dateOf(sem_otime),
    changed: dateOf(sem_ctime)!,
  };
}

/** The same of the set with this identifier, which needs no permission. */
export function describe(id: number, subject: string): SysvSemaphoreSetStat {
  return statOf(new SysvObject(SEMAPHORE_SETS, id, subject).statAny());
}

/** All sets of the system. */
export function tableEntries(): SysvSemaphoreSetEntry[] {
  return rowsOfTable(SEMAPHORE_SETS).map((cells) => {
    const [key, id, mode, size, uid, gid, cuid, cgid, otime, ctime] = cells;
    return {
      key: unsignedKey(Number(key)),
      id: Number(id),
      size: Number(size),
      mode: parseInt(mode!, 8) & 0o777,
      uid: Number(uid),
      gid: Number(gid),
      creatorUid: Number(cuid),
      creatorGid: Number(cgid),
      operated: dateOf(BigInt(otime!)),
      changed: dateOf(BigInt(ctime!))!,
    };
  });
}
