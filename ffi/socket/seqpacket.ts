// Seqpacket sockets (SOCK_SEQPACKET): connections that carry messages.

import { internal } from "../internal.ts";
import type { FromFdOptions, Pair } from "../kernel/descriptor_owner.ts";
import { pollfd, POLLRDHUP } from "../libc/poll.ts";
import { FIONREAD } from "../libc/sys_ioctl.ts";
import {
  MSG_DONTWAIT,
  MSG_PEEK,
  MSG_TRUNC,
  SOCK_SEQPACKET,
} from "../libc/sys_socket.ts";
import { untilClosed } from "../wait/iteration.ts";
import { promised } from "../wait/attempt.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { pollNow } from "../wait/poll.ts";
import { isOverdue } from "../wait/yield.ts";
import type { UnixAddress } from "./address.ts";
import {
  receive,
  receiveSync,
  receiveWith,
  send,
  sendSync,
  trySend,
} from "./transfer.ts";
import { connect, connectSync } from "./connect.ts";
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
  descriptorOf,
  inquire,
  type SocketDescriptor,
  socketPair,
  UnixConnection,
} from "./socket.ts";

/** Whether the peer has shut down sending or closed. */
function peerIsDone(fd: number): boolean {
  const request = pollfd.encode({ fd, events: POLLRDHUP, revents: 0 });
  pollNow(request, 1);
  return (pollfd.decode(request).revents & POLLRDHUP) !== 0;
}

/**
 * Tells an empty message from the end; null at the end. recvmsg(2) returns 0 for both. It
 * is a message if it has credentials or descriptors, if the peer can still
 * send, or if bytes follow (FIONREAD counts those of all messages).
 */
function messageOrEnd(
  socket: SocketDescriptor,
  message: UnixMessage | undefined,
): UnixMessage | null | undefined {
  if (message === undefined || message.size > 0) return message;
  if (message.credentials !== null || message.descriptors.length > 0) {
    return message;
  }
  if (message.descriptorsTruncated || !peerIsDone(socket.fd)) return message;
  if (inquire(socket, FIONREAD) > 0) return message;
  socket.throwReset("recvmsg");
  return null;
}

/** Sends when there is room, and others that wait have sent. */
async function sendLater(
  socket: SocketDescriptor,
  limits: Limits,
  outgoing: Outgoing,
): Promise<void> {
  await send(socket, limits, sendOnce, outgoing);
}

/** One recvmsg(2); null at the end, undefined if it would block. */
function receiveNext(
  socket: SocketDescriptor,
  incoming: Incoming,
  flags = MSG_DONTWAIT,
): UnixMessage | null | undefined {
  return messageOrEnd(socket, receiveOnce(socket, incoming, flags, false));
}

/** Reads and checks the options of a receive. */
function optionsOf(
  options: UnixReceiveOptions | undefined,
  peek = 0,
): Incoming {
  return incomingOf(options, longestMessage(), peek | MSG_TRUNC);
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor) => UnixSeqpacket;

/** Makes a UnixSeqpacket of a connected socket. */
export function seqpacketOver(descriptor: SocketDescriptor): UnixSeqpacket {
  return make(descriptor);
}

