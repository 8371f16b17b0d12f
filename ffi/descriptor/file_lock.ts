// Locks of files, which processes in any language see: F_OFD_SETLK of fcntl(2).
//
// The kernel keeps them for the open file, and does not let an open file conflict with
// itself: a second lock of the same range changes the first. So the guards of this thread
// are listed here, and conflict as those of other processes do.

import { checkInteger } from "../arguments.ts";
import { heldObjects } from "../inspect/held.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import type { Descriptor } from "../kernel/descriptor.ts";
import { descriptorOf, DescriptorOwner } from "../kernel/descriptor_owner.ts";
import { Guard, isReleased } from "../kernel/guard.ts";
import { ownersOf } from "../kernel/lock_owners.ts";
import {
  check,
  checkRetrying,
  EACCES,
  EAGAIN,
  EDEADLK,
  errno,
  ipcError,
} from "../libc/errno.ts";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  fcntl,
  flock,
} from "../libc/fcntl.ts";
import { SEEK_SET } from "../libc/unistd.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff, sleepSync } from "../wait/backoff.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";

/** Options of {@linkcode FileLock.of}: the bytes that are locked. */
export interface FileLockRange {
  /**
   * The first byte. It may be beyond the end of the file.
   *
   * @default {0}
   */
  start?: number | undefined;
  /**
   * The number of bytes; 0 for all up to the end, however large the file becomes.
   *
   * @default {0}
   */
  length?: number | undefined;
}

/** Whether a lock is shared. */
export interface FileLockMode {
  /**
   * `F_RDLCK` instead of `F_WRLCK`: others may have shared locks at the same time.
   *
   * @default {false}
   */
  shared?: boolean | undefined;
}

/** A lock that another one conflicts with. */
export interface FileLockHolder {
  /** Whether it is shared. */
  readonly shared: boolean;
  /** Its first byte. */
  readonly start: number;
  /** The number of its bytes; 0 for all up to the end. */
  readonly length: number;
  /**
   * The processes that hold it: one for a lock of `F_SETLK` or `lockf`; of an open file
   * all that have it open, which /proc tells of those that this user may inspect.
   *
   * None if they are in another PID namespace.
   */
  readonly pids: readonly number[];
}

/** An entry of {@linkcode FileLock.list}: a lock, or a wait for one. */
export interface FileLockEntry extends FileLockHolder {
  /** The path, if a process that can be seen has the file open; null otherwise. */
  readonly path: string | null;
  /** The device, as `major:minor` in hexadecimal digits. */
  readonly device: string;
  /** The inode of the file. */
  readonly inode: number;
  /**
   * The family: `"ofd"` is that of this class, `"posix"` of `F_SETLK` and `lockf`, with
   * which it conflicts; `"flock"` and `"lease"` are others.
   */
  readonly type: "flock" | "posix" | "ofd" | "lease";
  /** Whether it is a wait, not a lock. */
  readonly waits: boolean;
}

/** What a lock is held by. Disposing of it unlocks, once. */
export interface FileLockGuard extends Disposable {
  /** Whether the lock is shared. */
  readonly shared: boolean;

  /**
   * `fcntl(fd, F_OFD_SETLK, ...)` with `F_UNLCK`: unlocks. A second call does nothing, nor
   * does one after `close()` or `detach()` of the file.
   *
   * @throws {IpcError} ENOLCK if the kernel has no memory to unlock a part of a range.
   */
  release(): void;
}

/** A range in bytes: from `start` to before `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** A lock that this thread holds. */
interface Held extends Range {
  readonly shared: boolean;
}

/** What this thread has locked of an open file. */
class Locks {
  readonly held = new Set<Held>();

  /** Whether a lock of this thread is in the way. */
  conflicts(range: Range, shared: boolean): boolean {
    for (const other of this.held) {
      if (overlaps(other, range) && !(shared && other.shared)) return true;
    }
    return false;
  }

  /** The parts of a range that no lock of this thread covers. */
  uncovered(range: Range): Range[] {
    let parts = [range];
    for (const other of this.held) {
      parts = parts.flatMap((part) => without(part, other));
    }
    return parts;
  }
}

function overlaps(a: Range, b: Range): boolean {
  return a.start < b.end && b.start < a.end;
}

