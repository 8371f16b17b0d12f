// POSIX semaphores: with a name, or in shared memory.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkMode,
  cName,
  cPath,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import {
  check,
  EEXIST,
  ENOENT,
  ENOSPC,
  errno,
  ipcError,
  isNoAddress,
  unless,
} from "../libc/errno.ts";
import { encodeName } from "../libc/dirent.ts";
import { O_CREAT, O_EXCL } from "../libc/fcntl.ts";
import { isMusl } from "../libc/library.ts";
import { checkInternal, internal } from "../internal.ts";
import {
  checkFileSize,
  filesOfShm,
  SHM_DIRECTORY,
  spaceLimit,
} from "../kernel/file_system.ts";
import { placeOf } from "../kernel/mapping.ts";
import { notMounted } from "../kernel/not_mounted.ts";
import { runtime } from "../libc/runtime/mod.ts";
import {
  ALIGNOF_SEM_T,
  SEM_VALUE_MAX,
  semaphore as libc,
  SIZEOF_SEM_T,
} from "../libc/semaphore.ts";
import {
  type FileStatus,
  permissionsOf,
  S_IFMT,
  S_IFREG,
  statusOfPath,
  sysStat,
} from "../libc/sys_stat.ts";
import { isUnlimited, RLIMIT_FSIZE } from "../libc/sys_resource.ts";
import { promised } from "../wait/attempt.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { permit, type SemaphorePermit } from "./permit.ts";
import { Sem } from "./sem.ts";

/** Options of {@linkcode PosixSemaphore.create} and `openOrCreate()`. */
export interface PosixSemaphoreCreateOptions {
  /**
   * The permission bits.
   *
   * Users of the semaphore need permission to read and to write. The umask of the process
   * does not apply to a mode that is given: it is as if `chmod` followed, and at no time
   * are there more permissions than that.
   *
   * @default {0o600, less the umask}
   */
  mode?: number | undefined;
}

