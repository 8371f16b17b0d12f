/**
 * Unix domain sockets: `socket(2)` with `AF_UNIX`, a connection between two
 * processes of one machine, in both directions.
 *
 * **Choose a socket** when a server has clients: each has a connection of its
 * own, both sides may speak, and each learns at once when the other is gone.
 *
 * **Choose something else** when bytes go one way only (a pipe or FIFO is faster),
 * or when a message must wait for a receiver that is not there yet (a message
 * queue).
 *
 * A stream has no boundaries: what was written in two pieces may be read in one,
 * and what was written in one in two. Programs that exchange messages agree on
 * where one ends, on a length in front of it or a line's end behind it.
 *
 * ```ts
 * import { UnixListener, UnixStream } from "@linux/ipc/socket";
 *
 * const directory = Deno.makeTempDirSync();
 * using listener = UnixListener.listen(`${directory}/socket`);
 * const served = (async () => {
 *   using client = await listener.accept();
 *   const buffer = new Uint8Array(255);
 *   const count = await client.read(buffer);
 *   if (count !== null) await client.write(buffer.subarray(0, count));
 * })();
 *
 * using server = await UnixStream.connect(`${directory}/socket`);
 * await server.write(new TextEncoder().encode("hello"));
 * console.log(await server.read(new Uint8Array(255))); // 5
 * await served;
 * ```
 *
 * @module
 */

