/**
 * FIFOs (named pipes): `mkfifo(3)`, a pipe with a name in the file system.
 *
 * **Choose a FIFO** to send a stream of bytes in one direction between unrelated
 * processes, also to and from shell tools: `cat`, `tee` and redirections work with it.
 * It may have several writers; a write of up to `PIPE_BUF` (4096) bytes is atomic.
 *
 * **Choose something else** when a server replies to its clients (a Unix socket has a
 * connection for each client), or when messages have types or priorities (a message
 * queue).
 *
 * ```ts ignore
 * import { Fifo } from "@linux/ipc/fifo";
 *
 * // server.ts: creates the FIFO, reads until all clients have closed it.
 * const fifo = Fifo.create("./jobs", { mode: 0o620 });
 * try {
 *   using reader = await fifo.openReader(); // waits for the first client
 *   const buffer = new Uint8Array(4096);
 *   for (let count; (count = await reader.read(buffer)) !== null;) {
 *     console.log(new TextDecoder().decode(buffer.subarray(0, count)));
 *   }
 * } finally {
 *   fifo.unlink();
 *   fifo.close();
 * }
 * ```
 *
 * ```ts ignore
 * import { Fifo } from "@linux/ipc/fifo";
 *
 * // client.ts: fails if there is no server, instead of waiting for one.
 * using fifo = Fifo.open("./jobs");
 * using writer = fifo.tryOpenWriter();
 * if (writer === undefined) throw new Error("no server");
 * writer.writeSync(new TextEncoder().encode("a job"));
 * ```
 *
 * @module
 */

import { checkMode, cPath } from "./arguments.ts";
import { heldObjects } from "./inspect/held.ts";
import type { IpcHolder } from "./inspect/types.ts";
import { inspectAs } from "./inspect_object.ts";
import { checkInternal, internal } from "./internal.ts";
import { Descriptor, makeExclusive } from "./kernel/descriptor.ts";
import { descriptorOf, owning } from "./kernel/descriptor_owner.ts";
import { notMounted } from "./kernel/not_mounted.ts";
import {
  check,
  checkRetrying,
  EAGAIN,
  EINTR,
  ENOENT,
  ENXIO,
  errno,
  ipcError,
} from "./libc/errno.ts";
import {
  F_SETFL,
  fcntl,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  SPLICE_F_NONBLOCK,
} from "./libc/fcntl.ts";
import { pollfd, POLLHUP } from "./libc/poll.ts";
import {
  isSameFile,
  S_IFIFO,
  S_IFMT,
  statusOfFd,
  statusOfPath,
  sysStat,
} from "./libc/sys_stat.ts";
import { unistd } from "./libc/unistd.ts";
import { type Pipe, pipe, PipeReader, PipeWriter } from "./pipe.ts";
import { attempt, attemptSync } from "./wait/attempt.ts";
import { Backoff, sleepSync } from "./wait/backoff.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "./wait/options.ts";
import { pollNow } from "./wait/poll.ts";

export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A read end and a write end: of one pipe, or of the two that make a duplex pipe. */
  type Pipe,
  /** `PIPE_BUF`: a write of at most this many bytes is atomic. */
  PIPE_BUF,
  /** The read end of a pipe or FIFO. */
  PipeReader,
  /** The write end of a pipe or FIFO. */
  PipeWriter,
} from "./pipe.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
  /** Options of `fromFd()`. */
  FromFdOptions,
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** A system limit that a refused call ran into. */
  SystemLimit,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./pipe.ts";

export type {
  /** A process that holds an object. */
  IpcHolder,
  /** What a process does with an object: */
  IpcRole,
} from "./inspect/types.ts";

/** Options of {@linkcode Fifo.create}. */
export interface FifoCreateOptions {
  /**
   * The permission bits. The umask of the process does not apply to a mode that is given: it
   * is as if `chmod` followed, and at no time are there more permissions than that.
   *
   * @default {0o600, less the umask}
   */
  mode?: number | undefined;
}