/** An entry of {@linkcode PosixSemaphore.list}. */
export interface PosixSemaphoreEntry {
  /** The name, beginning with a slash. */
  readonly name: string;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

// glibc keeps the semaphore /name in the file sem.name, and musl in the file name, as if
// it were shared memory. They map the file without a check of its size.
const PREFIX = "sem.";
const CREATE = O_CREAT | O_EXCL;
const DEFAULT_MODE = 0o600;
const NAME_BYTES = 255 - PREFIX.length; // NAME_MAX, less the prefix of glibc

function checkValue(value: unknown): asserts value is number {
  checkInteger("value", value, 0, SEM_VALUE_MAX, "SEM_VALUE_MAX");
}

function prefix(): string {
  return isMusl() ? "" : PREFIX;
}

function fileOf(name: string): string {
  return `${SHM_DIRECTORY}/${prefix()}${name.slice(1)}`;
}

function noSemaphore(name: string): TypeError {
  return new TypeError(
    `Cannot open semaphore ${name}: ${fileOf(name)} is not a semaphore`,
  );
}

function statusOf(name: string): FileStatus {
  const path = fileOf(name);
  return statusOfPath(encodeName(path), path);
}

/** Whether a file can be mapped as a semaphore. A shorter one raises SIGBUS. */
function mayBeSemaphore({ stx_mode, stx_size }: FileStatus): boolean {
  return (stx_mode & S_IFMT) === S_IFREG && stx_size >= SIZEOF_SEM_T;
}

/** Whether a file whose name tells nothing has the size of a semaphore. */
function isListed({ stx_size }: FileStatus): boolean {
  return !isMusl() || Number(stx_size) === SIZEOF_SEM_T;
}

/** `chmod`: the permission bits of a semaphore. Its descriptor is not known. */
function setMode(name: string, mode: number): void {
  const path = fileOf(name);
  check(sysStat().chmod(cPath(path), mode | 0), "chmod", path);
}

function checkFile(name: string): void {
  let status;
  try {
    status = statusOf(name);
  } catch {
    return; // sem_open fails, too, and tells the reason
  }
  if (!mayBeSemaphore(status)) throw noSemaphore(name);
}

/** sem_open writes a new file before it sees that the name is in use. */
function checkRoom(name: string): void {
  if (isUnlimited(RLIMIT_FSIZE)) return;
  const isThere = unless(ENOENT, () => statusOf(name)) !== undefined;
  if (!isThere) checkFileSize(SIZEOF_SEM_T, "sem_open", name);
  else throw ipcError(EEXIST, "sem_open", name);
}

function entryOf(file: string): PosixSemaphoreEntry | undefined {
  const name = `/${file.slice(prefix().length)}`;
  const status = unless(ENOENT, () => statusOf(name));
  if (status === undefined || !mayBeSemaphore(status) || !isListed(status)) {
    return undefined;
  }
  return { name, ...permissionsOf(status) };
}

/** An unused name, with the process id in it. */
function randomName(): string {
  return `/ipc-${runtime.pid}-${crypto.randomUUID()}`;
}

/**
 * A POSIX semaphore: with a name, or in shared memory.
 *
 * A permit has no owner: any process may release what another one has acquired. The
 * permit of a process that dies is lost.
 *
 * **No process starves another one of this module**: one that releases while others
 * wait, and acquires again, first lets one of them go, for a millisecond at most. That is
 * best effort: the C library has no order of waiters, and a program in C does not do so.
 *
 * Programs that use glibc and programs that use musl, as those of Alpine Linux, cannot
 * share one: their semaphores have another layout, and their names other files. With
 * musl the timeout of `acquireSync()` follows the time of day, so it lasts longer if that
 * is set back, and `acquire()` tries again and again, at last every 20 milliseconds.
 *
 * Do not truncate the file of a named semaphore while it is open: the next use raises
 * SIGBUS, which ends the process. The calls on a semaphore in memory that another process
 * has truncated fail with EFAULT, except where the truncation comes during the call. For
 * that each takes a system call, unless the memory cannot be truncated: a System V
 * segment, memory without a file, or a `MemoryFile` that was sealed against shrinking.
 *
 * @example Guard a counter in shared memory
 * ```ts
 * import { PosixSemaphore } from "@linux/ipc/semaphore";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 64);
 * memory.remove(); // freed when the last process closes it
 * using semaphore = PosixSemaphore.init(memory.bytes.subarray(0, 32), 1);
 * {
 *   using _permit = semaphore.acquireSync();
 *   memory.bytes[32]!++;
 *   assertEquals(semaphore.tryAcquire(), undefined); // one at a time
 * }
 * assertEquals(semaphore.value, 1);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/sem_overview.7.html | sem_overview(7)}
 */
export class PosixSemaphore implements Disposable {
  readonly #name: string | null;
  readonly #sem: Sem;
  readonly #giveBack = () => this.#sem.post();
  readonly #permit = () => permit(this.#giveBack);

  /** @ignore */
  private constructor(token: symbol, name: string | null, sem: Sem) {
    checkInternal(token, "PosixSemaphore", "create(), open() or init()");
    this.#name = name;
    this.#sem = sem;
  }

  /** The bytes of a semaphore in shared memory: `sizeof (sem_t)`. */
  static readonly size: number = SIZEOF_SEM_T;

  /**
   * `sem_open(name, O_CREAT | O_EXCL, mode, value)`: creates a semaphore under a new
   * name.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash. null picks
   * an unused one: see {@linkcode PosixSemaphore.prototype.name | PosixSemaphore.name}.
   * @param value The initial value, 0 to 2147483647.
   * @param options `mode`.
   * @returns The semaphore. Its name exists until it is unlinked.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long, or the value or mode is
   * out of range.
   * @throws {IpcError} EEXIST if the name is in use; ENOSPC if /dev/shm is full, or has
   * no room for more files; EFBIG if RLIMIT_FSIZE is below the size of a semaphore; EACCES,
   * EROFS, EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that is in use
   * ```ts
   * import { IpcError, PosixSemaphore } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * using semaphore = PosixSemaphore.create(null, 1);
   * const name = semaphore.name!;
   * assertThrows(() => PosixSemaphore.create(name, 1), IpcError, "EEXIST");
   * PosixSemaphore.unlink(name);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_open.3.html | sem_open(3)}
   */
  static create(
    name: string | null,
    value: number,
    options?: PosixSemaphoreCreateOptions,
  ): PosixSemaphore {
    const chosen = name === null ? randomName() : name;
    return PosixSemaphore.#get(chosen, CREATE, options?.mode, value);
  }

