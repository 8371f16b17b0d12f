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
  AbstractAddress,
  PathAddress,
  UnixAddress,
} from "./socket/address.ts";
export type { ExitStatus, PidFd } from "./descriptor/pid_fd.ts";
export type { UnixBindOptions } from "./socket/bind.ts";
export type { Credentials } from "./socket/credentials.ts";
export {
  UnixDatagram,
  type UnixDatagramConnectOptions,
  type UnixSendToOptions,
} from "./socket/datagram.ts";
export { UnixListener, type UnixListenOptions } from "./socket/listener.ts";
export type {
  UnixMessage,
  UnixReceiveOptions,
  UnixSendOptions,
} from "./socket/message.ts";
export { PassedDescriptor } from "./socket/passed_descriptor.ts";
export { UnixSeqpacket } from "./socket/seqpacket.ts";
export type {
  UnixBufferSizes,
  UnixChannel,
  UnixConnection,
  UnixPassOptions,
  UnixSocket,
} from "./socket/socket.ts";
export { UnixStream } from "./socket/stream.ts";
export {
  type ListenFd,
  listenFds,
  sdNotify,
  type SdNotifyOptions,
  sdNotifySync,
  watchdogTimeout,
} from "./socket/systemd.ts";

export type {
  DescriptorOwner,
  FromFdOptions,
  Pair,
} from "./kernel/descriptor_owner.ts";
export type { DescriptorKind } from "./kernel/descriptor_kind.ts";
export type { DescriptorLike } from "./wait/descriptors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