/** An entry of {@linkcode Fifo.list}. */
export interface FifoEntry {
  /** The path, as the first process that was found has it. */
  readonly path: string;
  /** The inode of the file. */
  readonly inode: number;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** Whether the path is unlinked. */
  readonly unlinked: boolean;
  /** The processes that have it open: `"reads"` or `"writes"` is among their roles. */
  readonly holders: readonly IpcHolder[];
}

/** Opens the file itself with O_PATH, and neither end of the FIFO. */
function openPath(path: string, bytes: Uint8Array<ArrayBuffer>, flags: number) {
  const { open } = fcntl();
  const call = () => open(bytes, O_PATH | O_CLOEXEC | flags, 0);
  return new Descriptor(checkRetrying(call, "open", path), path);
}

/** The error of a call on the file through /proc/self/fd. */
function linkError(error: number, syscall: string, path: string): Error {
  return error === ENOENT
    ? notMounted(`${syscall} ${path}`, "/proc")
    : ipcError(error, syscall, path);
}

/**
 * Whether a writer has opened the FIFO since its read end was opened, and perhaps
 * closed it again. tee(2) tells without taking bytes: it copies a byte, fails with
 * EAGAIN if there is a writer but no data, or returns 0 if there is no writer.
 */
function hadWriter(fd: number, scratch: number, path: string): boolean {
  const copied = fcntl().tee(fd, scratch, 1, SPLICE_F_NONBLOCK);
  if (copied === 1) return true;
  if (copied === -1) {
    const error = errno();
    if (error !== EAGAIN) throw ipcError(error, "tee", path);
    return true;
  }
  const request = pollfd.encode({ fd, events: 0, revents: 0 });
  pollNow(request, 1);
  return (pollfd.decode(request).revents & POLLHUP) !== 0;
}

/**
 * A FIFO, found by its path. It has neither end open:
 * {@linkcode Fifo.prototype.openReader | Fifo.openReader},
 * {@linkcode Fifo.prototype.openWriter | Fifo.openWriter} and their siblings open them.
 *
 * The object refers to the file that it has created or opened, not to the path: if
 * another file gets the same path later, that one is neither opened nor removed.
 *
 * @example Both ends in one process
 * ```ts
 * import { Fifo } from "@linux/ipc/fifo";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = Deno.makeTempDirSync();
 * using fifo = Fifo.create(`${directory}/fifo`);
 * using ends = fifo.openBoth();
 * ends.writer.writeSync(new TextEncoder().encode("hello"));
 * assertEquals(ends.reader.readSync(new Uint8Array(16)), 5);
 * fifo.unlink();
 * Deno.removeSync(directory);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
 */
export class Fifo implements Disposable {
  readonly #path: string;
  readonly #file: Descriptor;

  /** @ignore */
  private constructor(token: typeof internal, path: string, file: Descriptor) {
    checkInternal(token, "Fifo");
    try {
      if ((statusOfFd(file.fd, path).stx_mode & S_IFMT) !== S_IFIFO) {
        throw new TypeError(
          `Cannot use ${path} as a FIFO: it is a file of another type`,
        );
      }
    } catch (error) {
      file.close();
      throw error;
    }
    this.#path = path;
    this.#file = file;
  }

