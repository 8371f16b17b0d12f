// POSIX semaphores.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkMode,
  cName,
  cPath,
} from "../arguments.ts";
import { check, checkAddress } from "../libc/errno.ts";
import { O_CREAT, O_EXCL } from "../libc/fcntl.ts";
import { checkInternal, internal } from "../internal.ts";
import { placeOf } from "../kernel/mapping.ts";
import {
  ALIGNOF_SEM_T,
  SEM_VALUE_MAX,
  semaphore as libc,
  SIZEOF_SEM_T,
} from "../libc/semaphore.ts";
import { S_IFMT, S_IFREG, statusOfPath } from "../libc/sys_stat.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { Permit, type SemaphorePermit } from "./permit.ts";
import { Sem } from "./sem.ts";

/** How a named POSIX semaphore is created. */
export interface PosixSemaphoreCreateOptions {
  /**
   * The permission bits; the umask of the process takes its bits away. Whoever
   * uses the semaphore needs to read and to write.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

// glibc keeps the semaphore /name in this file, which it maps without looking at
// its size.
const DIRECTORY = "/dev/shm";
const PREFIX = "sem.";
const NAME_BYTES = 255 - PREFIX.length; // NAME_MAX, less what glibc puts before

function checkValue(value: unknown): asserts value is number {
  checkInteger("value", value, 0, SEM_VALUE_MAX, "SEM_VALUE_MAX");
}

function fileOf(name: string): string {
  return `${DIRECTORY}/${PREFIX}${name.slice(1)}`;
}

function noSemaphore(name: string): TypeError {
  return new TypeError(
    `Cannot open semaphore ${name}: ${fileOf(name)} is no semaphore`,
  );
}

/** Refuses a file that is too short for a semaphore: using it would be SIGBUS. */
function checkFile(name: string): void {
  const path = fileOf(name);
  let status;
  try {
    status = statusOfPath(cPath(path), path);
  } catch {
    return; // for sem_open to say why
  }
  const isFile = (status.stx_mode & S_IFMT) === S_IFREG;
  if (!isFile || status.stx_size < SIZEOF_SEM_T) throw noSemaphore(name);
}

/** A name that nobody else has, and that says whose it is. */
function randomName(): string {
  return `/ipc-${Deno.pid}-${crypto.randomUUID()}`;
}

/**
 * A POSIX semaphore: a named one, or one in shared memory.
 *
 * A permit belongs to nobody: any process may release what another one acquired,
 * and one that dies with a permit takes it along.
 *
 * The file of a named one, like all that is mapped, must not be truncated while it is
 * open: to use it then ends the process with SIGBUS.
 *
 * @example Guard a counter in shared memory
 * ```ts
 * import { PosixSemaphore } from "@linux/ipc/semaphore";
 * import { SysvSharedMemory } from "@linux/ipc/shared-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = SysvSharedMemory.create(null, 64);
 * memory.remove(); // gone when everybody has closed it
 * using semaphore = PosixSemaphore.init(memory.bytes.subarray(0, 32), 1);
 * {
 *   using _permit = semaphore.acquireSync();
 *   memory.bytes[32]!++;
 *   assertEquals(semaphore.tryAcquire(), null); // one at a time
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
  readonly #permit = () => new Permit(internal, this.#giveBack);

  private constructor(token: symbol, name: string | null, sem: Sem) {
    checkInternal(token, "PosixSemaphore", "create(), open() or init()");
    this.#name = name;
    this.#sem = sem;
  }

  /** How many bytes a semaphore takes in shared memory: `sizeof (sem_t)`. */
  static readonly SIZE: number = SIZEOF_SEM_T;

  /**
   * `sem_open(name, O_CREAT | O_EXCL, mode, value)`: makes a semaphore under a
   * new name.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash. null
   * picks a free one: see {@linkcode PosixSemaphore.name}.
   * @param value The count to begin with, 0 to 2147483647.
   * @param options `mode`.
   * @returns The semaphore. Its name stays until somebody unlinks it.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long, or the value or mode is out of
   * range.
   * @throws {IpcError} EEXIST if the name is taken, EACCES, EMFILE, ENFILE, ENOMEM.
   *
   * @example A name that is taken
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
    const mode = options?.mode ?? 0o600;
    return PosixSemaphore.#get(
      name === null ? randomName() : name,
      O_CREAT | O_EXCL,
      mode,
      value,
    );
  }

  /**
   * `sem_open(name, 0)`: opens a semaphore that exists.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @returns The semaphore.
   * @throws {TypeError} If the name is malformed, or if the file behind it is no
   * semaphore.
   * @throws {RangeError} If the name is too long.
   * @throws {IpcError} ENOENT if there is no such semaphore, EACCES, EMFILE,
   * ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_open.3.html | sem_open(3)}
   */
  static open(name: string): PosixSemaphore {
    return PosixSemaphore.#get(name, 0, 0, 0);
  }

  /**
   * `sem_open(name, O_CREAT, mode, value)`: opens a semaphore, or makes it.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @param value The count that a new one begins with, 0 to 2147483647.
   * @param options `mode`, of a new one.
   * @returns The semaphore.
   * @throws {TypeError} If the name is malformed, or if the file behind it is no
   * semaphore.
   * @throws {RangeError} If the name is too long, or the value or mode is out of
   * range.
   * @throws {IpcError} EACCES, EMFILE, ENFILE, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_open.3.html | sem_open(3)}
   */
  static openOrCreate(
    name: string,
    value: number,
    options?: PosixSemaphoreCreateOptions,
  ): PosixSemaphore {
    return PosixSemaphore.#get(name, O_CREAT, options?.mode ?? 0o600, value);
  }

