// System V semaphore sets: several semaphores on which operations are done together.

import { checkInteger, checkMode, cKey } from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import {
  changeOf,
  type SysvChange,
  SysvObject,
  type SysvTarget,
} from "../kernel/sysv_object.ts";
import {
  GETNCNT,
  GETPID,
  GETVAL,
  GETZCNT,
  SEMVMX,
  SETALL,
  SETVAL,
  sysSem,
} from "../libc/sys_sem.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { operationsOf, type SysvSemaphoreOperation } from "./operations.ts";
import {
  semaphoreOf,
  type SysvSemaphore,
  type SysvSemaphoreOptions,
} from "./sysv.ts";
import { SetHandle } from "./sysv_handle.ts";
import {
  createSet,
  type Initialisation,
  openOrCreateSet,
  openSet,
} from "./sysv_open.ts";
import {
  describe,
  SEMAPHORE_SETS,
  statOf,
  type SysvSemaphoreSetEntry,
  type SysvSemaphoreSetStat,
  tableEntries,
} from "./sysv_stat.ts";

/** Options of {@linkcode SysvSemaphoreSet.create} and `openOrCreate()`. */
export interface SysvSemaphoreSetCreateOptions {
  /**
   * The permission bits: read permission is to read the values and to wait for zero,
   * write permission is to change them. The umask does not apply to System V objects.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** Options of {@linkcode SysvSemaphoreSet.open}. */
export interface SysvSemaphoreSetOpenOptions {
  /**
   * The maximum time to wait, in milliseconds, blocking this thread, until another
   * process that is creating the set has set its values.
   *
   * @default {1000}
   */
  timeout?: number | undefined;
  /**
   * Treats a set as initialised although no process has set its values or operated on it.
   *
   * A program that uses the zeroes of a new set leaves it in that state, and so does a
   * creator that died early.
   *
   * @default {false}
   */
  untouched?: boolean | undefined;
}

/** The number of waiters of one semaphore of a set, in all processes together. */
export interface SysvSemaphoreWaiters {
  /** Waiters for a higher value: `semncnt`. */
  readonly increase: number;
  /** Waiters for the value 0: `semzcnt`. */
  readonly zero: number;
}

const INITIALISING = 1000; // ms: a creator that takes longer has died
const USHRT_MAX = 65535;

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

function modeOf(options: SysvSemaphoreSetCreateOptions | undefined): number {
  const mode = options?.mode ?? 0o600;
  checkMode(mode);
  return mode;
}

function initialisationOf(
  options: SysvSemaphoreSetOpenOptions | undefined,
): Initialisation {
  const { timeout = INITIALISING, untouched } = options ?? {};
  return { deadline: deadlineOf({ timeout }), untouched: untouched === true };
}

/**
 * A System V semaphore set. The kernel does several operations on its semaphores
 * together: all or none.
 *
 * Any process with the key and the permission can use it, and it exists until it is
 * removed. The kernel undoes an operation with `undo` when its process ends, also by
 * `kill -9`: so a dead process keeps no lock. The undo belongs to the process, not to
 * the thread or the Worker that made the call.
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
  readonly #handle: SetHandle;

  /** @ignore */
  private constructor(token: symbol, handle: SetHandle) {
    checkInternal(token, "SysvSemaphoreSet", "create() or open()");
    this.#handle = handle;
  }

