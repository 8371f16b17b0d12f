/**
 * FIFOs (named pipes): `mkfifo(3)`, a pipe with a name in the file system.
 *
 * **Choose a FIFO** when processes that do not know each other shall exchange a
 * stream of bytes in one direction, and the shell's tools should be able to take
 * part: `cat`, `tee` and redirections work on it. Several may write; a write of
 * up to `PIPE_BUF` (4096) bytes arrives in one piece.
 *
 * **Choose something else** when replies must find their sender (a Unix socket
 * has a connection per client), or when messages have types or priorities (a
 * message queue).
 *
 * ```ts ignore
 * import { Fifo } from "@linux/ipc/fifo";
 *
 * // server.ts: creates the FIFO, reads until every client has left.
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
 * // client.ts: says so when nobody reads, instead of waiting for ever.
 * using fifo = Fifo.open("./jobs");
 * using writer = fifo.tryOpenWriter();
 * if (writer === null) throw new Error("no server");
 * writer.writeSync(new TextEncoder().encode("a job"));
 * ```
 *
 * @module
 */

import { checkMode, cPath } from "./arguments.ts";
import { IpcError } from "./errors.ts";
import { Descriptor, owning } from "./kernel/descriptor.ts";
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
import { checkInternal, internal } from "./internal.ts";
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
import { attempt } from "./wait/attempt.ts";
import { Backoff } from "./wait/backoff.ts";
import { limitsOf, type WaitOptions } from "./wait/options.ts";
import { pollNow } from "./wait/reactor.ts";

export {
  ClosedError,
  IpcError,
  type Pipe,
  PIPE_BUF,
  PipeReader,
  PipeWriter,
} from "./pipe.ts";
export type {
  FromFdOptions,
  SyncWaitOptions,
  SystemLimit,
  WaitOptions,
} from "./pipe.ts";

/** How a FIFO is created. */
export interface FifoCreateOptions {
  /**
   * The permission bits; the umask of the process takes its bits away.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
}

/** Opens a path as it is: neither end of the FIFO, only a hold on the file. */
function hold(path: string, bytes: Uint8Array<ArrayBuffer>, flags: number) {
  const { open } = fcntl();
  return new Descriptor(
    checkRetrying(
      () => open(bytes, O_PATH | O_CLOEXEC | flags, 0),
      "open",
      path,
    ),
    path,
  );
}

/** Why a FIFO that is held cannot be opened. */
function openError(number: number, path: string): Error {
  if (number !== ENOENT) return ipcError(number, "open", path);
  return new Deno.errors.NotSupported(
    `Cannot open ${path}: it is opened through /proc/self/fd, and /proc is not mounted`,
  );
}

/**
 * Whether a writer has the FIFO open, or has been there and gone, since its read
 * end was opened. To copy a byte of it tells without taking one away: there is one,
 * or EAGAIN while there may come one, or the end when nobody writes.
 */
function hasWriter(fd: number, scratch: number, path: string): boolean {
  const copied = fcntl().tee(fd, scratch, 1, SPLICE_F_NONBLOCK);
  if (copied === 1) return true;
  if (copied === -1) {
    const number = errno();
    if (number !== EAGAIN) throw ipcError(number, "tee", path);
    return true;
  }
  const request = pollfd.encode({ fd, events: 0, revents: 0 });
  pollNow(request, 1);
  return (pollfd.decode(request).revents & POLLHUP) !== 0;
}

/**
 * A FIFO by its name. It is neither end: open those with
 * {@linkcode Fifo.openReaderSync} and the others.
 *
 * The object holds on to the very file it found or made, so another file that
 * takes the same name later is neither opened nor removed in its place.
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

  /** Made by the static methods. */
  private constructor(
    token: typeof internal,
    path: string,
    file: Descriptor,
  ) {
    checkInternal(token, "a Fifo");
    try {
      if ((statusOfFd(file.fd, path).stx_mode & S_IFMT) !== S_IFIFO) {
        throw new TypeError(`Cannot use ${path} as a FIFO: it is another file`);
      }
    } catch (error) {
      file.close();
      throw error;
    }
    this.#path = path;
    this.#file = file;
  }

  /**
   * `mkfifo(path, mode)`: creates a FIFO under a new name. A symbolic link is
   * not followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `mode`.
   * @returns The FIFO; its `close()` leaves the file, its `unlink()` removes it.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long or the mode has other bits.
   * @throws {IpcError} EEXIST if the path exists, of whatever kind.
   * @throws {IpcError} ENOENT or ENOTDIR if the directory does not exist, EACCES
   * if it cannot be written to, EROFS, ENOSPC, EDQUOT.
   *
   * @example A name that is taken
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
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    check(sysStat().mkfifo(bytes, mode | 0), "mkfifo", path);
    try {
      return new Fifo(internal, path, hold(path, bytes, O_NOFOLLOW));
    } catch (error) {
      // After a TypeError the name is another file's by now.
      if (error instanceof IpcError) unistd().unlink(bytes);
      throw error;
    }
  }

  /**
   * `open(path, O_PATH)`: finds a FIFO that exists. A symbolic link is followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @returns The FIFO, with neither end open.
   * @throws {TypeError} If the path is empty or contains NUL, or if the file is
   * not a FIFO. It is not opened then, so a device or a file is not disturbed.
   * @throws {RangeError} If the path is too long.
   * @throws {IpcError} ENOENT if there is no such file, EACCES if a directory on
   * the way cannot be searched, ELOOP, ENOTDIR.
   *
   * @example A regular file is refused
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
    return new Fifo(internal, path, hold(path, cPath(path), 0));
  }

  /** The path, as it was given. */
  get path(): string {
    return this.#path;
  }

