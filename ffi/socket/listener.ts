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
import { internal } from "../internal.ts";
import { pollfd, POLLIN } from "../libc/poll.ts";
import {
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOMAXCONN,
  sysSocket,
} from "../libc/sys_socket.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import { makeNonblocking } from "../wait/nowait.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { DescriptorSource, pollNow, readySync } from "../wait/reactor.ts";
import type { UnixAddress } from "./address.ts";
import { bind, bindingOf, type UnixBindOptions } from "./bind.ts";
import type { SocketFile } from "./socket_file.ts";
import { seqpacketOver, type UnixSeqpacket } from "./seqpacket.ts";
import {
  adoptSocket,
  descriptorOf,
  openSocket,
  setPassCredentials,
  SocketDescriptor,
  type UnixFromFdOptions,
  UnixSocket,
} from "./socket.ts";
import { streamOver, type UnixStream } from "./stream.ts";

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
  if (name === "stream" || name === "seqpacket") return KINDS[name];
  throw new TypeError(
    `Argument "type" must be "stream" or "seqpacket": ${String(name)}`,
  );
}

const request = new Uint8Array(pollfd.size);
const requestView = pollfd.view(request);

/** Whether a client waits. */
function hasClient(fd: number): boolean {
  requestView.fd = fd;
  requestView.events = POLLIN;
  pollNow(request, 1);
  return requestView.revents !== 0;
}

/** accept4(2) as it is, which may block: the number, or undefined. */
function acceptOnce({ fd, subject }: SocketDescriptor): number | undefined {
  const { accept4 } = sysSocket();
  for (;;) {
    const accepted = accept4(fd, null, null, SOCK_CLOEXEC);
    if (accepted !== -1) return accepted;
    const number = errno();
    if (number === EAGAIN) return undefined;
    // A client that gave up while it waited is no concern of the caller.
    if (number !== EINTR && number !== ECONNABORTED) {
      throw ipcError(number, "accept4", subject);
    }
  }
}

/**
 * accept4(2) that does not wait. It knows no MSG_DONTWAIT, and any process that shares
 * the socket can clear O_NONBLOCK, so it is called only when a client is there; with
 * O_NONBLOCK, as another process may be faster.
 */
function acceptNow(socket: SocketDescriptor): number | undefined {
  const { fd } = socket;
  if (!hasClient(fd)) return undefined;
  makeNonblocking(fd);
  return acceptOnce(socket);
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

  private constructor(
    token: typeof internal,
    descriptor: SocketDescriptor,
    over: (descriptor: SocketDescriptor) => Connection,
    file?: SocketFile,
  ) {
    super(token, descriptor);
    this.#over = over;
    descriptor.file = file;
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
    const { backlog = SOMAXCONN, passCredentials } = options ?? {};
    checkInteger("backlog", backlog, 1, 0x7fffffff, "int");
    const binding = bindingOf(address, options);
    const { subject } = binding;
    const descriptor = openSocket(type, subject);
    let file;
    try {
      file = bind(descriptor, binding);
      const listener = new UnixListener<Accepted>(
        internal,
        descriptor,
        over,
        file,
      );
      if (passCredentials) setPassCredentials(descriptor, true);
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
    return new UnixListener<Accepted>(internal, descriptor, over);
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
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    const tryOnce = deadline === Infinity ? acceptOnce : acceptNow;
    const fd = attemptSync(
      socket.subject,
      () => tryOnce(socket),
      (deadline) => readySync(socket, POLLIN, deadline),
      deadline,
    );
    return this.#connection(fd);
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, waiting without blocking the thread. Several
   * at a time are served in the order of the calls. The listener is made non-blocking
   * (`O_NONBLOCK`), which whoever shares it with this process sees, too.
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
    return await this.#accept(limitsOf(options));
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)` of a client that waits already. The
   * listener is made non-blocking, as by {@linkcode UnixListener.accept}.
   *
   * @returns The connection, or null when no client waits.
   * @throws {ClosedError} If this listener is closed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; the
   * client goes on waiting.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  tryAccept(): Connection | null {
    return this.#tryAccept() ?? null;
  }

  /** The connections, one after another, until this listener is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<Connection, void, unknown> {
    return untilClosed(() => this.#accept(NO_LIMITS));
  }

  #accept(limits: Limits): Promise<Connection> {
    const socket = descriptorOf(this);
    return attempt(
      new DescriptorSource(socket, POLLIN),
      () => this.#tryAccept(),
      limits,
      socket.receives,
    );
  }

  #tryAccept(): Connection | undefined {
    const fd = acceptNow(descriptorOf(this));
    return fd === undefined ? undefined : this.#connection(fd);
  }

  #connection(fd: number): Connection {
    const { subject, passCredentials } = descriptorOf(this);
    const descriptor = new SocketDescriptor(fd, subject);
    descriptor.passCredentials = passCredentials; // the kernel has done so, too
    return this.#over(descriptor);
  }
}
