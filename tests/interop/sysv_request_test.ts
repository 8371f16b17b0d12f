/** Requests and replies over a System V queue, with C on the other side. */
import { assert, assertEquals } from "@std/assert";
import { SysvMessageQueue } from "../../ffi/message_queue.ts";
import { outcome } from "../support/asserts.ts";
import { OwnQueue } from "../support/queues.ts";
import { peerTest, runPeer, startPeer } from "./peers.ts";

async function serve(queue: SysvMessageQueue): Promise<void> {
  for await (const request of queue.requests()) {
    await request.reply(request.data.map((byte) => byte * 2));
  }
}

peerTest(
  "SysvMessageQueue.request() gets replies of a server in C",
  async () => {
    using own = new OwnQueue();
    const cases = [[3, 8000], [6, 3000], [20, 1000], [5, 0], [
      4,
      8184,
    ]] as const;
    const total = cases.reduce((sum, [count]) => sum + count, 0);
    await using server = await startPeer("sysv_request_peer", [
      "serve",
      `${own.queue.id}`,
      `${total}`,
    ]);
    for (const [count, size] of cases) {
      const replies = await Promise.all(
        Array.from({ length: count }, (_, n) => {
          const client = SysvMessageQueue.fromId(own.queue.id);
          return client.request(new Uint8Array(size).fill(n));
        }),
      );
      replies.forEach((reply, n) =>
        assertEquals(reply, new Uint8Array(size).fill(n * 2))
      );
    }
    assertEquals((await server.ended()).code, 0);
    assertEquals(own.queue.stat().messages, 0);
  },
);

peerTest("SysvMessageQueue.requests() serves clients in C", async () => {
  for (const [count, size] of [[3, 8000], [6, 3000], [20, 1000]] as const) {
    using own = new OwnQueue();
    const id = `${own.queue.id}`;
    const asking = Array.from(
      { length: count },
      (_, n) => runPeer("sysv_request_peer", ["ask", id, `${size}`, `${n}`]),
    );
    const serving = serve(own.queue);
    using mine = SysvMessageQueue.fromId(own.queue.id);
    const reply = mine.request(new Uint8Array(size).fill(50));
    for (
      const [n, { stdout, transcript }] of (await Promise.all(asking)).entries()
    ) {
      assertEquals(stdout, `${size} ${n * 2}\n`, transcript);
    }
    assertEquals(await reply, new Uint8Array(size).fill(100));
    assertEquals(own.queue.stat().messages, 0);
    own.queue.close();
    await serving;
  }
});

peerTest("SysvRequest.reply() knows that a client in C is dead", async () => {
  using own = new OwnQueue();
  const id = `${own.queue.id}`;
  const { code } = await runPeer("sysv_request_peer", ["send", id, "10", "1"]);
  assertEquals(code, 0);
  const { value: request } = await own.queue.requests().next();
  assertEquals(request!.data, new Uint8Array(10).fill(1));
  assertEquals(await request!.reply(new Uint8Array(10)), false);
  assertEquals(own.queue.stat().messages, 0);
});

peerTest(
  "SysvMessageQueue.request() removes late replies of a server in C",
  async () => {
    using own = new OwnQueue();
    const ends = await Promise.all(
      Array.from(
        { length: 8 },
        () => outcome(own.queue.request(new Uint8Array(500), { timeout: 5 })),
      ),
    );
    assert(ends.every((end) => (end as Error).name === "TimeoutError"));
    const serve = async (count: number) => {
      const args = ["serve", `${own.queue.id}`, `${count}`];
      const { code, transcript } = await runPeer("sysv_request_peer", args);
      assertEquals(code, 0, transcript);
    };
    await serve(8);
    assertEquals(own.queue.stat().bytes, 8 * 500);
    const asked = own.queue.request(Uint8Array.of(4));
    await serve(1);
    assertEquals(await asked, Uint8Array.of(8));
    assertEquals(own.queue.stat().messages, 0);
  },
);
