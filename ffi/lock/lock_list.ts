// The locks of a kind: the semaphore sets that are one.

import {
  type SysvSemaphoreSetEntry,
  tableEntries,
} from "../semaphore/sysv_stat.ts";
import { GETALL, sysSem } from "../libc/sys_sem.ts";
import type { LockKind } from "./lock_set.ts";

/** All locks of a kind that this process may read. */
export function listLocks(
  { size, isSound }: LockKind,
): SysvSemaphoreSetEntry[] {
  const { semctl_array } = sysSem();
  return tableEntries().filter((entry) => {
    if (entry.size !== size) return false;
    const values = new Uint16Array(size);
    return semctl_array(entry.id, 0, GETALL, values) !== -1 && isSound(values);
  });
}