  /**
   * `mkfifo(path, mode)`: creates a FIFO. A symbolic link is not followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `mode`.
   * @returns The FIFO. `unlink()` removes its file, `close()` does not.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long or the mode out of range.
   * @throws {IpcError} EEXIST if the path exists, ENOENT or ENOTDIR if its directory does
   * not, EACCES if that is not writable, EPERM if the file system has no FIFOs, ELOOP,
   * EROFS, ENOSPC, EDQUOT, EMFILE; the file is removed again then.
   *
   * @example The path exists
   * ```ts
   * import { Fifo, IpcError } from "@linux/ipc/fifo";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => Fifo.create("/tmp"), IpcError, "EEXIST");
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man3/mkfifo.3.html | mkfifo(3)}
   */
  static create(path: string, options?: FifoCreateOptions): Fifo {
    const bytes = cPath(path);
    const mode = options?.mode;
    if (mode !== undefined) checkMode(mode);
    check(sysStat().mkfifo(bytes, (mode ?? 0o600) | 0), "mkfifo", path);
    try {
      const fifo = new Fifo(internal, path, openPath(path, bytes, O_NOFOLLOW));
      if (mode !== undefined) fifo.#restore(mode);
      return fifo;
    } catch (error) {
      // After a TypeError the path names another file, which stays.
      if (!(error instanceof TypeError)) unistd().unlink(bytes);
      throw error;
    }
  }

  /**
   * `open(path, O_PATH)`: opens a FIFO that exists. A symbolic link is followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @returns The FIFO, with neither end open.
   * @throws {TypeError} If the path is empty or contains NUL, or if the file is
   * not a FIFO. `O_PATH` has no effect on a device or another file.
   * @throws {RangeError} If the path is too long.
   * @throws {IpcError} ENOENT if the file does not exist, EACCES if a directory of the
   * path is not searchable, ELOOP, ENOTDIR, EMFILE.
   *
   * @example A regular file is rejected
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertThrows } from "@std/assert";
   *
   * assertThrows(() => Fifo.open("/etc/passwd"), TypeError);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/open.2.html | open(2)}
   */
  static open(path: string): Fifo {
    return new Fifo(internal, path, openPath(path, cPath(path), 0));
  }

  /**
   * `readlink` and `statx` of what is in `/proc/PID/fd`: lists the FIFOs that processes have open.
   * Nothing lists the others. Those on file systems over a network are left out. Without
   * CAP_SYS_PTRACE the descriptors of other users' processes are hidden: `inspect()` of
   * `@linux/ipc/inspect` says how many.
   *
   * @returns The FIFOs, in no particular order.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM.
   *
   * @example Does a server read it?
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using fifo = Fifo.create(`${directory}/fifo`);
   * using _ends = fifo.openBoth();
   * const entry = Fifo.list().find(({ path }) => path === fifo.path);
   * assertEquals(entry?.holders.map(({ pid, roles }) => [pid, ...roles]), [
   *   [Deno.pid, "reads", "writes"],
   * ]);
   * fifo.unlink();
   * Deno.removeSync(directory);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man5/proc_pid_fd.5.html | proc_pid_fd(5)}
   */
  static list(): FifoEntry[] {
    return heldObjects("fifo", "list FIFOs").map((
      { name, inode, mode, uid, gid, unlinked, holders },
    ) => ({
      path: name,
      inode,
      mode: mode ?? 0,
      uid: uid ?? 0,
      gid: gid ?? 0,
      unlinked,
      holders,
    }));
  }

  /** The path, as it was given. */
  get path(): string {
    return this.#path;
  }