  /**
   * `sem_open(name, 0)`: opens a semaphore that exists.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @returns The semaphore.
   * @throws {TypeError} If the name is malformed, or if its file is not a
   * semaphore.
   * @throws {RangeError} If the name is too short or too long.
   * @throws {IpcError} ENOENT if there is no such semaphore, EACCES, EROFS if /dev/shm is
   * mounted read-only, EMFILE, ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_open.3.html | sem_open(3)}
   */
  static open(name: string): PosixSemaphore {
    return PosixSemaphore.#get(name, 0, undefined, 0);
  }

  /**
   * `sem_open(name, O_CREAT | O_EXCL, mode, value)`, or `sem_open(name, 0)`: creates a
   * semaphore, or opens it. Processes that call this at the same time get the same one.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @param value The initial value of a new semaphore, 0 to 2147483647.
   * @param options `mode`, of a new semaphore.
   * @returns The semaphore.
   * @throws {TypeError} If the name is malformed, or if its file is not a
   * semaphore.
   * @throws {RangeError} If the name is too short or too long, or the value or mode is
   * out of range.
   * @throws {IpcError} ENOSPC if /dev/shm is full, or has no room for more files; EFBIG if
   * it is new and RLIMIT_FSIZE is below the size of a semaphore; EACCES, EROFS, EMFILE,
   * ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_open.3.html | sem_open(3)}
   */
  static openOrCreate(
    name: string,
    value: number,
    options?: PosixSemaphoreCreateOptions,
  ): PosixSemaphore {
    const mode = options?.mode;
    // In two steps, because O_CREAT without O_EXCL does not tell whether the semaphore is
    // new, and the mode of an existing one stays as it is.
    for (;;) {
      const get = (flags: number) => () =>
        PosixSemaphore.#get(name, flags, mode, value);
      const semaphore = unless(EEXIST, get(CREATE)) ?? unless(ENOENT, get(0));
      if (semaphore !== undefined) return semaphore; // else unlinked in between
    }
  }

  /**
   * `sem_unlink(name)`: removes the name. Processes that have the semaphore open can
   * still use it.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long.
   * @throws {IpcError} ENOENT if there is no such semaphore, EACCES, EROFS.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_unlink.3.html | sem_unlink(3)}
   */
  static unlink(name: string): void {
    const cname = cName(name, NAME_BYTES); // before libc is opened
    check(libc().sem_unlink(cname), "sem_unlink", name);
  }

  /**
   * `readdir(3)` of /dev/shm: lists the named semaphores of this system, also those that
   * this process has no permission for.
   *
   * With musl, whose names do not tell, these are all files there of the size of a
   * semaphore.
   *
   * @returns The semaphores, in no particular order.
   * @throws {Deno.errors.NotSupported} If /dev/shm is not mounted.
   * @throws {IpcError} EACCES if the directory cannot be read; EMFILE or ENFILE if there
   * are too many descriptors.
   *
   * @example Find a semaphore by its name
   * ```ts
   * import { PosixSemaphore } from "@linux/ipc/semaphore";
   * import { assert } from "@std/assert";
   *
   * using semaphore = PosixSemaphore.create(null, 1);
   * const names = PosixSemaphore.list().map(({ name }) => name);
   * assert(names.includes(semaphore.name!));
   * PosixSemaphore.unlink(semaphore.name!);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/sem_overview.7.html | sem_overview(7)}
   */
  static list(): PosixSemaphoreEntry[] {
    return filesOfShm("list semaphores")
      .filter((file) => file.startsWith(prefix()))
      .map(entryOf)
      .filter((entry) => entry !== undefined);
  }

  /**
   * `sem_init(sem, 1, value)`: creates a semaphore in shared memory.
   *
   * One process does that, before the others call {@linkcode PosixSemaphore.at}. In C the
   * behaviour is undefined if there are waiters.
   *
   * @param bytes At least {@linkcode PosixSemaphore.size} bytes of shared memory or of a
   * memory map of this module, aligned to 8 bytes.
   * @param value The initial value, 0 to 2147483647.
   * @returns The semaphore. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the bytes do not belong to a mapping of this module.
   * @throws {RangeError} If there are too few, if they are not aligned, or if the
   * value is out of range.
   * @throws {ClosedError} If the memory is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_init.3.html | sem_init(3)}
   */
  static init(bytes: Uint8Array<ArrayBuffer>, value: number): PosixSemaphore {
    checkValue(value);
    const semaphore = PosixSemaphore.#in(bytes);
    semaphore.#sem.init(value | 0);
    return semaphore;
  }

