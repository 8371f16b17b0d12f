/**
 * Pipes: `pipe2(2)`, a stream of bytes from one process to a related one.
 *
 * **Choose a pipe** when a process that you start yourself shall get, or give,
 * a stream of bytes: it needs no name, nobody else can reach it, and the reader
 * learns of the writer's end. A pipe goes one way only (half-duplex); for both
 * directions take two, or a socket pair.
 *
 * **Choose something else** when the processes are not related (a FIFO has a
 * name), when messages must stay apart (a message queue, a seqpacket socket), or
 * when the child's standard input and output are enough (`Deno.Command` has
 * pipes for those).
 *
 * A V8 process cannot `fork(2)`. What fork does in C, a child of `Deno.Command`
 * that inherits a descriptor does here:
 *
 * ```ts ignore
 * import { pipe, PipeReader } from "@linux/ipc/pipe";
 *
 * if (Deno.args[0] === "child") {
 *   using reader = PipeReader.fromFd(Number(Deno.args[1]));
 *   const buffer = new Uint8Array(1024);
 *   const count = reader.readSync(buffer) ?? 0;
 *   console.log(new TextDecoder().decode(buffer.subarray(0, count)));
 * } else {
 *   const { reader, writer } = pipe();
 *   const child = reader.inherit((fd) =>
 *     new Deno.Command(Deno.execPath(), {
 *       args: ["run", "--allow-ffi", import.meta.filename!, "child", `${fd}`],
 *     }).spawn()
 *   );
 *   reader.close(); // the child has its own
 *   writer.writeSync(new TextEncoder().encode("message from parent"));
 *   writer.close(); // the child's next read is the end of the stream
 *   await child.status;
 * }
 * ```
 *
 * @module
 */

import { checkFd, checkInteger } from "./arguments.ts";
import { Descriptor, owning, takeOver } from "./kernel/descriptor.ts";
import { check, EBADF, EPERM, errno, ipcError } from "./libc/errno.ts";
import {
  F_GETFL,
  F_GETPIPE_SZ,
  F_SETPIPE_SZ,
  fcntl,
  O_ACCMODE,
  O_CLOEXEC,
  O_DIRECT,
  O_PATH,
  O_RDWR,
} from "./libc/fcntl.ts";
import { checkInternal, internal } from "./internal.ts";
import { systemLimit } from "./kernel/limits.ts";
import { FIONREAD, sysIoctl } from "./libc/sys_ioctl.ts";
import { S_IFIFO, S_IFMT, statusOfFd } from "./libc/sys_stat.ts";
import { unistd } from "./libc/unistd.ts";
import type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
import { readableStream, writableStream } from "./wait/streams.ts";
import {
  read,
  readSync,
  tryRead,
  tryWrite,
  write,
  writeSync,
} from "./wait/transfer.ts";

export { splice, tee } from "./splice.ts";
export type { DescriptorLike } from "./wait/descriptors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";

/**
 * `PIPE_BUF`: a write of at most this many bytes is atomic. It reaches the
 * reader in one piece, however many processes write to the same pipe.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
 */
export const PIPE_BUF = 4096;

const PIPE_MAX_SIZE = "/proc/sys/fs/pipe-max-size";

/** How a descriptor is taken over. */
export interface FromFdOptions {
  /**
   * What errors call it, such as the path of a FIFO.
   *
   * @default {`descriptor ${fd}`}
   */
  name?: string | undefined;
}

/** Takes over a descriptor number, if it is that end of a pipe. */
function adopt(
  fd: number,
  mode: "reading" | "writing",
  options?: FromFdOptions,
): Descriptor {
  checkFd(fd);
  const subject = options?.name ?? `descriptor ${fd}`;
  const flags = check(fcntl().fcntl(fd, F_GETFL, 0), "fcntl", subject);
  // Held only, neither end. (A read would say the same.)
  if ((flags & O_PATH) !== 0) throw ipcError(EBADF, "fcntl", subject);
  if ((statusOfFd(fd, subject).stx_mode & S_IFMT) !== S_IFIFO) {
    throw new TypeError(`Argument "fd" must be a pipe or FIFO: ${fd} is not`);
  }
  const access = flags & O_ACCMODE;
  const wanted = mode === "reading" ? 0 : 1; // O_RDONLY, O_WRONLY
  if (access !== wanted && access !== O_RDWR) {
    throw new TypeError(
      `Argument "fd" must be open for ${mode}: ${fd} is the other end`,
    );
  }
  takeOver(fd, subject);
  return new Descriptor(fd, subject);
}