  /**
   * `open(path, O_RDONLY)`, blocking this thread until a writer opens the FIFO. With a
   * timeout it is polled, as by {@linkcode Fifo.prototype.openReader | Fifo.openReader}.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The read end. It reads null when the last writer has closed, and
   * bytes again when another one opens the FIFO.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow reading, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openReaderSync(options?: SyncWaitOptions): PipeReader {
    const deadline = deadlineOf(options);
    if (deadline === Infinity) return this.#reader(this.#open(O_RDONLY));
    const reader = this.#reader(this.#openNow(O_RDONLY));
    try {
      const scratch = pipe();
      try {
        const tryOnce = () => this.#hadWriter(reader, scratch);
        attemptSync(this.#path, tryOnce, sleepSync(), deadline);
        return reader;
      } finally {
        scratch[Symbol.dispose]();
      }
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /**
   * `open(path, O_RDONLY | O_NONBLOCK)`, then waiting without blocking the thread
   * until a writer has opened the FIFO.
   *
   * No event tells of a writer, so the FIFO is polled every 1 to 20 milliseconds. To
   * serve one writer after another, open the next read end before you close the last
   * one, so that no writer finds the FIFO without a reader.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The read end. It reads null when the last writer has closed, and
   * bytes again when another one opens the FIFO.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow reading, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for a writer with a timeout
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertRejects } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using fifo = Fifo.create(`${directory}/fifo`);
   * await assertRejects(() => fifo.openReader({ timeout: 10 }), DOMException);
   * fifo.unlink();
   * Deno.removeSync(directory);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  async openReader(options?: WaitOptions): Promise<PipeReader> {
    const limits = limitsOf(options);
    const reader = this.#reader(this.#openNow(O_RDONLY));
    try {
      const scratch = pipe();
      try {
        const tryOnce = () => this.#hadWriter(reader, scratch);
        const source = new Backoff(this.#path, this.#file.liveness);
        await attempt(source, tryOnce, limits);
        return reader;
      } finally {
        scratch[Symbol.dispose]();
      }
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /**
   * `open(path, O_WRONLY)`, blocking this thread until a reader opens the FIFO. With a
   * timeout it is polled, as by {@linkcode Fifo.prototype.openWriter | Fifo.openWriter}.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The write end.
   * @throws {ClosedError} If this object is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openWriterSync(options?: SyncWaitOptions): PipeWriter {
    const deadline = deadlineOf(options);
    if (deadline === Infinity) return this.#writer(this.#open(O_WRONLY));
    const tryOnce = () => this.#tryOpenWriter();
    return attemptSync(this.#path, tryOnce, sleepSync(), deadline);
  }

  /**
   * `open(path, O_WRONLY | O_NONBLOCK)`, repeated every 1 to 20 milliseconds without
   * blocking the thread, until a reader has opened the FIFO.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The write end.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  async openWriter(options?: WaitOptions): Promise<PipeWriter> {
    const limits = limitsOf(options);
    const tryOnce = () => this.#tryOpenWriter();
    const source = new Backoff(this.#path, this.#file.liveness);
    return await attempt(source, tryOnce, limits);
  }

  /**
   * `open(path, O_WRONLY | O_NONBLOCK)`: opens the write end if there is a reader.
   *
   * @returns The write end, or undefined if no reader has the FIFO open.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   *
   * @example There is no reader
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using fifo = Fifo.create(`${directory}/fifo`);
   * assertEquals(fifo.tryOpenWriter(), undefined);
   * fifo.unlink();
   * Deno.removeSync(directory);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  tryOpenWriter(): PipeWriter | undefined {
    return this.#tryOpenWriter();
  }

  /**
   * `open(path, O_RDONLY | O_NONBLOCK)`, then `open(path, O_WRONLY | O_NONBLOCK)`: opens
   * both ends without waiting; they block.
   *
   * As long as the write end is open, the reader does not see the end of the stream: for
   * a server that outlives its clients. (C programs often use `O_RDWR` for this, which
   * POSIX leaves undefined.)
   *
   * @returns Both ends; its `close()` closes both.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow reading and
   * writing, EMFILE; neither end is left open then.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openBoth(): Pipe {
    const reader = this.#reader(this.#openNow(O_RDONLY));
    try {
      const writer = this.#writer(this.#openNow(O_WRONLY));
      return owning({ reader, writer }, reader, writer);
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /**
   * `chmod(path, mode)`: changes the permission bits of the file. The umask does not apply.
   * Open ends keep working.
   *
   * @param mode The permission bits, 0 to 0o777.
   * @throws {RangeError} If the mode is out of range.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EPERM if this process is neither the owner of the file nor
   * privileged, EROFS.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   *
   * @example The group may write
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using fifo = Fifo.create(`${directory}/fifo`);
   * fifo.chmod(0o620);
   * assertEquals(Deno.statSync(fifo.path).mode! & 0o777, 0o620);
   * fifo.unlink();
   * Deno.removeSync(directory);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/chmod.2.html | chmod(2)}
   */
  chmod(mode: number): void {
    checkMode(mode);
    if (sysStat().chmod(this.#link(), mode | 0) === -1) {
      throw linkError(errno(), "chmod", this.#path);
    }
  }

  /**
   * `unlink(path)`: removes the path. Open ends keep working; other processes
   * can no longer open the FIFO.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOENT if the path does not exist or names another file now,
   * which stays (a relative path refers to the current working directory); EACCES or
   * EPERM if the permissions of the directory do not allow it, EROFS.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/unlink.2.html | unlink(2)}
   */
  unlink(): void {
    const bytes = cPath(this.#path);
    const mine = statusOfFd(this.#file.fd, this.#path);
    if (!isSameFile(mine, statusOfPath(bytes, this.#path))) {
      throw ipcError(ENOENT, "unlink", this.#path);
    }
    check(unistd().unlink(bytes), "unlink", this.#path);
  }

  /**
   * Keeps the program alive while waits of this object, which wait for the other end,
   * are pending. This is the default.
   */
  ref(): void {
    this.#file.liveness.ref();
  }

  /** Lets the program end while waits of this object, which wait for the other end, are pending. */
  unref(): void {
    this.#file.liveness.unref();
  }

  /** `close(2)`. Closing twice does nothing. The path and open ends stay. */
  close(): void {
    this.#file.close();
  }

  /** Closes this object; the path stays. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  static {
    inspectAs(this, (fifo) => ({
      path: fifo.#path,
      closed: fifo.#file.closed,
    }));
  }

  #reader(fd: number | undefined): PipeReader {
    const reader = PipeReader.fromFd(fd!, { name: this.#path }); // ENXIO is for writers
    makeExclusive(fd!);
    return reader;
  }

  #writer(fd: number | undefined): PipeWriter {
    const writer = PipeWriter.fromFd(fd!, { name: this.#path });
    makeExclusive(fd!);
    return writer;
  }

  #tryOpenWriter(): PipeWriter | undefined {
    const fd = this.#openNow(O_WRONLY);
    return fd === undefined ? undefined : this.#writer(fd);
  }

  /** The file itself, not what its path names now. */
  #link(): Uint8Array<ArrayBuffer> {
    return cPath(`/proc/self/fd/${this.#file.fd}`);
  }

  /** Sets the bits of a new file that the umask has cleared. */
  #restore(mode: number): void {
    const { stx_mode } = statusOfFd(this.#file.fd, this.#path);
    try {
      if ((stx_mode & 0o777) !== mode) this.chmod(mode);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Opens the file; undefined for ENXIO. */
  #open(flags: number): number | undefined {
    const path = this.#link();
    for (;;) {
      const fd = fcntl().open(path, flags | O_CLOEXEC, 0);
      if (fd !== -1) return fd;
      const error = errno();
      if (error === ENXIO) return undefined; // a writer with O_NONBLOCK, and no reader
      if (error !== EINTR) throw linkError(error, "open", this.#path);
    }
  }

  /** The same without waiting, as a blocking descriptor. */
  #openNow(flags: number): number | undefined {
    const fd = this.#open(flags | O_NONBLOCK);
    if (fd !== undefined) {
      check(fcntl().fcntl(fd, F_SETFL, 0), "fcntl", this.#path);
    }
    return fd;
  }

  #hadWriter(reader: PipeReader, { writer }: Pipe): true | undefined {
    this.#file.checkOpen();
    const { fd } = descriptorOf(reader);
    return hadWriter(fd, descriptorOf(writer).fd, this.#path) || undefined;
  }
}