  /**
   * `sem_t *`: uses a semaphore in shared memory that another process, or another
   * thread, has initialised: in C with `sem_init(sem, 1, value)`.
   *
   * A semaphore that was made with `pshared = 0` is refused, because `sem_post` never
   * wakes a waiter in another process. So is one of a 32-bit program, or of a program
   * with another C library (musl to glibc, glibc to musl): its `sem_t` has another
   * meaning, and neither side would wake the other. (One that musl has made with
   * `pshared = 0` looks as one of glibc that processes share: it cannot be told.)
   *
   * The calls on a semaphore that was overwritten fail with EINVAL, also if that happens
   * during a call. (Without a view of the memory, as under a grant for one path, the C
   * library does the call. It does not check the memory, and can end the process with
   * SIGABRT.)
   *
   * @param bytes At least {@linkcode PosixSemaphore.size} bytes of shared memory or of a
   * memory map of this module, aligned to 8 bytes.
   * @returns The semaphore. Its calls throw a ClosedError when the memory is closed.
   * @throws {TypeError} If the bytes do not belong to a mapping of this module, or if
   * their content is not a semaphore that processes share.
   * @throws {RangeError} If there are too few, or if they are not aligned.
   * @throws {ClosedError} If the memory is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/sem_overview.7.html | sem_overview(7)}
   */
  static at(bytes: Uint8Array<ArrayBuffer>): PosixSemaphore {
    const semaphore = PosixSemaphore.#in(bytes);
    const { fault } = semaphore.#sem;
    if (fault === undefined) return semaphore;
    throw new TypeError(
      `Argument "bytes" must be a semaphore that processes share: ${fault}`,
    );
  }

  static #in(bytes: Uint8Array<ArrayBuffer>): PosixSemaphore {
    checkBytes("bytes", bytes);
    const { address, mapping } = placeOf("bytes", bytes);
    const length = byteLengthOf(bytes);
    if (length < SIZEOF_SEM_T) {
      throw new RangeError(
        `Argument "bytes" must have at least ${SIZEOF_SEM_T} bytes (sizeof (sem_t)): ${length}`,
      );
    }
    if (address % BigInt(ALIGNOF_SEM_T) !== 0n) {
      throw new RangeError(
        `Argument "bytes" must begin at a multiple of ${ALIGNOF_SEM_T} (_Alignof (sem_t)): they begin at 0x${
          address.toString(16)
        }`,
      );
    }
    const sem = new Sem("semaphore", address, mapping);
    return new PosixSemaphore(internal, null, sem);
  }

