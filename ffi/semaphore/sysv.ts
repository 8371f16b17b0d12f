// System V semaphore sets.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import type { IpcError, SystemLimit } from "../errors.ts";
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EEXIST,
  EIDRM,
  EINTR,
  EINVAL,
  ENOENT,
  ENOSPC,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { checkInternal, internal } from "../internal.ts";
import { rowsIn, systemLimit } from "../kernel/limits.ts";
import { poll } from "../libc/poll.ts";
import { readProc } from "../kernel/proc.ts";
import { sched } from "../libc/sched.ts";
import {
  changePerm,
  checkPermChange,
  IPC_CREAT,
  IPC_EXCL,
  IPC_NOWAIT,
  IPC_RMID,
  IPC_SET,
  IPC_STAT,
  type PermChange,
} from "../libc/sys_ipc.ts";
import {
  GETALL,
  GETNCNT,
  GETPID,
  GETVAL,
  GETZCNT,
  SEM_UNDO,
  sembuf,
  semidDs,
  SEMVMX,
  SETALL,
  SETVAL,
  sysSem,
} from "../libc/sys_sem.ts";
import { dateOf, durationOf } from "../libc/time.ts";
import { attempt } from "../wait/attempt.ts";
import { Closing } from "../kernel/closing.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  remaining,
  type SyncWaitOptions,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { Permit, type SemaphorePermit } from "./permit.ts";

/** How a System V semaphore set is created. */
export interface SysvSemaphoreSetCreateOptions {
  /**
   * The permission bits: read is to look and to wait for zero, write is to change
   * the values. The umask has no say in System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** How a System V semaphore set is opened. */
export interface SysvSemaphoreSetOpenOptions {
  /**
   * The most milliseconds to wait, blocking this thread, until whoever makes the
   * set in this moment has given it its values.
   *
   * @default {1000}
   */
  timeout?: number | undefined;
  /**
   * Takes a set for initialised though nobody has operated on it yet. That is what a
   * set looks like which a C program has made with `semctl(SETVAL)` alone, and one
   * whose maker has died before it was done.
   *
   * @default {false}
   */
  untouched?: boolean | undefined;
}

/** One of the operations that are done together: `struct sembuf`. */
export interface SysvSemaphoreOperation {
  /** Which semaphore of the set, from 0. */
  readonly index: number;
  /**
   * Above 0 is added to the value; below 0 waits until the value is as large, and is
   * taken from it; 0 waits until the value is 0.
   */
  readonly delta: number;
  /**
   * `SEM_UNDO`: what it did is undone when this process ends, however that may be.
   *
   * @default {false}
   */
  readonly undo?: boolean | undefined;
}

/** What the kernel tells of a System V semaphore set: `struct semid_ds`. */
export interface SysvSemaphoreSetStat {
  /** The key; 0 for a private set. */
  readonly key: number;
  /** How many semaphores there are. */
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
  /** When somebody operated last; null if nobody did. To the second. */
  readonly operated: Date | null;
  /** When the set was made, or changed by other calls. To the second. */
  readonly changed: Date;
}

/** One of the sets that {@linkcode SysvSemaphoreSet.list} finds. */
export interface SysvSemaphoreSetEntry extends SysvSemaphoreSetStat {
  /** The identifier, for {@linkcode SysvSemaphoreSet.fromId}. */
  readonly id: number;
}

/** What {@linkcode SysvSemaphoreSet.set} changes; what is absent stays. */
export interface SysvSemaphoreSetChange {
  /** The user id of the owner. */
  uid?: number | undefined;
  /** The group id of the owner. */
  gid?: number | undefined;
  /** The permission bits. */
  mode?: number | undefined;
}

/** How many wait for a semaphore of a set, in all processes together. */
export interface SysvSemaphoreWaiters {
  /** Who waits for a higher value: `semncnt`. */
  readonly increase: number;
  /** Who waits for the value 0: `semzcnt`. */
  readonly zero: number;
}

/** How one semaphore of a set is used. */
export interface SysvSemaphoreOptions {
  /**
   * `SEM_UNDO`: what this process has taken and not given back is given back when it
   * ends, however that may be; and what it has given without having taken it is
   * taken away again. Choose false where one process gives what another one takes.
   *
   * @default {true}
   */
  undo?: boolean | undefined;
}

const SEM = "/proc/sys/kernel/sem";
const FIELDS = ["SEMMSL", "SEMMNS", "SEMOPM", "SEMMNI"] as const;
const TABLE = "/proc/sysvipc/sem";
const OWNER_MAY = 0o600; // what it takes to give a new set its values
const INITIALISING = 1000; // ms: a maker that takes longer has died
const SHORTS = sembuf.size / 2; // struct sembuf is three short numbers
const USHRT_MAX = 65535;
const SPINS = 100; // of sched_yield, before sleeping between looks

function limitOf(field: typeof FIELDS[number]): SystemLimit | undefined {
  const limit = systemLimit(SEM, FIELDS.indexOf(field));
  return limit && { name: `${field} (${SEM})`, value: limit.value };
}

/** The values of a set for C: `unsigned short[]`. */
function valuesOf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const length = typeof values === "object" ? values?.length : undefined;
  if (typeof length !== "number") {
    throw new TypeError(
      `Argument "values" must be an array: ${String(values)}`,
    );
  }
  if (length === 0) {
    throw new RangeError('Argument "values" must not be empty');
  }
  checkInteger("values.length", length, 1, USHRT_MAX, "sem_num of semop");
  const array = new Uint16Array(length);
  for (let index = 0; index < length; index++) {
    const value = values[index];
    checkInteger(`values[${index}]`, value, 0, SEMVMX, "SEMVMX");
    array[index] = value;
  }
  return array;
}

