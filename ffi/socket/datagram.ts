// Datagram sockets (SOCK_DGRAM): messages without a connection.

import type { IpcHolder } from "../inspect/types.ts";
import { internal } from "../internal.ts";
import type { FromFdOptions, Pair } from "../kernel/descriptor_owner.ts";
import type { Liveness } from "../kernel/liveness.ts";
import { POLLOUT } from "../libc/poll.ts";
import {
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  SOCK_DGRAM,
  sysSocket,
} from "../libc/sys_socket.ts";
import {
  attempt,
  type Pending,
  promised,
  type Source,
} from "../wait/attempt.ts";
import type { Armed } from "../wait/cancellable.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { readySync } from "../wait/poll.ts";
import { watch } from "../wait/reactor.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { isOverdue } from "../wait/yield.ts";
import { describeName, encodeAddress, type UnixAddress } from "./address.ts";
import {
  receive,
  receiveSync,
  receiveWith,
  sendSync,
  trySend,
} from "./transfer.ts";
import { namedSockets } from "./list.ts";
import { bind, type Binding, bindingOf, type UnixBindOptions } from "./bind.ts";
import type { SocketFile } from "./socket_file.ts";
import { connectOnce } from "./connect.ts";
import {
  type Incoming,
  incomingOf,
  longestMessage,
  type Outgoing,
  outgoingOf,
  receiveOnce,
  sendOnce,
  type UnixMessage,
  type UnixReceiveOptions,
  type UnixSendOptions,
} from "./message.ts";
import {
  adoptSocket,
  chmod,
  descriptorOf,
  openSocket,
  passingOf,
  type SocketDescriptor,
  socketPair,
  UnixChannel,
} from "./socket.ts";

/** Options of `connect()` of a {@linkcode UnixDatagram}. */
export interface UnixDatagramConnectOptions extends UnixBindOptions {
  /**
   * The address of this socket, which replies are sent to: a path, an abstract name, or
   * null for a free abstract name.
   *
   * @default {no address: the socket is unnamed}
   */
  from?: UnixAddress | null | undefined;
}

/** Options of `send()` of a {@linkcode UnixDatagram}, and its siblings. */
export interface UnixSendToOptions extends UnixSendOptions {
  /**
   * The address of the receiver, such as the `from` of a message.
   *
   * @default {the peer that this socket is connected to}
   */
  to?: UnixAddress | undefined;
}

/** Reads and checks a message to send and its receiver. */
function outgoingTo(
  data: Uint8Array,
  options: UnixSendToOptions | undefined,
): Outgoing {
  const to = options?.to;
  return outgoingOf(data, options, to === undefined ? null : encodeAddress(to));
}

/** One recvmsg(2); undefined if it would block. */
function receiveNext(
  socket: SocketDescriptor,
  incoming: Incoming,
  flags = MSG_DONTWAIT,
): UnixMessage | undefined {
  return receiveOnce(socket, incoming, flags, true);
}

/** Reads and checks the options of a receive. */
function optionsOf(
  options: UnixReceiveOptions | undefined,
  peek = 0,
): Incoming {
  return incomingOf(options, longestMessage(), peek | MSG_TRUNC);
}

/**
 * Opens a socket that is connected to a receiver: it is writable when the queue of the
 * receiver has room. A socket that is not connected does not tell.
 */
export function connectedTo(
  to: Uint8Array<ArrayBuffer>,
  subject: string,
): SocketDescriptor {
  const probe = openSocket(SOCK_DGRAM, subject);
  try {
    connectOnce(probe, to);
    return probe;
  } catch (error) {
    probe.close();
    throw error;
  }
}

/** Waits for room: in this socket, and in the queue of the receiver. */
class RoomSource implements Source {
  readonly spins = false;
  readonly #socket: SocketDescriptor;
  readonly #to: Uint8Array<ArrayBuffer> | null;

  constructor(socket: SocketDescriptor, to: Uint8Array<ArrayBuffer> | null) {
    this.#socket = socket;
    this.#to = to;
  }

