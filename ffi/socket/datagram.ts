// SOCK_DGRAM.

import { POLLIN, POLLOUT } from "../libc/poll.ts";
import { MSG_DONTWAIT, MSG_TRUNC, SOCK_DGRAM } from "../libc/sys_socket.ts";
import {
  deadlineOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { ready, readySync } from "../wait/poller.ts";
import { describeName, encodeAddress, type UnixAddress } from "./address.ts";
import { attemptAsync, blockingFlags, retrySync } from "./attempt.ts";
import {
  bind,
  type Binding,
  bindingOf,
  type SocketFile,
  type UnixBindOptions,
} from "./bind.ts";
import { connectOnce } from "./connect.ts";
import {
  incoming,
  longestMessage,
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
  type SocketDescriptor,
  socketPair,
  UnixChannel,
  type UnixFromFdOptions,
  type UnixPair,
} from "./socket.ts";
import { untilClosed } from "../wait/iteration.ts";

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

/** One send(2) or sendmsg(2); undefined if it would wait. */
function trySend(
  socket: SocketDescriptor,
  data: Uint8Array<ArrayBuffer>,
  options: UnixTrySendToOptions | undefined,
  flags: number,
): number | undefined {
  const to = options?.to === undefined ? null : encodeAddress(options.to);
  return sendOnce(socket, outgoing(data, options, to), flags);
}

/** One recvmsg(2); undefined if it would wait. */
function receive(
  socket: SocketDescriptor,
  options: UnixTryReceiveOptions | undefined,
  flags: number,
): UnixMessage | undefined {
  const how = incoming(options, longestMessage());
  return receiveOnce(socket, how, flags | MSG_TRUNC, true);
}

/**
 * A socket that is connected to an address: it is ready for writing when the queue
 * of the receiver has room, which a socket that is not connected does not tell.
 */
function connectedTo(to: UnixAddress, subject: string): SocketDescriptor {
  const probe = openSocket(SOCK_DGRAM, subject);
  try {
    connectOnce(probe, encodeAddress(to));
    return probe;
  } catch (error) {
    probe.close();
    throw error;
  }
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor, file?: SocketFile) => UnixDatagram;

/** A new socket, bound and connected as far as that is wanted, or none. */
function open(
  subject: string,
  options: UnixDatagramCreateOptions | undefined,
  binding: Binding | undefined,
  to?: Uint8Array<ArrayBuffer>,
): UnixDatagram {
  const passCredentials = options?.passCredentials;
  const descriptor = openSocket(SOCK_DGRAM, subject);
  let file: SocketFile | undefined;
  try {
    file = binding && bind(descriptor, binding);
    if (to !== undefined) connectOnce(descriptor, to);
    const socket = make(descriptor, file);
    if (passCredentials) socket.passCredentials = true;
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
  readonly #file: SocketFile | undefined;
  readonly #probes = new Set<SocketDescriptor>(); // what sends wait for

  private constructor(descriptor: SocketDescriptor, file?: SocketFile) {
    super(descriptor);
    this.#file = file;
  }

  static {
    make = (descriptor, file) => new UnixDatagram(descriptor, file);
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
    const binding = bindingOf(address, options);
    return open(binding.subject, options, binding);
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
    const from = options?.from;
    const binding = from === undefined ? undefined : bindingOf(from, options);
    return open(describeName(address), options, binding, address);
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
    return socketPair(SOCK_DGRAM, make);
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
    return new UnixDatagram(adoptSocket(fd, SOCK_DGRAM, false, options));
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, blocking this thread while there is
   * no room. A message is sent whole or not at all.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`, and `timeout` in milliseconds.
   * @throws {RangeError} If there are more than 253 descriptors.
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
    data: Uint8Array<ArrayBuffer>,
    options?: UnixSendToSyncOptions,
  ): void {
    const socket = descriptorOf(this);
    const deadline = deadlineOf(options);
    const flags = blockingFlags(deadline);
    while (trySend(socket, data, options, flags) === undefined) {
      readySync(socket, POLLOUT, deadline);
      if (options?.to === undefined) continue;
      using probe = connectedTo(options.to, socket.subject);
      readySync(probe, POLLOUT, deadline);
    }
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, waiting without blocking the thread.
   * A message is sent whole or not at all.
   *
   * @param data The message; it may be empty. Leave it as it is, and the descriptors
   * open, until the promise is settled.
   * @param options `to`, `descriptors`, `timeout` in milliseconds, and `signal`.
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
    data: Uint8Array<ArrayBuffer>,
    options?: UnixSendToOptions,
  ): Promise<void> {
    const socket = descriptorOf(this);
    const deadline = deadlineOf(options);
    const signal = options?.signal;
    signal?.throwIfAborted();
    while (trySend(socket, data, options, MSG_DONTWAIT) === undefined) {
      await ready(socket, POLLOUT, deadline, signal);
      if (options?.to === undefined) continue;
      socket.checkOpen(); // close() ends the waits of the probes that it knows
      using probe = connectedTo(options.to, socket.subject);
      this.#probes.add(probe);
      try {
        await ready(probe, POLLOUT, deadline, signal);
      } finally {
        this.#probes.delete(probe);
      }
    }
  }

  /**
   * `send(2)` or `sendmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param data The message; it may be empty.
   * @param options `to`, `descriptors`.
   * @returns Whether it was sent: false when there is no room.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {ClosedError} If this socket is closed, or an object with a descriptor.
   * @throws {IpcError} As {@linkcode UnixDatagram.sendSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  trySend(
    data: Uint8Array<ArrayBuffer>,
    options?: UnixTrySendToOptions,
  ): boolean {
    const sent = trySend(descriptorOf(this), data, options, MSG_DONTWAIT);
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
    const socket = descriptorOf(this);
    const deadline = deadlineOf(options);
    const message = receive(socket, options, blockingFlags(deadline));
    if (message !== undefined) return message;
    const attempt = (flags: number) => receive(socket, options, flags);
    return retrySync(socket, POLLIN, deadline, attempt);
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
  receive(options?: UnixReceiveOptions): Promise<UnixMessage> {
    const socket = descriptorOf(this);
    const attempt = (flags: number) => receive(socket, options, flags);
    return attemptAsync(socket, POLLIN, options, attempt);
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
    return receive(descriptorOf(this), options, MSG_DONTWAIT) ?? null;
  }

  /** The messages, one after another, until this socket is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<UnixMessage, void, unknown> {
    return untilClosed(() => this.receive());
  }

  /**
   * Gives the descriptor away, as of any socket. A socket file stays. Pending waits
   * end with a ClosedError.
   *
   * @returns The number of the descriptor.
   * @throws {ClosedError} If this socket is closed.
   */
  override release(): number {
    const fd = super.release();
    this.#endSends();
    return fd;
  }

  /**
   * `close(2)`, after removing the socket file, if the path still names the one
   * that this socket made. Closing twice does nothing. Pending waits end with a
   * ClosedError.
   */
  override close(): void {
    if (!descriptorOf(this).closed) this.#file?.remove();
    this.#endSends();
    super.close();
  }

  /** Sends that wait for a receiver go on, and find this socket closed. */
  #endSends(): void {
    for (const probe of this.#probes) probe.close();
  }
}
