/**
 * Unix domain sockets: `socket(2)` with `AF_UNIX`, between processes of one machine,
 * in both directions.
 *
 * **Choose a socket** when a server has clients: each has a connection of its own,
 * both sides may speak, and each learns at once when the other is gone. Or when a
 * descriptor has to go from one process to another: only sockets carry them.
 *
 * **Choose something else** when bytes go one way only (a pipe or FIFO is faster),
 * or when a message must wait for a receiver that is not there yet (a message
 * queue).
 *
 * | there is                    | with connections            | without              |
 * | --------------------------- | --------------------------- | -------------------- |
 * | a stream of bytes           | {@linkcode UnixStream}      |                      |
 * | messages                    | {@linkcode UnixSeqpacket}   | {@linkcode UnixDatagram} |
 *
 * A stream has no boundaries: what was written in two pieces may be read in one,
 * and what was written in one in two. Programs that exchange messages take
 * {@linkcode UnixSeqpacket}, or a `FramedStream` over a stream.
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
 * @example Hand a connection over to node:net, and so to Deno's own event loop
 * ```ts
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 * import { Socket } from "node:net";
 *
 * const [one, other] = UnixStream.pair();
 * const socket = new Socket({ fd: one.release(), readable: true, writable: true });
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
export type { UnixBindOptions } from "./socket/bind.ts";
export type { Credentials } from "./socket/credentials.ts";
export {
  UnixDatagram,
  type UnixDatagramConnectOptions,
  type UnixDatagramCreateOptions,
  type UnixSendToOptions,
  type UnixSendToSyncOptions,
  type UnixTrySendToOptions,
} from "./socket/datagram.ts";
export {
  UnixListener,
  type UnixListenerFromFdOptions,
  type UnixListenOptions,
} from "./socket/listener.ts";
export type {
  UnixMessage,
  UnixReceiveOptions,
  UnixReceiveSyncOptions,
  UnixSendOptions,
  UnixSendSyncOptions,
  UnixTryReceiveOptions,
  UnixTrySendOptions,
} from "./socket/message.ts";
export { PassedDescriptor } from "./socket/rights.ts";
export { UnixSeqpacket } from "./socket/seqpacket.ts";
export {
  type UnixBufferSizes,
  UnixChannel,
  UnixConnection,
  type UnixFromFdOptions,
  type UnixPair,
  UnixSocket,
} from "./socket/socket.ts";
export { UnixStream } from "./socket/stream.ts";
export { type ListenFd, listenFds } from "./socket/systemd.ts";

export type { DescriptorLike } from "./wait/descriptors.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
