/** Requests and replies across machines. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { peerProgram } from "../../tests/interop/peers.ts";
import { leakTest } from "../../tests/support/leaks.ts";
import { scratch } from "../../tests/support/names.ts";
import { spawn, until } from "../../tests/support/process.ts";
import { BridgeError, incomingRequests, outgoingRequests } from "../mod.ts";
import { NatsServer, noCompiler, noServer } from "./support.ts";

const needs = [noServer];

/** A queue that is removed at the end. */
function newQueue(): SysvMessageQueue & Disposable {
  const queue = SysvMessageQueue.create(null);
  return Object.assign(queue, {
    [Symbol.dispose]() {
      queue.remove();
      queue.close();
    },
  });
}

/** Doubles the bytes of so many requests. */
async function serve(queue: SysvMessageQueue, count: number): Promise<void> {
  for await (const request of queue.requests()) {
    await request.reply(request.data.map((byte) => byte * 2));
    if (--count === 0) return;
  }
}

leakTest("replies find their clients", { needs }, async () => {
  using directory = scratch();
  await using nats = await NatsServer.start(directory.file("js"));
  const options = { server: { servers: nats.url }, log: () => {} };
  using near = newQueue();
  using far = newQueue();
  await using out = outgoingRequests(near, "double", options);
  await using into = incomingRequests("double", far, options);
  await Promise.all([out.ready, into.ready]);
  const served = serve(far, 50);
  const replies = await Promise.all(Array.from(
    { length: 50 },
    (_, at) => near.request(Uint8Array.of(at), { timeout: 20_000 }),
  ));
  assertEquals(replies, replies.map((_, at) => Uint8Array.of(at * 2)));
  await served;
  assertEquals([out.counters.messages, into.counters.messages], [50, 50]);
  assertEquals([near.stat().messages, far.stat().messages], [0, 0]);
});

leakTest(
  "clients and servers in C",
  { needs: [...needs, noCompiler] },
  async () => {
    using directory = scratch();
    await using nats = await NatsServer.start(directory.file("js"));
    const options = { server: { servers: nats.url }, log: () => {} };
    using near = newQueue();
    using far = newQueue();
    await using out = outgoingRequests(near, "double", options);
    await using into = incomingRequests("double", far, options);
    await Promise.all([out.ready, into.ready]);
    const peer = await peerProgram("sysv_request_peer");
    await using server = spawn(peer, { args: ["serve", `${far.id}`, "2"] });
    for (const byte of [21, 4]) {
      const args = ["ask", `${near.id}`, "100", `${byte}`];
      await using client = spawn(peer, { args });
      assertEquals((await client.ended()).stdout, `100 ${byte * 2}\n`);
    }
    assertEquals((await server.ended()).code, 0);
  },
);

leakTest(
  "a client that has gone, a server that is not there",
  { needs },
  async () => {
    using directory = scratch();
    await using nats = await NatsServer.start(directory.file("js"));
    const options = {
      server: { servers: nats.url },
      log: () => {},
      timeout: 10_000,
    };
    using near = newQueue();
    using far = newQueue();
    await using out = outgoingRequests(near, "double", options);
    await out.ready;
    // Two clients wait no more: one before there is a bridge on the other side.
    const ask = async (served: Promise<unknown>) => {
      const impatient = new AbortController();
      const { signal } = impatient;
      const reply = near.request(Uint8Array.of(1), { signal });
      await served;
      impatient.abort();
      await assertRejects(() => reply);
    };
    await ask(until(() => out.counters.inHand === 1, "a request on the way"));
    await using into = incomingRequests("double", far, options);
    await into.ready;
    const requests = far.requests();
    const { value: first } = await requests.next();
    assert(await first!.reply(Uint8Array.of(2))); // to the bridge, which waits
    await until(() => out.counters.dropped === 1, "a dropped reply");
    const next = requests.next();
    await ask(next);
    assert(await (await next).value!.reply(Uint8Array.of(2)));
    await until(() => out.counters.dropped === 2, "another one");
    await requests.return(undefined);
    assertEquals([near.stat().messages, far.stat().messages], [0, 0]);
  },
);

leakTest("requests need a subject without a stream", { needs }, async () => {
  using directory = scratch();
  await using nats = await NatsServer.start(directory.file("js"));
  const connection = await connect({ servers: nats.url });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "all", subjects: ["rpc.*"] });
  await connection.close();
  using queue = newQueue();
  const options = { server: { servers: nats.url }, log: () => {} };
  const { message } = await assertRejects(
    () => outgoingRequests(queue, "rpc.a", options).done,
    BridgeError,
  );
  assertMatch(message, /stream all has the subject rpc.a/);
});
