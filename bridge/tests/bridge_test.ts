/** Bridges in one process, with queues of its own and a real server. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  IpcError,
  PosixMessageQueue,
  SysvMessageQueue,
} from "@linux/ipc/message-queue";
import { MemoryMap } from "@linux/ipc/memory-map";
import { SharedRing } from "@linux/ipc/ring";
import { UnixListener, UnixSeqpacket } from "@linux/ipc/socket";
import {
  AckPolicy,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
} from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { leakTest } from "../../tests/support/leaks.ts";
import { Scratch, uniqueKey, uniqueName } from "../../tests/support/names.ts";
import { until } from "../../tests/support/process.ts";
import {
  type Bridge,
  BridgeError,
  incoming,
  incomingRequests,
  outgoing,
  type StreamOptions,
} from "../mod.ts";
import { NatsServer, noServer } from "./support.ts";

const needs = [noServer];
const TIMEOUT = { timeout: 20_000 };
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array) => new TextDecoder().decode(data);

/** A server, and a directory for it and the bridges. */
class World implements AsyncDisposable {
  readonly directory = new Scratch();
  readonly lines: string[] = [];
  server!: NatsServer;

  static async start(...args: string[]): Promise<World> {
    const world = new World();
    world.server = await NatsServer.start(world.directory.file("js"), ...args);
    return world;
  }

  /** The options of a bridge that says what happens to `lines`. */
  options<T extends object>(more?: T): StreamOptions & T {
    return {
      server: { servers: this.server.url },
      state: this.directory.file("state"),
      log: (line: string) => this.lines.push(line),
      ...more!,
    };
  }