function capacityOf({ fd, subject }: Descriptor): number {
  return check(fcntl().fcntl(fd, F_GETPIPE_SZ, 0), "fcntl", subject);
}

function setCapacity({ fd, subject }: Descriptor, bytes: number): number {
  checkInteger("bytes", bytes, 1, 0x7fffffff, "int");
  const capacity = fcntl().fcntl(fd, F_SETPIPE_SZ, bytes);
  if (capacity !== -1) return capacity;
  const number = errno();
  const limit = number === EPERM ? systemLimit(PIPE_MAX_SIZE) : undefined;
  throw ipcError(number, "fcntl", subject, limit);
}

// Set by the classes: their constructors are for this module alone.
let makeReader: (descriptor: Descriptor) => PipeReader;
let makeWriter: (descriptor: Descriptor) => PipeWriter;

/**
 * The end of a pipe, or of a FIFO, that is read from.
 *
 * @example Read to the end
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * const { reader, writer } = pipe();
 * writer.writeSync(new TextEncoder().encode("hello"));
 * writer.close();
 *
 * const buffer = new Uint8Array(16);
 * assertEquals(await reader.read(buffer), 5);
 * assertEquals(await reader.read(buffer), null); // every writer has closed
 * reader.close();
 * ```
 */
export class PipeReader implements Disposable {
  readonly #descriptor: Descriptor;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;

