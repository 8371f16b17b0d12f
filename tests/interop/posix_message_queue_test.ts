import { assert, assertEquals } from "@std/assert";
import { PosixMessageQueue } from "../../ffi/message_queue.ts";
import { cstring, i16, struct } from "../../ffi/struct.ts";
import { noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import { uniqueName } from "../support/names.ts";
import { type Child, spawn } from "../support/process.ts";
import { peerProgram, say, startPeer } from "./peers.ts";

/** A queue that both sides have open, and whose name is gone already. */
async function pair(maxMessages = 4, maxSize = 256) {
  const name = uniqueName();
  const queue = PosixMessageQueue.create(name, { maxMessages, maxSize });
  const peer = await startPeer("posix_queue_peer", [name]);
  await say(peer, "open", "opened");
  PosixMessageQueue.unlink(name);
  return {
    queue,
    peer,
    async [Symbol.asyncDispose]() {
      queue.close();
      await peer[Symbol.asyncDispose]();
    },
  };
}

function hex(data: Uint8Array): string {
  return data.toHex() || "-";
}

function queueTest(name: string, fn: () => Promise<void>): void {
  leakTest(name, { needs: [noCompiler] }, fn);
}

queueTest("PosixMessageQueue opens the queue of a C program", async () => {
  const name = uniqueName();
  await using peer = await startPeer("posix_queue_peer", [name]);
  await say(peer, "create 3 77", "created");
  using queue = PosixMessageQueue.open(name);
  await say(peer, "send 5 0102", "sent");
  const { messages, maxMessages, maxSize, mode } = queue.stat();
  assertEquals([messages, maxMessages, maxSize, mode], [1, 3, 77, 0o600]);
  assertEquals(queue.receiveSync(), { priority: 5, data: Uint8Array.of(1, 2) });
  using same = PosixMessageQueue.openOrCreate(name, { maxMessages: 1 });
  assertEquals(same.maxSize, 77);
  await say(peer, "unlink", "unlinked");
});

queueTest("PosixMessageQueue is opened by a C program", async () => {
  await using both = await pair(3, 77);
  const { queue, peer } = both;
  queue.sendSync(Uint8Array.of(255), { priority: 32767 });
  await say(peer, "attributes", "3 77 1");
  await say(peer, "receive", "32767 ff");
});

queueTest("PosixMessageQueue exchanges bytes with a C program", async () => {
  await using both = await pair(1, 300);
  const { queue, peer } = both;
  for (const size of [0, 1, 2, 22, 255, 256, 300]) {
    const data = crypto.getRandomValues(new Uint8Array(size));
    for (const priority of [0, 7, 32767]) {
      await queue.send(data, { priority });
      await say(peer, "receive", `${priority} ${hex(data)}`);
      await say(peer, `send ${priority} ${hex(data)}`, "sent");
      assertEquals(await queue.receive(), { priority, data });
    }
  }
});

queueTest("PosixMessageQueue and a C program keep the order", async () => {
  await using both = await pair(6, 8);
  const { queue, peer } = both;
  await say(peer, "send 1 01", "sent");
  queue.sendSync(Uint8Array.of(2), { priority: 3 });
  await say(peer, "send 3 03", "sent");
  queue.sendSync(Uint8Array.of(4), { priority: 1 });
  await say(peer, "send 2 05", "sent");
  const order: number[] = [];
  for (const next of [2, 3, 5, 1, 4]) {
    if (next % 2 === 0) order.push(queue.receiveSync().data[0]!);
    else {
      await peer.send("receive");
      order.push(parseInt((await peer.line()).split(" ")[1]!, 16));
    }
  }
  assertEquals(order, [2, 3, 5, 1, 4]);
});

queueTest(
  "PosixMessageQueue wakes a C program, and is woken by it",
  async () => {
    await using both = await pair(1, 8);
    const { queue, peer } = both;
    await peer.send("receive");
    await peer.settled();
    queue.sendSync(Uint8Array.of(1));
    assertEquals(await peer.line(), "0 01");

    const waiting = queue.receive({ timeout: 20_000 });
    await say(peer, "send 0 02", "sent");
    assertEquals((await waiting).data, Uint8Array.of(2));

    queue.sendSync(Uint8Array.of(3));
    await peer.send("send 0 04");
    await peer.settled();
    assertEquals(peer.unread, "");
    assertEquals(queue.receiveSync().data, Uint8Array.of(3));
    assertEquals(await peer.line(), "sent");

    const sending = queue.send(Uint8Array.of(5), { timeout: 20_000 });
    await say(peer, "receive", "0 04");
    await sending;
    await say(peer, "receive", "0 05");
  },
);

queueTest(
  "PosixMessageQueue.notified() and mq_notify() go together",
  async () => {
    await using both = await pair();
    const { queue, peer } = both;
    await say(peer, "notify", "registered");
    const told = queue.notified({ timeout: 20_000 });
    queue.sendSync(Uint8Array.of(1));
    assertEquals(await peer.line(), `notified 42 ${Deno.pid}`);
    await told;
    assertEquals(queue.receiveSync().data, Uint8Array.of(1));
  },
);

queueTest(
  "PosixMessageQueue carries the structs of a C program",
  async () => {
    const person = struct({ age: i16, name: cstring(20) });
    await using both = await pair(2, person.size);
    const { queue, peer } = both;
    await say(peer, "person 80", "sent");
    const value = { age: 80, name: "ghkim" };
    const message = await queue.receive();
    assertEquals(person.decode(message.data), value);
    await queue.send(person.encode(value));
    await say(peer, "receive", `0 ${hex(person.encode(value))}`);
  },
);

queueTest("PosixMessageQueue keeps what a killed C program sent", async () => {
  const { queue, peer } = await pair();
  try {
    await say(peer, "send 1 0708", "sent");
    await peer.send("receive");
    assertEquals(await peer.line(), "1 0708");
    await say(peer, "send 1 090a", "sent");
    peer.kill("SIGKILL");
    assertEquals((await peer.ended()).signal, "SIGKILL");
    assertEquals(queue.tryReceive()?.data, Uint8Array.of(9, 10));
    assert(queue.trySend(Uint8Array.of(1)));
  } finally {
    queue.close();
    await peer[Symbol.asyncDispose]();
  }
});

queueTest(
  "PosixMessageQueue.inherit() gives a C program its mqd_t",
  async () => {
    const name = uniqueName();
    using queue = PosixMessageQueue.create(name, {
      maxMessages: 1,
      maxSize: 8,
    });
    PosixMessageQueue.unlink(name); // no other way leads to it
    assertEquals(queue.tryReceive(), undefined);
    await using peer = await startInherited(queue, "posix_queue_peer", name);
    await say(peer, "attributes", "1 8 0");
    await peer.send("receive");
    await peer.settled(); // in its mq_receive, which blocks
    queue.sendSync(Uint8Array.of(1, 2), { priority: 3 });
    assertEquals(await peer.line(), "3 0102");
    await say(peer, "send 4 ff", "sent");
    assertEquals(queue.receiveSync(), {
      priority: 4,
      data: Uint8Array.of(255),
    });
  },
);

queueTest(
  "PosixMessageQueue.inherit() gives what access there is",
  async () => {
    const name = uniqueName();
    using queue = PosixMessageQueue.create(name, {
      maxMessages: 1,
      maxSize: 8,
    });
    using sender = PosixMessageQueue.open(name, { access: "send" });
    PosixMessageQueue.unlink(name);
    await using peer = await startInherited(sender, "posix_queue_peer", name);
    await say(peer, "send 0 07", "sent");
    assertEquals(queue.receiveSync().data, Uint8Array.of(7));
    await peer.send("receive");
    const { code, stderr } = await peer.ended();
    assertEquals(code, 1);
    assert(stderr.startsWith("mq_receive: Bad file descriptor"), stderr);
  },
);

/** Starts a C peer with the descriptor of a queue. */
async function startInherited(
  queue: PosixMessageQueue,
  peer: string,
  name: string,
): Promise<Child> {
  const program = await peerProgram(peer);
  return queue.inherit((fd) => spawn(program, { args: [name, `${fd}`] }));
}
