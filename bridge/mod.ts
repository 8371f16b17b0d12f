/**
 * The queues of one machine on another: bridges between queues of Linux and NATS JetStream.
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
export type { OutgoingQueue } from "./source.ts";
export type { IncomingQueue } from "./target.ts";
export {
  incomingRequests,
  outgoingRequests,
  type RequestOptions,
} from "./requests.ts";
