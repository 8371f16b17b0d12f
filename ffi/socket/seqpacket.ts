// SOCK_SEQPACKET.

import { internal } from "../internal.ts";
import { pollfd, POLLRDHUP } from "../libc/poll.ts";
import { FIONREAD } from "../libc/sys_ioctl.ts";
import { MSG_DONTWAIT, MSG_TRUNC, SOCK_SEQPACKET } from "../libc/sys_socket.ts";
import { untilClosed } from "../wait/iteration.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  NO_LIMITS,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { pollNow } from "../wait/reactor.ts";
import type { UnixAddress } from "./address.ts";
import {
  receiving,
  receivingSync,
  sending,
  sendingNow,
  sendingSync,
} from "./attempt.ts";
import { connect, connectSync } from "./connect.ts";
import {
  type Incoming,
  incoming,
  longestMessage,
  outgoing,
  receiveOnce,
  sendOnce,
  type UnixMessage,
  type UnixReceiveOptions,
  type UnixReceiveSyncOptions,
  type UnixSendOptions,
  type UnixSendSyncOptions,
  type UnixTryReceiveOptions,
  type UnixTrySendOptions,
} from "./message.ts";
import {
  adoptSocket,
  descriptorOf,
  inquire,
  type SocketDescriptor,
  socketPair,
  UnixConnection,
  type UnixFromFdOptions,
  type UnixPair,
} from "./socket.ts";

/** Whether the peer sends nothing more than what is there already. */
function peerIsDone(fd: number): boolean {
  const request = pollfd.encode({ fd, events: POLLRDHUP, revents: 0 });
  pollNow(request, 1);
  return (pollfd.decode(request).revents & POLLRDHUP) !== 0;
}

/**
 * What has been received; null at the end. Both an empty message and the end are
 * 0 bytes to the kernel. It is a message if it says who has sent it, if the peer
 * can still send, or if bytes come after it (FIONREAD counts those of all messages).
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
  return inquire(socket, FIONREAD) > 0 ? message : null;
}

/** One recvmsg(2). */
function receiveWith(
  socket: SocketDescriptor,
  how: Incoming,
  flags: number,
): UnixMessage | null | undefined {
  const message = receiveOnce(socket, how, flags | MSG_TRUNC, false);
  return messageOrEnd(socket, message);
}

/** One recvmsg(2), when it is its turn and something is there. */
function receiveFrom(
  socket: SocketDescriptor,
  how: Incoming,
  limits: Limits,
): Promise<UnixMessage | null> {
  return receiving(socket, limits, (flags) => receiveWith(socket, how, flags));
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor) => UnixSeqpacket;

/** The seqpacket side of a connected socket. */
export function seqpacketOver(descriptor: SocketDescriptor): UnixSeqpacket {
  return make(descriptor);
}

