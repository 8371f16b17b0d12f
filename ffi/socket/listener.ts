// Listening sockets.

import { checkInteger } from "../arguments.ts";
import {
  check,
  EAGAIN,
  ECONNABORTED,
  EINTR,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { POLLIN } from "../libc/poll.ts";
import {
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOMAXCONN,
  sysSocket,
} from "../libc/sys_socket.ts";
import {
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { ready, readySync } from "../wait/poller.ts";
import { isOverdue, turn } from "../wait/turn.ts";
import type { UnixAddress } from "./address.ts";
import {
  bind,
  bindingOf,
  type SocketFile,
  type UnixBindOptions,
} from "./bind.ts";
import { seqpacketOver, type UnixSeqpacket } from "./seqpacket.ts";
import {
  adoptSocket,
  descriptorOf,
  openSocket,
  SocketDescriptor,
  type UnixFromFdOptions,
  UnixSocket,
} from "./socket.ts";
import { streamOver, type UnixStream } from "./stream.ts";
import { untilClosed } from "../wait/iteration.ts";

/** How a listening socket is made. */
export interface UnixListenOptions extends UnixBindOptions {
  /**
   * What the connections carry: `"stream"` bytes, `"seqpacket"` messages.
   *
   * @default {"stream"}
   */
  type?: "stream" | "seqpacket" | undefined;
  /**
   * How many connections may wait to be accepted; the system's limit is
   * /proc/sys/net/core/somaxconn.
   *
   * @default {4096}
   */
  backlog?: number | undefined;
  /**
   * Whether what the connections receive says who has sent it, from the first
   * message on; see {@linkcode UnixStream.passCredentials}.
   *
   * @default {false}
   */
  passCredentials?: boolean | undefined;
}

/** How a listening descriptor is taken over. */
export interface UnixListenerFromFdOptions extends UnixFromFdOptions {
  /**
   * What the connections carry: `"stream"` bytes, `"seqpacket"` messages.
   *
   * @default {"stream"}
   */
  type?: "stream" | "seqpacket" | undefined;
}

const KINDS = {
  stream: { type: SOCK_STREAM, over: streamOver },
  seqpacket: { type: SOCK_SEQPACKET, over: seqpacketOver },
};

type Accepted = UnixStream | UnixSeqpacket;
type Over = (descriptor: SocketDescriptor) => Accepted;

function kindOf(
  options: UnixListenerFromFdOptions | undefined,
): { type: number; over: Over } {
  const name = options?.type ?? "stream";
  if (Object.hasOwn(KINDS, name)) return KINDS[name];
  throw new TypeError(
    `Argument "type" must be "stream" or "seqpacket": ${name}`,
  );
}

/**
 * A Unix socket that accepts connections.
 *
 * @typeParam Connection What it accepts: {@linkcode UnixStream} or
 * {@linkcode UnixSeqpacket}.
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
export class UnixListener<
  Connection extends UnixStream | UnixSeqpacket = UnixStream,
> extends UnixSocket {
  readonly #over: (descriptor: SocketDescriptor) => Connection;
  readonly #file: SocketFile | undefined;

  private constructor(
    descriptor: SocketDescriptor,
    over: (descriptor: SocketDescriptor) => Connection,
    file?: SocketFile,
  ) {
    super(descriptor);
    this.#over = over;
    this.#file = file;
  }

  /**
   * `socket`, `bind(fd, address, length)`, `listen(fd, backlog)`: listens. A socket
   * file has its final permissions from the first moment.
   *
   * @param address A path, an abstract name, or null for a free abstract name of
   * the kernel's choice: `localAddress` tells it. A path that is not absolute is of the
   * working directory, also when `close()` removes the file: do not change that.
   * @param options `type`, `mode`, `reclaim`, `backlog`, `passCredentials`.
   * @returns The listener; its `close()` removes the file.
   * @throws {TypeError} If the path is empty or contains NUL, or an abstract name is
   * given a mode.
   * @throws {RangeError} If the path or name is too long, or the mode or backlog is
   * out of range.
   * @throws {IpcError} EADDRINUSE if the address is in use, or the path exists; with
   * `reclaim` only if somebody serves it or reclaims it now, or if it is no socket. ENOENT, ENOTDIR,
   * EACCES, EMFILE. No file is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/listen.2.html | listen(2)}
   */
  static listen(
    address: UnixAddress | null,
    options: UnixListenOptions & { type: "seqpacket" },
  ): UnixListener<UnixSeqpacket>;
  /**
   * `socket`, `bind(fd, address, length)`, `listen(fd, backlog)`, for streams.
   *
   * @param address A path, an abstract name, or null.
   * @param options `mode`, `reclaim`, `backlog`, `passCredentials`.
   * @returns The listener; its `close()` removes the file.
   */
  static listen(
    address: UnixAddress | null,
    options?: UnixListenOptions & { type?: "stream" | undefined },
  ): UnixListener<UnixStream>;
  static listen(
    address: UnixAddress | null,
    options?: UnixListenOptions,
  ): UnixListener<Accepted> {
    const { type, over } = kindOf(options);
    const backlog = options?.backlog ?? SOMAXCONN;
    checkInteger("backlog", backlog, 1, 0x7fffffff, "int");
    const binding = bindingOf(address, options);
    const passCredentials = options?.passCredentials;
    const { subject } = binding;
    const descriptor = openSocket(type, subject);
    let file;
    try {
      file = bind(descriptor, binding);
      const listener = new UnixListener<Accepted>(descriptor, over, file);
      if (passCredentials) listener.passCredentials = true;
      check(sysSocket().listen(descriptor.fd, backlog), "listen", subject);
      return listener;
    } catch (error) {
      file?.remove();
      descriptor.close();
      throw error;
    }
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ...)`: takes over a listening socket
   * that a parent or a service manager has passed; see {@linkcode listenFds}. The
   * number must not belong to anything else in this process: `close()` closes it,
   * and leaves its file alone.
   *
   * @param fd The number of the descriptor.
   * @param options `type`, and what errors call it.
   * @returns The listener, with close-on-exec set.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a connection, or a listener of
   * the other type, or belongs to an object of this module. It stays open.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(
    fd: number,
    options: UnixListenerFromFdOptions & { type: "seqpacket" },
  ): UnixListener<UnixSeqpacket>;
  /**
   * `getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ...)`, for streams.
   *
   * @param fd The number of the descriptor.
   * @param options What errors call it.
   * @returns The listener, with close-on-exec set.
   */
  static fromFd(
    fd: number,
    options?: UnixListenerFromFdOptions & { type?: "stream" | undefined },
  ): UnixListener<UnixStream>;
  static fromFd(
    fd: number,
    options?: UnixListenerFromFdOptions,
  ): UnixListener<Accepted> {
    const { type, over } = kindOf(options);
    const descriptor = adoptSocket(fd, type, true, options);
    return new UnixListener<Accepted>(descriptor, over);
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, blocking this thread until a client
   * connects.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
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
  acceptSync(options?: SyncWaitOptions): Connection {
    const socket = descriptorOf(this);
    const deadline = deadlineOf(options);
    if (deadline !== Infinity) socket.makeNonblocking();
    for (;;) {
      const connection = this.#acceptOnce();
      if (connection !== null) return connection;
      readySync(socket, POLLIN, deadline);
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
  async accept(options?: WaitOptions): Promise<Connection> {
    const deadline = deadlineOf(options);
    options?.signal?.throwIfAborted();
    for (;;) {
      const connection = this.tryAccept();
      if (connection !== null) {
        if (isOverdue()) await turn();
        return connection;
      }
      await ready(descriptorOf(this), POLLIN, deadline, options?.signal);
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
  tryAccept(): Connection | null {
    descriptorOf(this).makeNonblocking(); // accept has no MSG_DONTWAIT
    return this.#acceptOnce();
  }

  /** The connections, one after another, until this listener is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<Connection, void, unknown> {
    return untilClosed(() => this.accept());
  }

  /**
   * `close(2)`, after removing the socket file, if the path still names the one
   * that this listener made: a socket file that nobody serves is of no use. Closing
   * twice does nothing. Pending waits end with a ClosedError; accepted connections
   * stay.
   */
  override close(): void {
    if (!descriptorOf(this).closed) this.#file?.remove();
    super.close();
  }

  #acceptOnce(): Connection | null {
    const socket = descriptorOf(this);
    const { accept4 } = sysSocket();
    for (;;) {
      const fd = accept4(socket.fd, null, null, SOCK_CLOEXEC);
      if (fd !== -1) return this.#connection(fd);
      const number = errno();
      if (number === EAGAIN) return null;
      // A client that gave up while it waited is no concern of the caller.
      if (number !== EINTR && number !== ECONNABORTED) {
        throw ipcError(number, "accept4", socket.subject);
      }
    }
  }

  #connection(fd: number): Connection {
    const { subject, passCredentials } = descriptorOf(this);
    const descriptor = new SocketDescriptor(fd, subject);
    descriptor.passCredentials = passCredentials; // the kernel has done so, too
    return this.#over(descriptor);
  }
}
