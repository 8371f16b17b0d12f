/**
 * Pipes: `pipe2(2)`, a stream of bytes from one process to a related one.
 *
 * **Choose a pipe** to send a stream of bytes to a process that you start, or to
 * receive one from it. A pipe needs no name, no other process can reach it, and the
 * reader sees the end when the writer closes. A pipe is half-duplex; for both
 * directions use two ({@linkcode duplexPipe}) or a socket pair.
 *
 * **Choose something else** when the processes are not related (a FIFO has a name),
 * when messages need boundaries (a message queue, a seqpacket socket), or when the
 * standard input and output of the child are enough (`Deno.Command` makes pipes for
 * them).
 *
 * A V8 process cannot `fork(2)`. Where a C program forks, start a child with
 * `Deno.Command` and let it inherit a descriptor:
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
 *   reader.close(); // the child has its own copy
 *   writer.writeSync(new TextEncoder().encode("message from parent"));
 *   writer.close(); // the child's next read returns null
 *   await child.status;
 * }
 * ```
 *
 * @module
 */

import { checkInteger } from "./arguments.ts";
import { internal } from "./internal.ts";
import { Descriptor, takeOver } from "./kernel/descriptor.ts";
import {
  descriptorOf,
  DescriptorOwner,
  type FromFdOptions,
  owning,
  type Pair,
  subjectOf,
} from "./kernel/descriptor_owner.ts";
import { systemLimit } from "./kernel/limits.ts";
import type { SystemLimit } from "./errors.ts";
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
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "./libc/fcntl.ts";
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

export {
  /**
   * `splice(source, off_in, target, off_out, length, SPLICE_F_MOVE |
   * SPLICE_F_NONBLOCK)`: moves bytes between descriptors without copying them through
   * this process.
   */
  splice,
  /** Options of `splice`. */
  type SpliceOptions,
  /**
   * `tee(source, target, length, SPLICE_F_NONBLOCK)`: copies bytes from one pipe to
   * another without consuming them.
   */
  tee,
} from "./splice.ts";
export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
  /** Options of `fromFd()`. */
  FromFdOptions,
  /** Two sides that are connected to each other. */
  Pair,
} from "./kernel/descriptor_owner.ts";
export type {
  /** The number of a descriptor, or an object that has one as `fd`. */
  DescriptorLike,
} from "./wait/descriptors.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";

/**
 * `PIPE_BUF`: a write of at most this many bytes is atomic. Its bytes are contiguous
 * in the pipe, however many processes write to it.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
 */
export const PIPE_BUF = 4096;

const PIPE_MAX_SIZE = "/proc/sys/fs/pipe-max-size";
const PIPE_USER_PAGES = "/proc/sys/fs/pipe-user-pages-soft";

/** Takes over a descriptor number, if it is that end of a pipe. */
function adopt(
  fd: number,
  mode: "reading" | "writing",
  options: FromFdOptions | undefined,
): Descriptor {
  const subject = subjectOf(fd, options);
  const flags = check(fcntl().fcntl(fd, F_GETFL, 0), "fcntl", subject);
  // An O_PATH descriptor can neither read nor write; read(2) fails with EBADF, too.
  if ((flags & O_PATH) !== 0) throw ipcError(EBADF, "fcntl", subject);
  if ((statusOfFd(fd, subject).stx_mode & S_IFMT) !== S_IFIFO) {
    throw new TypeError(`Argument "fd" must be a pipe or FIFO: ${fd} is not`);
  }
  const access = flags & O_ACCMODE;
  const wanted = mode === "reading" ? O_RDONLY : O_WRONLY;
  if (access !== wanted && access !== O_RDWR) {
    throw new TypeError(
      `Argument "fd" must be open for ${mode}: ${fd} is the other end`,
    );
  }
  takeOver(fd, subject);
  return new Descriptor(fd, subject);
}

function capacityOf(end: DescriptorOwner): number {
  const { fd, subject } = descriptorOf(end);
  return check(fcntl().fcntl(fd, F_GETPIPE_SZ, 0), "fcntl", subject);
}