  get subject(): string {
    return this.#socket.subject;
  }

  get liveness(): Liveness {
    return this.#socket.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed {
    const to = this.#to;
    if (to === null) return watch(this.#socket, POLLOUT, wait);
    let armed: Armed = watch(this.#socket, POLLOUT, {
      resolve: () => {
        try {
          armed = this.#armProbe(to, wait);
        } catch (error) {
          wait.reject(error);
        }
      },
      reject: (reason) => wait.reject(reason),
    });
    return { takeBack: () => armed.takeBack() };
  }

  /** Waits for room in the queue of the receiver. */
  #armProbe(to: Uint8Array<ArrayBuffer>, wait: Pending): Armed {
    const { attached, subject } = this.#socket;
    const probe = connectedTo(to, subject);
    attached.add(probe);
    const end = () => {
      attached.delete(probe);
      probe.close();
    };
    const armed = watch(probe, POLLOUT, {
      resolve() {
        end();
        wait.resolve();
      },
      reject(reason) {
        end();
        wait.reject(reason);
      },
    });
    return {
      takeBack() {
        const left = armed.takeBack();
        end();
        return left;
      },
    };
  }
}

/**
 * The queues of pending sends: one for each receiver, so that a receiver whose queue is
 * full does not delay messages to the others.
 */
class SendQueues {
  readonly #socket: SocketDescriptor;
  readonly #byReceiver = new Map<string, WaiterQueue>();
  #connected: boolean | undefined;

  constructor(socket: SocketDescriptor) {
    this.#socket = socket;
  }