  static #get(
    name: string,
    flags: number,
    mode: number | undefined,
    value: number,
  ): PosixSemaphore {
    const cname = cName(name, NAME_BYTES);
    if (mode !== undefined) checkMode(mode);
    checkValue(value);
    if ((flags & O_EXCL) === 0) checkFile(name);
    else checkRoom(name);
    const { sem_open, sem_unlink } = libc();
    const bits = mode ?? DEFAULT_MODE;
    const address = sem_open(cname, flags, bits | 0, value | 0);
    if (isNoAddress(address)) {
      const error = errno();
      if ((flags & O_CREAT) !== 0 && error === ENOENT) {
        throw notMounted(`create ${name}`, SHM_DIRECTORY);
      }
      const limit = error === ENOSPC ? spaceLimit(SHM_DIRECTORY) : undefined;
      throw ipcError(error, "sem_open", name, limit);
    }
    const sem = new Sem(`semaphore ${name}`, address);
    try {
      if (!sem.isSound) throw noSemaphore(name);
      if (flags === CREATE && mode !== undefined) setMode(name, mode);
      return new PosixSemaphore(internal, name, sem);
    } catch (error) {
      sem.close();
      if (flags === CREATE) sem_unlink(cname);
      throw error;
    }
  }

  /** The name, beginning with a slash; null for a semaphore in shared memory. */
  get name(): string | null {
    return this.#name;
  }

  /**
   * `chmod("/dev/shm/sem.NAME", mode)`: changes the permission bits of the semaphore with
   * a name. The umask does not apply. Processes that have opened it can continue to use
   * it.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @param mode The permission bits, 0 to 0o777.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too short or too long, or the mode is out of
   * range.
   * @throws {IpcError} ENOENT if there is no such semaphore, EPERM if this process does
   * not own it, EROFS.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/chmod.2.html | chmod(2)}
   */
  static chmod(name: string, mode: number): void {
    cName(name, NAME_BYTES);
    checkMode(mode);
    setMode(name, mode);
  }

  /**
   * `sem_getvalue(sem, &value)`: the current value. Another process may have changed it
   * by the time it is returned.
   *
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten, EFAULT if another
   * process has truncated its memory.
   */
  get value(): number {
    return this.#sem.value;
  }

  /**
   * `sem_wait(sem)`: takes a permit, blocking this thread until the value is above 0.
   * Code of this thread that would release a permit cannot run meanwhile.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The permit. Dispose of it to give it back, or ignore it and call
   * {@linkcode PosixSemaphore.prototype.release | PosixSemaphore.release}, in this or
   * another process.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten, EFAULT if another
   * process has truncated its memory.
   *
   * @example With a timeout
   * ```ts
   * import { PosixSemaphore } from "@linux/ipc/semaphore";
   * import { assertThrows } from "@std/assert";
   *
   * using semaphore = PosixSemaphore.create(null, 0);
   * PosixSemaphore.unlink(semaphore.name!);
   * assertThrows(() => semaphore.acquireSync({ timeout: 10 }), DOMException);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_wait.3.html | sem_wait(3)}
   */
  acquireSync(options?: SyncWaitOptions): SemaphorePermit {
    this.#sem.waitSync(
      options === undefined ? Infinity : deadlineOf(options),
    );
    return permit(this.#giveBack);
  }

  /**
   * `sem_trywait(sem)`: takes a permit if the value is above 0.
   *
   * @returns The permit; undefined when the value is 0.
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten, EFAULT if another
   * process has truncated its memory.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_wait.3.html | sem_wait(3)}
   */
  tryAcquire(): SemaphorePermit | undefined {
    const taken = this.#sem.tryWait();
    return taken === undefined ? undefined : permit(this.#giveBack);
  }

  /**
   * `sem_clockwait(sem, ...)`: takes a permit, waiting without blocking the thread
   * until the value is above 0.
   *
   * Calls through one object are served in their order. A thread of the blocking pool
   * sleeps in the kernel for all of them, and takes nothing. So the signal, the timeout
   * and `close()` end a wait at once, and a Worker that is terminated takes no permit.
   * A closed memory is noticed up to 50 milliseconds later. Under a permission for the
   * path of libc alone, the wait tries again and again, at last every 20 milliseconds.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The permit. Dispose of it to give it back, or ignore it and call
   * {@linkcode PosixSemaphore.prototype.release | PosixSemaphore.release}, in this or
   * another process.
   * @throws {ClosedError} If this object or its memory is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten, EFAULT if another
   * process has truncated its memory.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for a permit
   * ```ts
   * import { PosixSemaphore } from "@linux/ipc/semaphore";
   *
   * using semaphore = PosixSemaphore.create(null, 0);
   * PosixSemaphore.unlink(semaphore.name!);
   * setTimeout(() => semaphore.release(), 10);
   * using _permit = await semaphore.acquire({ timeout: 1000 });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_wait.3.html | sem_wait(3)}
   */
  acquire(options?: WaitOptions): Promise<SemaphorePermit> {
    return promised(() => this.#sem.wait(this.#permit, limitsOf(options)));
  }

  /**
   * `sem_post(sem)`: adds 1 to the value, and wakes a waiter.
   *
   * @throws {ClosedError} If this object or its memory is closed.
   * @throws {IpcError} EOVERFLOW if the value is 2147483647; EINVAL if the
   * semaphore was overwritten.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_post.3.html | sem_post(3)}
   */
  release(): void {
    this.#sem.post();
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#sem.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#sem.liveness.unref();
  }

  /**
   * `sem_close(sem)` of a named semaphore: closes this object. The semaphore stays.
   * Pending waits end with a ClosedError. Closing twice does nothing.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_close.3.html | sem_close(3)}
   */
  close(): void {
    this.#sem.close();
  }

  /** Closes this object; the semaphore stays. */
  [Symbol.dispose](): void {
    this.#sem.close();
  }

  static {
    inspectAs(this, (semaphore) => ({
      name: semaphore.#name,
      closed: semaphore.#sem.closed,
    }));
  }
}