  /** Made by the static methods. */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    checkInternal(token, "a PipeReader");
    this.#descriptor = descriptor;
  }

  static {
    makeReader = (descriptor) => new PipeReader(internal, descriptor);
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes over the read end of a pipe or FIFO
   * that this process was started with. The number must not belong to anything
   * else in this process: `close()` closes it.
   *
   * If other processes have the same end, use the blocking form only: what waits in
   * other ways makes it non-blocking (`O_NONBLOCK`) for all of them.
   *
   * @param fd The number of the descriptor, as the parent process tells it.
   * @param options What errors call it.
   * @returns The read end, closed by its `close()`.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a pipe or FIFO, is a write end, or belongs to
   * an object of this module.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @example A descriptor of an unknown kind is refused
   * ```ts
   * import { pipe, PipeReader } from "@linux/ipc/pipe";
   * import { assertThrows } from "@std/assert";
   *
   * using ends = pipe();
   * assertThrows(() => PipeReader.fromFd(ends.writer.fd), TypeError);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): PipeReader {
    return new PipeReader(internal, adopt(fd, "reading", options));
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `read(2)`, blocking this thread until there is something to read.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes read, or null at the end: every writer closed.
   * @throws {ClosedError} If this end is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIO and the like, as the kernel reports them.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null {
    return readSync(this.#descriptor, buffer, options);
  }

  /**
   * `read(2)`, waiting without blocking the thread.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes read, or null at the end: every writer closed.
   * @throws {ClosedError} If this end is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return read(this.#descriptor, buffer, options);
  }

  /**
   * `read(2)` of what is there already.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @returns The count of bytes read; undefined when there is nothing yet, null
   * at the end: every writer closed.
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    return tryRead(this.#descriptor, buffer);
  }

  /**
   * `ioctl(fd, FIONREAD, ...)`: how many bytes can be read now.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
   */
  get available(): number {
    const { fd, subject } = this.#descriptor;
    const count = new Int32Array(1);
    check(sysIoctl().ioctl(fd, FIONREAD, count), "ioctl", subject);
    return count[0]!;
  }

  /**
   * `fcntl(fd, F_GETPIPE_SZ)`: how many bytes the pipe holds before a writer has
   * to wait; usually 65536.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  get capacity(): number {
    return capacityOf(this.#descriptor);
  }

  /**
   * `fcntl(fd, F_SETPIPE_SZ, bytes)`: asks for another capacity.
   *
   * @param bytes The capacity, which the kernel rounds up: to a power of two of
   * pages.
   * @returns The capacity that the pipe has now.
   * @throws {RangeError} If it is no integer from 1 to 2147483647.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPERM if it is above /proc/sys/fs/pipe-max-size and this
   * process is not privileged, EBUSY if it is less than what the pipe holds now.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  setCapacity(bytes: number): number {
    return setCapacity(this.#descriptor, bytes);
  }

  /**
   * `read(2)`, as a stream of bytes that reads only what is taken from it. Its end,
   * a failure, or its cancellation, closes this end of the pipe. There is one such stream; do
   * not read in other ways beside it.
   *
   * @example The text that comes through a pipe
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { assertEquals } from "@std/assert";
   *
   * const { reader, writer } = pipe();
   * writer.writeSync(new TextEncoder().encode("hello"));
   * writer.close();
   * assertEquals(await new Response(reader.readable).text(), "hello");
   * ```
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableStream(
      (buffer, signal) => read(this.#descriptor, buffer, { signal }),
      () => this.#descriptor.close(),
    );
  }

  /**
   * `fcntl(fd, F_SETFD, 0)`, for as long as `spawn` runs: processes started by
   * it have this end under the same number. Others do not, unless another thread
   * starts one in that moment. Close this end afterwards, if it is the child's
   * now; a write end that both keep open means that the reader never sees the
   * end.
   *
   * @param spawn Starts the child before it returns, or first awaits; gets the
   * descriptor's number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /** `close(2)`. Closing twice does nothing. Pending reads end with a ClosedError. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this end. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * The end of a pipe, or of a FIFO, that is written to.
 *
 * @example The reader is gone
 * ```ts
 * import { IpcError, pipe } from "@linux/ipc/pipe";
 * import { assertThrows } from "@std/assert";
 *
 * const { reader, writer } = pipe();
 * reader.close();
 * assertThrows(() => writer.writeSync(new Uint8Array(1)), IpcError, "EPIPE");
 * writer.close();
 * ```
 */
export class PipeWriter implements Disposable {
  readonly #descriptor: Descriptor;
  #writable: WritableStream<Uint8Array> | undefined;

  /** Made by the static methods. */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    checkInternal(token, "a PipeWriter");
    this.#descriptor = descriptor;
  }

  static {
    makeWriter = (descriptor) => new PipeWriter(internal, descriptor);
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes over the write end of a pipe or FIFO
   * that this process was started with. The number must not belong to anything
   * else in this process: `close()` closes it.
   *
   * If other processes have the same end, use the blocking form only: what waits in
   * other ways makes it non-blocking (`O_NONBLOCK`) for all of them.
   *
   * @param fd The number of the descriptor, as the parent process tells it.
   * @param options What errors call it.
   * @returns The write end, closed by its `close()`.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a pipe or FIFO, is a read end, or belongs to
   * an object of this module.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): PipeWriter {
    return new PipeWriter(internal, adopt(fd, "writing", options));
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `write(2)` of all the bytes, blocking this thread while the pipe is full.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param bytes What to write; up to {@linkcode PIPE_BUF} bytes are atomic.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes written: all of them.
   * @throws {ClosedError} If this end is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part of
   * more than {@linkcode PIPE_BUF} bytes may have been written.
   * @throws {IpcError} EPIPE if no reader is left. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  writeSync(
    bytes: Uint8Array,
    options?: SyncWaitOptions,
  ): number {
    return writeSync(this.#descriptor, bytes, options);
  }

  /**
   * `write(2)` of all the bytes, waiting without blocking the thread.
   *
   * Concurrent calls write one after the other. {@linkcode PipeWriter.writeSync} and
   * {@linkcode PipeWriter.tryWrite} do not wait for them.
   *
   * @param bytes What to write; up to {@linkcode PIPE_BUF} bytes are atomic.
   * Leave them as they are until the promise is settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes written: all of them.
   * @throws {ClosedError} If this end is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part of
   * more than {@linkcode PIPE_BUF} bytes may have been written.
   * @throws {IpcError} EPIPE if no reader is left. (Deno ignores SIGPIPE.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  write(
    bytes: Uint8Array,
    options?: WaitOptions,
  ): Promise<number> {
    return write(this.#descriptor, bytes, options);
  }

  /**
   * `write(2)` of as many bytes as there is room for now. Up to
   * {@linkcode PIPE_BUF} bytes are written all or not at all.
   *
   * @param bytes What to write.
   * @returns The count of bytes written, or null when the pipe is full.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPIPE if no reader is left. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
   */
  tryWrite(bytes: Uint8Array): number | null {
    return tryWrite(this.#descriptor, bytes);
  }

  /**
   * `fcntl(fd, F_GETPIPE_SZ)`: how many bytes the pipe holds before a write has to
   * wait; usually 65536.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  get capacity(): number {
    return capacityOf(this.#descriptor);
  }

  /**
   * `fcntl(fd, F_SETPIPE_SZ, bytes)`: asks for another capacity. See
   * {@linkcode PipeReader.setCapacity}.
   *
   * @param bytes The capacity, which the kernel rounds up.
   * @returns The capacity that the pipe has now.
   * @throws {RangeError} If it is no integer from 1 to 2147483647.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPERM if it is above /proc/sys/fs/pipe-max-size and this
   * process is not privileged, EBUSY if it is less than what the pipe holds now.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  setCapacity(bytes: number): number {
    return setCapacity(this.#descriptor, bytes);
  }

  /**
   * `write(2)`, as a stream that accepts no more than the pipe takes. Its end, a
   * failure, or its abortion, closes this end of the pipe. There is one such stream.
   *
   * @example What a stream gives, into a pipe
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { assertEquals } from "@std/assert";
   *
   * const { reader, writer } = pipe();
   * const source = new Blob(["hello"]).stream();
   * await source.pipeTo(writer.writable);
   * assertEquals(await reader.read(new Uint8Array(16)), 5);
   * reader.close();
   * ```
   */
  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= writableStream(
      (bytes, signal) => write(this.#descriptor, bytes, { signal }),
      () => this.#descriptor.close(),
    );
  }

  /**
   * `fcntl(fd, F_SETFD, 0)`, for as long as `spawn` runs: processes started by
   * it have this end under the same number. See {@linkcode PipeReader.inherit}.
   *
   * @param spawn Starts the child before it returns, or first awaits; gets the
   * descriptor's number.
   * @returns What `spawn` returns.
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  inherit<T>(spawn: (fd: number) => T): T {
    return this.#descriptor.inherit(spawn);
  }

  /** `close(2)`. Closing twice does nothing. Pending writes end with a ClosedError. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this end. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Both ends of a pipe, or this side's ends of two. */
export interface Pipe extends Disposable {
  /** The end that is read from: C's `pipefd[0]`. */
  readonly reader: PipeReader;
  /** The end that is written to: C's `pipefd[1]`. */
  readonly writer: PipeWriter;
}

/** How a pipe is made. */
export interface PipeOptions {
  /**
   * `O_DIRECT`, packet mode: each write of up to {@linkcode PIPE_BUF} bytes is a
   * packet, and each read takes one. What does not fit into the reader's buffer is
   * lost, so read with {@linkcode PIPE_BUF} bytes.
   *
   * @default {false}
   */
  packets?: boolean | undefined;
}

/**
 * `pipe2(pipefd, O_CLOEXEC)`: makes a pipe. Its ends are not inherited by child
 * processes, except through {@linkcode PipeReader.inherit} and
 * {@linkcode PipeWriter.inherit}.
 *
 * @param options `packets`.
 * @returns Both ends; disposing of it closes both.
 * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors (of this
 * process, of the system); nothing is left open then.
 *
 * @example From one end to the other
 * ```ts
 * import { pipe } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * using ends = pipe();
 * ends.writer.writeSync(Uint8Array.of(1, 2, 3));
 * const buffer = new Uint8Array(8);
 * assertEquals(ends.reader.readSync(buffer), 3);
 * assertEquals(ends.reader.tryRead(buffer), undefined); // nothing more yet
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/pipe2.2.html | pipe2(2)}
 */
export function pipe(options?: PipeOptions): Pipe {
  const fds = new Int32Array(2);
  const flags = O_CLOEXEC | (options?.packets ? O_DIRECT : 0);
  check(unistd().pipe2(fds, flags), "pipe2");
  const reader = makeReader(new Descriptor(fds[0]!, "pipe"));
  const writer = makeWriter(new Descriptor(fds[1]!, "pipe"));
  return owning({ reader, writer }, reader, writer);
}

/** The side that reads from one pipe and writes to another. */
function sideOf({ reader }: Pipe, { writer }: Pipe): Pipe {
  return owning({ reader, writer }, reader, writer);
}

/**
 * `pipe2(2)`, twice: a pipe for each direction, since one goes one way only. Each
 * of the two sides reads what the other writes.
 *
 * @returns The two sides; disposing of one closes its two ends.
 * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors (of this
 * process, of the system); nothing is left open then.
 *
 * @example A question and its answer
 * ```ts
 * import { duplexPipe } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * const [here, there] = duplexPipe();
 * using _here = here, _there = there;
 * here.writer.writeSync(Uint8Array.of(1));
 * assertEquals(there.reader.readSync(new Uint8Array(8)), 1);
 * there.writer.writeSync(Uint8Array.of(2, 3));
 * assertEquals(here.reader.readSync(new Uint8Array(8)), 2);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/pipe2.2.html | pipe2(2)}
 */
export function duplexPipe(): [Pipe, Pipe] {
  const there = pipe();
  try {
    const back = pipe();
    return [
      sideOf(back, there),
      sideOf(there, back),
    ];
  } catch (error) {
    there[Symbol.dispose]();
    throw error;
  }
}
