// SOCK_DGRAM.

import { internal } from "../internal.ts";
import { POLLOUT } from "../libc/poll.ts";
import {
  MSG_DONTWAIT,
  MSG_TRUNC,
  SOCK_DGRAM,
  sysSocket,
} from "../libc/sys_socket.ts";
import { attempt, type Source } from "../wait/attempt.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { ready, readySync } from "../wait/reactor.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { describeName, encodeAddress, type UnixAddress } from "./address.ts";
import {
  receiving,
  receivingSync,
  sendingNow,
  sendingSync,
} from "./attempt.ts";
import { bind, type Binding, bindingOf, type UnixBindOptions } from "./bind.ts";
import type { SocketFile } from "./socket_file.ts";
import { connectOnce } from "./connect.ts";
import {
  type Incoming,
  incoming,
  longestMessage,
  type Outgoing,
  outgoing,
  receiveOnce,
  sendOnce,
  type UnixMessage,
  type UnixReceiveOptions,
  type UnixReceiveSyncOptions,
  type UnixTryReceiveOptions,
  type UnixTrySendOptions,
} from "./message.ts";
import {
  adoptSocket,
  descriptorOf,
  openSocket,
  setPassCredentials,
  type SocketDescriptor,
  socketPair,
  UnixChannel,
  type UnixFromFdOptions,
  type UnixPair,
} from "./socket.ts";

/** How a datagram socket is bound. */
export interface UnixDatagramCreateOptions extends UnixBindOptions {
  /**
   * Whether messages say who has sent them; see
   * {@linkcode UnixDatagram.passCredentials}.
   *
   * @default {false}
   */
  passCredentials?: boolean | undefined;
}

/** How a datagram socket is connected. */
export interface UnixDatagramConnectOptions extends UnixDatagramCreateOptions {
  /**
   * The address of this socket, so that answers find it: a path, an abstract name,
   * or null for a free abstract name of the kernel's choice. Without it, the socket
   * has no name.
   */
  from?: UnixAddress | null | undefined;
}

/** Where a datagram goes and what goes with it, without waiting. */
export interface UnixTrySendToOptions extends UnixTrySendOptions {
  /**
   * The receiver's address, such as the `from` of a message. A connected socket
   * needs none.
   */
  to?: UnixAddress | undefined;
}

/** Where a datagram goes and what goes with it, and how long this thread may block. */
export interface UnixSendToSyncOptions
  extends UnixTrySendToOptions, SyncWaitOptions {}

/** Where a datagram goes and what goes with it, and what ends the wait. */
export interface UnixSendToOptions extends UnixTrySendToOptions, WaitOptions {}

/** Reads and checks what is to be sent, and where. */
function outgoingTo(
  data: Uint8Array,
  options: UnixTrySendToOptions | undefined,
): Outgoing {
  const to = options?.to;
  return outgoing(data, options, to === undefined ? null : encodeAddress(to));
}

/** One recvmsg(2); undefined if it would wait. */
function receiveWith(
  socket: SocketDescriptor,
  how: Incoming,
  flags: number,
): UnixMessage | undefined {
  return receiveOnce(socket, how, flags | MSG_TRUNC, true);
}

/** One recvmsg(2), when it is its turn and something is there. */
function receiveFrom(
  socket: SocketDescriptor,
  how: Incoming,
  limits: Limits,
): Promise<UnixMessage> {
  return receiving(socket, limits, (flags) => receiveWith(socket, how, flags));
}

/**
 * A socket that is connected to an address: it is ready for writing when the queue
 * of the receiver has room, which a socket that is not connected does not tell.
 */
