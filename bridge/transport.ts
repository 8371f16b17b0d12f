// The transport of the NATS client, with one thing added: for moments it listens to no error
// of its socket. One that occurs then, such as ECONNRESET of a server that ends, would end
// the whole program.

import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  type NatsConnection,
  NatsConnectionImpl,
  type NodeConnectionOptions,
  setTransportFactory,
} from "@nats-io/transport-node";
import {
  nodeResolveHost,
  NodeTransport,
} from "@nats-io/transport-node/lib/node_transport.js";

/** Lets a socket ignore errors for which nobody listens. */
function guarded<S extends Socket>(socket: S): S {
  const emit = socket.emit.bind(socket) as Socket["emit"];
  socket.emit = (name: string, ...values: unknown[]) =>
    (name !== "error" || socket.listenerCount(name) > 0) &&
    emit(name, ...values);
  return socket;
}

class GuardedTransport extends NodeTransport {
  override async dial(
    place: { hostname: string; port: number },
  ): Promise<Socket> {
    return guarded(await super.dial(place));
  }

  override async tlsFirst(
    place: { hostname: string; port: number },
  ): Promise<TLSSocket> {
    return guarded(await super.tlsFirst(place));
  }

  override async startTLS(): Promise<TLSSocket> {
    return guarded(await super.startTLS());
  }
}

/** Opens a connection to a NATS server. */
export function connect(
  options: NodeConnectionOptions,
): Promise<NatsConnection> {
  setTransportFactory({
    factory: () => new GuardedTransport(),
    dnsResolveFn: nodeResolveHost,
  });
  return NatsConnectionImpl.connect(options);
}