import { checkInteger, checkMode, cString } from "./arguments.ts";
import { Descriptor } from "./libc/descriptor.ts";
import {
  check,
  EADDRINUSE,
  EAGAIN,
  ECONNABORTED,
  ECONNREFUSED,
  EINTR,
  errno,
  ipcError,
} from "./libc/errno.ts";
import { POLLIN } from "./libc/poll.ts";
import { SIOCOUTQ, sysIoctl } from "./libc/sys_ioctl.ts";
import {
  AF_UNIX,
  SHUT_WR,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOMAXCONN,
  sysSocket,
} from "./libc/sys_socket.ts";
import {
  type FileStatus,
  isSameFile,
  S_IFMT,
  S_IFSOCK,
  statusOfPath,
  sysStat,
} from "./libc/sys_stat.ts";
import { SIZEOF_SUN_PATH, sockaddrUn } from "./libc/sys_un.ts";
import { unistd } from "./libc/unistd.ts";
import {
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "./wait/options.ts";
import { until } from "./wait/pause.ts";
import { ready, readySync } from "./wait/poller.ts";
import {
  read,
  readSync,
  tryRead,
  tryWrite,
  write,
  writeSync,
} from "./wait/transfer.ts";

export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";

/** How a listening socket is made. */
export interface UnixListenOptions {
  /**
   * The permission bits of the socket file; the umask of the process takes its
   * bits away. Who connects needs to write.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * How many connections may wait to be accepted; the system's limit is
   * /proc/sys/net/core/somaxconn.
   *
   * @default {4096}
   */
  backlog?: number | undefined;
  /**
   * Whether to remove a socket file of this path that nobody serves any more,
   * such as one whose server was killed. One that is alive is never removed, nor
   * is another kind of file.
   *
   * @default {false}
   */
  reclaim?: boolean | undefined;
}

/** The address of a path, and its length as bind and connect want it. */
function address(path: string): Uint8Array<ArrayBuffer> {
  const bytes = cString("path", path);
  if (bytes.length === 1) {
    throw new TypeError('Argument "path" must not be empty');
  }
  if (bytes.length > SIZEOF_SUN_PATH) {
    throw new RangeError(
      `Argument "path" must be at most ${SIZEOF_SUN_PATH - 1} bytes of UTF-8 ` +
        `(sun_path of sockaddr_un): ${bytes.length - 1} bytes`,
    );
  }
  const sun_path = new Uint8Array(SIZEOF_SUN_PATH);
  sun_path.set(bytes);
  const whole = sockaddrUn.encode({ sun_family: AF_UNIX, sun_path });
  return whole.subarray(0, sockaddrUn.offsets.sun_path + bytes.length);
}

function socket(flags: number, subject: string): Descriptor {
  const type = SOCK_STREAM | SOCK_CLOEXEC | flags;
  const fd = check(sysSocket().socket(AF_UNIX, type, 0), "socket", subject);
  return new Descriptor(fd, subject);
}

/** connect(2) once; false when the server's backlog is full. */
function connectOnce(
  descriptor: Descriptor,
  to: Uint8Array<ArrayBuffer>,
): boolean {
  const { connect } = sysSocket();
  for (;;) {
    if (connect(descriptor.fd, to, to.length) === 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    if (number !== EINTR) {
      throw ipcError(number, "connect", descriptor.subject);
    }
  }
}

// Set by the class: its constructor is for this module alone.
let makeStream: (descriptor: Descriptor) => UnixStream;

/**
 * A connected Unix stream socket: one side of a connection.
 *
 * @example A line there, a line back
 * ```ts
 * import { UnixListener, UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = Deno.makeTempDirSync();
 * {
 *   using listener = UnixListener.listen(`${directory}/socket`);
 *   using client = UnixStream.connectSync(`${directory}/socket`);
 *   using server = listener.acceptSync();
 *   client.writeSync(new TextEncoder().encode("hello"));
 *   assertEquals(server.readSync(new Uint8Array(255)), 5);
 * }
 * Deno.removeSync(directory); // empty: the listener took its file along
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixStream implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    this.#descriptor = descriptor;
  }

  static {
    makeStream = (descriptor) => new UnixStream(descriptor);
  }

  /**
   * `connect(fd, address, length)`, blocking this thread while the server's
   * backlog is full.
   *
   * @param path At most 107 bytes of UTF-8.
   * @returns The connection, which the server may not have accepted yet.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long.
   * @throws {IpcError} ENOENT if there is no such file, ECONNREFUSED if nobody
   * listens there, EACCES if it may not be written to, EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static connectSync(path: string): UnixStream {
    const to = address(path);
    const descriptor = socket(0, path);
    try {
      connectOnce(descriptor, to);
    } catch (error) {
      descriptor.close();
      throw error;
    }
    return new UnixStream(descriptor);
  }

  /**
   * `connect(fd, address, length)`, waiting without blocking the thread while the
   * server's backlog is full.
   *
   * @param path At most 107 bytes of UTF-8.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The connection, which the server may not have accepted yet.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ENOENT if there is no such file, ECONNREFUSED if nobody
   * listens there, EACCES if it may not be written to, EMFILE.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static async connect(
    path: string,
    options?: WaitOptions,
  ): Promise<UnixStream> {
    const to = address(path);
    const deadline = deadlineOf(options);
    options?.signal?.throwIfAborted();
    const descriptor = socket(SOCK_NONBLOCK, path);
    try {
      // No event tells that a backlog has room again.
      const connected = () => connectOnce(descriptor, to);
      await until(connected, path, deadline, options?.signal);
    } catch (error) {
      descriptor.close();
      throw error;
    }
    return new UnixStream(descriptor);
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `read(2)`, blocking this thread until there is something to read.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
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
   * @returns The count of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
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
   * at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    return tryRead(this.#descriptor, buffer);
  }

  /**
   * `write(2)` of all the bytes, blocking this thread while there is no room.
   *
   * @param bytes What to write.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes written: all of them.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  writeSync(
    bytes: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number {
    return writeSync(this.#descriptor, bytes, options);
  }

  /**
   * `write(2)` of all the bytes, waiting without blocking the thread.
   *
   * @param bytes What to write. Leave them as they are until the promise is
   * settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes written: all of them.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed. (Deno ignores SIGPIPE.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  write(
    bytes: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number> {
    return write(this.#descriptor, bytes, options);
  }

  /**
   * `write(2)` of as many bytes as there is room for now.
   *
   * @param bytes What to write.
   * @returns The count of bytes written, or null when there is no room.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} EPIPE if the peer has closed. (Deno ignores SIGPIPE.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  tryWrite(bytes: Uint8Array<ArrayBuffer>): number | null {
    return tryWrite(this.#descriptor, bytes);
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`: whether the peer has read all that was written.
   *
   * @returns False while something written here is still unread there.
   * @throws {ClosedError} If this side is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  isDrained(): boolean {
    // What is counted is memory, not bytes of data; 0 is the same in both.
    const unread = new Int32Array(1);
    const { fd, subject } = this.#descriptor;
    check(sysIoctl().ioctl(fd, SIOCOUTQ, unread), "ioctl", subject);
    return unread[0] === 0;
  }

  /**
   * `ioctl(fd, SIOCOUTQ, ...)`, until the peer has read all that was written. What
   * is written after that cannot be joined to it in one read.
   *
   * No event tells of it, so it is looked at again and again, with pauses of 1 to
   * 20 milliseconds.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
   */
  async drained(options?: WaitOptions): Promise<void> {
    const deadline = deadlineOf(options);
    const { subject } = this.#descriptor;
    await until(() => this.isDrained(), subject, deadline, options?.signal);
  }

  /**
   * `shutdown(fd, SHUT_WR)`: nothing more is written. The peer reads the end, and
   * may go on writing itself.
   *
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ENOTCONN if the peer is gone.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/shutdown.2.html | shutdown(2)}
   */
  closeWrite(): void {
    const { fd, subject } = this.#descriptor;
    check(sysSocket().shutdown(fd, SHUT_WR), "shutdown", subject);
  }

  /** `close(2)`. Closing twice does nothing. Pending waits end with a ClosedError. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes this side. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Binds to a path that is free, or to one that nobody serves any more. */
function bind(descriptor: Descriptor, path: string, reclaim: boolean): void {
  const to = address(path);
  const { bind } = sysSocket();
  if (bind(descriptor.fd, to, to.length) === 0) return;
  const number = errno();
  if (number !== EADDRINUSE || !reclaim) throw ipcError(number, "bind", path);
  removeStale(path, to);
  check(bind(descriptor.fd, to, to.length), "bind", path);
}

/** Removes a socket file that nobody serves; throws if it is anything else. */
function removeStale(path: string, to: Uint8Array<ArrayBuffer>): void {
  const cpath = cString("path", path);
  const found = statusOfPath(cpath, path);
  const isSocket = (found.stx_mode & S_IFMT) === S_IFSOCK;
  if (!isSocket || isServed(to, path)) {
    throw ipcError(EADDRINUSE, "bind", path);
  }
  removeIfSame(cpath, path, found);
}

function isServed(to: Uint8Array<ArrayBuffer>, path: string): boolean {
  using probe = socket(SOCK_NONBLOCK, path);
  if (sysSocket().connect(probe.fd, to, to.length) === 0) return true;
  return errno() !== ECONNREFUSED; // a full backlog is alive, too
}

function removeIfSame(
  cpath: Uint8Array<ArrayBuffer>,
  path: string,
  mine: FileStatus,
): void {
  if (isSameFile(mine, statusOfPath(cpath, path))) {
    check(unistd().unlink(cpath), "unlink", path);
  }
}

/**
 * A Unix stream socket that accepts connections.
 *
 * @example Serve every client, each on its own
 * ```ts
 * import { UnixListener, UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * const path = `${Deno.makeTempDirSync()}/socket`;
 * const listener = UnixListener.listen(path);
 *
 * async function echo(client: UnixStream) {
 *   using connection = client;
 *   const buffer = new Uint8Array(255);
 *   for (let count; (count = await connection.read(buffer)) !== null;) {
 *     await connection.write(buffer.slice(0, count));
 *   }
 * }
 * const served = (async () => {
 *   for await (const client of listener) echo(client);
 * })();
 *
 * const client = await UnixStream.connect(path);
 * await client.write(Uint8Array.of(1, 2, 3));
 * assertEquals(await client.read(new Uint8Array(8)), 3);
 * client.close();
 * listener.close(); // ends the loop
 * await served;
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixListener implements Disposable {
  /** The path, as it was given. */
  readonly path: string;
  readonly #descriptor: Descriptor;
  readonly #file: FileStatus;

  private constructor(descriptor: Descriptor, path: string, file: FileStatus) {
    this.path = path;
    this.#descriptor = descriptor;
    this.#file = file;
  }

  /**
   * `socket`, `bind(fd, address, length)`, `listen(fd, backlog)`: makes a socket
   * file and listens. The file has its final permissions from the first moment.
   *
   * @param path At most 107 bytes of UTF-8.
   * @param options `mode`, `backlog`, `reclaim`.
   * @returns The listener; its `close()` removes the file.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long, or the mode or backlog is out of
   * range.
   * @throws {IpcError} EADDRINUSE if the path exists; with `reclaim` only if
   * somebody serves it, or if it is no socket. ENOENT, ENOTDIR, EACCES, EMFILE.
   * No file is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/bind.2.html | bind(2)}
   */
  static listen(path: string, options?: UnixListenOptions): UnixListener {
    address(path);
    const mode = options?.mode ?? 0o600;
    checkMode(mode);
    const backlog = options?.backlog ?? SOMAXCONN;
    checkInteger("backlog", backlog, 1, 0x7fffffff, "int");
    const descriptor = socket(0, path);
    try {
      // bind gives the file the mode of the socket, without the umask's bits.
      check(sysStat().fchmod(descriptor.fd, mode), "fchmod", path);
      bind(descriptor, path, options?.reclaim ?? false);
      const file = statusOfPath(cString("path", path), path);
      const listener = new UnixListener(descriptor, path, file);
      try {
        check(sysSocket().listen(descriptor.fd, backlog), "listen", path);
      } catch (error) {
        listener.close();
        throw error;
      }
      return listener;
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, blocking this thread until a client
   * connects.
   *
   * @param options `timeout` in milliseconds.
   * @returns The connection.
   * @throws {ClosedError} If this listener is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; the
   * client goes on waiting.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  acceptSync(options?: SyncWaitOptions): UnixStream {
    const deadline = deadlineOf(options);
    if (deadline !== Infinity) this.#descriptor.makeNonblocking();
    for (;;) {
      const stream = this.#acceptOnce();
      if (stream !== null) return stream;
      readySync(this.#descriptor, POLLIN, deadline);
    }
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, waiting without blocking the thread.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The connection.
   * @throws {ClosedError} If this listener is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; the
   * client goes on waiting.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  async accept(options?: WaitOptions): Promise<UnixStream> {
    const deadline = deadlineOf(options);
    options?.signal?.throwIfAborted();
    for (;;) {
      const stream = this.tryAccept();
      if (stream !== null) return stream;
      await ready(this.#descriptor, POLLIN, deadline, options?.signal);
    }
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)` of a client that waits already.
   *
   * @returns The connection, or null when no client waits.
   * @throws {ClosedError} If this listener is closed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; the
   * client goes on waiting.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  tryAccept(): UnixStream | null {
    this.#descriptor.makeNonblocking();
    return this.#acceptOnce();
  }

  /** The connections, one after another, until this listener is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<UnixStream, void, unknown> {
    while (!this.#descriptor.closed) {
      let stream;
      try {
        stream = await this.accept();
      } catch (error) {
        if (this.#descriptor.closed) return;
        throw error;
      }
      yield stream;
    }
  }

  /**
   * `close(2)`, after removing the socket file, if the path still names it: a
   * socket file that nobody serves is of no use. Closing twice does nothing.
   * Pending waits end with a ClosedError; accepted connections stay.
   */
  close(): void {
    if (this.#descriptor.closed) return;
    try {
      removeIfSame(cString("path", this.path), this.path, this.#file);
    } catch {
      // Somebody removed the file or its directory, or may not: its own affair.
    }
    this.#descriptor.close();
  }

  /** Closes this listener. */
  [Symbol.dispose](): void {
    this.close();
  }

  #acceptOnce(): UnixStream | null {
    const { accept4 } = sysSocket();
    for (;;) {
      const fd = accept4(this.#descriptor.fd, null, null, SOCK_CLOEXEC);
      if (fd !== -1) return makeStream(new Descriptor(fd, this.path));
      const number = errno();
      if (number === EAGAIN) return null;
      // A client that gave up while it waited is no concern of the caller.
      if (number !== EINTR && number !== ECONNABORTED) {
        throw ipcError(number, "accept4", this.path);
      }
    }
  }
}