  /**
   * `sem_unlink(name)`: removes the name. Who has the semaphore open goes on using
   * it.
   *
   * @param name A slash, then 1 to 251 bytes of UTF-8 without another slash.
   * @throws {TypeError} If the name is malformed.
   * @throws {RangeError} If the name is too long.
   * @throws {IpcError} ENOENT if there is no such semaphore, EACCES.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_unlink.3.html | sem_unlink(3)}
   */
  static unlink(name: string): void {
    const cname = cName(name, NAME_BYTES); // before libc is opened
    check(libc().sem_unlink(cname), "sem_unlink", name);
  }

  /**
   * `sem_init(sem, 1, value)`: makes a semaphore in shared memory. One process
   * does that, before the others use {@linkcode PosixSemaphore.at}: to do it while
   * somebody waits for the semaphore is undefined in C.
   *
   * @param bytes Where: at least {@linkcode PosixSemaphore.SIZE} bytes of a shared
   * memory or memory map of this module, beginning at a multiple of 8.
   * @param value The count to begin with, 0 to 2147483647.
   * @returns The semaphore. It fails with a ClosedError when the memory is closed.
   * @throws {TypeError} If the bytes are not of a mapping of this module.
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
   * `sem_t *`: a semaphore in shared memory that another process, or another
   * thread, has initialised.
   *
   * A semaphore that is overwritten later is refused with EINVAL. But one that is
   * overwritten in the instant in which it is used, or while `acquireSync()` blocks, can
   * end the process with SIGABRT: the C library believes what it finds there.
   *
   * @param bytes Where: at least {@linkcode PosixSemaphore.SIZE} bytes of a shared
   * memory or memory map of this module, beginning at a multiple of 8.
   * @returns The semaphore. It fails with a ClosedError when the memory is closed.
   * @throws {TypeError} If the bytes are not of a mapping of this module, or if they
   * are no semaphore, as far as can be told.
   * @throws {RangeError} If there are too few, or if they are not aligned.
   * @throws {ClosedError} If the memory is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/sem_overview.7.html | sem_overview(7)}
   */
  static at(bytes: Uint8Array<ArrayBuffer>): PosixSemaphore {
    const semaphore = PosixSemaphore.#in(bytes);
    if (semaphore.#sem.isSound) return semaphore;
    throw new TypeError(
      'Argument "bytes" must be a semaphore that was initialised',
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
    mode: number,
    value: number,
  ): PosixSemaphore {
    const cname = cName(name, NAME_BYTES);
    checkMode(mode);
    checkValue(value);
    if ((flags & O_EXCL) === 0) checkFile(name);
    const address = checkAddress(
      libc().sem_open(cname, flags, mode | 0, value | 0),
      "sem_open",
      name,
    );
    const sem = new Sem(`semaphore ${name}`, address);
    if (sem.isSound) return new PosixSemaphore(internal, name, sem);
    sem.close();
    throw noSemaphore(name);
  }

  /** The name, beginning with a slash; null for one in shared memory. */
  get name(): string | null {
    return this.#name;
  }

  /**
   * `sem_getvalue(sem)`: the count now. Another process may have changed it by the
   * time it is read here.
   *
   * @throws {ClosedError} If this object, or the memory it is in, is closed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten.
   */
  get value(): number {
    return this.#sem.value;
  }

  /**
   * `sem_wait(sem)`, blocking this thread until the count is above 0; then takes 1.
   * What this thread would give back has to wait for that.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The permit. Dispose of it to give it back, or ignore it and let
   * somebody else call {@linkcode PosixSemaphore.release}.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If this object, or the memory it is in, is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten.
   *
   * @example Not for ever
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
    this.#sem.waitSync(deadlineOf(options));
    return this.#permit();
  }

  /**
   * `sem_trywait(sem)`: takes 1 if the count is above 0.
   *
   * @returns The permit, or null when the count is 0.
   * @throws {ClosedError} If this object, or the memory it is in, is closed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_wait.3.html | sem_wait(3)}
   */
  tryAcquire(): SemaphorePermit | null {
    return this.#sem.tryWait() ? this.#permit() : null;
  }

  /**
   * `sem_clockwait(sem, ...)`, waiting without blocking the thread until the count
   * is above 0; then takes 1.
   *
   * Through one object the calls are served in their order. Another thread sleeps in
   * the kernel for all of them, and takes nothing: so the signal, the timeout and
   * `close()` end a wait at once, and a Worker that is terminated takes no permit
   * along. Only the end of the memory is noticed up to 50 milliseconds later. Under a
   * permission for the path of libc alone, and with a semaphore that a C program has
   * initialised for its own threads, it looks again and again, at last every 20
   * milliseconds.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The permit. Dispose of it to give it back, or ignore it and let
   * somebody else call {@linkcode PosixSemaphore.release}.
   * @throws {ClosedError} If this object, or the memory it is in, is closed, now or
   * during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EINVAL if the semaphore was overwritten.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for another process, or here for a moment
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
  async acquire(options?: WaitOptions): Promise<SemaphorePermit> {
    return await this.#sem.wait(this.#permit, limitsOf(options));
  }

  /**
   * `sem_post(sem)`: adds 1 to the count, and wakes one who waits.
   *
   * @throws {ClosedError} If this object, or the memory it is in, is closed.
   * @throws {IpcError} EOVERFLOW if the count is 2147483647 already; EINVAL if the
   * semaphore was overwritten.
   *
   * @see {@link https://man7.org/linux/man-pages/man3/sem_post.3.html | sem_post(3)}
   */
  release(): void {
    this.#sem.post();
  }

  /**
   * `sem_close(sem)` of a named one. The semaphore stays, under its name or in its
   * memory. Closing twice does nothing.
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
}