  /**
   * `semget(key, n, IPC_CREAT | IPC_EXCL | mode)`, `semctl(id, 0, SETALL, ...)` and a
   * first `semop`: creates a set under a new key.
   *
   * In C another process can see the set before its values are set. Here the first
   * `semop`, which changes no value, sets `sem_otime`, and
   * {@linkcode SysvSemaphoreSet.open} waits for that, as C programs can do, too.
   *
   * @param key A 32-bit number, not 0; null creates a private set (`IPC_PRIVATE`),
   * which others can open by its `id` only.
   * @param values The initial values, each 0 to 32767: one per semaphore.
   * @param options `mode`.
   * @returns The set. It exists until it is removed.
   * @throws {TypeError} If the values are not an array of numbers.
   * @throws {RangeError} If the key, a value or the mode is out of range, or if there
   * are no values.
   * @throws {IpcError} EEXIST if there is a set under this key; EINVAL if it would
   * have too many semaphores (SEMMSL); ENOSPC if there are too many sets (SEMMNI) or
   * semaphores in all sets (SEMMNS of /proc/sys/kernel/sem); EIDRM if another process
   * removes it at once; ENOMEM.
   *
   * @example A key that is in use
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
    return new SysvSemaphoreSet(
      internal,
      createSet(cKey(key, true), valuesOf(values), modeOf(options)),
    );
  }

  /**
   * `semget(key, 0, 0)`: opens a set that exists.
   *
   * If another process is creating it, waits until its values are set: until
   * `sem_otime` is not 0, which the first `semop` sets. That normally blocks this thread
   * for microseconds.
   *
   * Many other programs set the values with `semctl` (SETVAL or SETALL) and leave it at
   * that, as Qt's QSystemSemaphore and Python's sysv_ipc do. Until the first `semop`,
   * such a set is opened 10 milliseconds after all its semaphores were set, or, if only
   * some were, 2 seconds after the last change. The kernel shows who has set a
   * semaphore (GETPID), so 0 is as good a value as another one.
   *
   * @param key A 32-bit number, not 0.
   * @param options `timeout` in milliseconds, and `untouched`.
   * @returns The set.
   * @throws {RangeError} If the key or the timeout is out of range.
   * @throws {IpcError} ENOENT if there is no set under this key. Permissions are
   * checked when it is used.
   * @throws {DOMException} `TimeoutError` if the values were not set in time: its creator
   * has died, or uses the zeroes of a new set; or the set may not be read, and no
   * process has operated on it. See `untouched`.
   *
   * @example A key that is not in use
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
    return new SysvSemaphoreSet(
      internal,
      openSet(cKey(key, false), initialisationOf(options)),
    );
  }

  /**
   * `semget(key, n, mode)`, or else {@linkcode SysvSemaphoreSet.create}: opens a set, or
   * creates it. The creator sets its values; the others wait for that as
   * {@linkcode SysvSemaphoreSet.open} does.
   *
   * @param key A 32-bit number, not 0.
   * @param values The initial values of a new set, each 0 to 32767: one per semaphore.
   * @param options `mode`, of a new set; `timeout` in milliseconds, and `untouched`.
   * @returns The set.
   * @throws {TypeError} If the values are not an array of numbers.
   * @throws {RangeError} If the key, a value, the mode or the timeout is out of range,
   * or if there are no values.
   * @throws {IpcError} EACCES if the set exists and does not grant this process what
   * `mode` asks for; EINVAL if it has fewer semaphores than there are values, or would
   * have too many (SEMMSL); ENOSPC if there are too many sets (SEMMNI) or semaphores in
   * all sets (SEMMNS of /proc/sys/kernel/sem); ENOMEM.
   * @throws {DOMException} `TimeoutError` if the set exists and its values were not set
   * in time, as with {@linkcode SysvSemaphoreSet.open}.
   *
   * @example The first process creates it
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
    return new SysvSemaphoreSet(
      internal,
      openOrCreateSet(
        cKey(key, false),
        valuesOf(values),
        modeOf(options),
        initialisationOf(options),
      ),
    );
  }

  /**
   * `semctl(id, 0, IPC_STAT)`: opens a set by its identifier, also a private one. It
   * does not wait until the values are set.
   *
   * @param id The {@linkcode SysvSemaphoreSet.prototype.id | SysvSemaphoreSet.id} of the
   * set in another process.
   * @returns The set.
   * @throws {RangeError} If the id is not an integer from 0 to 2147483647.
   * @throws {IpcError} EIDRM if there is no such set.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static fromId(id: number): SysvSemaphoreSet {
    checkInteger("id", id, 0, 0x7fffffff, "int");
    const subject = `semaphore set id ${id}`;
    const { key, size } = describe(id, subject);
    const handle = new SetHandle(id, key, size, subject);
    return new SysvSemaphoreSet(internal, handle);
  }

  /**
   * `/proc/sysvipc/sem`: lists the sets of this IPC namespace, like `ipcs -s`, also those
   * that this process has no permission for.
   *
   * @returns The sets, roughly in the order of their creation.
   * @throws {Deno.errors.NotSupported} If the file cannot be read: /proc is not mounted,
   * or the kernel has no System V IPC.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example The size of a set
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
   * @see {@link https://man7.org/linux/man-pages/man5/proc_sysvipc.5.html | proc_sysvipc(5)}
   */
  static list(): SysvSemaphoreSetEntry[] {
    return tableEntries();
  }