/** What is left of a range without another one: nothing, or one or two parts. */
function without(range: Range, other: Range): Range[] {
  if (!overlaps(range, other)) return [range];
  return [
    { start: range.start, end: other.start },
    { start: other.end, end: range.end },
  ].filter(({ start, end }) => start < end);
}

const locksOf = new WeakMap<Descriptor, Locks>();

const lock = new Uint8Array(flock.size);
const lockView = flock.view(lock);

/** fcntl(2) with a struct flock, which then has the answer: -1 for "see errno". */
function control(
  fd: number,
  operation: number,
  { start, end }: Range,
  type: number,
): number {
  lockView.l_type = type;
  lockView.l_whence = SEEK_SET;
  lockView.l_start = BigInt(start);
  lockView.l_len = end === Infinity ? 0n : BigInt(end - start);
  lockView.l_pid = 0;
  return fcntl().fcntl_lock(fd, operation, lock);
}

function typeOf(shared: boolean): number {
  return shared ? F_RDLCK : F_WRLCK;
}

function rangeOf(options: FileLockRange | undefined): Range {
  const { start = 0, length = 0 } = options ?? {};
  const max = Number.MAX_SAFE_INTEGER;
  const origin = "off_t, as an exact number";
  checkInteger("start", start, 0, max, origin);
  checkInteger("length", length, 0, max - start, origin);
  return { start, end: length === 0 ? Infinity : start + length };
}

/** Reads the mode once. */
function isShared(options: FileLockMode | undefined): boolean {
  return Boolean(options?.shared);
}

/** Unlocks what no other lock of this thread covers. */
function unlock(descriptor: Descriptor, locks: Locks, held: Held): void {
  locks.held.delete(held);
  const { closed, subject } = descriptor;
  if (closed) return;
  for (const part of locks.uncovered(held)) {
    check(control(descriptor.fd, F_OFD_SETLK, part, F_UNLCK), "fcntl", subject);
  }
}

class LockGuard extends Guard implements FileLockGuard {
  readonly #shared: boolean;

  constructor(
    token: symbol,
    descriptor: Descriptor,
    locks: Locks,
    held: Held,
  ) {
    super(token, "FileLockGuard", () => unlock(descriptor, locks, held));
    this.#shared = held.shared;
    locks.held.add(held);
  }

  get shared(): boolean {
    return this.#shared;
  }

  static {
    inspectAs(this, (guard) => ({
      shared: guard.#shared,
      released: isReleased(guard),
    }), () => "FileLockGuard");
  }
}

/**
 * A lock of a file, or of a range of its bytes, which processes in any language see:
 * `fcntl` in C, `fcntl.lockf` in Python, SQLite.
 *
 * The kernel unlocks it when its holder ends, however that happens. It is advisory: it
 * keeps no process from reading and writing, but only from locking.
 *
 * The lock is the open file's, not the process's (`F_OFD_SETLK`, an "open file description
 * lock"). Two files that one process has opened exclude each other; a descriptor that was
 * passed or inherited is the same open file, and has the same lock. So the lock is
 * unlocked by its guard, or when the last process has closed that open file.
 *
 * **It does not exclude `Deno.FsFile.lock`**, nor flock(1): those call `flock(2)`, and on
 * Linux locks of `flock` and of `fcntl` do not see each other. (On NFS they do.) All
 * processes must use the same kind.
 *
 * **Choose something else** between programs of this module: a `SharedMutex` tells when its
 * holder has died, and wakes its waiters. No event tells when a file is unlocked. `lock()`
 * therefore tries every 1 to 20 milliseconds. A call that blocks on another thread would be
 * told at once, but it also takes the lock, which would stay locked if its Worker was
 * terminated meanwhile. `lockSync()` without a timeout blocks in the kernel.
 *
 * @example One process at a time
 * ```ts
 * import { File, FileLock } from "@linux/ipc/descriptor";
 *
 * const directory = Deno.makeTempDirSync();
 * using file = File.openOrCreate(`${directory}/service.lock`);
 * const lock = FileLock.of(file);
 * {
 *   using _guard = await lock.lock({ timeout: 5000 });
 *   console.log("alone");
 * } // unlocked here, also when this throws
 * Deno.removeSync(directory, { recursive: true });
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html | F_OFD_SETLK(2const)}
 */
export class FileLock {
  readonly #descriptor: Descriptor;
  readonly #locks: Locks;
  readonly #range: Range;
  readonly #queue = new WaiterQueue();

