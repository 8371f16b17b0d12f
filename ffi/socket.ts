/**
 * Unix domain sockets: `socket(2)` with `AF_UNIX`, between processes of one machine,
 * in both directions.
 *
 * **Choose a socket** for a server with clients: each client has its own connection,
 * both sides send and receive, and each side sees when the other closes. Or to pass
 * descriptors to another process, which only sockets can.
 *
 * **Choose something else** for bytes in one direction in small pieces (a pipe or FIFO is
 * faster up to some kilobytes, a socket from 64 KiB on), or for messages to a receiver
 * that is not running yet (a message queue).
 *
 * |                   | with connections            | without                  |
 * | ----------------- | --------------------------- | ------------------------ |
 * | a stream of bytes | {@linkcode UnixStream}      |                          |
 * | messages          | {@linkcode UnixSeqpacket}   | {@linkcode UnixDatagram} |
 *
 * A stream has no message boundaries: one read can return the bytes of two writes, or a
 * part of one. To exchange messages, use {@linkcode UnixSeqpacket}, or a `FramedStream`
 * over a stream.
 *
 * {@linkcode listenFds} and {@linkcode sdNotify} are for services that systemd starts.
 *
 * ```ts
 * import { UnixListener, UnixStream } from "@linux/ipc/socket";
 *
 * const directory = Deno.makeTempDirSync();
 * using listener = UnixListener.listen(`${directory}/socket`);
 * const served = (async () => {
 *   using client = await listener.accept();
 *   const buffer = new Uint8Array(255);
 *   const count = await client.read(buffer);
 *   if (count !== null) await client.write(buffer.subarray(0, count));
 * })();
 *
 * using server = await UnixStream.connect(`${directory}/socket`);
 * await server.write(new TextEncoder().encode("hello"));
 * console.log(await server.read(new Uint8Array(255))); // 5
 * await served;
 * ```
 *
 * @example Hand a connection over to node:net
 * ```ts
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 * import { Socket } from "node:net";
 *
 * const [one, other] = UnixStream.pair();
 * const socket = new Socket({ fd: one.detach(), readable: true, writable: true });
 * socket.write("hello");
 *
 * const buffer = new Uint8Array(16);
 * assertEquals(await other.read(buffer), 5);
 * other.close();
 * socket.destroy();
 * ```
 *
 * @module
 */

export type {
  /** A name in the abstract namespace. */
  AbstractAddress,
  /**
   * A path that a string cannot represent: one that is not UTF-8, or that begins with
   * "@".
   */
  PathAddress,
  /**
   * The address of a Unix domain socket: a path of UTF-8, a path of other bytes, or a
   * name in the abstract namespace.
   */
  UnixAddress,
} from "./socket/address.ts";
export type {
  /** How a process has ended. */
  ExitStatus,
  /**
   * A process, as a descriptor: it stands for that process even if its number is used
   * again, and is readable when the process has ended.
   */
  PidFd,
} from "./descriptor/pid_fd.ts";
export type {
  /** Options of a socket that is bound to an address. */
  UnixBindOptions,
} from "./socket/bind.ts";
export type {
  /** A process, its user and its group. */
  Credentials,
} from "./socket/credentials.ts";
export {
  /** A Unix datagram socket: messages without a connection. */
  UnixDatagram,
  /** Options of `connect()` of a `UnixDatagram`. */
  type UnixDatagramConnectOptions,
  /** An entry of `list()` of a `UnixDatagram`. */
  type UnixDatagramEntry,
  /** Options of `send()` of a `UnixDatagram`, and its siblings. */
  type UnixSendToOptions,
} from "./socket/datagram.ts";
export {
  /** A Unix socket that accepts connections. */
  UnixListener,
  /** An entry of `list()` of a `UnixListener`. */
  type UnixListenerEntry,
  /** Options of `listen()` of a `UnixListener`. */
  type UnixListenOptions,
} from "./socket/listener.ts";
export type {
  /** A process that holds an object. */
  IpcHolder,
  /** What a process does with an object: */
  IpcRole,
} from "./inspect/types.ts";
export type {
  /** A received message. */
  UnixMessage,
  /** Options of `receive()` and `peek()` of the sockets, and of their siblings. */
  UnixReceiveOptions,
  /** Options of `send()` of the sockets, and of its siblings. */
  UnixSendOptions,
} from "./socket/message.ts";
export {
  /** A descriptor that was received. */
  PassedDescriptor,
} from "./socket/passed_descriptor.ts";
export {
  /**
   * A connected Unix seqpacket socket: one side of a connection that carries messages.
   */
  UnixSeqpacket,
} from "./socket/seqpacket.ts";
export type {
  /** The sizes of the buffers of a socket, in bytes. */
  UnixBufferSizes,
  /** The base class of all Unix domain sockets that carry data: all but listeners. */
  UnixChannel,
  /** The base class of Unix domain sockets that are one side of a connection. */
  UnixConnection,
  /** Options of a socket that receives messages: what may accompany them. */
  UnixPassOptions,
  /** The base class of all Unix domain sockets. */
  UnixSocket,
} from "./socket/socket.ts";
export {
  /** A connected Unix stream socket: one side of a connection. */
  UnixStream,
} from "./socket/stream.ts";
export {
  /** A descriptor that the service manager has passed. */
  type ListenFd,
  /**
   * `sd_listen_fds_with_names(1, &names)`: returns the descriptors that systemd, or
   * another service manager with this protocol, has passed to this process (socket
   * activation).
   */
  listenFds,
  /**
   * `sd_notify(0, state)`: tells the service manager about the state of this service,
   * waiting without blocking the thread while its queue is full.
   */
  sdNotify,
  /** Options of `sdNotify`. */
  type SdNotifyOptions,
  /**
   * `sd_notify(0, state)`: as `sdNotify`, blocking this thread while the queue of the
   * service manager is full, and with `BARRIER=1` until it has processed all earlier
   * notifications.
   */
  sdNotifySync,
  /**
   * `sd_watchdog_enabled(0, &usec)`: the time after which the service manager considers
   * this service as hung, unless it is told `WATCHDOG=1` before.
   */
  watchdogTimeout,
} from "./socket/systemd.ts";

export type {
  /** An object that owns a descriptor: the base of several classes. */
  DescriptorOwner,
  /** Options of `fromFd()`. */
  FromFdOptions,
  /** Two sides that are connected to each other. */
  Pair,
} from "./kernel/descriptor_owner.ts";
export type {
  /** What a descriptor is. */
  DescriptorKind,
} from "./kernel/descriptor_kind.ts";
export type {
  /** The number of a descriptor, or an object that has one as `fd`. */
  DescriptorLike,
} from "./wait/descriptors.ts";
export type {
  /** Options of a wait that blocks the thread. */
  SyncWaitOptions,
  /** Options of a wait that does not block the thread. */
  WaitOptions,
} from "./wait/options.ts";
export {
  /** The object was closed before it was used, or while something waited for it. */
  ClosedError,
  /** A system call failed: `errno`, with the name of the call and the object of it. */
  IpcError,
  /** A system limit that a refused call ran into. */
  type SystemLimit,
} from "./errors.ts";