function availableIn(end: DescriptorOwner): number {
  const { fd, subject } = descriptorOf(end);
  const count = new Int32Array(1);
  check(sysIoctl().ioctl(fd, FIONREAD, count), "ioctl", subject);
  return count[0]!;
}

/** The limit that refuses a capacity without CAP_SYS_RESOURCE. */
function limitOfCapacity(bytes: number): SystemLimit | undefined {
  const max = systemLimit(PIPE_MAX_SIZE);
  return max && bytes > max.value ? max : systemLimit(PIPE_USER_PAGES);
}

function setCapacity(end: DescriptorOwner, bytes: number): number {
  const { fd, subject } = descriptorOf(end);
  checkInteger("bytes", bytes, 1, 0x7fffffff, "int");
  const capacity = fcntl().fcntl(fd, F_SETPIPE_SZ, bytes);
  if (capacity !== -1) return capacity;
  const error = errno();
  const limit = error === EPERM ? limitOfCapacity(bytes) : undefined;
  throw ipcError(error, "fcntl", subject, limit);
}

// Set by the classes: their constructors are for this module alone.
let makeReader: (descriptor: Descriptor) => PipeReader;
let makeWriter: (descriptor: Descriptor) => PipeWriter;

/**
 * The read end of a pipe or FIFO.
 *
 * Asynchronous reads get what arrives in the order of their calls. `readSync`, `tryRead`
 * and {@linkcode splice} do not queue: they take what is there before the asynchronous
 * reads that wait.
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
 * assertEquals(await reader.read(buffer), null); // all writers have closed
 * reader.close();
 * ```
 */
