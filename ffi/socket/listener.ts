// Listening sockets: listen(2) and accept4(2).

import { checkInteger, choose } from "../arguments.ts";
import type { IpcHolder } from "../inspect/types.ts";
import { internal } from "../internal.ts";
import type { FromFdOptions } from "../kernel/descriptor_owner.ts";
import { SS_LISTENING } from "../kernel/unix_diag.ts";
import {
  check,
  EAGAIN,
  ECONNABORTED,
  EMFILE,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  ENOSPC,
  EPROTO,
  errno,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { POLLIN } from "../libc/poll.ts";
import {
  SOCK_CLOEXEC,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  SOMAXCONN,
  sysSocket,
} from "../libc/sys_socket.ts";
import { IpcError } from "../errors.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff } from "../wait/backoff.ts";
import type { Armed, Settle } from "../wait/cancellable.ts";
import { untilClosed } from "../wait/iteration.ts";
import { withoutBlocking } from "../wait/nowait.ts";
import {
  deadlineOf,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { eventsNow, readySync } from "../wait/poll.ts";
import { DescriptorSource } from "../wait/reactor.ts";
import type { UnixAddress } from "./address.ts";
import { bind, bindingOf, type UnixBindOptions } from "./bind.ts";
import { namedSockets } from "./list.ts";
import { seqpacketOver, type UnixSeqpacket } from "./seqpacket.ts";
import {
  adoptSocket,
  chmod,
  descriptorOf,
  openSocket,
  passingOf,
  SocketDescriptor,
  UnixSocket,
} from "./socket.ts";
import type { SocketFile } from "./socket_file.ts";
import { streamOver, type UnixStream } from "./stream.ts";

/** Options of `listen()` of a {@linkcode UnixListener}. */
export interface UnixListenOptions extends UnixBindOptions {
  /**
   * Whether the connections carry a stream of bytes or messages.
   *
   * @default {"stream"}
   */
  type?: "stream" | "seqpacket" | undefined;
  /**
   * The number of connections that wait to be accepted; the kernel lets one more wait.
   * It silently limits the number to /proc/sys/net/core/somaxconn.
   *
   * @default {4096}
   */
  backlog?: number | undefined;
}

/** An entry of `list()` of a `UnixListener`. */
export interface UnixListenerEntry {
  /** The address. */
  readonly address: UnixAddress;
  /** Whether the connections carry a stream of bytes or messages. */
  readonly type: "stream" | "seqpacket";
  /** The inode. */
  readonly inode: number;
  /** The user id of the process that made it; null before Linux 5.3. */
  readonly uid: number | null;
  /** The number of connections that wait to be accepted. */
  readonly waiting: number;
  /** The number of connections that may wait; the kernel lets one more wait. */
  readonly backlog: number;
  /** The processes that have it. */
  readonly holders: readonly IpcHolder[];
}

const KINDS = {
  stream: { type: SOCK_STREAM, over: streamOver },
  seqpacket: { type: SOCK_SEQPACKET, over: seqpacketOver },
};

type Accepted = UnixStream | UnixSeqpacket;
type Over = (descriptor: SocketDescriptor) => Accepted;

function kindOf(
  options: Pick<UnixListenOptions, "type"> | undefined,
): { type: number; over: Over } {
  return choose("type", options?.type ?? "stream", KINDS);
}

/** Errors after which the next connection can be accepted: this one has failed. */
const PASSING = new Set([ECONNABORTED, EPROTO]);

/** One accept4(2), which may block; undefined for EAGAIN. */
function acceptOnce({ fd, subject }: SocketDescriptor): number | undefined {
  const { accept4 } = sysSocket();
  for (;;) {
    const accepted = accept4(fd, null, null, SOCK_CLOEXEC);
    if (accepted !== -1) return accepted;
    const error = errno();
    if (error === EAGAIN) return undefined;
    if (PASSING.has(error) || isInterruption(error)) continue;
    throw ipcError(error, "accept4", subject);
  }
}

/**
 * One accept4(2) that does not block. It has no flag for that, and other processes that
 * share the socket can clear O_NONBLOCK. So it is called only if a connection waits, and
 * with O_NONBLOCK, because another process may accept that one first.
 */
function acceptNow(socket: SocketDescriptor): number | undefined {
  const { fd } = socket;
  if (eventsNow(fd, POLLIN) === 0) return undefined;
  return withoutBlocking(fd, () => acceptOnce(socket));
}

/**
 * Accepts all clients that wait at once. To accept one in a pass of the reactor would
 * keep the last of many clients waiting.
 */
class ListenerSource extends DescriptorSource {
  override isDeferred(): boolean {
    return false;
  }
}

/**
 * Errors that end when this process, or the system, has descriptors or memory again;
 * ENOSPC is of epoll_ctl(2), whose limit is per user.
 */
const SHORTAGES = new Set([EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC]);

function isShortage(error: unknown): boolean {
  return error instanceof IpcError && SHORTAGES.has(error.errno);
}

/** Accepts for a server: waits for the end of a shortage, which has no event. */
class ServerSource extends ListenerSource {
  readonly #backoff = new Backoff(this.subject);
  #isShort = false;

  /** Calls `tryOnce`; undefined in a shortage. */
  guard<T>(tryOnce: () => T): T | undefined {
    this.#isShort = false;
    try {
      return tryOnce();
    } catch (error) {
      this.#isShort = isShortage(error);
      if (!this.#isShort) throw error;
      return undefined;
    }
  }

  override arm(wait: Settle): Armed {
    const backOff = () =>
      this.#backoff.pause(() => {
        wait.resolve();
        return true;
      });
    if (this.#isShort) return backOff();
    let instead: Armed | undefined;
    const armed = super.arm({
      resolve: () => wait.resolve(),
      reject(reason) {
        if (isShortage(reason)) instead = backOff(); // the epoll of the wait needs two
        else wait.reject(reason);
      },
    });
    return { takeBack: () => (instead ?? armed).takeBack() };
  }
}

/**
 * A Unix socket that accepts connections.
 *
 * @typeParam Connection The class of its connections: {@linkcode UnixStream} or
 * {@linkcode UnixSeqpacket}.
 *
 * @example Serve several clients concurrently
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

  /** @ignore */
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
   * `bind(fd, address, length)`, then `listen(fd, backlog)`: opens a listening socket.
   * Its file never has other permissions than `mode`.
   *
   * @param address A path, an abstract name, or null for a free abstract name, which
   * `localAddress` returns. Do not change the working directory while a listener with a
   * relative path is open: `close()` could not find the file.
   * @param options `type`, `mode`, `reclaim`, `backlog`, `passCredentials`,
   * `passDescriptors`.
   * @returns The listener; its `close()` removes the file.
   * @throws {TypeError} If the path is empty or contains NUL, or a mode is given with
   * an abstract name.
   * @throws {RangeError} If the path or name is too long, or the mode or backlog is
   * out of range.
   * @throws {IpcError} EADDRINUSE if the address is in use, or the path exists; with
   * `reclaim` only if a socket is bound to it, another process reclaims it now, or it is
   * a file of another type. ENOENT if a directory of the path is missing; ENOTDIR or
   * ELOOP if it leads through a file or too many links; EACCES if the directory is not
   * writable, or one not searchable; EROFS, ENOSPC, EDQUOT; EPERM if the file system has
   * no sockets; ENAMETOOLONG if `reclaim` finds a socket whose name has more than 247
   * bytes; EMFILE, ENFILE, ENOBUFS, ENOMEM. No file is left behind.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted, and the path has more
   * than 108 bytes, or the umask clears bits of the mode.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/listen.2.html | listen(2)}
   */
  static listen(
    address: UnixAddress | null,
    options: UnixListenOptions & { type: "seqpacket" },
  ): UnixListener<UnixSeqpacket>;
  /**
   * `bind(fd, address, length)`, then `listen(fd, backlog)`, for streams.
   *
   * @param address A path, an abstract name, or null.
   * @param options `mode`, `reclaim`, `backlog`, `passCredentials`,
   * `passDescriptors`.
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
    const { backlog = SOMAXCONN } = options ?? {};
    const pass = passingOf(options);
    checkInteger("backlog", backlog, 1, 0x7fffffff, "int");
    const binding = bindingOf(address, options);
    const { subject } = binding;
    const descriptor = openSocket(type, subject);
    let file;
    try {
      pass(descriptor);
      file = bind(descriptor, binding);
      const listener = new UnixListener<Accepted>(
        internal,
        descriptor,
        over,
        file,
      );
      check(sysSocket().listen(descriptor.fd, backlog), "listen", subject);
      return listener;
    } catch (error) {
      file?.remove();
      descriptor.close();
      throw error;
    }
  }

  /**
   * `sock_diag(7)`: lists the sockets of this network namespace that listen at an address,
   * like `ss -xl`. Without CAP_SYS_PTRACE the descriptors of other users' processes are
   * hidden: their sockets have no holders.
   *
   * @returns The listeners, in no particular order.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM;
   * EPROTONOSUPPORT or ENOENT if the kernel lacks sock_diag for Unix sockets.
   *
   * @example Does anything listen?
   * ```ts
   * import { UnixListener } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using listener = UnixListener.listen(`@list-${Deno.pid}`, { backlog: 5 });
   * const { address, ...entry } = UnixListener.list().find(({ holders }) =>
   *   holders.some(({ fds, pid }) => pid === Deno.pid && fds.includes(listener.fd))
   * )!;
   * assertEquals(address, listener.localAddress);
   * assertEquals([entry.waiting, entry.backlog], [0, 5]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/sock_diag.7.html | sock_diag(7)}
   */
  static list(): UnixListenerEntry[] {
    return namedSockets(
      "list listeners",
      ({ state }) => state === SS_LISTENING,
    ).map(({ address, socket, holders }) => ({
      address,
      type: socket.type === SOCK_SEQPACKET ? "seqpacket" : "stream",
      inode: socket.inode,
      uid: socket.uid ?? null,
      waiting: socket.receiveQueue,
      backlog: socket.sendQueue,
      holders,
    }));
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ...)`: takes ownership of a listening
   * socket that a parent or a service manager has passed; see `listenFds()`.
   *
   * No other object may own the descriptor: `close()` closes it, and does not remove its
   * file. An object of another Worker is not noticed.
   *
   * @param fd The number of the descriptor.
   * @param options `type` and `name`.
   * @returns The listener, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a connection or a listener of
   * the other type, or belongs to an object of this module on this thread; it is
   * not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(
    fd: number,
    options: FromFdOptions & { type: "seqpacket" },
  ): UnixListener<UnixSeqpacket>;
  /**
   * `getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, ...)`, for streams.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The listener, with close-on-exec set.
   */
  static fromFd(
    fd: number,
    options?: FromFdOptions & { type?: "stream" | undefined },
  ): UnixListener<UnixStream>;
  static fromFd(
    fd: number,
    options?: FromFdOptions & Pick<UnixListenOptions, "type">,
  ): UnixListener<Accepted> {
    const { type, over } = kindOf(options);
    const descriptor = adoptSocket(fd, type, true, options);
    return new UnixListener<Accepted>(internal, descriptor, over);
  }

  /**
   * `fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW)`: changes the permission bits of
   * the socket file. The umask does not apply.
   *
   * @param mode The permission bits, 0 to 0o777.
   * @throws {RangeError} If the mode is out of range.
   * @throws {TypeError} If this object has created no file: its address is an abstract
   * name, or it was made by `fromFd()`.
   * @throws {ClosedError} If this listener is closed.
   * @throws {IpcError} ENOENT if the path does not name this socket any more; EACCES,
   * EPERM, EROFS, EMFILE.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted, before Linux 6.6 or
   * glibc 2.39.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fchmodat.2.html | fchmodat(2)}
   */
  chmod(mode: number): void {
    chmod(descriptorOf(this), mode);
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, blocking this thread until a client
   * connects.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `timeout` in milliseconds.
   * @returns The connection.
   * @throws {ClosedError} If this listener is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors, ENOBUFS or
   * ENOMEM if there is too little memory; the client stays in the backlog. Wait before
   * another try, as the async iterator does.
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
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, waiting without blocking the thread.
   *
   * Concurrent calls are served in the order of the calls. The listener is non-blocking
   * (`O_NONBLOCK`) while a connection is accepted, also for other processes that share
   * it: a blocking accept of one of them in that moment can fail with EAGAIN.
   *
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The connection.
   * @throws {ClosedError} If this listener is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors, ENOBUFS or
   * ENOMEM if there is too little memory; the client stays in the backlog. Wait before
   * another try, as the async iterator does.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  async accept(options?: WaitOptions): Promise<Connection> {
    const limits = limitsOf(options);
    const socket = descriptorOf(this);
    return await attempt(
      new ListenerSource(socket, POLLIN),
      () => this.#tryAccept(),
      limits,
      socket.receives.queue,
    );
  }

  /**
   * `accept4(fd, NULL, NULL, SOCK_CLOEXEC)`, without waiting. The listener is
   * non-blocking for that time, as by
   * {@linkcode UnixListener.prototype.accept | UnixListener.accept}.
   *
   * @returns The connection, or undefined if none waits to be accepted.
   * @throws {ClosedError} If this listener is closed.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors, ENOBUFS or
   * ENOMEM if there is too little memory; the client stays in the backlog. Wait before
   * another try, as the async iterator does.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/accept.2.html | accept(2)}
   */
  tryAccept(): Connection | undefined {
    return this.#tryAccept();
  }

  /**
   * Accepts connections until this listener is closed.
   *
   * While there are too few descriptors or too little memory (EMFILE, ENFILE, ENOBUFS,
   * ENOMEM), the clients stay in the backlog, and the loop tries again every 1 to 20
   * milliseconds.
   */
  [Symbol.asyncIterator](): AsyncGenerator<Connection, void, unknown> {
    return untilClosed(() => {
      const socket = descriptorOf(this);
      const source = new ServerSource(socket, POLLIN);
      const tryOnce = () => source.guard(() => this.#tryAccept());
      return attempt(source, tryOnce, NO_LIMITS, socket.receives.queue);
    });
  }

  #tryAccept(): Connection | undefined {
    const fd = acceptNow(descriptorOf(this));
    return fd === undefined ? undefined : this.#connection(fd);
  }

  #connection(fd: number): Connection {
    const { subject, passCredentials, longName } = descriptorOf(this);
    const descriptor = new SocketDescriptor(fd, subject);
    descriptor.longName = longName;
    descriptor.passCredentials = passCredentials; // inherited, as in the kernel
    return this.#over(descriptor);
  }
}
