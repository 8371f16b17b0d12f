// Stream sockets (SOCK_STREAM): connections that carry a stream of bytes.

import { byteLengthOf, checkBytes, checkKept, viewOf } from "../arguments.ts";
import { internal } from "../internal.ts";
import type { FromFdOptions, Pair } from "../kernel/descriptor_owner.ts";
import {
  EAGAIN,
  ECONNRESET,
  errno,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import {
  MSG_DONTWAIT,
  MSG_PEEK,
  SOCK_STREAM,
  sysSocket,
} from "../libc/sys_socket.ts";
import { MAX_COUNT } from "../libc/unistd.ts";
import {
  deadlineOf,
  limitsOf,
  type SyncWaitOptions,
  type WaitOptions,
} from "../wait/options.ts";
import { readableStream, writableStream } from "../wait/streams.ts";
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
  type Outgoing,
  outgoingOf,
  receiveOnce,
  sendBytes,
  sendOnce,
  type UnixMessage,
  type UnixReceiveOptions,
  type UnixSendOptions,
} from "./message.ts";
import {
  adoptSocket,
  closeWrite,
  descriptorOf,
  type SocketDescriptor,
  socketPair,
  UnixConnection,
} from "./socket.ts";

/** The default maxSize of receive, in bytes. */
const STREAM_SIZE = 64 * 1024;

/** One recv(2): the number of bytes, null at the end, undefined if it would block. */
function readOnce(
  socket: SocketDescriptor,
  buffer: Uint8Array<ArrayBuffer>,
  flags = MSG_DONTWAIT,
): number | null | undefined {
  const { recv } = sysSocket();
  const length = Math.min(byteLengthOf(buffer), MAX_COUNT);
  for (;;) {
    const { fd } = socket;
    if (length === 0) return 0; // recv(2), unlike read(2), would block
    const count = recv(fd, buffer, length, flags);
    if (count > 0) return count;
    if (count === 0) {
      socket.throwReset("recv");
      return null; // the end, as in Deno
    }
    const error = errno();
    if (error === EAGAIN) return undefined;
    if (error === ECONNRESET) socket.isReset = true; // the end is next
    else if (!isInterruption(error)) {
      throw ipcError(error, "recv", socket.subject);
    }
  }
}