export class PipeReader extends DescriptorOwner {
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;

  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "PipeReader", descriptor);
  }

  static {
    makeReader = (descriptor) => new PipeReader(internal, descriptor);
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of the read end of a pipe or FIFO
   * that this process has inherited.
   *
   * No other object may own the descriptor: `close()` closes it. An object of another
   * Worker is not noticed; what it gives away with `detach()` can be taken over here.
   *
   * The end stays blocking for other processes that share it, whichever methods are
   * called here. (A FIFO is non-blocking during a call that does not wait, as a pipe is
   * before Linux 6.4: a call of another process in that moment can fail with EAGAIN.)
   *
   * @param fd The number of the descriptor, as the parent process passes it.
   * @param options `name`.
   * @returns The read end, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a pipe or FIFO, is a write end, or belongs to
   * an object of this module on this thread.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @example A write end is rejected
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

  /**
   * `read(2)`, blocking this thread until there is data.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes read, or null at the end: all writers have closed.
   * @throws {ClosedError} If this end is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIO and other errors of `read(2)`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null {
    return readSync(descriptorOf(this), buffer, options);
  }

  /**
   * `read(2)`, waiting without blocking the thread.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes read, or null at the end: all writers have closed.
   * @throws {ClosedError} If this end is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EIO and other errors of `read(2)`.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return read(descriptorOf(this), buffer, options);
  }

  /**
   * `read(2)` of the data that is available now.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @returns The number of bytes read, undefined if there is no data now, or null at
   * the end: all writers have closed.
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    return tryRead(descriptorOf(this), buffer);
  }

  /**
   * `ioctl(fd, FIONREAD, ...)`: the number of bytes that can be read now.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
   */
  get available(): number {
    return availableIn(this);
  }

  /**
   * `fcntl(fd, F_GETPIPE_SZ)`: the capacity of the pipe in bytes, usually 65536.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  get capacity(): number {
    return capacityOf(this);
  }

  /**
   * `fcntl(fd, F_SETPIPE_SZ, bytes)`: changes the capacity.
   *
   * @param bytes The capacity; the kernel rounds it up to a power of two of pages.
   * @returns The new capacity.
   * @throws {RangeError} If `bytes` is not an integer from 1 to 2147483647.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPERM if it is above /proc/sys/fs/pipe-max-size and this
   * process is not privileged, EBUSY if the pipe holds more bytes now.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  setCapacity(bytes: number): number {
    return setCapacity(this, bytes);
  }

  /**
   * `read(2)` as a byte stream with back-pressure.
   *
   * This end of the pipe is closed when the stream ends, fails or is cancelled. The
   * stream is made once; do not call the read methods while it is in use.
   *
   * @example Read text
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
      (buffer, signal) => read(descriptorOf(this), buffer, { signal }),
      () => descriptorOf(this).close(),
    );
  }
}

/**
 * The write end of a pipe or FIFO.
 *
 * Asynchronous writes are done in the order of their calls, each as a whole: while one
 * waits, `tryWrite` returns undefined, and `writeSync` throws. ({@linkcode splice} does
 * not queue.)
 *
 * @example All readers have closed
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
export class PipeWriter extends DescriptorOwner {
  #writable: WritableStream<Uint8Array> | undefined;

  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "PipeWriter", descriptor);
  }

  static {
    makeWriter = (descriptor) => new PipeWriter(internal, descriptor);
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of the write end of a pipe or FIFO
   * that this process has inherited.
   *
   * No other object may own the descriptor: `close()` closes it. An object of another
   * Worker is not noticed; what it gives away with `detach()` can be taken over here.
   *
   * The end stays blocking for other processes that share it, whichever methods are
   * called here. (A FIFO is non-blocking during a call that does not wait, as a pipe is
   * before Linux 6.4: a call of another process in that moment can fail with EAGAIN.)
   *
   * @param fd The number of the descriptor, as the parent process passes it.
   * @param options `name`.
   * @returns The write end, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a pipe or FIFO, is a read end, or belongs to
   * an object of this module on this thread.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): PipeWriter {
    return new PipeWriter(internal, adopt(fd, "writing", options));
  }

  /**
   * `write(2)` of all the bytes, blocking this thread while the pipe is full.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param bytes The bytes to write; up to {@linkcode PIPE_BUF} are written atomically.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes written: all of them.
   * @throws {Error} If an asynchronous write is pending.
   * @throws {ClosedError} If this end is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; of more
   * than {@linkcode PIPE_BUF} bytes a part may have been written.
   * @throws {IpcError} EPIPE if all readers have closed. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  writeSync(bytes: Uint8Array, options?: SyncWaitOptions): number {
    return writeSync(descriptorOf(this), bytes, options);
  }

  /**
   * `write(2)` of all the bytes, waiting without blocking the thread.
   *
   * Concurrent calls write in the order of the calls, each as a whole.
   *
   * @param bytes The bytes to write; up to {@linkcode PIPE_BUF} are written atomically.
   * Do not change them until the promise is settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes written: all of them.
   * @throws {ClosedError} If this end is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; of more
   * than {@linkcode PIPE_BUF} bytes a part may have been written.
   * @throws {IpcError} EPIPE if all readers have closed. (Deno ignores SIGPIPE.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  write(bytes: Uint8Array, options?: WaitOptions): Promise<number> {
    return write(descriptorOf(this), bytes, options);
  }

  /**
   * `write(2)` of as many bytes as there is room for now. Up to {@linkcode PIPE_BUF}
   * bytes are written completely or not at all.
   *
   * @param bytes The bytes to write.
   * @returns The number of bytes written, or undefined if there is no room now, or an
   * asynchronous write is pending.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPIPE if all readers have closed. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
   */
  tryWrite(bytes: Uint8Array): number | undefined {
    return tryWrite(descriptorOf(this), bytes);
  }

  /**
   * `ioctl(fd, FIONREAD, ...)`: the number of bytes that the read end can read now. 0
   * says that the readers have taken all that was written.
   *
   * There is not always room for `capacity - available` bytes: the kernel keeps bytes in
   * pages, and a page that is not full is not always filled up.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @example What the reader has left
   * ```ts
   * import { pipe } from "@linux/ipc/pipe";
   * import { assertEquals } from "@std/assert";
   *
   * using ends = pipe();
   * ends.writer.writeSync(new Uint8Array(100));
   * ends.reader.readSync(new Uint8Array(60));
   * assertEquals(ends.writer.available, 40);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/pipe.7.html | pipe(7)}
   */
  get available(): number {
    return availableIn(this);
  }

  /**
   * `fcntl(fd, F_GETPIPE_SZ)`: the capacity of the pipe in bytes, usually 65536.
   *
   * @throws {ClosedError} If this end is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  get capacity(): number {
    return capacityOf(this);
  }

  /**
   * `fcntl(fd, F_SETPIPE_SZ, bytes)`: changes the capacity. See
   * {@linkcode PipeReader.prototype.setCapacity | PipeReader.setCapacity}.
   *
   * @param bytes The capacity; the kernel rounds it up.
   * @returns The new capacity.
   * @throws {RangeError} If `bytes` is not an integer from 1 to 2147483647.
   * @throws {ClosedError} If this end is closed.
   * @throws {IpcError} EPERM if it is above /proc/sys/fs/pipe-max-size and this
   * process is not privileged, EBUSY if the pipe holds more bytes now.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  setCapacity(bytes: number): number {
    return setCapacity(this, bytes);
  }

  /**
   * `write(2)` as a stream with back-pressure. This end of the pipe is closed when the
   * stream is closed, fails or is aborted. The stream is made once.
   *
   * @example Pipe a stream through a pipe
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
      (bytes, signal) => write(descriptorOf(this), bytes, { signal }),
      () => descriptorOf(this).close(),
    );
  }
}

/** A read end and a write end: of one pipe, or of the two that make a duplex pipe. */
export interface Pipe extends Disposable {
  /** The read end: `pipefd[0]` in C. */
  readonly reader: PipeReader;
  /** The write end: `pipefd[1]` in C. */
  readonly writer: PipeWriter;
  /** Closes both ends. */
  close(): void;
}

/** Options of {@linkcode pipe}. */
export interface PipeOptions {
  /**
   * `O_DIRECT`, packet mode: each write of up to {@linkcode PIPE_BUF} bytes is a packet,
   * and each read returns one.
   *
   * Bytes that do not fit into the buffer of the read are discarded, so read with a
   * buffer of {@linkcode PIPE_BUF} bytes.
   *
   * @default {false}
   */
  packets?: boolean | undefined;
}

/**
 * `pipe2(pipefd, O_CLOEXEC)`: makes a pipe. Child processes inherit its ends only
 * through their `inherit()`.
 *
 * @param options `packets`.
 * @returns Both ends; its `close()` closes both.
 * @throws {IpcError} EMFILE or ENFILE if this process, or the system, has too many open
 * descriptors; nothing is left open then.
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

/** The read end of one pipe and the write end of another. */
function sideOf({ reader }: Pipe, { writer }: Pipe): Pipe {
  return owning({ reader, writer }, reader, writer);
}

/**
 * `pipe2(2)`, twice: two pipes, one for each direction. Each of the two sides reads
 * what the other writes.
 *
 * @returns The two sides, which can be closed independently; its `close()` closes both.
 * @throws {IpcError} EMFILE or ENFILE if this process, or the system, has too many open
 * descriptors; nothing is left open then.
 *
 * @example A request and its reply
 * ```ts
 * import { duplexPipe } from "@linux/ipc/pipe";
 * import { assertEquals } from "@std/assert";
 *
 * using sides = duplexPipe();
 * const [here, there] = sides;
 * here.writer.writeSync(Uint8Array.of(1));
 * assertEquals(there.reader.readSync(new Uint8Array(8)), 1);
 * there.writer.writeSync(Uint8Array.of(2, 3));
 * assertEquals(here.reader.readSync(new Uint8Array(8)), 2);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/pipe2.2.html | pipe2(2)}
 */
export function duplexPipe(): Pair<Pipe> {
  const there = pipe();
  try {
    const back = pipe();
    const sides = [sideOf(back, there), sideOf(there, back)] as const;
    return owning(sides, ...sides);
  } catch (error) {
    there[Symbol.dispose]();
    throw error;
  }
}