  /** Files that are set aside. */
  aside(): { data: Uint8Array; facts: Record<string, string> }[] {
    const all = this.directory.file("state/aside");
    return [...Deno.readDirSync(all)].flatMap(({ name: bridge }) =>
      [...Deno.readDirSync(`${all}/${bridge}`)]
        .filter(({ name }) => name.endsWith(".json"))
        .map(({ name }) => ({
          facts: JSON.parse(Deno.readTextFileSync(`${all}/${bridge}/${name}`)),
          data: Deno.readFileSync(
            `${all}/${bridge}/${name.replace(/json$/, "bin")}`,
          ),
        }))
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server?.[Symbol.asyncDispose]();
    this.directory[Symbol.dispose]();
  }
}

/** A queue that is removed at the end. */
function sysvQueue(): SysvMessageQueue & Disposable {
  const queue = SysvMessageQueue.create(uniqueKey());
  const close = queue.close.bind(queue);
  return Object.assign(queue, {
    [Symbol.dispose]() {
      try {
        queue.remove();
      } catch {
        // The test has removed it.
      }
      close();
    },
  });
}

function posixQueue(maxSize = 64, maxMessages = 10): PosixMessageQueue {
  const queue = PosixMessageQueue.create(uniqueName(), {
    maxSize,
    maxMessages,
  });
  PosixMessageQueue.unlink(queue.name); // as long as it is open
  return queue;
}

leakTest("types and sizes of System V messages travel", { needs }, async () => {
  await using world = await World.start();
  using from = sysvQueue();
  using to = sysvQueue();
  const longest = new Uint8Array(8192).map((_, at) => at);
  const messages = [
    { type: 1, data: bytes("one") },
    { type: 7, data: new Uint8Array() },
    { type: 2n ** 63n - 1n, data: bytes("the last type") },
    { type: 2 ** 32 + 5, data: longest },
  ];
  for (const { type, data } of messages) from.sendSync(data, { type });
  await using out = outgoing(from, "a.b", world.options());
  await using into = incoming("a.b", to, world.options());
  for (const message of messages) {
    assertEquals(await to.receive(TIMEOUT), message);
  }
  // One that is empty wakes the bridge, too.
  await from.send(new Uint8Array(), { type: 3 });
  assertEquals(await to.receive(TIMEOUT), { type: 3, data: new Uint8Array() });
  await Promise.all([out.stop(), into.stop()]);
  for (const { counters } of [out, into]) {
    const { messages, bytes, inHand, aside, dropped } = counters;
    assertEquals({ messages, bytes, inHand, aside, dropped }, {
      messages: 5,
      bytes: 16 + 8192,
      inHand: 0,
      aside: 0,
      dropped: 0,
    });
  }
  assertEquals(from.stat().messages, 0);
});

leakTest("priorities of POSIX messages travel", { needs }, async () => {
  await using world = await World.start();
  using from = posixQueue();
  using to = posixQueue();
  for (const priority of [0, 32767, 5, 5]) {
    from.sendSync(bytes(`${priority}`), { priority });
  }
  from.sendSync(new Uint8Array(), { priority: 1 });
  from.sendSync(new Uint8Array(64).fill(1), { priority: 2 });
  await using out = outgoing(from, "jobs", world.options());
  await using into = incoming("jobs", to, world.options());
  await until(() => into.counters.messages === 6, "six messages");
  const received = [];
  for (let message; (message = to.tryReceive()) !== undefined;) {
    received.push([message.priority, message.data.length]);
  }
  assertEquals(received, [[32767, 5], [5, 1], [5, 1], [2, 64], [1, 0], [0, 1]]);
  await from.send(bytes("later"));
  assertEquals(text((await to.receive(TIMEOUT)).data), "later");
  await out.stop();
});

leakTest("rings and sockets take part", { needs }, async () => {
  await using world = await World.start();
  using memory = MemoryMap.anonymous(SharedRing.size(4096));
  const ring = SharedRing.create(memory);
  using memory2 = MemoryMap.anonymous(SharedRing.size(4096));
  const ring2 = SharedRing.create(memory2);
  using producer = ring.producer();
  using consumer = ring.consumer();
  using producer2 = ring2.producer();
  using consumer2 = ring2.consumer();
  await using _out = outgoing(consumer, "ring", world.options());
  await using _in = incoming("ring", producer2, world.options());
  for (let i = 1; i <= 3; i++) {
    await producer.write(new Uint8Array(i), { type: i });
  }
  for (let i = 1; i <= 3; i++) {
    const message = await consumer2.read(TIMEOUT);
    assertEquals([message?.type, message?.data.length], [i, i]);
  }

  const path = world.directory.file("socket");
  const path2 = world.directory.file("socket2");
  using far = UnixListener.listen(path2, { type: "seqpacket" });
  await using _sockets = outgoing(
    () => UnixListener.listen(path, { type: "seqpacket" }),
    "sockets",
    world.options(),
  );
  await using _far = incoming(
    "sockets",
    () => UnixSeqpacket.connectSync(path2),
    world.options(),
  );
  using client = await UnixSeqpacket.connect(path);
  using other = await UnixSeqpacket.connect(path);
  await client.send(bytes("first"));
  using accepted = await far.accept(TIMEOUT);
  assertEquals(text((await accepted.receive(TIMEOUT))!.data), "first");
  await other.send(bytes("second"));
  assertEquals(text((await accepted.receive(TIMEOUT))!.data), "second");
  // The reader goes, and another one comes.
  accepted.close();
  await client.send(bytes("third"));
  using again = await far.accept(TIMEOUT);
  assertEquals(text((await again.receive(TIMEOUT))!.data), "third");
});

leakTest("a subject is one place", () => {
  using queue = SysvMessageQueue.create(null);
  for (
    const subject of ["a.*", ">", "a..b", "", ".a", "a b", "$JS.API", "_x"]
  ) {
    for (
      const make of [
        () => outgoing(queue, subject),
        () => incoming(subject, queue),
      ]
    ) assertThrows(make, RangeError, "subject");
  }
  assertThrows(() => outgoing(queue, "a", { window: 0 }), RangeError, "window");
  assertThrows(
    () => incoming("a", queue, { durable: "a.b" }),
    RangeError,
    "durable",
  );
  queue.remove();
});

leakTest(
  "two bridges on one queue: the second is refused",
  { needs },
  async () => {
    await using world = await World.start();
    using queue = sysvQueue();
    await using first = outgoing(queue, "jobs", world.options());
    const other = { state: world.directory.file("other") };
    assertThrows(
      () => outgoing(queue, "others", world.options(other)),
      BridgeError,
      "Another bridge takes the messages",
    );
    await first.stop();
    await using _second = outgoing(queue, "others", world.options(other));
  },
);

leakTest(
  "another receiver of the queue leads to no loss",
  { needs },
  async () => {
    await using world = await World.start();
    using from = sysvQueue();
    using to = sysvQueue();
    const count = 1000;
    await using _out = outgoing(from, "jobs", world.options());
    await using into = incoming("jobs", to, world.options());
    const seen = new Set<number>();
    const receive = (queue: SysvMessageQueue) => {
      for (let message; (message = queue.tryReceive()) !== undefined;) {
        seen.add(new DataView(message.data.buffer).getUint32(0));
      }
    };
    for (let i = 0; i < count; i++) {
      const data = new Uint8Array(4);
      new DataView(data.buffer).setUint32(0, i);
      await from.send(data, { type: i % 3 + 1 });
      if (i % 7 === 0) {
        const stolen = from.tryReceive();
        if (stolen !== undefined) {
          seen.add(new DataView(stolen.data.buffer).getUint32(0));
        }
      }
      receive(to);
    }
    await until(() => (receive(to), seen.size === count), "all messages");
    assert(into.counters.messages > 0);
  },
);

leakTest(
  "no server at the start, then one that ends and comes back",
  { needs },
  async () => {
    await using world = await World.start();
    await world.server.end();
    using from = sysvQueue();
    using to = sysvQueue();
    from.sendSync(bytes("early"));
    await using out = outgoing(from, "jobs", world.options());
    await using into = incoming("jobs", to, world.options());
    await until(
      () => world.lines.some((line) => /trying again/.test(line)),
      "a line",
    );
    await world.server.start();
    assertEquals(text((await to.receive(TIMEOUT)).data), "early");
    await world.server.end("SIGTERM");
    from.sendSync(bytes("meanwhile"));
    await world.server.start();
    assertEquals(text((await to.receive(TIMEOUT)).data), "meanwhile");
    assert(out.counters.connections >= 2 && into.counters.connections >= 2);
  },
);

/** The message with which a bridge ends. */
async function endOf(bridge: Bridge): Promise<string> {
  const { message } = await assertRejects(() => bridge.done, BridgeError);
  return message;
}

leakTest("what is useless to try again ends a bridge", { needs }, async () => {
  using directory = new Scratch();
  const limits = directory.file("limits", "max_payload: 9000");
  await using world = await World.start(
    ...["--user", "me", "--pass", "secret", "-c", limits],
  );
  const server = { servers: world.server.url, user: "me", password: "secret" };
  using queue = sysvQueue();
  const { id } = queue;
  const refused = outgoing(queue, "jobs", world.options());
  await assertRejects(() => refused.ready, BridgeError);
  assertMatch(await endOf(refused), /refuses these credentials/);
  assertMatch(
    await endOf(
      incoming("jobs", queue, world.options({ server, create: false })),
    ),
    /No stream has the subject jobs/,
  );
  assertMatch(
    await endOf(outgoing(
      queue,
      "jobs",
      world.options({ server, create: false, stream: "missing" }),
    )),
    /There is no stream missing/,
  );
  // Limits: the far queue is smaller than what this one may send.
  using small = posixQueue(16);
  const limit = { server, maxSize: 7976 }; // with 1024 for headers: 9000
  await using out = outgoing(queue, "jobs", world.options(limit));
  await out.ready;
  assertMatch(
    await endOf(incoming("jobs", small, world.options({ server }))),
    /can have 7976 bytes, and one of .* at most 16/,
  );
  await out.stop();
  assertMatch(
    await endOf(outgoing(queue, "large", world.options({ server }))),
    /can have 8192 bytes; .* more than 9000, the max_payload/,
  );
  // A queue that the caller opened cannot be opened again.
  await using removed = outgoing(queue, "jobs", world.options(limit));
  await removed.ready;
  queue.remove();
  assertMatch(await endOf(removed), /was removed/);
  assertThrows(() => SysvMessageQueue.fromId(id), IpcError, "EIDRM");
});

leakTest("permissions that are missing are told", { needs }, async () => {
  using directory = new Scratch();
  const config = directory.file(
    "permissions",
    `authorization { users: [{
      user: me, password: secret,
      permissions: { publish: { deny: ["jobs", "rpc"] }, subscribe: { deny: "rpc" } }
    }] }`,
  );
  await using world = await World.start("-c", config);
  const server = { servers: world.server.url, user: "me", password: "secret" };
  using queue = sysvQueue();
  queue.sendSync(bytes("kept"));
  const options = world.options({ server });
  assertMatch(
    await endOf(outgoing(queue, "jobs", options)),
    /refuses: .*"jobs"/,
  );
  assertMatch(
    await endOf(incomingRequests("rpc", queue, options)),
    /refuses: .*"rpc"/,
  );
  assertEquals(queue.stat().messages, 1);
});

leakTest("a queue that is removed is opened again", { needs }, async () => {
  await using world = await World.start();
  const [near, far] = [uniqueKey(), uniqueKey()];
  await using _out = outgoing(
    () => SysvMessageQueue.openOrCreate(near),
    "jobs",
    world.options(),
  );
  await using _in = incoming(
    "jobs",
    () => SysvMessageQueue.openOrCreate(far),
    world.options(),
  );
  for (const round of ["first", "second", "third"]) {
    using from = SysvMessageQueue.openOrCreate(near);
    await from.send(bytes(round));
    using to = SysvMessageQueue.openOrCreate(far);
    assertEquals(text((await to.receive(TIMEOUT)).data), round);
    await until(() => from.stat().messages === 0, "an empty queue");
    from.remove();
    to.remove();
    await until(
      () =>
        SysvMessageQueue.list().filter(({ key }) => key === near).length === 1,
      "the queue again",
    );
  }
  await _out.stop();
  await _in.stop();
  SysvMessageQueue.remove({ key: near });
  for (const { key } of SysvMessageQueue.list()) {
    if (key === far) SysvMessageQueue.remove({ key });
  }
});

leakTest(
  "a full queue holds all back, and loses nothing",
  { needs },
  async () => {
    await using world = await World.start();
    using from = sysvQueue();
    using to = sysvQueue();
    const window = 16;
    const options = { window, maxBytes: 20_000, ackWait: 300 };
    await using out = outgoing(from, "jobs", world.options(options));
    await using into = incoming("jobs", to, world.options(options));
    const size = 1000; // 16 of these fill a queue, and about as many the stream
    let sent = 0;
    const send = async () => {
      for (; sent < 100; sent++) {
        await from.send(new Uint8Array(size).fill(sent), {
          type: sent % 2 + 1,
        });
      }
    };
    const sending = send();
    await until(() => into.counters.stalls > 0, "a full queue");
    // Each takes longer than the one before, in all longer than the server waits before it
    // delivers again.
    await until(() => out.counters.stalls > 5, "a full stream");
    assert(sent < 100, "the sender waits");
    assert(into.counters.inHand <= window && out.counters.inHand <= window + 1);
    const received: number[] = [];
    while (received.length < 100) {
      received.push((await to.receive(TIMEOUT)).data[0]!);
    }
    await sending;
    assertEquals(received, Array.from({ length: 100 }, (_, at) => at));
    assertEquals(to.tryReceive(), undefined);
  },
);

leakTest("poison is set aside with the reason", { needs }, async () => {
  await using world = await World.start();
  using from = sysvQueue();
  using to = posixQueue(16);
  const limits = { maxSize: 32 };
  await using out = outgoing(from, "jobs", world.options(limits));
  await using into = incoming("jobs", to, world.options(limits));
  from.sendSync(new Uint8Array(33), { type: 4 }); // too long for the subject
  from.sendSync(new Uint8Array(20)); // too long for the queue
  from.sendSync(bytes("good"));
  assertEquals(text((await to.receive(TIMEOUT)).data), "good");
  assertEquals([out.counters.aside, into.counters.aside], [1, 1]);
  const found = world.aside().toSorted((a, b) => b.data.length - a.data.length);
  assertEquals(found.map(({ data }) => data.length), [33, 20]);
  assertMatch(found[0]!.facts.reason!, /more than 32 bytes/);
  assertEquals(found[0]!.facts["Ipc-Type"], "4");
  assertMatch(
    found[1]!.facts.reason!,
    /20 bytes; queue .* takes at most 16/,
  );

  // Others publish to the subject, too: with any headers, or none.
  const connection = await connect({ servers: world.server.url });
  const { headers } = await import("@nats-io/transport-node");
  for (const priority of ["32768", "-1", "x", ""]) {
    const all = headers();
    if (priority !== "") all.set("Ipc-Priority", priority);
    connection.publish("jobs", bytes(`priority ${priority}`), { headers: all });
  }
  await connection.drain();
  const message = await to.receive(TIMEOUT);
  assertEquals([text(message.data), message.priority], ["priority ", 0]);
  assertEquals(into.counters.aside, 4);
});

leakTest(
  "a stream that is there is used, and its risks are told",
  { needs },
  async () => {
    await using world = await World.start();
    const connection = await connect({ servers: world.server.url });
    const manager = await jetstreamManager(connection);
    await manager.streams.add({
      name: "EVERYTHING",
      subjects: ["all.>"],
      retention: RetentionPolicy.Limits,
      max_msgs: 1000,
    });
    using from = sysvQueue();
    using one = sysvQueue();
    using other = sysvQueue();
    await using _out = outgoing(from, "all.jobs", world.options());
    // With limits as its retention, each durable consumer gets all messages.
    await using _one = incoming(
      "all.jobs",
      one,
      world.options({ durable: "one" }),
    );
    await using _other = incoming(
      "all.jobs",
      other,
      world.options({ durable: "other" }),
    );
    from.sendSync(bytes("for both"));
    assertEquals(text((await one.receive(TIMEOUT)).data), "for both");
    assertEquals(text((await other.receive(TIMEOUT)).data), "for both");
    assert(
      world.lines.some((line) => /may be lost: .*discards old/.test(line)),
    );
    // As a work queue, a stream has one consumer of a subject.
    await using _work = outgoing(one, "work", world.options());
    await using _worker = incoming(
      "work",
      from,
      world.options({ durable: "a" }),
    );
    await _worker.ready;
    assertMatch(
      await endOf(incoming("work", other, world.options({ durable: "b" }))),
      /Another consumer takes the messages of work/,
    );
    // The stream is deleted while they run, and made again.
    await manager.streams.delete("ipc_work");
    one.sendSync(bytes("again"));
    assertEquals(text((await from.receive(TIMEOUT)).data), "again");
    await connection.close();
  },
);

leakTest(
  "bridges with one durable name share the messages",
  { needs },
  async () => {
    await using world = await World.start();
    using from = sysvQueue();
    using one = sysvQueue();
    using other = sysvQueue();
    await using _out = outgoing(from, "jobs", world.options());
    const make = (queue: SysvMessageQueue, state: string) =>
      incoming(
        "jobs",
        queue,
        world.options({ state: world.directory.file(state), window: 4 }),
      );
    // A second bridge with the same files would write into them, too.
    await using _one = make(one, "one");
    assertThrows(() => make(one, "one"), BridgeError, "Another bridge uses");
    await _one.ready;
    const count = 400;
    const seen: number[] = [];
    const collect = () => {
      for (const queue of [one, other]) {
        for (let message; (message = queue.tryReceive()) !== undefined;) {
          seen.push(new DataView(message.data.buffer).getUint32(0));
        }
      }
      return seen.length;
    };
    for (let i = 0; i < count / 2; i++) await from.send(numbered(i));
    await using _other = make(other, "other"); // it waits for nobody for long
    for (let i = count / 2; i < count; i++) {
      await from.send(numbered(i));
      collect();
    }
    await until(() => collect() >= count, "all messages");
    const expected = Array.from({ length: count }, (_, at) => at);
    assertEquals(seen.toSorted((a, b) => a - b), expected);
  },
);

leakTest(
  "an older message that comes while the queue is full",
  { needs },
  async () => {
    await using world = await World.start();
    using from = sysvQueue();
    using to = sysvQueue();
    for (let i = 0; i < 3; i++) from.sendSync(numbered(i));
    await using out = outgoing(from, "jobs", world.options());
    await until(
      () => out.counters.messages === 3,
      "three messages in the stream",
    );
    // Another receiver with the same durable name has the first one, and goes on for a while.
    const connection = await connect({ servers: world.server.url });
    const manager = await jetstreamManager(connection);
    await manager.consumers.add("ipc_jobs", {
      durable_name: "ipc_jobs",
      filter_subject: "jobs",
      ack_policy: AckPolicy.Explicit,
    });
    const consumer = await jetstream(connection).consumers.get(
      "ipc_jobs",
      "ipc_jobs",
    );
    const taken = await consumer.next();
    to.change({ maxBytes: 4 });
    to.sendSync(numbered(99));
    await using into = incoming(
      "jobs",
      to,
      world.options({ ackWait: 200, maxSize: 4 }),
    );
    const timer = setInterval(() => taken!.working(), 50);
    await until(() => into.counters.stalls === 1, "a full queue");
    clearInterval(timer);
    await connection.drain();
    await until(() => into.counters.inHand === 3, "the older message");
    const order: number[] = [];
    while (order.length < 4) {
      const { data } = await to.receive(TIMEOUT);
      order.push(new DataView(data.buffer).getUint32(0));
    }
    assertEquals(order, [99, 1, 0, 2]);
    await into.stop();
    assertEquals(into.counters.messages, 3);
  },
);

/** Four bytes with a number. */
function numbered(number: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, number);
  return data;
}