/** Reads in the order of the calls. */
function read(
  socket: SocketDescriptor,
  buffer: Uint8Array<ArrayBuffer>,
  options: WaitOptions | undefined,
): Promise<number | null> {
  try {
    checkBytes("buffer", buffer);
    const limits = limitsOf(options);
    return receive(socket, limits, readOnce, buffer);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** A message that is sent from call to call, until all bytes are sent. */
interface Sending extends Outgoing {
  sent: number;
}

/** Reads and checks what to send: what accompanies bytes needs at least 1 byte. */
function sendingOf(
  data: Uint8Array,
  options: UnixSendOptions | undefined,
): Sending {
  const outgoing = outgoingOf(data, options);
  const { descriptors, credentials, length } = outgoing;
  if (length > 0 || (descriptors ?? credentials) === null) {
    return { ...outgoing, sent: 0 };
  }
  throw new RangeError(
    'Argument "data" must have at least 1 byte, ' +
      "which descriptors and credentials accompany",
  );
}

/** Bytes alone, of which so many are sent. */
function plain(
  data: Uint8Array<ArrayBuffer>,
  length: number,
  sent = 0,
): Sending {
  return { data, descriptors: null, credentials: null, length, to: null, sent };
}

/** Reads and checks bytes to write. */
function writingOf(bytes: Uint8Array): Sending {
  checkBytes("bytes", bytes);
  return plain(bytes, byteLengthOf(bytes));
}

const LARGE = 8; // a write to a full socket counts as this many deliveries

function sendRest(
  socket: SocketDescriptor,
  sending: Sending,
  flags = MSG_DONTWAIT,
): number | undefined {
  for (;;) {
    const rest = sending.sent === 0 ? sending : restOf(sending);
    const count = sendOnce(socket, rest, flags);
    if (count === undefined) return undefined;
    sending.sent += count;
    if (sending.sent >= sending.length) return sending.sent;
    if (isOverdue(LARGE)) return undefined; // continues when the event loop has run
  }
}

/** The bytes that are not sent yet: descriptors were passed with the first one. */
function restOf({ data, length, credentials, sent }: Sending): Outgoing {
  checkKept("data", data, length);
  return { ...plain(viewOf(data, sent, length), length - sent), credentials };
}

/** Writes what there is room for, in the call itself; undefined if others wait. */
function writeNow(
  socket: SocketDescriptor,
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): number | undefined {
  if (socket.sends.queue.busy || isOverdue()) return undefined;
  return sendBytes(socket, bytes, Math.min(length, MAX_COUNT), MSG_DONTWAIT);
}

/** Writes all bytes, in the order of the calls. */
function write(
  socket: SocketDescriptor,
  bytes: Uint8Array,
  options: WaitOptions | undefined,
): Promise<number> {
  try {
    checkBytes("bytes", bytes);
    const limits = limitsOf(options);
    const length = byteLengthOf(bytes);
    const sent = writeNow(socket, bytes, length);
    if (sent === length) return Promise.resolve(length);
    return send(socket, limits, sendRest, plain(bytes, length, sent));
  } catch (error) {
    return Promise.reject(error);
  }
}

/** One recvmsg(2); null at the end, undefined if it would block. */
function receiveNext(
  socket: SocketDescriptor,
  incoming: Incoming,
  flags = MSG_DONTWAIT,
): UnixMessage | null | undefined {
  const message = receiveOnce(socket, incoming, flags, false);
  if (message?.size !== 0) return message;
  socket.throwReset("recvmsg");
  return null;
}

/** Reads and checks the options of a receive. */
function optionsOf(
  options: UnixReceiveOptions | undefined,
  peek = 0,
): Incoming {
  return incomingOf(options, STREAM_SIZE, peek);
}

// Set by the class: its constructor is for this module alone.
let make: (descriptor: SocketDescriptor) => UnixStream;

/** Makes a UnixStream of a connected socket. */
export function streamOver(descriptor: SocketDescriptor): UnixStream {
  return make(descriptor);
}

/**
 * A connected Unix stream socket: one side of a connection.
 *
 * Asynchronous reads get what arrives in the order of their calls, and writes are done in
 * the order of their calls, each as a whole: while one waits, `tryWrite` and `trySend`
 * return undefined, and `writeSync` and `sendSync` throw. A synchronous read and
 * `tryRead` do not queue: they take what is there before the asynchronous reads that
 * wait.
 *
 * The read methods and `readable` discard descriptors and credentials that accompany
 * bytes; the receive methods return them.
 *
 * @example Send and receive
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
 * Deno.removeSync(directory); // empty: the listener has removed its file
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class UnixStream extends UnixConnection {
  readonly #ended = new Set<"readable" | "writable">();
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /** @ignore */
  private constructor(token: typeof internal, descriptor: SocketDescriptor) {
    super(token, descriptor);
  }

  static {
    make = (descriptor) => new UnixStream(internal, descriptor);
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
  ): UnixStream {
    return new UnixStream(internal, connectSync(SOCK_STREAM, address, options));
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
   * @throws {IpcError} As {@linkcode UnixStream.connectSync}.
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
   * `socketpair(AF_UNIX, SOCK_STREAM, 0, sv)`: a pair of connected, unnamed
   * sockets, such as one for this process and one for a child.
   *
   * @returns Both sockets; its `close()` closes both.
   * @throws {IpcError} EMFILE or ENFILE if this process, or the system, has too many
   * open descriptors.
   *
   * @example Both directions between a parent and a child
   * ```ts ignore
   * import { UnixStream } from "@linux/ipc/socket";
   *
   * if (Deno.args[0] === "child") {
   *   using parent = UnixStream.fromFd(Number(Deno.args[1]));
   *   await parent.readable.pipeTo(parent.writable); // echoes
   * } else {
   *   const [mine, its] = UnixStream.pair();
   *   const child = its.inherit((fd) =>
   *     new Deno.Command(Deno.execPath(), {
   *       args: ["run", "--allow-ffi", import.meta.filename!, "child", `${fd}`],
   *     }).spawn()
   *   );
   *   its.close(); // the child has its own copy
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
  static pair(): Pair<UnixStream> {
    return socketPair(SOCK_STREAM, make);
  }

  /**
   * `getsockopt(fd, SOL_SOCKET, SO_TYPE, ...)`: takes ownership of a Unix stream socket
   * that a parent, a peer or a service manager has passed.
   *
   * No other object may own the descriptor: `close()` closes it. An object of another
   * Worker is not noticed.
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The stream, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is anything else, such as a listening socket, or belongs
   * to an object of this module on this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/socket.7.html | socket(7)}
   */
  static fromFd(fd: number, options?: FromFdOptions): UnixStream {
    return new UnixStream(
      internal,
      adoptSocket(fd, SOCK_STREAM, false, options),
    );
  }

  /**
   * `recv(2)`, blocking this thread until there is data.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
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
    return receiveSync(socket, deadline, readOnce, buffer);
  }

  /**
   * `recv(2)`, waiting without blocking the thread.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes read, or null at the end: the peer has closed.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recv(2)}
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return read(descriptorOf(this), buffer, options);
  }

  /**
   * `recv(2)` with `MSG_DONTWAIT`, of the data that is available now.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @returns The number of bytes read, undefined if there is no data now, or null at
   * the end: the peer has closed.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recv(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    checkBytes("buffer", buffer);
    return readOnce(descriptorOf(this), buffer, MSG_DONTWAIT);
  }

  /**
   * `send(2)` of all the bytes, blocking this thread while there is no room.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param bytes The bytes to write.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes written: all of them.
   * @throws {Error} If an asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed, or ECONNRESET if it closes with
   * unread data during the call. (SIGPIPE is not raised.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  writeSync(bytes: Uint8Array, options?: SyncWaitOptions): number {
    const sending = writingOf(bytes);
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return sendSync(socket, deadline, sendRest, sending);
  }

  /**
   * `send(2)` of all the bytes, waiting without blocking the thread. Concurrent
   * calls write in the order of the calls.
   *
   * @param bytes The bytes to write. Do not change them until the promise is
   * settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes written: all of them.
   * @throws {TypeError} If the memory of the bytes is closed or truncated before they are
   * written.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been written.
   * @throws {IpcError} EPIPE if the peer has closed, or ECONNRESET if it closes with
   * unread data during the call. (SIGPIPE is not raised.)
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  write(bytes: Uint8Array, options?: WaitOptions): Promise<number> {
    return write(descriptorOf(this), bytes, options);
  }

  /**
   * `send(2)` with `MSG_DONTWAIT`, of as many bytes as there is room for now.
   *
   * @param bytes The bytes to write.
   * @returns The number of bytes written, or undefined if there is no room now, or while
   * an asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} EPIPE if the peer has closed, or ECONNRESET if it closes with
   * unread data during the call. (SIGPIPE is not raised.)
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | send(2)}
   */
  tryWrite(bytes: Uint8Array): number | undefined {
    return trySend(descriptorOf(this), sendOnce, writingOf(bytes));
  }

  /**
   * `sendmsg(2)`: as {@linkcode UnixStream.prototype.writeSync | UnixStream.writeSync},
   * and passes descriptors. They arrive with the first byte.
   *
   * @param data The bytes to send; with descriptors or credentials at least 1 byte.
   * @param options `descriptors`, `credentials`, and `timeout` in milliseconds.
   * @returns The number of bytes sent: all of them.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or descriptors or
   * credentials without a byte, or credentials that are out of range.
   * @throws {Error} If an asynchronous write or send is pending.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been sent, and the descriptors with it.
   * @throws {IpcError} As
   * {@linkcode UnixStream.prototype.writeSync | UnixStream.writeSync}; EBADF if a
   * descriptor is not open, ETOOMANYREFS if too many descriptors are in flight, EPERM if
   * the peer refuses descriptors (`passDescriptors`), or if this process may not send
   * these `credentials`, ESRCH if there is no process with that id.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  sendSync(
    data: Uint8Array,
    options?: UnixSendOptions & SyncWaitOptions,
  ): number {
    const sending = sendingOf(data, options);
    const deadline = deadlineOf(options);
    const socket = descriptorOf(this);
    return sendSync(socket, deadline, sendRest, sending);
  }

  /**
   * `sendmsg(2)`: as {@linkcode UnixStream.prototype.write | UnixStream.write}, and
   * passes descriptors. They arrive with the first byte.
   *
   * @param data The bytes to send; with descriptors or credentials at least 1 byte. Do
   * not change them, and keep the descriptors open, until the promise is settled.
   * @param options `descriptors`, `credentials`, `timeout` in milliseconds,
   * and `signal`.
   * @returns The number of bytes sent: all of them.
   * @throws {TypeError} If the memory of the bytes is closed or truncated before they are
   * sent, or `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or descriptors or
   * credentials without a byte, or credentials that are out of range.
   * @throws {ClosedError} If this side is closed, now or during the wait, or an
   * object with a descriptor.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may
   * have been sent, and the descriptors with it.
   * @throws {IpcError} As
   * {@linkcode UnixStream.prototype.writeSync | UnixStream.writeSync}; EBADF if a
   * descriptor is not open, ETOOMANYREFS if too many descriptors are in flight, EPERM if
   * the peer refuses descriptors (`passDescriptors`), or if this process may not send
   * these `credentials`, ESRCH if there is no process with that id.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  async send(
    data: Uint8Array,
    options?: UnixSendOptions & WaitOptions,
  ): Promise<number> {
    const sending = sendingOf(data, options);
    const limits = limitsOf(options);
    const socket = descriptorOf(this);
    return await send(socket, limits, sendRest, sending);
  }

  /**
   * `sendmsg(2)` with `MSG_DONTWAIT`: as
   * {@linkcode UnixStream.prototype.tryWrite | UnixStream.tryWrite}, and passes
   * descriptors. They are sent if at least 1 byte is.
   *
   * @param data The bytes to send; with descriptors or credentials at least 1 byte.
   * @param options `descriptors`, `credentials`.
   * @returns The number of bytes sent, or undefined if there is no room now, or while an
   * asynchronous write or send is pending.
   * @throws {TypeError} If `credentials` is not an object.
   * @throws {RangeError} If there are more than 253 descriptors, or descriptors or
   * credentials without a byte, or credentials that are out of range.
   * @throws {ClosedError} If this side is closed, or an object with a descriptor.
   * @throws {IpcError} As
   * {@linkcode UnixStream.prototype.writeSync | UnixStream.writeSync}; EBADF if a
   * descriptor is not open, ETOOMANYREFS if too many descriptors are in flight, EPERM if
   * the peer refuses descriptors (`passDescriptors`), or if this process may not send
   * these `credentials`, ESRCH if there is no process with that id.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/send.2.html | sendmsg(2)}
   */
  trySend(data: Uint8Array, options?: UnixSendOptions): number | undefined {
    const sending = sendingOf(data, options);
    return trySend(descriptorOf(this), sendOnce, sending);
  }

  /**
   * `recvmsg(2)`: receives bytes with their descriptors and credentials, blocking this
   * thread until there are any.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * One call never returns bytes that were sent with descriptors together with bytes
   * that were sent later.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The bytes and what they came with, or null at the end: the peer has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this side is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
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
   * `recvmsg(2)`: receives bytes with their descriptors and credentials, waiting without
   * blocking the thread.
   *
   * One call never returns bytes that were sent with descriptors together with bytes
   * that were sent later.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns The bytes and what they came with, or null at the end: the peer has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty or becomes so during the wait.
   * @throws {ClosedError} If this side is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
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
   * `recvmsg(2)` with `MSG_DONTWAIT`: receives the bytes that are available now with
   * their descriptors and credentials.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns The bytes and what they came with, undefined if there are none now, or null
   * at the end: the peer has closed.
   * @throws {TypeError} If `buffer` is not a Uint8Array.
   * @throws {RangeError} If `maxSize` or `maxDescriptors` is out of range, or `buffer` is
   * empty.
   * @throws {ClosedError} If this side is closed.
   * @throws {IpcError} ECONNRESET if the peer closed with unread data, after all that has
   * arrived.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  tryReceive(options?: UnixReceiveOptions): UnixMessage | null | undefined {
    return receiveNext(descriptorOf(this), optionsOf(options), MSG_DONTWAIT);
  }

  /**
   * `recvmsg(2)` with `MSG_PEEK`: as
   * {@linkcode UnixStream.prototype.receiveSync | UnixStream.receiveSync}, and leaves the
   * bytes and what they came with for the next call.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, and `timeout` in
   * milliseconds.
   * @returns The bytes that are available now, or null at the end: the peer has closed.
   * Its descriptors are duplicates, which the caller closes, too. Without
   * `maxDescriptors` its `descriptorsTruncated` tells whether descriptors accompany them.
   * @throws As {@linkcode UnixStream.prototype.receiveSync | UnixStream.receiveSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/recv.2.html | recvmsg(2)}
   */
  peekSync(
    options?: UnixReceiveOptions & SyncWaitOptions,
  ): UnixMessage | null {
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
   * `recvmsg(2)` with `MSG_PEEK`: as
   * {@linkcode UnixStream.prototype.receive | UnixStream.receive}, and leaves the bytes
   * and what they came with for the next call.
   *
   * @param options `maxSize` or `buffer`, `maxDescriptors`, `timeout` in
   * milliseconds, and `signal`.
   * @returns As {@linkcode UnixStream.prototype.peekSync | UnixStream.peekSync}.
   * @throws As {@linkcode UnixStream.prototype.receive | UnixStream.receive}.
   *
   * @example The first byte decides who reads the rest
   * ```ts
   * import { UnixStream } from "@linux/ipc/socket";
   * import { assertEquals } from "@std/assert";
   *
   * using sides = UnixStream.pair();
   * const [one, other] = sides;
   * one.writeSync(Uint8Array.of(1, 2, 3));
   * assertEquals((await other.peek({ maxSize: 1 }))?.data, Uint8Array.of(1));
   * assertEquals(await other.read(new Uint8Array(8)), 3);
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
   * `recvmsg(2)` with `MSG_PEEK | MSG_DONTWAIT`: as
   * {@linkcode UnixStream.prototype.tryReceive | UnixStream.tryReceive}, and leaves the
   * bytes and what they came with for the next call.
   *
   * @param options `maxSize` or `buffer`, and `maxDescriptors`.
   * @returns As {@linkcode UnixStream.prototype.peekSync | UnixStream.peekSync}, or
   * undefined if there are none now.
   * @throws As {@linkcode UnixStream.prototype.tryReceive | UnixStream.tryReceive}.
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
   * `recv(2)` as a byte stream with back-pressure. The socket is closed when both this
   * stream and `writable` have ended, failed or were cancelled. The stream is made once.
   * If this side is closed, it fails with a ClosedError.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const socket = descriptorOf(this);
    return this.#readable ??= readableStream(
      (buffer, signal) => read(socket, buffer, { signal }),
      () => this.#end("readable"),
    );
  }

  /**
   * `send(2)` as a stream with back-pressure. Closing or aborting it calls
   * `shutdown(fd, SHUT_WR)`; the socket is closed when `readable` has ended, too. The
   * stream is made once. If this side is closed, it fails with a ClosedError.
   */
  get writable(): WritableStream<Uint8Array> {
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
