/**
 * The queues of one machine on another: bridges between queues of Linux and NATS JetStream.
 *
 * {@linkcode outgoing} passes the messages of a queue on to a subject, {@linkcode incoming}
 * the messages of a subject on to a queue: at least once, and in their order, also if a
 * bridge or the server is killed. {@linkcode outgoingRequests} and
 * {@linkcode incomingRequests} carry requests, and the replies back.
 *
 * **Choose a bridge** if there are programs with queues, in C or whatever, that are to
 * stay as they are while their messages go to another machine. **Choose NATS itself** for a
 * new program: it has a client in each language.
 *
 * ```ts
 * import { SysvMessageQueue } from "@linux/ipc/message-queue";
 * import { outgoing } from "@linux/ipc-nats";
 *
 * await using bridge = outgoing(
 *   () => SysvMessageQueue.openOrCreate(12345),
 *   "jobs",
 *   { server: { servers: "nats://127.0.0.1:4222" } },
 * );
 * await bridge.ready;
 * console.log(bridge.counters.messages);
 * ```
 *
 * @module
 */

export { Bridge, type BridgeCounters, type BridgeOptions } from "./bridge.ts";
export type { ServerOptions } from "./connection.ts";
export { BridgeError } from "./error.ts";
export { incoming, type IncomingOptions } from "./incoming.ts";
export {
  outgoing,
  type OutgoingOptions,
  type StreamOptions,
} from "./outgoing.ts";
export {
  incomingRequests,
  outgoingRequests,
  type RequestOptions,
} from "./requests.ts";
export type { OutgoingQueue } from "./source.ts";
export type { IncomingQueue } from "./target.ts";
