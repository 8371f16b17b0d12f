// SOCK_STREAM.

import { byteLengthOf, checkBytes, checkKept, viewOf } from "../arguments.ts";
import { EAGAIN, EINTR, errno, ipcError } from "../libc/errno.ts";
import { internal } from "../internal.ts";
import { MSG_DONTWAIT, SOCK_STREAM, sysSocket } from "../libc/sys_socket.ts";
import { MAX_COUNT } from "../libc/unistd.ts";
import {
  deadlineOf,
  type Limits,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { readableStream, writableStream } from "../wait/streams.ts";
import { isOverdue } from "../wait/yield.ts";
import type { UnixAddress } from "./address.ts";
import {
  receiving,
  receivingSync,
  sending,
  sendingNow,
  sendingSync,
  type TryWith,
} from "./attempt.ts";
import { connect, connectSync } from "./connect.ts";
import {
  type Incoming,
  incoming,
  type Outgoing,
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
  closeWrite,
  descriptorOf,
  type SocketDescriptor,
  socketPair,
  UnixConnection,
  type UnixFromFdOptions,
  type UnixPair,
} from "./socket.ts";

/** The most that receive takes at a time, unless told otherwise. */
const STREAM_SIZE = 64 * 1024;

/** One recv(2): the count, null at the end, undefined if it would wait. */
function readOnce(
  socket: SocketDescriptor,
  buffer: Uint8Array<ArrayBuffer>,
  flags: number,
): number | null | undefined {
  const { recv } = sysSocket();
  const length = Math.min(byteLengthOf(buffer), MAX_COUNT);
  for (;;) {
    const { fd } = socket;
    if (length === 0) return 0; // recv, unlike read, would wait
    const count = recv(fd, buffer, length, flags);
    if (count > 0) return count;
    if (count === 0) return null; // the end of the stream, as in all of Deno
    const number = errno();
    if (number === EAGAIN) return undefined;
    if (number !== EINTR) throw ipcError(number, "recv", socket.subject);
  }
}

/** Reads when it is its turn and something is there. */
async function read(
  socket: SocketDescriptor,
  buffer: Uint8Array<ArrayBuffer>,
  options: WaitOptions | undefined,
): Promise<number | null> {
  checkBytes("buffer", buffer);
  const limits = limitsOf(options);
  const tryWith = (flags: number) => readOnce(socket, buffer, flags);
  return await receiving(socket, limits, tryWith);
}

/** Reads and checks what is to be sent: descriptors go with bytes only. */
function checkedOutgoing(
  data: Uint8Array,
  options: UnixTrySendOptions | undefined,
): Outgoing {
  const what = outgoing(data, options);
  if (what.descriptors !== null && byteLengthOf(data) === 0) {
    throw new RangeError(
      'Argument "data" must have at least 1 byte for descriptors to go with',
    );
  }
  return what;
}

const LARGE = 8; // deliveries that a write to a full socket counts for

/** Sends from call to call, until all the bytes are sent. */
function sendingAll(
  socket: SocketDescriptor,
  what: Outgoing,
): TryWith<number> {
  const { data, length } = what;
  let sent = 0;
  return (flags) => {
    for (;;) {
      checkKept("data", data, length);
      const rest = sent === 0
        ? what // descriptors go with the first byte
        : plain(viewOf(data, sent, length));
      const count = sendOnce(socket, rest, flags);
      if (count === undefined) return undefined;
      sent += count;
      if (sent >= length) return sent;
      if (isOverdue(LARGE)) return undefined; // goes on when the event loop has run
    }
  };
}

/** Sends all, when it is its turn, waiting while there is no room. */
function sendAll(
  socket: SocketDescriptor,
  what: Outgoing,
  limits: Limits,
): Promise<number> {
  return sending(socket, limits, sendingAll(socket, what));
}

/** Sends all, blocking this thread while there is no room. */
function sendAllSync(
  socket: SocketDescriptor,
  what: Outgoing,
  deadline: number,
): number {
  return sendingSync(socket, deadline, sendingAll(socket, what));
}

/** Sends as much as there is room for; null when there is none. */
function sendNow(socket: SocketDescriptor, what: Outgoing): number | null {
  return sendingNow(socket, (flags) => sendOnce(socket, what, flags)) ?? null;
}

/** Bytes that nothing goes with. */
function plain(data: Uint8Array): Outgoing {
  checkBytes("bytes", data);
  return { data, length: byteLengthOf(data), descriptors: null, to: null };
}

/** Writes all, when it is its turn. */
async function write(
  socket: SocketDescriptor,
  bytes: Uint8Array,
  options: WaitOptions | undefined,
): Promise<number> {
  const what = plain(bytes);
  return await sendAll(socket, what, limitsOf(options));
}

/** One recvmsg(2); the end of a stream is no bytes. */
function receiveWith(
  socket: SocketDescriptor,
  how: Incoming,
  flags: number,
): UnixMessage | null | undefined {
  const message = receiveOnce(socket, how, flags, false);
  return message?.size === 0 ? null : message;
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor) => UnixStream;

/** A stream over a connected socket. */
export function streamOver(descriptor: SocketDescriptor): UnixStream {
  return make(descriptor);
}

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
 *   assertEquals(server.peerCredentials.pid, Deno.pid);
 * }
 * Deno.removeSync(directory); // empty: the listener took its file along
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixStream extends UnixConnection {
  readonly #ended = new Set<"readable" | "writable">();
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array<ArrayBuffer>> | undefined;

  private constructor(token: typeof internal, descriptor: SocketDescriptor) {
    super(token, descriptor);
  }

  static {
    make = (descriptor) => new UnixStream(internal, descriptor);
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
  ): UnixStream {
    return new UnixStream(internal, connectSync(SOCK_STREAM, address, options));
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
  ): Promise<UnixStream> {
    return new UnixStream(
      internal,
      await connect(SOCK_STREAM, address, options),
    );
  }

  /**
   * `socketpair(AF_UNIX, SOCK_STREAM, 0, sv)`: two connected sockets without a
   * name, such as one for this process and one for a child.
   *
   * @returns Both; disposing of it closes both.
   * @throws {IpcError} EMFILE or ENFILE if there are too many descriptors.
   *
   * @example A channel to a child, in both directions
   * ```ts ignore
   * import { UnixStream } from "@linux/ipc/socket";
   *
   * if (Deno.args[0] === "child") {
   *   using parent = UnixStream.fromFd(Number(Deno.args[1]));
   *   await parent.readable.pipeTo(parent.writable); // says all again
   * } else {
   *   const [mine, its] = UnixStream.pair();
   *   const child = its.inherit((fd) =>
   *     new Deno.Command(Deno.execPath(), {
   *       args: ["run", "--allow-ffi", import.meta.filename!, "child", `${fd}`],
   *     }).spawn()
   *   );
   *   its.close(); // the child has its own
   *   await mine.write(new TextEncoder().encode("hello"));
   *   mine.closeWrite();
   *   console.log(await new Response(mine.readable).text()); // hello
   *   await child.status;
   *   mine.close();
   * }
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/socketpair.2.html | socketpair(2)}
   */
  static pair(): UnixPair<UnixStream> {
    return socketPair(SOCK_STREAM, make);
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes over a Unix stream socket that
   * a parent, a peer or a service manager has passed. The number must not belong to
   * anything else in this process: `close()` closes it.
   *
   * @param fd The number of the descriptor.
   * @param options What errors call it.
   * @returns The stream, with close-on-exec set.
   * @throws {RangeError} If `fd` is no integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a listening socket, or belongs
   * to an object of this module. It stays open.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: UnixFromFdOptions): UnixStream {
    return new UnixStream(
      internal,
      adoptSocket(fd, SOCK_STREAM, false, options),
    );
  }

  /**
   * `recv(2)`, blocking this thread until there is something to read.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recv(2)}
   */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null {
    checkBytes("buffer", buffer);
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return receivingSync(
      socket,
      deadline,
      (flags) => readOnce(socket, buffer, flags),
    );
  }

  /**
   * `recv(2)`, waiting without blocking the thread.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recv(2)}
   */
  async read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return await read(descriptorOf(this), buffer, options);
  }

  /**
   * `recv(2)` with `MSG_DONTWAIT`, of what is there already.
   *
   * @param buffer Filled from its start; at most its length is read.
   * @returns The count of bytes read; undefined when there is nothing yet, null
   * at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recv(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    checkBytes("buffer", buffer);
    return readOnce(descriptorOf(this), buffer, MSG_DONTWAIT);
  }

  /**
   * `send(2)` of all the bytes, blocking this thread while there is no room.
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param bytes What to write.
   * @param options `timeout` in milliseconds.
   * @returns The count of bytes written: all of them.
   * @throws {Error} If an asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed. (No SIGPIPE comes.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  writeSync(
    bytes: Uint8Array,
    options?: SyncWaitOptions,
  ): number {
    const what = plain(bytes);
    const deadline = deadlineOf(options);
    return sendAllSync(descriptorOf(this), what, deadline);
  }

  /**
   * `send(2)` of all the bytes, waiting without blocking the thread. Several at a
   * time are written one after the other.
   *
   * @param bytes What to write. Leave them as they are until the promise is
   * settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes written: all of them.
   * @throws {TypeError} If the memory of the bytes is closed or smaller before they are written.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed. (No SIGPIPE comes.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  async write(bytes: Uint8Array, options?: WaitOptions): Promise<number> {
    return await write(descriptorOf(this), bytes, options);
  }

  /**
   * `send(2)` with `MSG_DONTWAIT`, of as many bytes as there is room for now.
   *
   * @param bytes What to write.
   * @returns The count of bytes written, or null when there is no room, or while an
   * asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} EPIPE if the peer has closed. (No SIGPIPE comes.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  tryWrite(bytes: Uint8Array): number | null {
    return sendNow(descriptorOf(this), plain(bytes));
  }

  /**
   * `sendmsg(2)`: as {@linkcode UnixStream.writeSync}, and passes descriptors along.
   * They arrive with the first byte.
   *
   * @param data What to send; with descriptors at least 1 byte.
   * @param options `descriptors`, and `timeout` in milliseconds.
   * @returns The count of bytes sent: all of them.
   * @throws {RangeError} If there are more than 253 descriptors, or no byte.
   * @throws {Error} If an asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been sent, and the descriptors with it.
   * @throws {IpcError} EPIPE if the peer has closed, EBADF if a descriptor is not
   * open, ETOOMANYREFS if too many are on their way, unreceived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendSyncOptions,
  ): number {
    const what = checkedOutgoing(data, options);
    const deadline = deadlineOf(options);
    return sendAllSync(descriptorOf(this), what, deadline);
  }

  /**
   * `sendmsg(2)`: as {@linkcode UnixStream.write}, and passes descriptors along.
   * They arrive with the first byte.
   *
   * @param data What to send; with descriptors at least 1 byte. Leave it as it is,
   * and the descriptors open, until the promise is settled.
   * @param options `descriptors`, `timeout` in milliseconds, and `signal`.
   * @returns The count of bytes sent: all of them.
   * @throws {TypeError} If the memory of the bytes is closed or smaller before they are sent.
   * @throws {RangeError} If there are more than 253 descriptors, or no byte.
   * @throws {ClosedError} If this side is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been sent, and the descriptors with it.
   * @throws {IpcError} EPIPE if the peer has closed, EBADF if a descriptor is not
   * open, ETOOMANYREFS if too many are on their way, unreceived.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  async send(
    data: Uint8Array,
    options?: UnixSendOptions,
  ): Promise<number> {
    const what = checkedOutgoing(data, options);
    const limits = limitsOf(options);
    return await sendAll(descriptorOf(this), what, limits);
  }

  /**
   * `sendmsg(2)` with `MSG_DONTWAIT`: as {@linkcode UnixStream.tryWrite}, and passes
   * descriptors along. They are sent if any byte is.
   *
   * @param data What to send; with descriptors at least 1 byte.
   * @param options `descriptors`.
   * @returns The count of bytes sent, or null when there is no room, or while an
   * asynchronous write or send is pending.
   * @throws {RangeError} If there are more than 253 descriptors, or no byte.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {IpcError} EPIPE if the peer has closed, EBADF if a descriptor is not
   * open, ETOOMANYREFS if too many are on their way, unreceived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  trySend(
    data: Uint8Array,
    options?: UnixTrySendOptions,
  ): number | null {
    const what = checkedOutgoing(data, options);
    return sendNow(descriptorOf(this), what);
  }

  /**
   * `recvmsg(2)`: bytes, and the descriptors and credentials that came with them,
   * blocking this thread until there are any. (Descriptors that come while one of
   * the read methods is used are closed.)
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * Bytes sent with descriptors are never joined to bytes sent after them.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns What has come, or null at the end: the peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  receiveSync(options?: UnixReceiveSyncOptions): UnixMessage | null {
    const how = incoming(options, STREAM_SIZE);
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return receivingSync(
      socket,
      deadline,
      (flags) => receiveWith(socket, how, flags),
    );
  }

  /**
   * `recvmsg(2)`: bytes, and the descriptors and credentials that came with them,
   * waiting without blocking the thread. (Descriptors that come while one of the
   * read methods is used are closed.)
   *
   * Bytes sent with descriptors are never joined to bytes sent after them.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns What has come, or null at the end: the peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  async receive(options?: UnixReceiveOptions): Promise<UnixMessage | null> {
    const how = incoming(options, STREAM_SIZE);
    const limits = limitsOf(options);
    const socket = descriptorOf(this);
    return await receiving(
      socket,
      limits,
      (flags) => receiveWith(socket, how, flags),
    );
  }

  /**
   * `recvmsg(2)` with `MSG_DONTWAIT`: bytes that are there already, and the
   * descriptors and credentials that came with them.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns What has come; undefined when there is nothing yet, null at the end:
   * the peer has closed.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed without reading all.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixTryReceiveOptions): UnixMessage | null | undefined {
    const how = incoming(options, STREAM_SIZE);
    return receiveWith(descriptorOf(this), how, MSG_DONTWAIT);
  }

  /**
   * What the peer writes, read only as fast as it is taken. When this has ended, has
   * failed or is cancelled, and `writable` as well, the socket is closed.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const socket = descriptorOf(this);
    return this.#readable ??= readableStream(
      (buffer, signal) => read(socket, buffer, { signal }),
      () => this.#end("readable"),
    );
  }

  /**
   * What is written to the peer; it waits while there is no room. Closing or
   * aborting it ends what the peer reads; when `readable` has ended as well, the
   * socket is closed.
   */
  get writable(): WritableStream<Uint8Array<ArrayBuffer>> {
    const socket = descriptorOf(this);
    return this.#writable ??= writableStream(
      (bytes, signal) => write(socket, bytes, { signal }),
      () => this.#end("writable"),
    );
  }

  #end(side: "readable" | "writable"): void {
    const socket = descriptorOf(this);
    if (socket.closed) return;
    if (side === "writable") closeWrite(socket);
    if (this.#ended.add(side).size === 2) socket.close();
  }
}