function connectedTo(
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

/** Room for a message, here and at its receiver, as the source of an attempt. */
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

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  async ready(limits: Limits): Promise<boolean> {
    const socket = this.#socket;
    const inTime = await ready(socket, POLLOUT, limits);
    if (this.#to === null || !inTime) return inTime;
    socket.checkOpen();
    using probe = connectedTo(this.#to, socket.subject);
    socket.probes.add(probe);
    try {
      return await ready(probe, POLLOUT, limits);
    } finally {
      socket.probes.delete(probe);
    }
  }
}

/**
 * The queues of a socket that sends: one for each receiver that some send waits for, so
 * that one which does not receive delays no message to another.
 */
class SendQueues {
  readonly #socket: SocketDescriptor;
  readonly #byReceiver = new Map<string, WaiterQueue>();
  #connected: boolean | undefined;

  constructor(socket: SocketDescriptor) {
    this.#socket = socket;
  }

  /** The queue of a receiver; null when no send waits for it. */
  find(to: Uint8Array<ArrayBuffer> | null): WaiterQueue | null {
    if (to === null || this.#isConnected()) return this.#socket.sends;
    if (this.#byReceiver.size === 0) return null;
    return this.#byReceiver.get(String.fromCharCode(...to)) ?? null;
  }

  /** Sends when it is its turn. */
  async run(
    to: Uint8Array<ArrayBuffer> | null,
    send: (queue: WaiterQueue) => Promise<unknown>,
  ): Promise<void> {
    if (to === null || this.#isConnected()) {
      await send(this.#socket.sends);
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

  /** Connected, it may send to its peer with and without an address. */
  #isConnected(): boolean {
    return this.#connected ??= isConnected(this.#socket);
  }
}

/** Whether a socket has a peer. */
function isConnected({ fd }: SocketDescriptor): boolean {
  const length = Uint32Array.of(0);
  return sysSocket().getpeername(fd, new Uint8Array(1), length) === 0;
}

/** As the ready of RoomSource, blocking this thread. */
function waitForRoom(
  socket: SocketDescriptor,
  to: Uint8Array<ArrayBuffer> | null,
  deadline: number,
): void {
  readySync(socket, POLLOUT, deadline);
  if (to === null) return;
  using probe = connectedTo(to, socket.subject);
  readySync(probe, POLLOUT, deadline);
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor, file?: SocketFile) => UnixDatagram;

/** A new socket, bound and connected as far as that is wanted, or none. */
function open(
  subject: string,
  passCredentials: boolean | undefined,
  binding: Binding | undefined,
  to?: Uint8Array<ArrayBuffer>,
): UnixDatagram {
  const descriptor = openSocket(SOCK_DGRAM, subject);
  let file: SocketFile | undefined;
  try {
    file = binding && bind(descriptor, binding);
    if (to !== undefined) connectOnce(descriptor, to);
    const socket = make(descriptor, file);
    if (passCredentials) setPassCredentials(descriptor, true);
    return socket;
  } catch (error) {
    file?.remove();
    descriptor.close();
    throw error;
  }
}

/**
 * A Unix datagram socket: each message is received whole, in order, and none is
 * lost; a sender waits while the receiver's queue is full (of 10 messages, unless
 * /proc/sys/net/unix/max_dgram_qlen says otherwise).
 *
 * Choose it when many send to one, and nobody must know who is there: there are no
 * connections, and no end.
 *
 * @example A question, and the answer to whoever has asked
 * ```ts
 * import { UnixDatagram } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * using server = UnixDatagram.create({ abstract: `doubler-${Deno.pid}` });
 * using client = UnixDatagram.connect(server.localAddress!, { from: null });
 *
 * client.sendSync(Uint8Array.of(21));
 * const question = await server.receive();
 * await server.send(Uint8Array.of(question.data[0]! * 2), { to: question.from! });
 * assertEquals((await client.receive()).data, Uint8Array.of(42));
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixDatagram extends UnixChannel {
  readonly #queues: SendQueues;

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
   * `bind(fd, address, length)`: a socket that others can send to.
   *
   * @param address A path, an abstract name, or null for a free abstract name of
   * the kernel's choice: `localAddress` tells it. A path that is not absolute is of the
   * working directory, also when `close()` removes the file: do not change that.
   * @param options `mode` and `reclaim`, for a path, and `passCredentials`.
   * @returns The socket; its `close()` removes the file.
   * @throws {TypeError} If the path is empty or contains NUL, or an abstract name is
   * given a mode.
   * @throws {RangeError} If the path or name is too long, or the mode out of range.
   * @throws {IpcError} EADDRINUSE if the address is in use, or, without `reclaim`,
   * the path exists; ENOENT, ENOTDIR, EACCES, EMFILE. No file is left behind.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/bind.2.html | bind(2)}
   */
  static create(
    address: UnixAddress | null,
    options?: UnixDatagramCreateOptions,
  ): UnixDatagram {
    const passCredentials = options?.passCredentials;
    const binding = bindingOf(address, options);
    return open(binding.subject, passCredentials, binding);
  }

  /**
   * `connect(fd, address, length)`: a socket that sends to one receiver, and
   * receives from that one alone. It does not wait.
   *
   * @param to The receiver's address.
   * @param options `from`, the address of this socket; `mode` and `reclaim`, if that
   * is a path; and `passCredentials`.
   * @returns The socket; its `close()` removes the file.
   * @throws {TypeError} If a path is empty or contains NUL.
   * @throws {RangeError} If a path or name is too long, or the mode out of range.
   * @throws {IpcError} ENOENT if there is no such file, ECONNREFUSED if nobody
   * receives there, EACCES if it may not be written to, EPROTOTYPE if it is a socket
   * of another type, EPERM if that one is connected to another, EADDRINUSE, EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static connect(
    to: UnixAddress,
    options?: UnixDatagramConnectOptions,
  ): UnixDatagram {
    const address = encodeAddress(to);
    const { from, passCredentials } = options ?? {};
    const binding = from === undefined ? undefined : bindingOf(from, options);
    return open(describeName(address), passCredentials, binding, address);
  }

  /**
   * `socketpair(AF_UNIX, SOCK_DGRAM, 0, sv)`: two connected sockets without a name,
   * such as one for this process and one for a child.
   *
   * @returns Both; disposing of it closes both.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/socketpair.2.html | socketpair(2)}
   */
  static pair(): UnixPair<UnixDatagram> {
    return socketPair(SOCK_DGRAM, (descriptor) => make(descriptor));
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes over a Unix datagram socket
   * that a parent, a peer or a service manager has passed. The number must not
   * belong to anything else in this process: `close()` closes it, and leaves its
   * file alone.
   *
   * @param fd The number of the descriptor.
   * @param options What errors call it.
   * @returns The socket, with close-on-exec set.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, or belongs to an object of this module.
   * It stays open.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: UnixFromFdOptions): UnixDatagram {
    return make(adoptSocket(fd, SOCK_DGRAM, false, options));
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, blocking this thread while there is
   * no room. A message is sent whole or not at all.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`, and `timeout` in milliseconds.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {Error} If an asynchronous send to the same receiver is pending.
   * @throws {ClosedError} If this socket is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMSGSIZE if the message is longer than the send buffer
   * allows (the error tells how long it may be), ENOBUFS beyond some 4 MiB; ENOENT, ECONNREFUSED or
   * ECONNRESET if the receiver is gone; ENOTCONN without `to` on a socket that is
   * not connected; EPERM if the receiver is connected to another; EACCES; EBADF if
   * a descriptor is not open; ETOOMANYREFS if too many are on their way.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendToSyncOptions,
  ): void {
    const deadline = deadlineOf(options);
    const what = outgoingTo(data, options);
    const socket = descriptorOf(this);
    sendingSync(
      socket,
      deadline,
      (flags) => sendOnce(socket, what, flags),
      (deadline) => waitForRoom(socket, what.to, deadline),
      this.#queues.find(what.to),
    );
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, waiting without blocking the thread.
   * A message is sent whole or not at all. Several at a time are sent in the order
   * of the calls; those to another receiver do not wait for them.
   *
   * @param data The message; it may be empty. Leave it as it is, and the descriptors
   * open, until the promise is settled.
   * @param options `to`, `descriptors`, `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the memory of the message is closed or smaller before it is sent.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {ClosedError} If this socket is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As {@linkcode UnixDatagram.sendSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  async send(
    data: Uint8Array,
    options?: UnixSendToOptions,
  ): Promise<void> {
    const limits = limitsOf(options);
    const what = outgoingTo(data, options);
    const socket = descriptorOf(this);
    const source = new RoomSource(socket, what.to);
    const tryOnce = () => sendOnce(socket, what, MSG_DONTWAIT);
    await this.#queues.run(
      what.to,
      (queue) => attempt(source, tryOnce, limits, queue),
    );
  }

  /**
   * `send(2)` or `sendmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`.
   * @returns Whether it was sent: false when there is no room, or while an asynchronous
   * send to the same receiver is pending.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {ClosedError} If this socket is closed, or an object with a descriptor.
   * @throws {IpcError} As {@linkcode UnixDatagram.sendSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  trySend(
    data: Uint8Array,
    options?: UnixTrySendToOptions,
  ): boolean {
    const what = outgoingTo(data, options);
    const socket = descriptorOf(this);
    const sent = sendingNow(
      socket,
      (flags) => sendOnce(socket, what, flags),
      this.#queues.find(what.to),
    );
    return sent !== undefined;
  }

  /**
   * `recvmsg(2)` of one message, blocking this thread until there is one.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message; its `from` is the sender's address.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this socket is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer of a pair closed without receiving
   * all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveSync(options?: UnixReceiveSyncOptions): UnixMessage {
    const deadline = deadlineOf(options);
    const how = incoming(options, longestMessage());
    const socket = descriptorOf(this);
    return receivingSync(
      socket,
      deadline,
      (flags) => receiveWith(socket, how, flags),
    );
  }

  /**
   * `recvmsg(2)` of one message, waiting without blocking the thread.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns The message; its `from` is the sender's address.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this socket is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer of a pair closed without receiving
   * all.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  async receive(options?: UnixReceiveOptions): Promise<UnixMessage> {
    const limits = limitsOf(options);
    const how = incoming(options, longestMessage());
    return await receiveFrom(descriptorOf(this), how, limits);
  }

  /**
   * `recvmsg(2)` with `MSG_DONTWAIT`, of a message that is there already.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns The message, or null when there is none.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this socket is closed.
   * @throws {IpcError} ECONNRESET if the peer of a pair closed without receiving
   * all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixTryReceiveOptions): UnixMessage | null {
    const how = incoming(options, longestMessage());
    return receiveWith(descriptorOf(this), how, MSG_DONTWAIT) ?? null;
  }

  /** The messages, one after another, until this socket is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<UnixMessage, void, unknown> {
    const socket = descriptorOf(this);
    const how = incoming(undefined, longestMessage());
    return untilClosed(() => receiveFrom(socket, how, NO_LIMITS));
  }
}
