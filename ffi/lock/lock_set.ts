// The semaphore set behind a lock that survives its holder's death.
// docs/shared-locks.md tells why it is one.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import type { IpcError } from "../errors.ts";
import {
  E2BIG,
  EAGAIN,
  EIDRM,
  EINTR,
  EINVAL,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { systemLimit } from "../kernel/limits.ts";
import {
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_STAT,
} from "../libc/sys_ipc.ts";
import {
  GETALL,
  GETPID,
  GETVAL,
  sembuf,
  semidDs,
  sysSem,
} from "../libc/sys_sem.ts";
import { durationOf } from "../libc/time.ts";
import { Closing } from "../kernel/closing.ts";
import { remaining } from "../wait/options.ts";
import type { BlockingCall } from "../wait/pool.ts";

/** 1 while an owner holds the lock. The kernel undoes it when that process ends. */
export const LOCK = 0;
/**
 * 1 from an owner's locking to its unlocking, and nobody undoes it. So (0, 0) is
 * free, (1, 1) is owned, and (0, 1) is free because the owner died. A new set has
 * zeroes, so it is a lock from its first moment on.
 */
export const MARK = 1;
/** How many readers hold the lock, where it has any. The kernel undoes theirs, too. */
export const READERS = 2;

type Operation = [number: number, delta: number, flags: number];

/** What one semop does, all of it or nothing, in C's form. */
export class Operations {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly count: number;
  readonly #operations: Operation[];
  #trying: Operations | undefined;

  constructor(...operations: Operation[]) {
    this.#operations = operations;
    this.count = operations.length;
    this.bytes = new Uint8Array(sembuf.size * this.count);
    operations.forEach(([sem_num, sem_op, sem_flg], index) => {
      const at = index * sembuf.size;
      sembuf.write(this.bytes, { sem_num, sem_op, sem_flg }, at);
    });
  }

  /** The same without waiting. */
  get trying(): Operations {
    return this.#trying ??= new Operations(...this.#operations.map(trying));
  }
}

function trying([number, delta, flags]: Operation): Operation {
  return [number, delta, flags | IPC_NOWAIT];
}

/** How a lock is taken that nobody died with, and one that somebody died with. */
export interface Take {
  readonly whole: Operations;
  readonly marked: Operations;
}

/** What sets of semaphores are locks of one kind. */
export interface LockKind {
  /** What errors call it. */
  readonly name: string;
  /** How many semaphores it has: no two kinds have as many. */
  readonly semaphores: number;
  /** Whether these values may be found in one. */
  readonly isSound: (values: Uint16Array) => boolean;
}

const SEM = "/proc/sys/kernel/sem"; // SEMMSL SEMMNS SEMOPM SEMMNI
const SEMOPM = 2;
const SEMMNI = 3;

/** To the caller, a lock that was removed is one condition: EIDRM. */
function failure(number: number, syscall: string, subject: string): IpcError {
  const limit = number === E2BIG ? systemLimit(SEM, SEMOPM) : undefined;
  const kind = number === EINVAL ? EIDRM : number;
  return ipcError(kind, syscall, subject, limit);
}

/** Refuses a set of semaphores that has another use. */
function checkKind(kind: LockKind, id: number, subject: string): void {
  const { semctl_buf, semctl_array } = sysSem();
  const ds = new Uint8Array(semidDs.size);
  if (semctl_buf(id, 0, IPC_STAT, ds) === -1) {
    throw failure(errno(), "semctl", subject);
  }
  const size = Number(semidDs.decode(ds).sem_nsems);
  let state = `${size} semaphores`;
  if (size === kind.semaphores) {
    const values = new Uint16Array(size);
    if (semctl_array(id, 0, GETALL, values) === -1) {
      throw failure(errno(), "semctl", subject);
    }
    if (kind.isSound(values)) return;
    state = `the values ${values.join(", ")}`;
  }
  throw new TypeError(
    `Cannot open ${subject}: the semaphore set is no ${kind.name}, it has ${state}`,
  );
}

function getSet(kind: LockKind, key: number, flags: number): LockSet {
  const { semget } = sysSem();
  const subject = key === 0
    ? `private ${kind.name}`
    : `${kind.name} key ${key}`;
  const id = semget(key, kind.semaphores, flags);
  if (id === -1) {
    const number = errno();
    // A set with fewer semaphores: the lock itself is never too large.
    const other = number === EINVAL ? semget(key, 0, 0) : -1;
    if (other !== -1) checkKind(kind, other, subject);
    const limit = number === ENOSPC ? systemLimit(SEM, SEMMNI) : undefined;
    throw ipcError(number, "semget", subject, limit);
  }
  if ((flags & IPC_EXCL) === 0) checkKind(kind, id, subject);
  return new LockSet(id, subject);
}

/** The set of one lock, as one object uses it: the system calls. */
export class LockSet {
  readonly id: number;
  readonly subject: string;
  readonly closing: Closing;

  constructor(id: number, subject: string) {
    this.id = id;
    this.subject = subject;
    this.closing = new Closing(subject);
  }

  static create(
    kind: LockKind,
    key: number | null,
    mode: number = 0o600,
  ): LockSet {
    const number = cKey(key, true);
    checkMode(mode);
    return getSet(kind, number, IPC_CREAT | IPC_EXCL | mode);
  }

  static open(kind: LockKind, key: number): LockSet {
    return getSet(kind, cKey(key, false), 0);
  }

  static openOrCreate(
    kind: LockKind,
    key: number,
    mode: number = 0o600,
  ): LockSet {
    const number = cKey(key, false);
    checkMode(mode);
    return getSet(kind, number, IPC_CREAT | mode);
  }

  static fromId(kind: LockKind, id: number): LockSet {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const subject = `${kind.name} id ${id}`;
    checkKind(kind, id, subject);
    return new LockSet(id, subject);
  }

  checkOpen(): void {
    this.closing.checkOpen();
  }

  close(): void {
    this.closing.close();
  }

  /** Whether the previous owner died; undefined when the lock cannot be had now. */
  take({ whole, marked }: Take): boolean | undefined {
    this.checkOpen();
    if (this.operate(whole)) return false;
    return this.operate(marked) ? true : undefined;
  }

  /** Does what does not wait; false when it would have to. */
  operate({ bytes, count }: Operations): boolean {
    if (sysSem().semop(this.id, bytes, count) === 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    throw failure(number, "semop", this.subject);
  }

  /** Gives back what this process has, unless somebody has reset the set. */
  give(operations: Operations): void {
    if (!this.operate(operations)) throw failure(EPERM, "semop", this.subject);
  }

  /** Blocks this thread until that may be done, or until then. */
  wait({ bytes, count }: Operations, milliseconds: number): void {
    const time = milliseconds === Infinity ? null : durationOf(milliseconds);
    if (sysSem().semtimedop(this.id, bytes, count, time) === 0) return;
    const number = errno();
    if (number === EAGAIN || number === EINTR) return; // time is up, or a signal
    throw failure(number, "semtimedop", this.subject);
  }

  /** The same on another thread. Throws what would end it at once, each time. */
  waitingFor(waiting: Operations, until: number): BlockingCall {
    this.operate(waiting.trying);
    const { semtimedop_nonblocking: call } = sysSem();
    return {
      block: async (milliseconds) => {
        const time = durationOf(Math.min(milliseconds, remaining(until)));
        await call(this.id, waiting.bytes, waiting.count, time);
      },
    };
  }

  /** Does what never waits, as far as the set is still there and as it was. */
  withdraw({ bytes, count }: Operations): void {
    sysSem().semop(this.id, bytes, count);
  }

  /** `semctl(id, 0, GETALL)` */
  values(size: number): Uint16Array {
    this.checkOpen();
    const values = new Uint16Array(size);
    if (sysSem().semctl_array(this.id, 0, GETALL, values) === 0) return values;
    throw failure(errno(), "semctl", this.subject);
  }

  /** `semctl(id, index, GETVAL)` */
  valueOf(index: number): number {
    return this.#control(GETVAL, index);
  }

  /** The process that owns the lock; null if none does. */
  get owner(): number | null {
    const pid = this.#control(GETPID, MARK);
    return this.valueOf(LOCK) === 0 ? null : pid;
  }

  remove(): void {
    this.#control(IPC_RMID, 0);
  }

  #control(operation: number, index: number): number {
    this.checkOpen();
    const result = sysSem().semctl(this.id, index, operation);
    if (result === -1) throw failure(errno(), "semctl", this.subject);
    return result;
  }
}