  /** @ignore */
  private constructor(
    token: typeof internal,
    descriptor: Descriptor,
    range: Range,
  ) {
    checkInternal(token, "FileLock");
    this.#descriptor = descriptor;
    this.#range = range;
    let locks = locksOf.get(descriptor);
    if (locks === undefined) locksOf.set(descriptor, locks = new Locks());
    this.#locks = locks;
  }

  /**
   * The lock of a file, or of a range of its bytes. Nothing is locked yet. Locks of one
   * file with ranges that overlap exclude each other, too, if they are made from the same
   * object.
   *
   * @param file An open file: a `File`, or another object with the descriptor of a file.
   * The lock is closed with it.
   * @param range `start` and `length`.
   * @returns The lock.
   * @throws {TypeError} If `file` is not an object of this module with a descriptor.
   * @throws {RangeError} If the range is not of integers from 0 to
   * `Number.MAX_SAFE_INTEGER`.
   * @throws {ClosedError} If the file is closed.
   *
   * @example Two parts of a file
   * ```ts
   * import { File, FileLock } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using file = File.open(path, { write: true });
   * using other = File.open(path, { write: true }); // usually in another process
   * using _head = FileLock.of(file, { start: 0, length: 64 }).tryLock()!;
   * assertEquals(FileLock.of(other).tryLock(), undefined);
   * using _rest = FileLock.of(other, { start: 64 }).tryLock()!;
   * Deno.removeSync(path);
   * ```
   */
  static of(file: DescriptorOwner, range?: FileLockRange): FileLock {
    if (!(file instanceof DescriptorOwner)) {
      throw new TypeError(
        'Argument "file" must be a File, or another object with a descriptor',
      );
    }
    const checked = rangeOf(range);
    const descriptor = descriptorOf(file);
    descriptor.checkOpen();
    return new FileLock(internal, descriptor, checked);
  }

  /**
   * `/proc/locks` and `/proc/PID/fdinfo`: lists the locks of files on this system, and who
   * waits for one. Without CAP_SYS_PTRACE the descriptors of other users' processes are
   * hidden, and with them paths and the processes of locks of open files.
   *
   * @returns The locks, those of one file together.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example What this process has locked
   * ```ts
   * import { File, FileLock } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using file = File.open(path, { write: true });
   * using _guard = FileLock.of(file, { start: 8, length: 4 }).tryLock()!;
   * const entry = FileLock.list().find((entry) => entry.path === path);
   * assertEquals([entry?.start, entry?.length, entry?.pids], [8, 4, [Deno.pid]]);
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_locks.5.html | proc_locks(5)}
   */
  static list(): FileLockEntry[] {
    return heldObjects("file-lock", "list locks of files").flatMap((
      { path, device, inode, locks },
    ) =>
      locks.map(({ number: _, ...lock }) => ({ path, device, inode, ...lock }))
    );
  }

  /** The first byte that is locked. */
  get start(): number {
    return this.#range.start;
  }

  /** The number of bytes that are locked; 0 for all up to the end. */
  get length(): number {
    const { start, end } = this.#range;
    return end === Infinity ? 0 : end - start;
  }