  /** The queue of a receiver; null if no send to it is pending. */
  find(to: Uint8Array<ArrayBuffer> | null): WaiterQueue | null {
    if (to === null || this.#isConnected()) return this.#socket.sends.queue;
    if (this.#byReceiver.size === 0) return null;
    return this.#byReceiver.get(String.fromCharCode(...to)) ?? null;
  }

  /** Calls `send` with the queue of a receiver. */
  async run(
    to: Uint8Array<ArrayBuffer> | null,
    send: (queue: WaiterQueue) => Promise<unknown>,
  ): Promise<void> {
    if (to === null || this.#isConnected()) {
      await send(this.#socket.sends.queue);
      return;
    }
    const receiver = String.fromCharCode(...to);
    const queue = this.#byReceiver.get(receiver) ?? new WaiterQueue();
    this.#byReceiver.set(receiver, queue);
    try {
      await send(queue);
    } finally {
      if (!queue.busy) this.#byReceiver.delete(receiver);
    }
  }

  /** A connected socket has one receiver, with or without an address. */
  #isConnected(): boolean {
    return this.#connected ??= isConnected(this.#socket);
  }
}

/** An entry of `list()` of a `UnixDatagram`. */
export interface UnixDatagramEntry {
  /** The address. */
  readonly address: UnixAddress;
  /** The inode. */
  readonly inode: number;
  /** The user id of the process that made it; null before Linux 5.3. */
  readonly uid: number | null;
  /** The size of the first message that waits to be received, in bytes; 0 without one. */
  readonly nextSize: number;
  /** The processes that have it. */
  readonly holders: readonly IpcHolder[];
}

/** Whether a socket is connected. */
function isConnected({ fd }: SocketDescriptor): boolean {
  const length = Uint32Array.of(0);
  return sysSocket().getpeername(fd, new Uint8Array(1), length) === 0;
}

/** Waits as RoomSource does, blocking this thread. */
function waitForRoom(
  socket: SocketDescriptor,
  { to }: Outgoing,
  deadline: number,
): void {
  readySync(socket, POLLOUT, deadline);
  if (to === null) return;
  const probe = connectedTo(to, socket.subject);
  try {
    readySync(probe, POLLOUT, deadline);
  } finally {
    probe[Symbol.dispose]();
  }
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor, file?: SocketFile) => UnixDatagram;

/** Opens a socket, and binds and connects it if wanted. */
function open(
  subject: string,
  pass: (socket: SocketDescriptor) => void,
  binding: Binding | undefined,
  to?: Uint8Array<ArrayBuffer>,
): UnixDatagram {
  const descriptor = openSocket(SOCK_DGRAM, subject);
  let file: SocketFile | undefined;
  try {
    pass(descriptor); // before a message can arrive
    file = binding && bind(descriptor, binding);
    if (to !== undefined) connectOnce(descriptor, to);
    return make(descriptor, file);
  } catch (error) {
    file?.remove();
    descriptor.close();
    throw error;
  }
}

/** Opens a socket that is connected to an address. */
function connectTo(
  to: UnixAddress,
  options: UnixDatagramConnectOptions | undefined,
): UnixDatagram {
  const address = encodeAddress(to);
  const from = options?.from;
  const pass = passingOf(options);
  const binding = from === undefined ? undefined : bindingOf(from, options);
  return open(describeName(address), pass, binding, address);
}

/**
 * A Unix datagram socket: messages without a connection.
 *
 * They keep their boundaries and their order. A sender waits while the queue of the
 * receiver is full: it holds one message more than /proc/sys/net/unix/max_dgram_qlen
 * says, which is 10 unless changed. Between the two sockets of a pair the size of the
 * send buffer is the only limit.
 *
 * Choose it for one receiver and many senders that come and go. It has no end: a receiver
 * does not learn that a sender has closed, nor does one socket of a pair learn it of the
 * other. Only a send does: it fails with ECONNREFUSED, and the kernel then discards what
 * a connected socket has not received yet. If each side is to learn that the other has
 * closed, choose {@linkcode UnixSeqpacket}.
 *
 * Asynchronous receives get what arrives in the order of their calls, and sends to one
 * address are done in the order of their calls: while one waits, `trySend` to that
 * address returns false, and `sendSync` throws. `receiveSync` and `tryReceive` do not
 * queue: they take what is there before the asynchronous receives that wait.
 *
 * @example A request, and the reply to its sender
 * ```ts
 * import { UnixDatagram } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * using server = UnixDatagram.create({ abstract: `doubler-${Deno.pid}` });
 * const to = server.localAddress!;
 * using client = await UnixDatagram.connect(to, { from: null });
 *
 * client.sendSync(Uint8Array.of(21));
 * const request = await server.receive();
 * await server.send(Uint8Array.of(request.data[0]! * 2), { to: request.from! });
 * assertEquals((await client.receive()).data, Uint8Array.of(42));
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixDatagram extends UnixChannel {
  readonly #queues: SendQueues;

  /** @ignore */
  private constructor(
    token: typeof internal,
    descriptor: SocketDescriptor,
    file?: SocketFile,
  ) {
    super(token, descriptor);
    descriptor.file = file;
    this.#queues = new SendQueues(descriptor);
  }

  static {
    make = (descriptor, file) => new UnixDatagram(internal, descriptor, file);
  }

  /**
   * `bind(fd, address, length)`: opens a socket that receives at an address.
   *
   * @param address A path, an abstract name, or null for a free abstract name, which
   * `localAddress` returns. Do not change the working directory while a socket with a
   * relative path is open: `close()` could not find the file.
   * @param options `mode` and `reclaim`, for a path; `passCredentials`,
   * `passDescriptors`.
   * @returns The socket; its `close()` removes the file.
   * @throws {TypeError} If the path is empty or contains NUL, or a mode is given with an
   * abstract name.
   * @throws {RangeError} If the path or name is too long, or the mode out of range.
   * @throws {IpcError} As {@linkcode UnixListener.listen}. No file is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/bind.2.html | bind(2)}
   */
  static create(
    address: UnixAddress | null,
    options?: UnixBindOptions,
  ): UnixDatagram {
    const pass = passingOf(options);
    const binding = bindingOf(address, options);
    return open(binding.subject, pass, binding);
  }

  /**
   * `connect(fd, address, length)`: opens a socket that sends to one receiver, and
   * receives from that one only.
   *
   * @param to The address of the receiver.
   * @param options `from`, the address of this socket; `mode` and `reclaim`, if `from` is
   * a path; `passCredentials`, `passDescriptors`; and `timeout` in milliseconds.
   * @returns The socket; its `close()` removes the file.
   * @throws {TypeError} If a path is empty or contains NUL.
   * @throws {RangeError} If a path or name is too long, or the mode out of range.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ENOENT if the path does not exist; ENOTDIR or ELOOP if it leads
   * through a file or too many links; ECONNREFUSED if no socket is bound to the address,
   * or the file is no socket (EROFS if its file system is read-only); EACCES if the file
   * is not writable, or a directory not searchable; EPROTOTYPE if it is a socket of
   * another type; EPERM if that is connected to another socket; EMFILE, ENFILE, ENOBUFS,
   * ENOMEM; with `from` those of {@linkcode UnixDatagram.create}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static connectSync(
    to: UnixAddress,
    options?: UnixDatagramConnectOptions & SyncWaitOptions,
  ): UnixDatagram {
    deadlineOf(options); // checked only: there is no backlog to wait for
    return connectTo(to, options);
  }

  /**
   * `connect(fd, address, length)`: opens a socket that sends to one receiver, and
   * receives from that one only. It does not wait: a datagram socket has no backlog.
   *
   * @param to The address of the receiver.
   * @param options `from`, the address of this socket; `mode` and `reclaim`, if `from` is
   * a path; `passCredentials`, `passDescriptors`, `timeout` in milliseconds, and
   * `signal`.
   * @returns The socket; its `close()` removes the file.
   * @throws {TypeError} If a path is empty or contains NUL.
   * @throws {RangeError} If a path or name is too long, or the mode out of range.
   * @throws {IpcError} As {@linkcode UnixDatagram.connectSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static async connect(
    to: UnixAddress,
    options?: UnixDatagramConnectOptions & WaitOptions,
  ): Promise<UnixDatagram> {
    limitsOf(options); // checked only, as above
    return await connectTo(to, options);
  }

  /**
   * `socketpair(AF_UNIX, SOCK_DGRAM, 0, sv)`: two connected sockets without a name,
   * such as one for this process and one for a child.
   *
   * @returns Both sockets; its `close()` closes both.
   * @throws {IpcError} EMFILE or ENFILE if this process, or the system, has too many
   * open descriptors.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/socketpair.2.html | socketpair(2)}
   */
  static pair(): Pair<UnixDatagram> {
    return socketPair(SOCK_DGRAM, (descriptor) => make(descriptor));
  }

  /**
   * `sock_diag(7)`: lists the datagram sockets of this network namespace that have an
   * address. Without CAP_SYS_PTRACE the descriptors of other users' processes are hidden:
   * their sockets have no holders.
   *
   * @returns The sockets, in no particular order.
   * @throws {Deno.errors.NotSupported} If /proc is not mounted.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors; ENOMEM;
   * EPROTONOSUPPORT or ENOENT if the kernel lacks sock_diag for Unix sockets.
   *
   * @example Who receives at an address
   * ```ts
   * import { UnixDatagram } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using socket = UnixDatagram.create(`/tmp/log-${Deno.pid}`);
   * const entry = UnixDatagram.list().find(({ address }) =>
   *   address === socket.localAddress
   * );
   * assertEquals(entry?.holders.map(({ pid }) => pid), [Deno.pid]);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man7/sock_diag.7.html | sock_diag(7)}
   */
  static list(): UnixDatagramEntry[] {
    return namedSockets(
      "list datagram sockets",
      ({ type }) => type === SOCK_DGRAM,
    ).map(({ address, socket: { inode, uid, receiveQueue }, holders }) => ({
      address,
      inode,
      uid: uid ?? null,
      nextSize: receiveQueue,
      holders,
    }));
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes ownership of a Unix datagram socket
   * that a parent, a peer or a service manager has passed.
   *
   * No other object may own the descriptor: `close()` closes it, and does not remove its
   * file. An object of another Worker is not noticed.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The socket, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, or belongs to an object of this module on
   * this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: FromFdOptions): UnixDatagram {
    return make(adoptSocket(fd, SOCK_DGRAM, false, options));
  }

  /**
   * `fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW)`: changes the permission bits of
   * the socket file. The umask does not apply.
   *
   * @param mode The permission bits, 0 to 0o777.
   * @throws {RangeError} If the mode is out of range.
   * @throws {TypeError} If this object has created no file: its address is an abstract
   * name, or it was made by `fromFd()` or `pair()`.
   * @throws {ClosedError} If this socket is closed.
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
   * `send(2)` or `sendmsg(2)` of one message, blocking this thread while there is
   * no room. A message is sent completely or not at all.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`, `credentials`, and `timeout` in milliseconds.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {Error} If an asynchronous send to the same address is pending.
   * @throws {ClosedError} If this socket is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMSGSIZE if the message does not fit into the send buffer (the
   * error has the limit), ENOBUFS above about 4 MiB; ECONNREFUSED if the receiver has
   * closed, and ENOTCONN afterwards; ENOTCONN without `to` if this socket is not
   * connected; EPIPE if the receiver has shut down receiving; EPERM if it is connected to
   * another socket; ENOENT, ENOTDIR, ELOOP, EACCES, EROFS and EPROTOTYPE for the path
   * `to`, as of {@linkcode UnixDatagram.connectSync}; EBADF if a descriptor is not open;
   * ETOOMANYREFS if too many descriptors are in flight; EMFILE or ENFILE if a send with
   * `to` has to wait, which takes a descriptor; EPERM also if the receiver refuses
   * descriptors (`passDescriptors`), or if this process may not send these `credentials`;
   * ESRCH if there is no process with that id.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendToOptions & SyncWaitOptions,
  ): void {
    const deadline = deadlineOf(options);
    const outgoing = outgoingTo(data, options);
    const socket = descriptorOf(this);
    sendSync(
      socket,
      deadline,
      sendOnce,
      outgoing,
      this.#queues.find(outgoing.to),
      waitForRoom,
    );
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, waiting without blocking the thread.
   *
   * A message is sent completely or not at all. Several to one address are sent in the
   * order of the calls. Sends to other addresses do not wait for them, unless this socket
   * is connected: then all are sent in the order of the calls.
   *
   * @param data The message; it may be empty. Do not change it, and keep the descriptors
   * open, until the promise is settled.
   * @param options `to`, `descriptors`, `credentials`, `timeout` in milliseconds,
   * and `signal`.
   * @throws {TypeError} If the memory of the message is closed or truncated before it is
   * sent, or `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {ClosedError} If this socket is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As
   * {@linkcode UnixDatagram.prototype.sendSync | UnixDatagram.sendSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  send(
    data: Uint8Array,
    options?: UnixSendToOptions & WaitOptions,
  ): Promise<void> {
    return promised(() => {
      const limits = limitsOf(options);
      const outgoing = outgoingTo(data, options);
      const isSent = !isOverdue() && this.#trySend(outgoing);
      return isSent ? Promise.resolve() : this.#sendLater(outgoing, limits);
    });
  }

  /**
   * `send(2)` or `sendmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`, `credentials`.
   * @returns Whether the message was sent: false if there is no room now, or while an
   * asynchronous send to the same address is pending.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {ClosedError} If this socket is closed, or an object with a descriptor.
   * @throws {IpcError} As
   * {@linkcode UnixDatagram.prototype.sendSync | UnixDatagram.sendSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  trySend(data: Uint8Array, options?: UnixSendToOptions): boolean {
    return this.#trySend(outgoingTo(data, options));
  }

  #trySend(outgoing: Outgoing): boolean {
    const socket = descriptorOf(this);
    const queue = this.#queues.find(outgoing.to);
    return trySend(socket, sendOnce, outgoing, queue) !== undefined;
  }

  /** Sends when there is room, and others that wait have sent. */
  async #sendLater(outgoing: Outgoing, limits: Limits): Promise<void> {
    const { to } = outgoing;
    const socket = descriptorOf(this);
    const source = new RoomSource(socket, to);
    await this.#queues.run(
      to,
      (queue) => attempt(source, sendOnce, limits, queue, socket, outgoing),
    );
  }

  /**
   * `recvmsg(2)` of one message, blocking this thread until there is one.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message; its `from` is the address of the sender.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this socket is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer, connected to this socket, has connected to
   * another one and so discarded messages, after all that has arrived. (That a peer has
   * closed is not told.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveSync(options?: UnixReceiveOptions & SyncWaitOptions): UnixMessage {
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return receiveSync(socket, deadline, receiveNext, optionsOf(options));
  }

  /**
   * `recvmsg(2)` of one message, waiting without blocking the thread.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns The message; its `from` is the address of the sender.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty or becomes so during the wait.
   * @throws {ClosedError} If this socket is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer, connected to this socket, has connected to
   * another one and so discarded messages, after all that has arrived. (That a peer has
   * closed is not told.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receive(
    options?: UnixReceiveOptions & WaitOptions,
  ): Promise<UnixMessage> {
    return receiveWith(this, options, receiveNext, optionsOf);
  }

  /**
   * `recvmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns The message, or undefined if there is none now.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ECONNRESET if the peer, connected to this socket, has connected to
   * another one and so discarded messages, after all that has arrived. (That a peer has
   * closed is not told.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixReceiveOptions): UnixMessage | undefined {
    return receiveNext(descriptorOf(this), optionsOf(options), MSG_DONTWAIT);
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK | MSG_TRUNC`: as
   * {@linkcode UnixDatagram.prototype.receiveSync | UnixDatagram.receiveSync}, and leaves
   * the message for the next call.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message. Its `size` is
   * that of the whole message, however small `maxSize` is. Its descriptors are
   * duplicates, which the caller closes, too. Without `maxDescriptors` its
   * `descriptorsTruncated` tells whether it has descriptors.
   * @throws As {@linkcode UnixDatagram.prototype.receiveSync | UnixDatagram.receiveSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  peekSync(options?: UnixReceiveOptions & SyncWaitOptions): UnixMessage {
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return receiveSync(
      socket,
      deadline,
      receiveNext,
      optionsOf(options, MSG_PEEK),
    );
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK | MSG_TRUNC`: as
   * {@linkcode UnixDatagram.prototype.receive | UnixDatagram.receive}, and leaves the
   * message for the next call.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns As {@linkcode UnixDatagram.prototype.peekSync | UnixDatagram.peekSync}.
   * @throws As {@linkcode UnixDatagram.prototype.receive | UnixDatagram.receive}.
   *
   * @example A buffer of the size of the next message
   * ```ts
   * import { UnixDatagram } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using ends = UnixDatagram.pair();
   * const [one, other] = ends;
   * one.sendSync(new Uint8Array(1000));
   * const { size } = (await other.peek({ maxSize: 1 }));
   * const message = await other.receive({ buffer: new Uint8Array(size) });
   * assertEquals(message.truncated, false);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  peek(options?: UnixReceiveOptions & WaitOptions): Promise<UnixMessage> {
    return receiveWith(this, options, receiveNext, optionsOf, MSG_PEEK);
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT`: as
   * {@linkcode UnixDatagram.prototype.tryReceive | UnixDatagram.tryReceive}, and leaves
   * the message for the next call.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns As {@linkcode UnixDatagram.prototype.peekSync | UnixDatagram.peekSync}, or
   * undefined if there is none now.
   * @throws As {@linkcode UnixDatagram.prototype.tryReceive | UnixDatagram.tryReceive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryPeek(options?: UnixReceiveOptions): UnixMessage | undefined {
    return receiveNext(
      descriptorOf(this),
      optionsOf(options, MSG_PEEK),
      MSG_DONTWAIT,
    );
  }

  /** Receives messages until this socket is closed; not until the peer is. */
  [Symbol.asyncIterator](): AsyncGenerator<UnixMessage, void, unknown> {
    const socket = descriptorOf(this);
    const incoming = optionsOf(undefined);
    return untilClosed(() => receive(socket, NO_LIMITS, receiveNext, incoming));
  }
}
