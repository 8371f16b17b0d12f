// Creating and opening a semaphore set whose values others never see half set.
//
// To the kernel, creating a set and setting its values are two calls. Here the creator
// ends with a semop(2), which sets sem_otime, as careful C programs do, too. Others only
// set the values; SETVAL and SETALL leave the id of their process with each semaphore.
// So a set is initialised when it was operated on, or when all its semaphores were set
// and no semop follows.

import { EEXIST, EIDRM, ENOENT, unless } from "../libc/errno.ts";
import { poll } from "../libc/poll.ts";
import { sched } from "../libc/sched.ts";
import { IPC_CREAT, IPC_EXCL, IPC_RMID } from "../libc/sys_ipc.ts";
import { GETALL, GETPID, SETALL, sysSem } from "../libc/sys_sem.ts";
import { isOver } from "../wait/options.ts";
import { Operations } from "./operations.ts";
import { getId, SetHandle, subjectOf } from "./sysv_handle.ts";
import { describe, type SysvSemaphoreSetStat } from "./sysv_stat.ts";

const KIND = "semaphore set";
const OWNER_MODE = 0o600; // needed to set the values of a new set
const SEMOP_FOLLOWS = 10; // ms: how long after setting the values
const LAST_CHANGE = 2000; // ms: since then the creator sets no more values
const YIELDS = 100; // of the processor, before sleeping between two looks

/** How long to wait until a set is initialised. */
export interface Initialisation {
  readonly deadline: number;
  /** Whether a set counts as initialised before the first `semop`. */
  readonly untouched: boolean;
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
    if ((mode & OWNER_MODE) !== OWNER_MODE) set.set({ mode });
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
      unless(EEXIST, () => unless(EIDRM, () => createSet(key, values, mode)));
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
  let setAt: number | undefined;
  for (let looks = 0;; looks++) {
    const stat = unless(EIDRM, () => describe(id, subject));
    if (stat === undefined) return undefined;
    let isReady = stat.operated !== null || untouched;
    const isLate = isOver(deadline);
    if (!isReady) {
      const setting = settingOf(id, stat.size);
      if (setting === "all") setAt ??= performance.now();
      else setAt = undefined;
      isReady = setting !== "none" && isUnchanged(stat) ||
        setAt !== undefined &&
          (isLate || performance.now() >= setAt + SEMOP_FOLLOWS);
    }
    if (isReady) return new SetHandle(id, key, stat.size, subject);
    if (isLate) throw notInitialised(subject);
    if (looks < YIELDS) sched().sched_yield();
    else poll().poll(null, 0, 1);
  }
}

/** Which semaphores of a set have got a value; "none" if it may not be read. */
function settingOf(id: number, size: number): "all" | "some" | "none" {
  const { semctl, semctl_array } = sysSem();
  const values = new Uint16Array(size);
  if (semctl_array(id, 0, GETALL, values) === -1) return "none";
  // The process id is 0 if it is of another PID namespace.
  const isSet = (value: number, index: number) =>
    value !== 0 || semctl(id, index, GETPID) > 0;
  if (values.every(isSet)) return "all";
  return values.some(isSet) ? "some" : "none";
}

function isUnchanged({ changed }: SysvSemaphoreSetStat): boolean {
  return Date.now() - changed.getTime() >= LAST_CHANGE;
}

function notInitialised(subject: string): DOMException {
  return new DOMException(
    `Timed out waiting for ${subject} to be initialised: no process has set its ` +
      "values. If the values are right as they are, pass { untouched: true }",
    "TimeoutError",
  );
}
