// System V objects: the tables of /proc/sysvipc, and what the calls tell besides.

import { showKey, unsignedKey } from "../arguments.ts";
import {
  rowsOfTable,
  type SysvFamily,
  SysvObject,
} from "../kernel/sysv_object.ts";
import { msqidDs } from "../libc/sys_msg.ts";
import { GETALL, GETNCNT, GETPID, GETZCNT, sysSem } from "../libc/sys_sem.ts";
import { SHM_DEST } from "../libc/sys_shm.ts";
import { dateOf } from "../libc/time.ts";
import { MESSAGE_QUEUES } from "../message_queue/sysv_handle.ts";
import { SEMAPHORE_SETS } from "../semaphore/sysv_stat.ts";
import { SEGMENTS } from "../shared_memory/sysv.ts";
import type { Catalogue } from "./catalogue.ts";
import type { InspectedSemaphore } from "./types.ts";

/** Adds the System V objects that are asked for. */
export function addSysvObjects(catalogue: Catalogue): void {
  if (catalogue.wants("sysv-queue")) addQueues(catalogue);
  if (catalogue.wants("sysv-memory")) addSegments(catalogue);
  if (catalogue.wants("sysv-semaphores")) addSets(catalogue);
}

/** The rows of a table, as numbers; the mode is octal in it. */
function rowsOf(family: SysvFamily, modeColumn = 2): number[][] {
  return rowsOfTable(family).filter((cells) => cells.length > 2)
    .map((cells) =>
      cells.map((cell, column) =>
        column === modeColumn ? parseInt(cell, 8) : Number(cell)
      )
    );
}

function seconds(value: number): Date | null {
  return dateOf(BigInt(value));
}

/** A process id, of which 0 says that there is none. */
function pidOrNull(pid: number): number | null {
  return pid === 0 ? null : pid;
}

function common(
  key: number,
  id: number,
  mode: number,
  [uid, gid, creatorUid, creatorGid]: number[],
) {
  return {
    name: key === 0 ? `private ${id}` : showKey(key),
    id,
    key: unsignedKey(key),
    mode: mode & 0o777,
    uid,
    gid,
    creatorUid,
    creatorGid,
  };
}

function addQueues(catalogue: Catalogue): void {
  for (const row of rowsOf(MESSAGE_QUEUES)) {
    const [key, id, mode, bytes, messages, sender, receiver] = row as Row;
    const [sent, received, changed] = row.slice(11) as Row;
    catalogue.add("sysv-queue", id, {
      ...common(key, id, mode, row.slice(7, 11)),
      size: bytes,
      messages,
      maxBytes: maxBytesOf(id),
      lastSenderPid: pidOrNull(sender),
      lastReceiverPid: pidOrNull(receiver),
      sent: seconds(sent),
      received: seconds(received),
      changed: seconds(changed),
    });
  }
}

/** A row of a table that has at least as many cells as are read from it. */
type Row = [number, number, number, number, number, number, number];

/** `msg_qbytes`, which is not in the table. */
function maxBytesOf(id: number): number | null {
  try {
    const object = new SysvObject(MESSAGE_QUEUES, id, `queue id ${id}`);
    return Number(msqidDs.decode(object.statAny()).msg_qbytes);
  } catch {
    return null; // removed, or an old kernel and no permission
  }
}

function addSegments(catalogue: Catalogue): void {
  for (const row of rowsOf(SEGMENTS)) {
    const [key, id, mode, size, creator, user, attachments] = row as Row;
    const [attached, detached, changed, resident] = row.slice(11) as Row;
    catalogue.add("sysv-memory", id, {
      ...common(key, id, mode, row.slice(7, 11)),
      size,
      attachments,
      creatorPid: creator,
      lastPid: pidOrNull(user),
      attached: seconds(attached),
      detached: seconds(detached),
      changed: seconds(changed),
      removed: (mode & SHM_DEST) !== 0,
      resident,
    });
  }
}

function addSets(catalogue: Catalogue): void {
  for (const row of rowsOf(SEMAPHORE_SETS)) {
    const [key, id, mode, count] = row as Row;
    const [operated, changed] = row.slice(8) as Row;
    const semaphores = semaphoresOf(id, count);
    if (semaphores === "gone") continue;
    catalogue.add("sysv-semaphores", id, {
      ...common(key, id, mode, row.slice(4, 8)),
      count,
      semaphores,
      operated: seconds(operated),
      changed: seconds(changed),
    });
  }
}

/** The semaphores of a set; null without permission. */
export function semaphoresOf(
  id: number,
  count: number,
): InspectedSemaphore[] | null | "gone" {
  const { semctl, semctl_array } = sysSem();
  const values = new Uint16Array(count);
  // The set may be replaced by one of another size: an identifier is not reused soon.
  if (semctl_array(id, 0, GETALL, values) === -1) {
    return isThere(id) ? null : "gone";
  }
  const all = Array.from(values, (value, index) => ({
    value,
    waiters: {
      increase: semctl(id, index, GETNCNT),
      zero: semctl(id, index, GETZCNT),
    },
    lastPid: semctl(id, index, GETPID),
  }));
  return all.some(({ lastPid }) => lastPid === -1) ? "gone" : all;
}

function isThere(id: number): boolean {
  try {
    new SysvObject(SEMAPHORE_SETS, id, `set id ${id}`).statAny();
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "EACCES";
  }
}