  /**
   * `semctl(id, 0, SEM_STAT_ANY, ...)`: returns the status of a set, which needs no
   * permission.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @returns Permissions, size and times.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no set has this key; EIDRM if no set has this id;
   * EACCES without read permission, before Linux 4.17 only.
   *
   * @example A set that its owner may not read
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * const { id } = SysvSemaphoreSet.create(null, [1, 1], { mode: 0 });
   * assertEquals(SysvSemaphoreSet.stat({ id }).size, 2);
   * SysvSemaphoreSet.change({ id }, { mode: 0o600 });
   * SysvSemaphoreSet.remove({ id });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static stat(target: SysvTarget): SysvSemaphoreSetStat {
    return statOf(SysvObject.at(SEMAPHORE_SETS, target).statAny());
  }

  /**
   * `semctl(id, 0, IPC_SET, ...)`: changes the owner or the permissions of a set. Only
   * its owner, its creator and a privileged process may do that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @param change `uid`, `gid`, `mode`; absent ones stay.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or if an
   * argument is not a number.
   * @throws {RangeError} If an argument is out of range.
   * @throws {IpcError} ENOENT if no set has this key; EIDRM if no set has this id;
   * otherwise as the method {@linkcode SysvSemaphoreSet.prototype.change}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static change(target: SysvTarget, change: SysvChange): void {
    const fields = changeOf(change);
    SysvObject.at(SEMAPHORE_SETS, target).set(fields);
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: removes a set. Waits of all processes end with EIDRM. Only
   * its owner, its creator and a privileged process may do that.
   *
   * @param target `key`, a 32-bit number, signed or unsigned, not 0; or `id`.
   * @throws {TypeError} If the target has neither a key nor an id, or both, or one that
   * is not a number.
   * @throws {RangeError} If the key or the id is out of range.
   * @throws {IpcError} ENOENT if no set has this key; EIDRM if no set has this id;
   * EPERM if this process is neither owner nor creator, nor privileged.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  static remove(target: SysvTarget): void {
    SysvObject.at(SEMAPHORE_SETS, target).remove();
  }

  /** The identifier: the same in every process. It is not the key. */
  get id(): number {
    return this.#handle.id;
  }

  /** The number of semaphores. */
  get size(): number {
    return this.#handle.size;
  }

