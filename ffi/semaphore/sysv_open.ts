// Creating and opening a semaphore set whose values others never see half set.
//
// To the kernel, creating a set and setting its values are two calls. The creator ends
// with a semop(2), which sets sem_otime; the others wait until that is not 0.

import type { IpcError } from "../errors.ts";
import { EEXIST, EIDRM, ENOENT } from "../libc/errno.ts";
import { poll } from "../libc/poll.ts";
import { sched } from "../libc/sched.ts";
import { IPC_CREAT, IPC_EXCL, IPC_RMID } from "../libc/sys_ipc.ts";
import { SETALL, sysSem } from "../libc/sys_sem.ts";
import { isOver, timeoutError } from "../wait/options.ts";
import { Operations } from "./operations.ts";
import { getId, SetHandle, subjectOf } from "./sysv_handle.ts";
import { statOrRow } from "./sysv_stat.ts";

const KIND = "semaphore set";
const OWNER_MODE = 0o600; // needed to set the values of a new set
const YIELDS = 100; // of the processor, before sleeping between two looks

/** How long to wait until a set is initialised. */
export interface Initialisation {
  readonly deadline: number;
  /** Whether a set counts as initialised before the first `semop`. */
  readonly untouched: boolean;
}

/** What a call returns; undefined if it fails with this error number. */
function unless<T>(code: number, call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if ((error as Partial<IpcError>).errno === code) return undefined;
    throw error;
  }
}

/** Creates a set with these values, or leaves nothing behind. */
export function createSet(
  key: number,
  values: Uint16Array<ArrayBuffer>,
  mode: number,
): SetHandle {
  const { semctl, semctl_array } = sysSem();
  const subject = subjectOf(KIND, key);
  const flags = IPC_CREAT | IPC_EXCL | mode | OWNER_MODE;
  const id = getId(key, values.length, flags, subject);
  const set = new SetHandle(id, key, values.length, subject);
  try {
    set.check(semctl_array(id, 0, SETALL, values), "semctl");
    // Changes nothing but sem_otime. If it would have to wait, another process has
    // operated on the set already.
    const delta = values[0] === 0 ? 1 : -1;
    set.tryOnce(Operations.of([0, delta, 0], [0, -delta, 0]));
    if ((mode & OWNER_MODE) !== OWNER_MODE) set.change({ mode });
  } catch (error) {
    semctl(id, 0, IPC_RMID);
    throw error;
  }
  return set;
}

/** Opens a set when it is initialised. */
export function openSet(key: number, wait: Initialisation): SetHandle {
  for (;;) {
    const set = getSet(key, 0, 0, wait);
    if (set !== undefined) return set;
  }
}

/** Opens a set when it is initialised, or creates it. */
export function openOrCreateSet(
  key: number,
  values: Uint16Array<ArrayBuffer>,
  mode: number,
  wait: Initialisation,
): SetHandle {
  for (;;) {
    const set = unless(ENOENT, () => getSet(key, values.length, mode, wait)) ??
      unless(EEXIST, () => createSet(key, values, mode));
    if (set !== undefined) return set;
  }
}

/** A set that exists, when it is initialised; undefined if it is removed before. */
function getSet(
  key: number,
  size: number,
  mode: number,
  { deadline, untouched }: Initialisation,
): SetHandle | undefined {
  const subject = subjectOf(KIND, key);
  const id = getId(key, size, mode, subject);
  for (let looks = 0;; looks++) {
    const stat = unless(EIDRM, () => statOrRow(id, subject));
    if (stat === undefined) return undefined;
    if (stat.operated !== null || untouched) {
      return new SetHandle(id, key, stat.size, subject);
    }
    if (isOver(deadline)) throw timeoutError(`${subject} to be initialised`);
    if (looks < YIELDS) sched().sched_yield();
    else poll().poll(null, 0, 1);
  }
}