  /**
   * `open(path, O_RDONLY)`, blocking this thread until a writer opens the FIFO.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @returns The read end. It reads null when the last writer has closed, and
   * bytes again when another one opens the FIFO.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow reading, EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openReaderSync(): PipeReader {
    return PipeReader.fromFd(this.#open(O_RDONLY), { name: this.#path });
  }

  /**
   * `open(path, O_RDONLY | O_NONBLOCK)`, then waiting without blocking the thread
   * until a writer has opened the FIFO.
   *
   * No event tells of it, so it is looked at again and again, with pauses of 1 to
   * 20 milliseconds. To serve one writer after another, open the next read end
   * before you close the last, so that no writer comes in between.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The read end. It reads null when the last writer has closed, and
   * bytes again when another one opens the FIFO.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow reading, EMFILE.
   * @throws The reason of the signal, if it is aborted.
   *
   * @example Wait for a writer, but not for ever
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
    const reader = this.#openReaderAtOnce();
    try {
      using scratch = pipe();
      const connected = () => {
        this.#file.checkOpen();
        const { writer } = scratch;
        return hasWriter(reader.fd, writer.fd, this.#path) || undefined;
      };
      await attempt(new Backoff(this.#path), connected, limits);
    } catch (error) {
      reader.close();
      throw error;
    }
    return reader;
  }

  /**
   * `open(path, O_WRONLY | O_NONBLOCK)`, again and again without blocking the
   * thread, with pauses of 1 to 20 milliseconds, until a reader has opened the FIFO.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The write end.
   * @throws {ClosedError} If this object is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  async openWriter(options?: WaitOptions): Promise<PipeWriter> {
    const limits = limitsOf(options);
    const opened = () => this.#tryOpenWriter() ?? undefined;
    return await attempt(new Backoff(this.#path), opened, limits);
  }

  /**
   * `open(path, O_WRONLY)`, blocking this thread until a reader opens the FIFO.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @returns The write end.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openWriterSync(): PipeWriter {
    return this.#openWriterSync();
  }

  /**
   * `open(path, O_WRONLY | O_NONBLOCK)`: opens the write end if somebody reads.
   *
   * @returns The write end, or null when no reader has the FIFO open.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow writing, EMFILE.
   *
   * @example Nobody reads
   * ```ts
   * import { Fifo } from "@linux/ipc/fifo";
   * import { assertEquals } from "@std/assert";
   *
   * const directory = Deno.makeTempDirSync();
   * using fifo = Fifo.create(`${directory}/fifo`);
   * assertEquals(fifo.tryOpenWriter(), null);
   * fifo.unlink();
   * Deno.removeSync(directory);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  tryOpenWriter(): PipeWriter | null {
    return this.#tryOpenWriter();
  }

  /**
   * `open(path, O_RDONLY | O_NONBLOCK)`, then `open(path, O_WRONLY)`: opens both
   * ends, without waiting. As long as the write end is open, the reader never
   * sees the end of the stream: what a server wants that outlives its clients.
   * (POSIX leaves undefined what C programs often use for this, `O_RDWR`.)
   *
   * @returns Both ends; disposing of it closes both.
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} EACCES if the permissions do not allow reading and
   * writing, EMFILE; neither end is left open then.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/fifo.7.html | fifo(7)}
   */
  openBoth(): Pipe {
    const reader = this.#openReaderAtOnce();
    try {
      const writer = this.#openWriterSync(); // the reader is there: no wait
      return owning({ reader, writer }, reader, writer);
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /**
   * `unlink(path)`: removes the name. Ends that are open go on working; nobody
   * else can open the FIFO any more.
   *
   * @throws {ClosedError} If this object is closed.
   * @throws {IpcError} ENOENT if the name is gone, or is another file's by now,
   * which is left alone (a path that is not absolute is of the working directory);
   * EACCES or EPERM if the directory does not allow it.
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

  /** `close(2)` of the hold on the file. The name and open ends stay. */
  close(): void {
    this.#file.close();
  }

  /** Closes this object; the name stays. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Opens the held file itself, whatever its name is by now. */
  #open(flags: number): number {
    const path = cPath(`/proc/self/fd/${this.#file.fd}`);
    const { open } = fcntl();
    for (;;) {
      const fd = open(path, flags | O_CLOEXEC, 0);
      if (fd !== -1) return fd;
      const number = errno();
      if (number !== EINTR) throw openError(number, this.#path);
    }
  }

  #openWriterSync(): PipeWriter {
    return PipeWriter.fromFd(this.#open(O_WRONLY), { name: this.#path });
  }

  #tryOpenWriter(): PipeWriter | null {
    const fd = this.#openAtOnce(O_WRONLY);
    return fd === null ? null : PipeWriter.fromFd(fd, { name: this.#path });
  }

  #openReaderAtOnce(): PipeReader {
    const fd = this.#openAtOnce(O_RDONLY)!; // never ENXIO: that is for writers
    return PipeReader.fromFd(fd, { name: this.#path });
  }

  /** The same without waiting, as a blocking descriptor; null for ENXIO. */
  #openAtOnce(flags: number): number | null {
    const path = cPath(`/proc/self/fd/${this.#file.fd}`);
    const fd = fcntl().open(path, flags | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd === -1) {
      const number = errno();
      if (number === ENXIO) return null;
      throw openError(number, this.#path);
    }
    check(fcntl().fcntl(fd, F_SETFL, 0), "fcntl", this.#path);
    return fd;
  }
}