  /**
   * `semop(id, operations, n)`, blocking this thread until all operations can be done;
   * then does them together. Other code of this thread cannot run meanwhile.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param operations In this order: a later one sees the effect of an earlier one. At
   * most 500 (SEMOPM) unless /proc/sys/kernel/sem says otherwise.
   * @param options `timeout` in milliseconds.
   * @throws {TypeError} If the operations are not an array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM); EACCES if the
   * set may not be changed, or not be read where all deltas are 0; ERANGE if a value
   * would be above 32767, or the sum to undo out of range; EIDRM if the set was removed,
   * before or during the wait; ENOMEM.
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
    const checked = operationsOf(operations, this.#handle.size);
    this.#handle.waitSync(checked, deadlineOf(options));
  }

  /**
   * `semop(id, operations, n)` with `IPC_NOWAIT`: does the operations if none of them
   * has to wait.
   *
   * @param operations In this order: a later one sees the effect of an earlier one.
   * @returns Whether they were done; false when one would have to wait.
   * @throws {TypeError} If the operations are not an array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM of
   * /proc/sys/kernel/sem); EACCES if the set may not be changed, or not be read where
   * all deltas are 0; ERANGE if a value would be above 32767, or the sum to undo out of
   * range; EIDRM if the set was removed; ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  tryOperate(operations: readonly SysvSemaphoreOperation[]): boolean {
    return this.#handle.tryOnce(operationsOf(operations, this.#handle.size));
  }

  /**
   * `semtimedop(id, operations, n, timeout)`, waiting without blocking the thread
   * until all operations can be done; then does them together.
   *
   * A thread of the blocking pool waits in the kernel until they could be done, and
   * changes nothing. So the signal, the timeout and `close()` end a wait at once, and a
   * Worker that is terminated takes nothing. At most four waits for System V objects on a
   * JavaScript thread have such a thread at a time. The others, and those with more than
   * half as many operations as SEMOPM allows, try again every 20 milliseconds, or less
   * often where there are thousands.
   *
   * @param operations In this order: a later one sees the effect of an earlier one.
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the operations are not an array, or not of numbers.
   * @throws {RangeError} If there are none, or if an index is not below the size of
   * the set, or a delta not from -32767 to 32767.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} E2BIG if there are too many operations (SEMOPM of
   * /proc/sys/kernel/sem); EACCES if the set may not be changed, or not be read where
   * all deltas are 0; ERANGE if a value would be above 32767, or the sum to undo out of
   * range; EIDRM if the set was removed, before or during the wait; ENOMEM.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for zero, then add 1
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
    const checked = operationsOf(operations, this.#handle.size);
    await this.#handle.wait(checked, () => true, limitsOf(options));
  }

  /**
   * Returns one semaphore of the set, to acquire and release permits as with a POSIX one.
   * The kernel gives back what this process holds when it ends, unless `undo` is false.
   *
   * @param index The index of the semaphore, from 0.
   * @param options `undo`.
   * @returns The semaphore, which is usable until this set is closed.
   * @throws {RangeError} If the index is not below the size of the set.
   *
   * @example A lock that does not outlive its holder
   * ```ts
   * import { SysvSemaphoreSet } from "@linux/ipc/semaphore";
   * import { assertEquals } from "@std/assert";
   *
   * using set = SysvSemaphoreSet.create(null, [1]);
   * const lock = set.semaphore(0);
   * {
   *   using _permit = await lock.acquire({ timeout: 1000 });
   *   assertEquals(lock.tryAcquire(), undefined);
   * }
   * assertEquals(lock.value, 1);
   * set.remove();
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semop.2.html | semop(2)}
   */
  semaphore(index: number, options?: SysvSemaphoreOptions): SysvSemaphore {
    this.#handle.checkIndex(index);
    return semaphoreOf(this.#handle, index, options?.undo ?? true);
  }

  /**
   * `semctl(id, 0, GETALL, ...)`: returns all values, as they are at one moment.
   *
   * @returns One value per semaphore.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  getAll(): number[] {
    return Array.from(this.#handle.getAll());
  }

  /**
   * `semctl(id, 0, SETALL, ...)`: sets all values together. The kernel forgets what it
   * would undo of earlier operations, and wakes the waiters for these values.
   *
   * @param values One per semaphore, each 0 to 32767.
   * @throws {TypeError} If the values are not an array of numbers.
   * @throws {RangeError} If their number is not the size of the set, or if a value is
   * out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be changed, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  setAll(values: ArrayLike<number>): void {
    const array = valuesOf(values);
    const { id, size, closing } = this.#handle;
    if (array.length !== size) {
      throw new RangeError(
        `Argument "values" must have ${size} numbers (the size of the set): ${array.length}`,
      );
    }
    closing.checkOpen();
    const result = sysSem().semctl_array(id, 0, SETALL, array);
    this.#handle.check(result, "semctl");
  }

  /**
   * `semctl(id, index, GETVAL)`: returns the value of one semaphore.
   *
   * @param index The index of the semaphore, from 0.
   * @returns The value. Another process may have changed it by now.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  getValue(index: number): number {
    return this.#get(index, GETVAL);
  }

  /**
   * `semctl(id, index, SETVAL, value)`: sets the value of one semaphore. The kernel
   * forgets what it would undo of earlier operations on it, and wakes the waiters for
   * this value.
   *
   * @param index The index of the semaphore, from 0.
   * @param value 0 to 32767.
   * @throws {RangeError} If the index is not below the size of the set, or the value
   * is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be changed, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  setValue(index: number, value: number): void {
    const { id, closing } = this.#handle;
    this.#handle.checkIndex(index);
    checkInteger("value", value, 0, SEMVMX, "SEMVMX");
    closing.checkOpen();
    const result = sysSem().semctl_val(id, index, SETVAL, value);
    this.#handle.check(result, "semctl");
  }

  /**
   * `semctl(id, index, GETPID)`: returns the process that last changed one semaphore, or
   * whose `operate()` or `acquire()` last found that it could.
   *
   * @param index The index of the semaphore, from 0.
   * @returns The process id; 0 if there was none, or if it is of another PID namespace.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  lastPid(index: number): number {
    return this.#get(index, GETPID);
  }

  /**
   * `semctl(id, index, GETNCNT)` and `GETZCNT`: returns the number of waiters of one
   * semaphore in the kernel.
   *
   * An asynchronous wait without a thread at the moment is not counted, and those of one
   * {@linkcode SysvSemaphore} count as one.
   *
   * @param index The index of the semaphore, from 0.
   * @returns The two numbers.
   * @throws {RangeError} If the index is not below the size of the set.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  waiters(index: number): SysvSemaphoreWaiters {
    return {
      increase: this.#get(index, GETNCNT),
      zero: this.#get(index, GETZCNT),
    };
  }

  /**
   * `semctl(id, 0, IPC_STAT, ...)`: returns the status of the set.
   *
   * @returns Permissions, size and times.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the set may not be read, EIDRM if it was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  stat(): SysvSemaphoreSetStat {
    return statOf(this.#handle.stat());
  }

  /**
   * `semctl(id, 0, IPC_SET, ...)`: changes the owner or the permissions.
   *
   * @param change `uid`, `gid`, `mode`; what is absent stays.
   * @throws {RangeError} If one of them is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EACCES if it is neither owner nor creator, lacks read permission, and
   * does not give all three; EIDRM if the set was removed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  change(change: SysvChange): void {
    this.#handle.set(changeOf(change));
  }

  /**
   * `semctl(id, 0, IPC_RMID)`: removes the set. Waits of all processes end with EIDRM.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither owner nor creator, nor
   * privileged; EIDRM if the set was removed already.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/semctl.2.html | semctl(2)}
   */
  remove(): void {
    this.#handle.remove();
  }

  /**
   * Keeps the program alive while waits of this object or its semaphores are pending.
   * This is the default.
   */
  ref(): void {
    this.#handle.closing.liveness.ref();
  }

  /** Lets the program end while waits of this object and its semaphores are pending. */
  unref(): void {
    this.#handle.closing.liveness.unref();
  }

  /**
   * Closes this object. The set stays, and so does what this process has taken from
   * it. Pending waits end with a ClosedError. Closing twice does nothing.
   */
  close(): void {
    this.#handle.closing.close();
  }

  /** Closes this object; the set stays. */
  [Symbol.dispose](): void {
    this.#handle.closing.close();
  }

  static {
    inspectAs(this, (set) => ({
      ...set.#handle.shown,
      size: set.#handle.size,
    }));
  }

  #get(index: number, operation: number): number {
    this.#handle.checkIndex(index);
    return this.#handle.get(index, operation);
  }
}