/** All sets of the system; undefined where /proc does not show them. */
function table(): SysvSemaphoreSetEntry[] | undefined {
  return readProc(TABLE)?.trimEnd().split("\n").slice(1).map((line) => {
    const cells = line.trim().split(/\s+/);
    const [key, id, mode, size, uid, gid, cuid, cgid, otime, ctime] = cells;
    return {
      key: Number(key),
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

function isWithin(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && value as number >= min &&
    value as number <= max;
}

/** A list of operations as C has it, in two forms: to wait, and not to wait. */
class Sembufs {
  readonly count: number;
  readonly waiting: Int16Array<ArrayBuffer>;
  #trying: Int16Array<ArrayBuffer> | undefined;

  constructor(waiting: Int16Array<ArrayBuffer>) {
    this.waiting = waiting;
    this.count = waiting.length / SHORTS;
  }

  get trying(): Int16Array<ArrayBuffer> {
    if (this.#trying !== undefined) return this.#trying;
    const trying = this.waiting.slice();
    for (let at = 2; at < trying.length; at += SHORTS) {
      trying[at]! |= IPC_NOWAIT;
    }
    return this.#trying = trying;
  }
}

/** The operations of one call. */
class Operations extends Sembufs {
  #probe: Sembufs | undefined;

  constructor(operations: readonly SysvSemaphoreOperation[], size: number) {
    const count = operations.length;
    const sembufs = new Int16Array(SHORTS * count);
    for (let place = 0; place < count; place++) {
      const { index, delta, undo = false } = operations[place]!;
      if (!isWithin(index, 0, size - 1)) {
        const name = `operations[${place}].index`;
        checkInteger(name, index, 0, size - 1, "the size of the set");
      }
      if (!isWithin(delta, -SEMVMX, SEMVMX)) {
        const name = `operations[${place}].delta`;
        checkInteger(name, delta, -SEMVMX, SEMVMX, "SEMVMX");
      }
      const at = SHORTS * place;
      sembufs[at] = index;
      sembufs[at + 1] = delta;
      sembufs[at + 2] = undo ? SEM_UNDO : 0;
    }
    super(sembufs);
  }

  /**
   * The same, and then all of it taken back, in one call: it waits as they do, and
   * changes nothing.
   */
  get probe(): Sembufs {
    return this.#probe ??= new Sembufs(Int16Array.from(this.#thereAndBack()));
  }

  *#thereAndBack(): Generator<number> {
    const { waiting } = this;
    for (let at = 0; at < waiting.length; at += SHORTS) {
      yield* [waiting[at]!, waiting[at + 1]!, 0];
    }
    for (let at = waiting.length - SHORTS; at >= 0; at -= SHORTS) {
      const delta = waiting[at + 1]!;
      if (delta !== 0) yield* [waiting[at]!, -delta, 0];
    }
  }
}

function operationsOf(
  operations: readonly SysvSemaphoreOperation[],
  size: number,
): Operations {
  if (!Array.isArray(operations)) {
    throw new TypeError('Argument "operations" must be an array');
  }
  const all = new Operations(operations, size);
  if (all.count === 0) {
    throw new RangeError('Argument "operations" must not be empty');
  }
  return all;
}

/** How long to wait until a set has its values. */
interface Patience {
  readonly deadline: number;
  readonly untouched: boolean;
}

function patienceOf(
  options: SysvSemaphoreSetOpenOptions | undefined,
): Patience {
  const { timeout = INITIALISING, untouched } = options ?? {};
  return { deadline: deadlineOf({ timeout }), untouched: untouched === true };
}

/** What the set and its single semaphores have in common: the system calls. */
class Handle {
  readonly id: number;
  readonly subject: string;
  readonly closing: Closing;
  size = 0;

  constructor(id: number, subject: string) {
    this.id = id;
    this.subject = subject;
    this.closing = new Closing(subject);
  }

  checkOpen(): void {
    this.closing.checkOpen();
  }

  checkIndex(index: unknown): asserts index is number {
    checkInteger("index", index, 0, this.size - 1, "the size of the set");
  }

  /** semop without waiting; false when it would have to. */
  attempt({ trying, count }: Operations): boolean {
    this.checkOpen();
    return this.#done(sysSem().semop(this.id, trying, count), "semop");
  }

  /** semop, blocking this thread. */
  perform({ waiting, count }: Operations, deadline: number): void {
    this.checkOpen();
    const { semop, semtimedop } = sysSem();
    for (;;) {
      if (deadline === Infinity) {
        const result = semop(this.id, waiting, count);
        if (this.#done(result, "semop")) return;
        continue; // interrupted by a signal
      }
      const time = durationOf(remaining(deadline));
      const result = semtimedop(this.id, waiting, count, time);
      if (this.#done(result, "semtimedop")) return;
      if (remaining(deadline) === 0) throw timeoutError(this.subject);
    }
  }

  /** semop without blocking the thread. A thread of the pool only waits for it. */
  wait<T>(
    operations: Operations,
    done: () => T,
    limits: Limits,
    queue?: WaiterQueue,
  ): Promise<T> {
    const callOf = () => this.#waitingFor(operations.probe);
    const source = new PoolSource(this.subject, this.closing, callOf);
    const tryOnce = () => this.attempt(operations) ? done() : undefined;
    return attempt(source, tryOnce, limits, queue);
  }

  /** A call that blocks until a probe succeeds; undefined where one would not. */
  #waitingFor({ trying, waiting, count }: Sembufs): BlockingCall | undefined {
    const { semop, semtimedop_nonblocking: call } = sysSem();
    const waits = semop(this.id, trying, count) === 0 || errno() === EAGAIN;
    // More operations than SEMOPM, or what the next try will tell.
    if (!waits) return undefined;
    return {
      block: async (milliseconds) => {
        await call(this.id, waiting, count, durationOf(milliseconds));
      },
    };
  }

  /** Whether semop has done it; false when it had to wait, or was interrupted. */
  #done(result: number, syscall: string): boolean {
    if (result === 0) return true;
    const number = errno();
    if (number === EAGAIN || number === EINTR) return false;
    throw this.failure(number, syscall);
  }

  /** The result of a semctl. */
  check(result: number): number {
    if (result === -1) throw this.failure(errno(), "semctl");
    return result;
  }

  /**
   * To the caller, a set that was removed is one condition: EIDRM. The kernel says
   * EINVAL to whoever comes after the removal, and to nobody else here.
   */
  failure(number: number, syscall: string): IpcError {
    const limit = number === E2BIG ? limitOf("SEMOPM") : undefined;
    const kind = number === EINVAL ? EIDRM : number;
    return ipcError(kind, syscall, this.subject, limit);
  }

  /** `semctl(id, index, op)`: a number of one semaphore. */
  get(index: number, operation: number): number {
    this.checkOpen();
    return this.check(sysSem().semctl(this.id, index, operation));
  }

  /** `semctl(id, 0, IPC_SET)` */
  change(change: PermChange): void {
    this.checkOpen();
    const bytes = new Uint8Array(semidDs.size);
    const { semctl_buf } = sysSem();
    this.check(semctl_buf(this.id, 0, IPC_STAT, bytes));
    changePerm(semidDs.view(bytes).sem_perm, change);
    this.check(semctl_buf(this.id, 0, IPC_SET, bytes));
  }

  /** `semctl(id, 0, IPC_STAT)`; undefined when it may not be asked. */
  stat(): SysvSemaphoreSetStat | undefined {
    const bytes = new Uint8Array(semidDs.size);
    if (sysSem().semctl_buf(this.id, 0, IPC_STAT, bytes) === -1) {
      const number = errno();
      if (number === EACCES) return undefined;
      throw this.failure(number, "semctl");
    }
    const { sem_perm, sem_nsems, sem_otime, sem_ctime } = semidDs.decode(bytes);
    return {
      key: sem_perm.key,
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

  /** The same, from the table that all may read when the set may not be. */
  statOrRow(): SysvSemaphoreSetStat {
    const found = this.stat();
    if (found !== undefined) return found;
    const rows = table();
    if (rows === undefined) throw this.failure(EACCES, "semctl");
    const row = rows.find(({ id }) => id === this.id);
    if (row === undefined) throw this.failure(EIDRM, "semctl");
    return row;
  }
}

/**
 * A set of System V semaphores: counts on which several operations are done at once,
 * all or none.
 *
 * Any process with the key and the permission can use it, and it stays until somebody
 * removes it. An operation with `undo` is undone when its process ends, also by
 * `kill -9`: so a lock never stays locked by the dead. The undoing belongs to the
 * process, not to the thread or the Worker that made the call.
 *
 * @example Two forks at once, or none
 * ```ts
 * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using forks = SysvSemaphoreSet.create(null, [1, 1, 1]);
 * const left = { index: 0, delta: -1, undo: true };
 * const right = { index: 1, delta: -1, undo: true };
 * assert(forks.tryOperate([left, right]));
 * assert(!forks.tryOperate([{ index: 2, delta: -1 }, right])); // takes neither
 * assertEquals(forks.getAll(), [0, 0, 1]);
 * forks.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sysvipc.7.html | sysvipc(7)}
 */
export class SysvSemaphoreSet implements Disposable {
  readonly #handle: Handle;

  private constructor(token: symbol, handle: Handle) {
    checkInternal(token, "SysvSemaphoreSet", "create() or open()");
    this.#handle = handle;
  }

  /**
   * `semget(key, n, IPC_CREAT | IPC_EXCL | mode)`, `semctl(id, 0, SETALL, ...)` and a
   * first `semop`: makes a set under a new key.
   *
   * To C these are three calls, and others may see the set before it has its values.
   * Who opens it here does not: the first `semop` sets `sem_otime`, for which
   * {@linkcode SysvSemaphoreSet.open} waits, as C programs may, too.
   *
   * @param key A 32-bit number, not 0; null makes a private set (`IPC_PRIVATE`),
   * which others find by its `id` only.
   * @param values The values to begin with, each 0 to 32767: one per semaphore.
   * @param options `mode`.
   * @returns The set. It stays until somebody removes it.
   * @throws {TypeError} If the values are no array of numbers.
   * @throws {RangeError} If the key, a value or the mode is out of range, or if there
   * are no values.
   * @throws {IpcError} EEXIST if there is a set under this key, EINVAL if it would
   * have too many semaphores (SEMMSL), ENOSPC if there are too many sets (SEMMNI) or
   * semaphores in all sets (SEMMNS of /proc/sys/kernel/sem), ENOMEM; EIDRM if somebody
   * removed it in this moment.
   *
   * @example A key that is taken
   * ```ts
   * import { IpcError, SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * const key = 0x7abcdef2;
   * using set = SysvSemaphoreSet.create(key, [1]);
   * assertThrows(() => SysvSemaphoreSet.create(key, [1]), IpcError, "EEXIST");
   * set.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static create(
    key: number | null,
    values: ArrayLike<number>,
    options?: SysvSemaphoreSetCreateOptions,
  ): SysvSemaphoreSet {
    const number = cKey(key, true);
    const initial = valuesOf(values);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    return SysvSemaphoreSet.#make(number, initial, mode);
  }

  /**
   * `semget(key, 0, 0)`: opens a set that exists.
   *
   * If it was made in this moment, waits until it has its values: until `sem_otime` is
   * not 0. That blocks this thread for microseconds, as a rule.
   *
   * @param key A 32-bit number, not 0.
   * @param options `timeout` in milliseconds, and `untouched`.
   * @returns The set.
   * @throws {RangeError} If the key or the timeout is out of range.
   * @throws {IpcError} ENOENT if there is no set under this key. Permissions are
   * checked when it is used.
   * @throws {DOMException} `TimeoutError` if nobody has operated on the set yet: its
   * maker has died, or is a C program that does not do so. See `untouched`.
   *
   * @example A key that nobody uses
   * ```ts
   * import { IpcError, SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => SysvSemaphoreSet.open(0x7abcdef1), IpcError, "ENOENT");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static open(
    key: number,
    options?: SysvSemaphoreSetOpenOptions,
  ): SysvSemaphoreSet {
    const number = cKey(key, false);
    const patience = patienceOf(options);
    for (;;) {
      const id = sysSem().semget(number, 0, 0);
      if (id === -1) throw SysvSemaphoreSet.#refusal(errno(), number, 0);
      const set = SysvSemaphoreSet.#existing(id, number, patience);
      if (set !== undefined) return set;
    }
  }

  /**
   * `semget(key, n, mode)`, or else {@linkcode SysvSemaphoreSet.create}: opens a set,
   * or makes it. Whoever is first gives it its values; the others wait for that as
   * {@linkcode SysvSemaphoreSet.open} does.
   *
   * @param key A 32-bit number, not 0.
   * @param values The values that a new one begins with, each 0 to 32767: one per
   * semaphore.
   * @param options `mode`, of a new one; `timeout` in milliseconds, and `untouched`.
   * @returns The set.
   * @throws {TypeError} If the values are no array of numbers.
   * @throws {RangeError} If the key, a value, the mode or the timeout is out of range,
   * or if there are no values.
   * @throws {IpcError} EACCES if the set exists and does not grant this process what
   * `mode` asks for, EINVAL if it has fewer semaphores than there are values, or would
   * have too many (SEMMSL), ENOSPC if there are too many sets (SEMMNI) or semaphores
   * in all sets (SEMMNS of /proc/sys/kernel/sem), ENOMEM.
   * @throws {DOMException} `TimeoutError` if the set exists and nobody has operated on
   * it yet: its maker has died, or is a C program that does not do so.
   *
   * @example All who come first
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * const key = 0x7abcdef3;
   * using mine = SysvSemaphoreSet.openOrCreate(key, [5]);
   * using theirs = SysvSemaphoreSet.openOrCreate(key, [5]);
   * assertEquals(theirs.id, mine.id);
   * mine.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semget.2.html | semget(2)}
   */
  static openOrCreate(
    key: number,
    values: ArrayLike<number>,
    options?: SysvSemaphoreSetCreateOptions & SysvSemaphoreSetOpenOptions,
  ): SysvSemaphoreSet {
    const number = cKey(key, false);
    const initial = valuesOf(values);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    const patience = patienceOf(options);
    for (;;) {
      const id = sysSem().semget(number, initial.length, mode);
      if (id !== -1) {
        const set = SysvSemaphoreSet.#existing(id, number, patience);
        if (set !== undefined) return set;
        continue;
      }
      const reason = errno();
      if (reason !== ENOENT) {
        throw SysvSemaphoreSet.#refusal(reason, number, initial.length);
      }
      try {
        return SysvSemaphoreSet.#make(number, initial, mode);
      } catch (error) {
        // Somebody else was first.
        if ((error as Partial<IpcError>).errno !== EEXIST) throw error;
      }
    }
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a set by its identifier, which is how a private
   * one is found. Whoever tells the identifier has given the set its values.
   *
   * @param id What {@linkcode SysvSemaphoreSet.id} is in the other process.
   * @returns The set.
   * @throws {RangeError} If the id is no integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such set.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SysvSemaphoreSet {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const handle = new Handle(id, `semaphore set id ${id}`);
    handle.size = handle.statOrRow().size;
    return new SysvSemaphoreSet(internal, handle);
  }

  /**
   * `/proc/sysvipc/sem`: all the sets of this system, or of this IPC namespace,
   * whether or not this process may use them.
   *
   * @returns What the kernel tells of each.
   * @throws {Deno.errors.NotSupported} If there is no such file.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @example Whose is it?
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * using set = SysvSemaphoreSet.create(null, [1, 1]);
   * const entry = SysvSemaphoreSet.list().find(({ id }) => id === set.id);
   * assertEquals(entry?.size, 2);
   * set.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc.5.html | proc(5)}
   */
  static list(): SysvSemaphoreSetEntry[] {
    const sets = table();
    if (sets !== undefined) return sets;
    throw new Deno.errors.NotSupported(`Cannot read ${TABLE}`);
  }

  static #subjectOf(key: number): string {
    return key === 0 ? "private semaphore set" : `semaphore set key ${key}`;
  }

  /** The error of a semget. */
  static #refusal(number: number, key: number, size: number): IpcError {
    let limit: SystemLimit | undefined;
    if (number === ENOSPC) {
      const most = limitOf("SEMMNI");
      const sets = rowsIn(TABLE);
      const full = most !== undefined && sets >= Number(most.value);
      limit = full ? most : limitOf("SEMMNS");
    } else if (number === EINVAL) {
      const most = limitOf("SEMMSL");
      if (most !== undefined && size > Number(most.value)) limit = most;
    }
    return ipcError(number, "semget", SysvSemaphoreSet.#subjectOf(key), limit);
  }

  /** Makes a set, with its values, or leaves nothing behind. */
  static #make(
    key: number,
    values: Uint16Array<ArrayBuffer>,
    mode: number,
  ): SysvSemaphoreSet {
    const { semget, semctl, semctl_array } = sysSem();
    const flags = IPC_CREAT | IPC_EXCL | mode | OWNER_MAY;
    const id = semget(key, values.length, flags);
    if (id === -1) {
      throw SysvSemaphoreSet.#refusal(errno(), key, values.length);
    }
    const handle = new Handle(id, SysvSemaphoreSet.#subjectOf(key));
    handle.size = values.length;
    try {
      handle.check(semctl_array(id, 0, SETALL, values));
      // Nothing, but done: from now on sem_otime is not 0. If it would have to wait,
      // somebody else has operated on the set already.
      const deltas = values[0] === 0 ? [1, -1] : [-1, 1];
      const nothing = deltas.map((delta) => ({ index: 0, delta }));
      handle.attempt(new Operations(nothing, 1));
      if ((mode & OWNER_MAY) !== OWNER_MAY) handle.change({ mode });
    } catch (error) {
      semctl(id, 0, IPC_RMID);
      throw error;
    }
    return new SysvSemaphoreSet(internal, handle);
  }

  /** A set that exists, when it has its values; undefined if it does not exist now. */
  static #existing(
    id: number,
    key: number,
    { deadline, untouched }: Patience,
  ): SysvSemaphoreSet | undefined {
    const handle = new Handle(id, SysvSemaphoreSet.#subjectOf(key));
    for (let looks = 0;; looks++) {
      let found;
      try {
        found = handle.statOrRow();
      } catch (error) {
        if ((error as Partial<IpcError>).errno !== EIDRM) throw error;
        return undefined;
      }
      if (found.operated !== null || untouched) {
        handle.size = found.size;
        return new SysvSemaphoreSet(internal, handle);
      }
      if (remaining(deadline) === 0) {
        throw timeoutError(`${handle.subject} to be initialised`);
      }
      if (looks < SPINS) sched().sched_yield();
      else poll().poll(null, 0, 1);
    }
  }

  /** The identifier: the same in every process, and never the key. */
  get id(): number {
    return this.#handle.id;
  }

  /** How many semaphores there are. */
  get size(): number {
    return this.#handle.size;
  }

  /**
   * `semop(id, operations, n)`, blocking this thread until all the operations can be
   * done; then does them at once. Whatever else this thread waits for, or would give
   * back, has to wait with it.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param operations In this order: a later one sees what an earlier one did. At
   * most 500 (SEMOPM) unless /proc/sys/kernel/sem says otherwise.
   * @param options `timeout` in milliseconds.
   * @throws {TypeError} If the operations are no array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM); EACCES if the
   * set may not be changed, or not be read where all deltas are 0; ERANGE if a value
   * would be above 32767, or so much would have to be undone; EIDRM if the set was removed, before or during the wait;
   * ENOMEM.
   *
   * @example Wait until all have left
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * using present = SysvSemaphoreSet.create(null, [1]);
   * const empty = [{ index: 0, delta: 0 }];
   * assertThrows(() => present.operateSync(empty, { timeout: 10 }), DOMException);
   * present.operateSync([{ index: 0, delta: -1 }]);
   * present.operateSync(empty);
   * present.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  operateSync(
    operations: readonly SysvSemaphoreOperation[],
    options?: SyncWaitOptions,
  ): void {
    const all = operationsOf(operations, this.#handle.size);
    this.#handle.perform(all, deadlineOf(options));
  }

  /**
   * `semop(id, operations, n)` with `IPC_NOWAIT`: does the operations if all of them
   * can be done now.
   *
   * @param operations In this order: a later one sees what an earlier one did.
   * @returns Whether they were done; false when one would have to wait.
   * @throws {TypeError} If the operations are no array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM of
   * /proc/sys/kernel/sem); EACCES if the set may not be changed, or not be read where
   * all deltas are 0; ERANGE if a value would be above 32767, or so much
   * would have to be undone; EIDRM if the set was
   * removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryOperate(operations: readonly SysvSemaphoreOperation[]): boolean {
    const all = operationsOf(operations, this.#handle.size);
    return this.#handle.attempt(all);
  }

  /**
   * `semtimedop(id, operations, n, timeout)`, waiting without blocking the thread
   * until all the operations can be done; then does them at once.
   *
   * Another thread waits in the kernel until they could be done, and changes nothing:
   * so the signal, the timeout and `close()` end a wait at once, and a Worker that is
   * terminated takes nothing along. At most four waits of this kind have a thread; the
   * others, and those with more than half as many operations as SEMOPM allows, look
   * again every 20 milliseconds.
   *
   * @param operations In this order: a later one sees what an earlier one did.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the operations are no array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM of
   * /proc/sys/kernel/sem); EACCES if the set may not be changed, or not be read where
   * all deltas are 0; ERANGE if a value would be above 32767, or so much
   * would have to be undone; EIDRM if the set was
   * removed, before or during the wait; ENOMEM.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for zero, then take the place
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * using set = SysvSemaphoreSet.create(null, [1]);
   * setTimeout(() => set.setValue(0, 0), 10);
   * await set.operate([{ index: 0, delta: 0 }, { index: 0, delta: 1 }]);
   * assertEquals(set.getValue(0), 1);
   * set.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async operate(
    operations: readonly SysvSemaphoreOperation[],
    options?: WaitOptions,
  ): Promise<void> {
    const all = operationsOf(operations, this.#handle.size);
    const limits = limitsOf(options);
    await this.#handle.wait(all, () => true, limits);
  }

  /**
   * One semaphore of the set, to acquire and to release as a POSIX one. What it takes
   * is given back when this process ends, unless `undo` is false.
   *
   * @param index Which one, from 0.
   * @param options `undo`.
   * @returns The semaphore, of use until this set is closed.
   * @throws {RangeError} If the index is not below the size of the set.
   *
   * @example A lock that its holder's death opens
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * using set = SysvSemaphoreSet.create(null, [1]);
   * const lock = set.semaphore(0);
   * {
   *   using _permit = await lock.acquire({ timeout: 1000 });
   *   assertEquals(lock.tryAcquire(), null);
   * }
   * assertEquals(lock.value, 1);
   * set.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  semaphore(index: number, options?: SysvSemaphoreOptions): SysvSemaphore {
    this.#handle.checkIndex(index);
    return makeSemaphore(this.#handle, index, options?.undo ?? true);
  }

  /**
   * `semctl(id, 0, GETALL, ...)`: all the values, as they are at one moment.
   *
   * @returns One per semaphore.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  getAll(): number[] {
    const { id, size } = this.#checked();
    const values = new Uint16Array(size);
    this.#handle.check(sysSem().semctl_array(id, 0, GETALL, values));
    return Array.from(values);
  }

  /**
   * `semctl(id, 0, SETALL, ...)`: sets all the values at once. Nothing that was done to
   * them before is undone any more. Who waits for one of these values goes on.
   *
   * @param values One per semaphore, each 0 to 32767.
   * @throws {TypeError} If the values are no array of numbers.
   * @throws {RangeError} If there are more or fewer than semaphores, or if a value is
   * out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be changed, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  setAll(values: ArrayLike<number>): void {
    const array = valuesOf(values);
    const { id, size } = this.#handle;
    if (array.length !== size) {
      throw new RangeError(
        `Argument "values" must have ${size} numbers (the size of the set): ${array.length}`,
      );
    }
    this.#checked();
    this.#handle.check(sysSem().semctl_array(id, 0, SETALL, array));
  }

  /**
   * `semctl(id, index, GETVAL)`: the value of one semaphore.
   *
   * @param index Which one, from 0.
   * @returns The value, which another process may have changed by now.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  getValue(index: number): number {
    this.#handle.checkIndex(index);
    return this.#handle.get(index, GETVAL);
  }

  /**
   * `semctl(id, index, SETVAL, value)`: sets the value of one semaphore. Nothing that
   * was done to it before is undone any more. Who waits for this value goes on.
   *
   * @param index Which one, from 0.
   * @param value 0 to 32767.
   * @throws {RangeError} If the index is not below the size of the set, or the value
   * is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be changed, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  setValue(index: number, value: number): void {
    this.#handle.checkIndex(index);
    checkInteger("value", value, 0, SEMVMX, "SEMVMX");
    const { id } = this.#checked();
    this.#handle.check(sysSem().semctl_val(id, index, SETVAL, value));
  }

  /**
   * `semctl(id, index, GETPID)`: the process that changed one semaphore last, or whose
   * `operate()` or `acquire()` saw last that it could.
   *
   * @param index Which one, from 0.
   * @returns The process id; 0 if none did, or if it is of another PID namespace.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  lastUser(index: number): number {
    this.#handle.checkIndex(index);
    return this.#handle.get(index, GETPID);
  }

  /**
   * `semctl(id, index, GETNCNT)` and `GETZCNT`: how many wait for one semaphore in the
   * kernel. An asynchronous wait that has no thread at the moment is not counted, and
   * those of one {@linkcode SysvSemaphore} count as one.
   *
   * @param index Which one, from 0.
   * @returns The two counts.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  waiters(index: number): SysvSemaphoreWaiters {
    this.#handle.checkIndex(index);
    return {
      increase: this.#handle.get(index, GETNCNT),
      zero: this.#handle.get(index, GETZCNT),
    };
  }

  /**
   * `semctl(id, 0, IPC_STAT, ...)`: what the kernel tells of the set.
   *
   * @returns Permissions, size and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  stat(): SysvSemaphoreSetStat {
    const found = this.#checked().stat();
    if (found === undefined) throw this.#handle.failure(EACCES, "semctl");
    return found;
  }

  /**
   * `semctl(id, 0, IPC_SET, ...)`: changes the owner or the permissions.
   *
   * @param change `uid`, `gid`, `mode`; what is absent stays.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EACCES if the set may not be read; EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  set(change: SysvSemaphoreSetChange): void {
    const { uid, gid, mode } = change;
    const once = { uid, gid, mode };
    checkPermChange(once);
    this.#handle.change(once);
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: destroys the set. Processes that wait for it are told
   * with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EIDRM if the set was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#handle.get(0, IPC_RMID);
  }

  /**
   * Ends the use of this object. The set stays, and so does what this process has
   * taken from it. Pending waits end with a ClosedError.
   */
  close(): void {
    this.#handle.closing.close();
  }

  /** Closes this object; the set stays. */
  [Symbol.dispose](): void {
    this.#handle.closing.close();
  }

  #checked(): Handle {
    this.#handle.checkOpen();
    return this.#handle;
  }
}

// Set by the class: its constructor is for this module alone.
let makeSemaphore: (
  handle: Handle,
  index: number,
  undo: boolean,
) => SysvSemaphore;

/**
 * One semaphore of a {@linkcode SysvSemaphoreSet}, with permits. Made by
 * {@linkcode SysvSemaphoreSet.semaphore}.
 *
 * @example At most two at a time
 * ```ts
 * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
 * import { assertEquals } from "@std/assert";
 *
 * using set = SysvSemaphoreSet.create(null, [2]);
 * const places = set.semaphore(0);
 * {
 *   using _one = places.acquireSync();
 *   using _two = places.acquireSync();
 *   assertEquals(places.tryAcquire(), null);
 * }
 * assertEquals(places.value, 2);
 * set.remove();
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
 */
export class SysvSemaphore {
  readonly #index: number;
  readonly #handle: Handle;
  readonly #take: Operations;
  readonly #give: Operations;
  readonly #queue = new WaiterQueue();
  readonly #giveBack = () => this.#release();

  private constructor(
    token: symbol,
    handle: Handle,
    index: number,
    undo: boolean,
  ) {
    checkInternal(token, "SysvSemaphore", "SysvSemaphoreSet.semaphore()");
    this.#index = index;
    this.#handle = handle;
    this.#take = new Operations([{ index, delta: -1, undo }], handle.size);
    this.#give = new Operations([{ index, delta: 1, undo }], handle.size);
  }

  static {
    makeSemaphore = (handle, index, undo) =>
      new SysvSemaphore(internal, handle, index, undo);
  }

  /** Which semaphore of the set, from 0. */
  get index(): number {
    return this.#index;
  }

  /**
   * `semctl(id, index, GETVAL)`: the count now. Another process may have changed it by
   * the time it is read here.
   *
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   */
  get value(): number {
    return this.#handle.get(this.#index, GETVAL);
  }

  /**
   * `semop` of -1, blocking this thread until the count is above 0. What this thread
   * would give back has to wait for that.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The permit. Dispose of it to give it back; or ignore it, and it is given
   * back when this process ends, unless `undo` is false.
   * @throws {ClosedError} If the set is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the set may not be changed; EIDRM if it was removed,
   * before or during the wait; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  acquireSync(options?: SyncWaitOptions): SemaphorePermit {
    this.#handle.perform(this.#take, deadlineOf(options));
    return this.#permit();
  }

  /**
   * `semop` of -1 with `IPC_NOWAIT`: takes 1 if the count is above 0.
   *
   * @returns The permit, or null when the count is 0.
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} EACCES if the set may not be changed; EIDRM if it was removed;
   * ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryAcquire(): SemaphorePermit | null {
    return this.#handle.attempt(this.#take) ? this.#permit() : null;
  }

  /**
   * `semtimedop` of -1, waiting without blocking the thread until the count is above 0.
   *
   * It waits as {@linkcode SysvSemaphoreSet.operate} does. Through one object the calls
   * are served in their order.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The permit. Dispose of it to give it back; or ignore it, and it is given
   * back when this process ends, unless `undo` is false.
   * @throws {ClosedError} If the set is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the set may not be changed; EIDRM if it was removed,
   * before or during the wait; ENOMEM.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  async acquire(options?: WaitOptions): Promise<SemaphorePermit> {
    return await this.#handle.wait(
      this.#take,
      () => this.#permit(),
      limitsOf(options),
      this.#queue,
    );
  }

  /**
   * `semop` of +1: adds 1 to the count, and wakes one who waits. Unless `undo` is
   * false, that is taken back when this process ends and has not acquired as often.
   *
   * @throws {ClosedError} If the set is closed.
   * @throws {IpcError} ERANGE if the count is 32767 already; EACCES if the set may not
   * be changed; EIDRM if it was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  release(): void {
    this.#release();
  }

  #permit(): Permit {
    return new Permit(internal, this.#giveBack);
  }

  #release(): void {
    this.#handle.perform(this.#give, Infinity); // never has to wait
  }
}