/**
 * A connected Unix seqpacket socket: one side of a connection that carries
 * messages. Each message is received whole, in order, and by one receiver.
 *
 * An empty message is a message. But where it is the last one before the peer
 * closes, the kernel makes no difference between it and the end, and so neither
 * does this class; with `passCredentials` on there is one.
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
  private constructor(token: typeof internal, descriptor: SocketDescriptor) {
    super(token, descriptor);
  }

  static {
    make = (descriptor) => new UnixSeqpacket(internal, descriptor);
  }

  /**
   * `connect(fd, address, length)`, blocking this thread while the server's
   * backlog is full.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param address A path, or an abstract name; at most 107 bytes.
   * @param options `timeout` in milliseconds.
   * @returns The connection, which the server may not have accepted yet.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path or name is too long.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ENOENT if there is no such file, ECONNREFUSED if nobody
   * listens there, EACCES if it may not be written to, EPROTOTYPE if it is a socket
   * of another type, EMFILE.
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
   * server's backlog is full.
   *
   * @param address A path, or an abstract name; at most 107 bytes.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The connection, which the server may not have accepted yet.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path or name is too long.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ENOENT if there is no such file, ECONNREFUSED if nobody
   * listens there, EACCES if it may not be written to, EPROTOTYPE if it is a socket
   * of another type, EMFILE.
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
   * `socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv)`: two connected sockets without a
   * name, such as one for this process and one for a child.
   *
   * @returns Both; disposing of it closes both.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/socketpair.2.html | socketpair(2)}
   */
  static pair(): UnixPair<UnixSeqpacket> {
    return socketPair(SOCK_SEQPACKET, make);
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes over a connected seqpacket
   * socket that a parent, a peer or a service manager has passed. The number must
   * not belong to anything else in this process: `close()` closes it.
   *
   * @param fd The number of the descriptor.
   * @param options What errors call it.
   * @returns The socket, with close-on-exec set.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a listening socket, or belongs
   * to an object of this module. It stays open.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: UnixFromFdOptions): UnixSeqpacket {
    return new UnixSeqpacket(
      internal,
      adoptSocket(fd, SOCK_SEQPACKET, false, options),
    );
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, blocking this thread while there is
   * no room. A message is sent whole or not at all.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param data The message; it may be empty.
   * @param options `descriptors`, and `timeout` in milliseconds.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {Error} If an asynchronous send is pending.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMSGSIZE if the message is longer than the send buffer
   * allows (the error tells how long it may be), EPIPE if the peer has closed,
   * ECONNRESET if it closed without receiving all, ENOBUFS beyond some 4 MiB, EBADF if a descriptor is not
   * open, ETOOMANYREFS if too many are on their way, unreceived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendSyncOptions,
  ): void {
    const deadline = deadlineOf(options);
    const what = outgoing(data, options);
    const socket = descriptorOf(this);
    sendingSync(socket, deadline, (flags) => sendOnce(socket, what, flags));
  }

  /**
   * `send(2)` or `sendmsg(2)` of one message, waiting without blocking the thread.
   * A message is sent whole or not at all. Several at a time are sent in the order
   * of the calls.
   *
   * @param data The message; it may be empty. Leave it as it is, and the descriptors
   * open, until the promise is settled.
   * @param options `descriptors`, `timeout` in milliseconds, and `signal`.
   * @throws {TypeError} If the memory of the message is closed or smaller before it is sent.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {ClosedError} If this side is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EMSGSIZE if the message is longer than the send buffer
   * allows (the error tells how long it may be), EPIPE if the peer has closed,
   * ECONNRESET if it closed without receiving all, ENOBUFS beyond some 4 MiB, EBADF if a descriptor is not
   * open, ETOOMANYREFS if too many are on their way, unreceived.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  async send(
    data: Uint8Array,
    options?: UnixSendOptions,
  ): Promise<void> {
    const limits = limitsOf(options);
    const what = outgoing(data, options);
    const socket = descriptorOf(this);
    await sending(socket, limits, (flags) => sendOnce(socket, what, flags));
  }

  /**
   * `send(2)` or `sendmsg(2)` with `MSG_DONTWAIT`, of one message.
   *
   * @param data The message; it may be empty.
   * @param options `descriptors`.
   * @returns Whether it was sent: false when there is no room, or while an asynchronous
   * send is pending.
   * @throws {RangeError} If there are more than 253 descriptors.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {IpcError} As {@linkcode UnixSeqpacket.sendSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  trySend(
    data: Uint8Array,
    options?: UnixTrySendOptions,
  ): boolean {
    const what = outgoing(data, options);
    const socket = descriptorOf(this);
    const sent = sendingNow(socket, (flags) => sendOnce(socket, what, flags));
    return sent !== undefined;
  }

  /**
   * `recvmsg(2)` of one message, blocking this thread until there is one.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The message, or null at the end: the peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without receiving all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveSync(options?: UnixReceiveSyncOptions): UnixMessage | null {
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
   * @returns The message, or null at the end: the peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without receiving all.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  async receive(options?: UnixReceiveOptions): Promise<UnixMessage | null> {
    const limits = limitsOf(options);
    const how = incoming(options, longestMessage());
    return await receiveFrom(descriptorOf(this), how, limits);
  }

  /**
   * `recvmsg(2)` with `MSG_DONTWAIT`, of a message that is there already.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns The message; undefined when there is none yet, null at the end: the
   * peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed without receiving all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixTryReceiveOptions): UnixMessage | null | undefined {
    const how = incoming(options, longestMessage());
    return receiveWith(descriptorOf(this), how, MSG_DONTWAIT);
  }

  /** The messages, one after another, until the peer or this side is closed. */
  [Symbol.asyncIterator](): AsyncGenerator<UnixMessage, void, unknown> {
    const socket = descriptorOf(this);
    const how = incoming(undefined, longestMessage());
    return untilClosed(() => receiveFrom(socket, how, NO_LIMITS));
  }
}