/**
 * A connected Unix seqpacket socket: one side of a connection that carries messages.
 * Messages keep their boundaries and their order; each is received once.
 *
 * Asynchronous receives get what arrives in the order of their calls, and sends are done
 * in the order of their calls: while one waits, `trySend` returns false, and `sendSync`
 * throws. `receiveSync` and `tryReceive` do not queue: they take what is there before the
 * asynchronous receives that wait.
 *
 * A message may be empty. But an empty message right before the peer closes cannot be
 * told from the end, and is reported as the end, unless `passCredentials` is true.
 *
 * @example Messages keep their boundaries
 * ```ts
 * import { UnixSeqpacket } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * using ends = UnixSeqpacket.pair();
 * const [one, other] = ends;
 * one.sendSync(Uint8Array.of(1, 2, 3));
 * one.sendSync(Uint8Array.of(4));
 * one.close();
 *
 * const lengths = [];
 * for await (const { data } of other) lengths.push(data.length);
 * assertEquals(lengths, [3, 1]);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixSeqpacket extends UnixConnection {
  /** @ignore */
  private constructor(token: typeof internal, descriptor: SocketDescriptor) {
    super(token, descriptor);
  }

  static {
    make = (descriptor) => new UnixSeqpacket(internal, descriptor);
  }

  /**
   * `connect(fd, address, length)`, blocking this thread while the backlog of the
   * server is full.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param address A path, or an abstract name.
   * @param options `timeout` in milliseconds.
   * @returns The connection. The server may accept it later.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path or name is too long.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ENOENT if the path does not exist; ENOTDIR or ELOOP if it leads
   * through a file or too many links; ECONNREFUSED if no socket listens at the address,
   * or the file is no socket (EROFS if its file system is read-only); EACCES if the file
   * is not writable, or a directory not searchable; EPROTOTYPE if it is a socket of
   * another type; EMFILE, ENFILE, ENOBUFS, ENOMEM.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static connectSync(
    address: UnixAddress,
    options?: SyncWaitOptions,
  ): UnixSeqpacket {
    return new UnixSeqpacket(
      internal,
      connectSync(SOCK_SEQPACKET, address, options),
    );
  }

  /**
   * `connect(fd, address, length)`, waiting without blocking the thread while the
   * backlog of the server is full.
   *
   * @param address A path, or an abstract name.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The connection. The server may accept it later.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path or name is too long.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As {@linkcode UnixSeqpacket.connectSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/connect.2.html | connect(2)}
   */
  static async connect(
    address: UnixAddress,
    options?: WaitOptions,
  ): Promise<UnixSeqpacket> {
    return new UnixSeqpacket(
      internal,
      await connect(SOCK_SEQPACKET, address, options),
    );
  }

  /**
   * `socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv)`: a pair of connected, unnamed
   * sockets, such as one for this process and one for a child.
   *
   * @returns Both sockets; its `close()` closes both.
   * @throws {IpcError} EMFILE or ENFILE if this process, or the system, has too many
   * open descriptors.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/socketpair.2.html | socketpair(2)}
   */
  static pair(): Pair<UnixSeqpacket> {
    return socketPair(SOCK_SEQPACKET, make);
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes ownership of a connected seqpacket
   * socket that a parent, a peer or a service manager has passed.
   *
   * No other object may own the descriptor: `close()` closes it. An object of another
   * Worker is not noticed.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The socket, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a listening socket, or belongs
   * to an object of this module on this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: FromFdOptions): UnixSeqpacket {
    return new UnixSeqpacket(
      internal,
      adoptSocket(fd, SOCK_SEQPACKET, false, options),
    );
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, blocking this thread while there is
   * no room. A message is sent completely or not at all.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The message; it may be empty.
   * @param options `descriptors`, `credentials`, and `timeout` in milliseconds.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {Error} If an asynchronous send is pending.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMSGSIZE if the message does not fit into the send
   * buffer (the error has the limit); EPIPE if the peer has closed; ECONNRESET, once, if
   * it closed with unreceived messages; ENOBUFS above about 4 MiB; EBADF if a descriptor
   * is not open; ETOOMANYREFS if too many descriptors are in flight,
   * EPERM if
   * the peer refuses descriptors (`passDescriptors`), or if this process may not send
   * these `credentials`, ESRCH if there is no process with that id.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendOptions & SyncWaitOptions,
  ): void {
    const deadline = deadlineOf(options);
    const outgoing = outgoingOf(data, options);
    const socket = descriptorOf(this);
    sendSync(socket, deadline, sendOnce, outgoing);
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, waiting without blocking the thread.
   * A message is sent completely or not at all. Concurrent calls send in
   * the order of the calls.
   *
   * @param data The message; it may be empty. Do not change it, and keep the descriptors
   * open, until the promise is settled.
   * @param options `descriptors`, `credentials`, `timeout` in milliseconds,
   * and `signal`.
   * @throws {TypeError} If the memory of the message is closed or truncated before it is
   * sent, or `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {ClosedError} If this side is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As
   * {@linkcode UnixSeqpacket.prototype.sendSync | UnixSeqpacket.sendSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  send(
    data: Uint8Array,
    options?: UnixSendOptions & WaitOptions,
  ): Promise<void> {
    return promised(() => {
      const limits = limitsOf(options);
      const outgoing = outgoingOf(data, options);
      const socket = descriptorOf(this);
      const isSent = !isOverdue() &&
        trySend(socket, sendOnce, outgoing) !== undefined;
      return isSent ? Promise.resolve() : sendLater(socket, limits, outgoing);
    });
  }

  /**
   * `send(2)` or `sendmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param data The message; it may be empty.
   * @param options `descriptors`, `credentials`.
   * @returns Whether the message was sent: false if there is no room now, or while an
   * asynchronous send is pending.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or credentials that are
   * out of range.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {IpcError} As
   * {@linkcode UnixSeqpacket.prototype.sendSync | UnixSeqpacket.sendSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  trySend(data: Uint8Array, options?: UnixSendOptions): boolean {
    const outgoing = outgoingOf(data, options);
    const socket = descriptorOf(this);
    return trySend(socket, sendOnce, outgoing) !== undefined;
  }

  /**
   * `recvmsg(2)` of one message, blocking this thread until there is one.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message, or null at the end: the peer has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET, once, if the peer closed with unreceived messages,
   * after all that has arrived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveSync(
    options?: UnixReceiveOptions & SyncWaitOptions,
  ): UnixMessage | null {
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return receiveSync(socket, deadline, receiveNext, optionsOf(options));
  }

  /**
   * `recvmsg(2)` of one message, waiting without blocking the thread.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns The message, or null at the end: the peer has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty or becomes so during the wait.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET, once, if the peer closed with unreceived messages,
   * after all that has arrived.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receive(
    options?: UnixReceiveOptions & WaitOptions,
  ): Promise<UnixMessage | null> {
    return receiveWith(this, options, receiveNext, optionsOf);
  }

  /**
   * `recvmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns The message, undefined if there is none now, or null at the end: the peer
   * has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET, once, if the peer closed with unreceived messages,
   * after all that has arrived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixReceiveOptions): UnixMessage | null | undefined {
    return receiveNext(descriptorOf(this), optionsOf(options), MSG_DONTWAIT);
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK | MSG_TRUNC`: as
   * {@linkcode UnixSeqpacket.prototype.receiveSync | UnixSeqpacket.receiveSync}, and
   * leaves the message for the next call.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message, or null at the end: the peer has closed. Its `size` is
   * that of the whole message, however small `maxSize` is. Its descriptors are
   * duplicates, which the caller closes, too. Without `maxDescriptors` its
   * `descriptorsTruncated` tells whether it has descriptors.
   * @throws As
   * {@linkcode UnixSeqpacket.prototype.receiveSync | UnixSeqpacket.receiveSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  peekSync(options?: UnixReceiveOptions & SyncWaitOptions): UnixMessage | null {
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
   * {@linkcode UnixSeqpacket.prototype.receive | UnixSeqpacket.receive}, and leaves the
   * message for the next call.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns As {@linkcode UnixSeqpacket.prototype.peekSync | UnixSeqpacket.peekSync}.
   * @throws As {@linkcode UnixSeqpacket.prototype.receive | UnixSeqpacket.receive}.
   *
   * @example A buffer of the size of the next message
   * ```ts
   * import { UnixSeqpacket } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using ends = UnixSeqpacket.pair();
   * const [one, other] = ends;
   * one.sendSync(new Uint8Array(1000));
   * const { size } = (await other.peek({ maxSize: 1 }))!;
   * const message = await other.receive({ buffer: new Uint8Array(size) });
   * assertEquals(message?.truncated, false);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  peek(
    options?: UnixReceiveOptions & WaitOptions,
  ): Promise<UnixMessage | null> {
    return receiveWith(this, options, receiveNext, optionsOf, MSG_PEEK);
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT`: as
   * {@linkcode UnixSeqpacket.prototype.tryReceive | UnixSeqpacket.tryReceive}, and leaves
   * the message for the next call.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns As {@linkcode UnixSeqpacket.prototype.peekSync | UnixSeqpacket.peekSync}, or
   * undefined if there is none now.
   * @throws As {@linkcode UnixSeqpacket.prototype.tryReceive | UnixSeqpacket.tryReceive}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryPeek(options?: UnixReceiveOptions): UnixMessage | null | undefined {
    return receiveNext(
      descriptorOf(this),
      optionsOf(options, MSG_PEEK),
      MSG_DONTWAIT,
    );
  }

  /**
   * Receives messages until the peer or this side is closed. If the peer closed with
   * unreceived messages, the loop ends with ECONNRESET, after all that has arrived.
   */
  [Symbol.asyncIterator](): AsyncGenerator<UnixMessage, void, unknown> {
    const socket = descriptorOf(this);
    const incoming = optionsOf(undefined);
    return untilClosed(() => receive(socket, NO_LIMITS, receiveNext, incoming));
  }
}