  /**
   * `fcntl(fd, F_OFD_SETLK, ...)`, every 1 to 20 milliseconds without blocking the
   * thread, until the range is locked.
   *
   * The calls of one object are served in order; between processes there is no order.
   *
   * @param options `shared`; `timeout` in milliseconds, and `signal`.
   * @returns A guard that unlocks.
   * @throws {ClosedError} If the file is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if the file is not open for writing, or, for a shared lock,
   * for reading; EINVAL if it cannot be locked, ENOLCK if there is no memory.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html | F_OFD_SETLK(2const)}
   */
  async lock(options?: FileLockMode & WaitOptions): Promise<FileLockGuard> {
    const shared = isShared(options);
    const limits = limitsOf(options);
    const { subject, liveness } = this.#descriptor;
    const source = new Backoff(subject, liveness);
    const tryOnce = () => this.#tryLock(shared);
    return await attempt(source, tryOnce, limits, this.#queue);
  }

  /**
   * `fcntl(fd, F_OFD_SETLKW, ...)`: locks the range, blocking this thread. With a timeout
   * it is tried every 1 to 20 milliseconds.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `shared`; `timeout` in milliseconds.
   * @returns A guard that unlocks.
   * @throws {ClosedError} If the file is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EDEADLK if a guard of this thread is in the way; others as
   * {@linkcode FileLock.prototype.lock | FileLock.lock}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html | F_OFD_SETLK(2const)}
   */
  lockSync(options?: FileLockMode & SyncWaitOptions): FileLockGuard {
    const shared = isShared(options);
    const deadline = deadlineOf(options);
    const { fd, subject } = this.#descriptor;
    const block = () => control(fd, F_OFD_SETLKW, this.#range, typeOf(shared));
    return attemptSync(
      subject,
      () => {
        const guard = this.#tryLock(shared);
        if (guard !== undefined) return guard;
        if (!this.#locks.conflicts(this.#range, shared)) return undefined;
        throw ipcError(EDEADLK, "fcntl", subject);
      },
      deadline === Infinity
        ? () => void checkRetrying(block, "fcntl", subject)
        : sleepSync(),
      deadline,
    );
  }

  /**
   * `fcntl(fd, F_OFD_SETLK, ...)`: locks the range if that is possible now.
   *
   * @param options `shared`.
   * @returns A guard that unlocks; undefined if another lock is in the way.
   * @throws {ClosedError} If the file is closed.
   * @throws {IpcError} As {@linkcode FileLock.prototype.lock | FileLock.lock}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html | F_OFD_SETLK(2const)}
   */
  tryLock(options?: FileLockMode): FileLockGuard | undefined {
    return this.#tryLock(isShared(options));
  }

  /**
   * `fcntl(fd, F_OFD_GETLK, ...)`: a lock of another open file or process that is in the
   * way.
   *
   * There may be several; the kernel tells one. To find the processes of an open file
   * takes milliseconds, and longer with many open files on the machine.
   *
   * @param options `shared`: what is in the way of a shared lock.
   * @returns The lock; undefined if the range could be locked, but for the guards of this
   * file itself.
   * @throws {ClosedError} If the file is closed.
   * @throws {IpcError} EINVAL if the file cannot be locked.
   *
   * @example Who holds it
   * ```ts
   * import { File, FileLock } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * const path = Deno.makeTempFileSync();
   * using mine = File.open(path, { write: true });
   * using other = File.open(path, { write: true });
   * using _guard = FileLock.of(mine).lockSync();
   * const holder = FileLock.of(other).holder()!;
   * assertEquals([holder.shared, holder.pids], [false, [Deno.pid]]);
   * Deno.removeSync(path);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/F_OFD_GETLK.2const.html | F_OFD_GETLK(2const)}
   */
  holder(options?: FileLockMode): FileLockHolder | undefined {
    const type = typeOf(isShared(options));
    const { fd, subject } = this.#descriptor;
    check(control(fd, F_OFD_GETLK, this.#range, type), "fcntl", subject);
    const { l_type, l_start, l_len, l_pid } = flock.decode(lock);
    if (l_type === F_UNLCK) return undefined;
    const found = {
      shared: l_type === F_RDLCK,
      start: Number(l_start),
      length: Number(l_len),
    };
    // -1: it is an open file's. 0: its process is in another PID namespace.
    const pids = l_pid === -1
      ? ownersOf(fd, subject, found)
      : l_pid > 0
      ? [l_pid]
      : [];
    return { ...found, pids };
  }

  /** Keeps the program alive while waits of the file are pending. This is the default. */
  ref(): void {
    this.#descriptor.liveness.ref();
  }

  /** Lets the program end while waits of the file are pending. */
  unref(): void {
    this.#descriptor.liveness.unref();
  }

  static {
    inspectAs(this, (lock) => ({
      name: lock.#descriptor.subject,
      start: lock.start,
      length: lock.length,
      closed: lock.#descriptor.closed,
    }));
  }

  #tryLock(shared: boolean): LockGuard | undefined {
    const { fd, subject } = this.#descriptor; // throws when it is closed
    if (this.#locks.conflicts(this.#range, shared)) return undefined;
    if (control(fd, F_OFD_SETLK, this.#range, typeOf(shared)) === -1) {
      const error = errno();
      if (error === EAGAIN || error === EACCES) return undefined;
      throw ipcError(error, "fcntl", subject);
    }
    const held = { ...this.#range, shared };
    return new LockGuard(internal, this.#descriptor, this.#locks, held);
  }
}
