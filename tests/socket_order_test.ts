/** The order of the calls, and ends of waits that only a look behind the await tells. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { bytes } from "./support/bytes.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { soon, turns } from "./support/waits.ts";

/** A message that has a number. */
function numbered(value: number, size = 4): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(size);
  new DataView(message.buffer).setUint32(0, value);
  return message;
}

function numberOf(data: Uint8Array): number {
  return new DataView(data.buffer, data.byteOffset).getUint32(0);
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

for (
  const [name, Kind] of [
    ["UnixSeqpacket", UnixSeqpacket],
    ["UnixDatagram", UnixDatagram],
  ] as const
) {
  leakTest(`${name}.send() is not overtaken by later sends`, async () => {
    using ends = Kind.pair();
    const [one, other] = ends;
    let before = 0;
    while (one.trySend(bytes(0))) before++;
    const first = one.send(bytes(1));
    assertEquals(other.receiveSync()!.data, bytes(0));
    assert(!one.trySend(bytes(8)));
    assertThrows(() => one.sendSync(bytes(9)), Error, "is pending");
    const second = one.send(bytes(2));
    for (let i = 1; i < before; i++) other.receiveSync();
    assertEquals((await soon(other.receive()))!.data, bytes(1));
    assertEquals((await soon(other.receive()))!.data, bytes(2));
    await Promise.all([first, second]);
    assert(one.trySend(bytes(3)));
    assertEquals(other.receiveSync()!.data, bytes(3));
  });

  leakTest(
    `${name} keeps the order of sends that are not awaited`,
    async () => {
      using ends = Kind.pair();
      const [one, other] = ends;
      const sends = upTo(1000).map((value) => one.send(numbered(value)));
      const seen = [];
      for (const _ of sends) seen.push(numberOf((await other.receive())!.data));
      await Promise.all(sends);
      assertEquals(seen, upTo(1000));
    },
  );

  leakTest(
    `${name} serves its receivers in the order of their calls`,
    async () => {
      using ends = Kind.pair();
      const [one, other] = ends;
      const seen: number[][] = [];
      const receives = upTo(300).map(async (index) => {
        seen.push([index, numberOf((await other.receive())!.data)]);
      });
      for (const value of upTo(300)) await one.send(numbered(value));
      await Promise.all(receives);
      assertEquals(seen, upTo(300).map((value) => [value, value]));
    },
  );
}

leakTest(
  "UnixDatagram.send({ to }) keeps the order for each receiver",
  async () => {
    using sender = UnixDatagram.create(null);
    using slow = UnixDatagram.create(null);
    using quick = UnixDatagram.create(null);
    const [toSlow, toQuick] = [slow.localAddress!, quick.localAddress!];
    const sends = upTo(500).map((value) =>
      sender.send(numbered(value), { to: toSlow })
    );
    assert(!sender.trySend(numbered(9), { to: toSlow }));
    assertThrows(
      () => sender.sendSync(numbered(9), { to: toSlow }),
      Error,
      "is pending",
    );
    // One that does not receive delays no message to another.
    for (const value of upTo(50)) {
      await soon(sender.send(numbered(value), { to: toQuick }));
      assertEquals(numberOf(quick.receiveSync().data), value);
    }
    assert(sender.trySend(numbered(50), { to: toQuick }));
    sender.sendSync(numbered(51), { to: toQuick });
    const seen = [];
    for (const _ of sends) seen.push(numberOf((await slow.receive()).data));
    await Promise.all(sends);
    assertEquals(seen, upTo(500));
  },
);

leakTest(
  "UnixDatagram.send() keeps the order with and without the peer's address",
  async () => {
    using receiver = UnixDatagram.create(null);
    const to = receiver.localAddress!;
    using sender = UnixDatagram.connectSync(to);
    const sends = upTo(100).map((value) =>
      sender.send(numbered(value), value % 2 === 0 ? {} : { to })
    );
    const seen = [];
    for (const _ of sends) seen.push(numberOf((await receiver.receive()).data));
    await Promise.all(sends);
    assertEquals(seen, upTo(100));
  },
);

leakTest("UnixStream.write() has no other bytes in its middle", async () => {
  using ends = UnixStream.pair();
  const [one, other] = ends;
  const write = one.write(new Uint8Array(2_000_000));
  const after = one.write(new Uint8Array(100).fill(1));
  other.readSync(new Uint8Array(100_000)); // there is room again
  assertEquals(one.tryWrite(bytes(7)), undefined);
  assertEquals(one.trySend(bytes(7)), undefined);
  assertThrows(() => one.writeSync(bytes(7)), Error, "is pending");
  assertThrows(() => one.sendSync(bytes(7)), Error, "is pending");
  const rest = new Uint8Array(2_000_000);
  let at = 100_000;
  while (at < 2_000_100) {
    const count = (await other.read(rest))!;
    assert(
      rest.subarray(0, count).every((value, index) =>
        value === (at + index < 2_000_000 ? 0 : 1)
      ),
    );
    at += count;
  }
  assertEquals(await write, 2_000_000);
  assertEquals(await after, 100);
  assertEquals(one.tryWrite(bytes(7)), 1);
});

leakTest(
  "UnixStream keeps the order of writes that are not awaited",
  async () => {
    using ends = UnixStream.pair();
    const [one, other] = ends;
    const writes = upTo(5000).map((value) => one.write(numbered(value, 1000)));
    const whole = new Uint8Array(5_000_000);
    for (let at = 0; at < whole.length;) {
      at += (await other.read(whole.subarray(at)))!;
    }
    await Promise.all(writes);
    const seen = upTo(5000).map((i) => numberOf(whole.subarray(i * 1000)));
    assertEquals(seen, upTo(5000));
  },
);

Deno.test("waits of more than 2^31 ms do not end early", async () => {
  const ended = await inChild(async () => {
    // Clock and timers are ten million times as fast.
    const FAST = 1e7;
    const now = performance.now.bind(performance);
    const timer = setTimeout;
    performance.now = () => now() * FAST;
    // deno-lint-ignore no-explicit-any
    (globalThis as any).setTimeout = (call: () => void, ms: number) =>
      timer(call, ms / FAST);
    const { UnixDatagram, UnixSeqpacket, UnixStream } = await import(
      "../ffi/socket.ts"
    );
    const { FramedStream } = await import("../ffi/frames.ts");
    const timeout = 2 ** 40;
    const ended: string[] = [];
    const waits: Promise<unknown>[] = [];
    const watch = (name: string, promise: Promise<unknown>) => {
      const note = () => ended.push(name);
      waits.push(promise.then(note, note));
    };
    const [a, b] = UnixStream.pair();
    while (a.tryWrite(new Uint8Array(65536)) !== undefined);
    watch("write", a.write(new Uint8Array(10), { timeout }));
    watch("second write", a.write(new Uint8Array(10), { timeout }));
    const [c, d] = UnixStream.pair();
    const frames = new FramedStream(c);
    watch("frame", frames.send(new Uint8Array(10_000_000), { timeout }));
    watch("second frame", frames.send(new Uint8Array(10), { timeout }));
    watch("frame receive", frames.receive({ timeout }));
    watch("second receive", frames.receive({ timeout }));
    const [e, f] = UnixSeqpacket.pair();
    watch("receive", e.receive({ timeout }));
    const [g, h] = UnixDatagram.pair();
    while (g.trySend(new Uint8Array(1)));
    watch("datagram", g.send(new Uint8Array(1), { timeout }));
    watch("drained", g.drained({ timeout }));
    const start = performance.now();
    while (performance.now() < start + 2 ** 32) {
      await new Promise((resolve) => timer(resolve, 10));
    }
    const early = [...ended];
    for (const one of [a, b, c, d, e, f, g, h]) one.close();
    await Promise.all(waits);
    return { early, count: ended.length };
  });
  assertEquals(ended, { early: [], count: 9 });
});

for (
  const [name, Kind] of [
    ["UnixSeqpacket", UnixSeqpacket],
    ["UnixDatagram", UnixDatagram],
  ] as const
) {
  leakTest(
    `${name}.tryReceive() takes what is there before receives that wait`,
    async () => {
      using ends = Kind.pair();
      const [one, other] = ends;
      const pending = [other.receive(), other.receive()];
      await turns(); // they wait
      for (const value of [1, 2, 3, 4]) one.sendSync(bytes(value));
      assertEquals(other.tryReceive()!.data, bytes(1));
      assertEquals(other.receiveSync()!.data, bytes(2));
      const received = await soon(Promise.all(pending));
      assertEquals(received.map((message) => message!.data[0]), [3, 4]);
    },
  );

  leakTest(`${name}.send() goes on after one that was given up`, async () => {
    using ends = Kind.pair();
    const [one, other] = ends;
    let before = 0;
    while (one.trySend(bytes(0))) before++;
    const controller = new AbortController();
    const { signal } = controller;
    const sends = [
      one.send(bytes(1), { signal }).catch(() => "aborted"),
      one.send(bytes(2)),
      one.send(bytes(3), { signal }).catch(() => "aborted"),
      one.send(bytes(4)),
    ];
    await turns();
    controller.abort();
    for (let i = 0; i < before; i++) other.receiveSync();
    assertEquals((await soon(other.receive()))!.data, bytes(2));
    assertEquals((await soon(other.receive()))!.data, bytes(4));
    assertEquals(
      await Promise.all(sends),
      ["aborted", undefined, "aborted", undefined],
    );
  });
}

leakTest(
  "UnixStream.tryRead() takes what is there before reads that wait",
  async () => {
    using ends = UnixStream.pair();
    const [one, other] = ends;
    const buffers = Array.from({ length: 4 }, () => new Uint8Array(1));
    const pending = [other.read(buffers[2]!), other.read(buffers[3]!)];
    await turns(); // they wait
    one.writeSync(bytes(1, 2, 3, 4));
    assertEquals(other.tryRead(buffers[0]!), 1);
    assertEquals(other.readSync(buffers[1]!), 1);
    assertEquals(await soon(Promise.all(pending)), [1, 1]);
    assertEquals(buffers.map((buffer) => buffer[0]), [1, 2, 3, 4]);
  },
);

leakTest(
  "a connected UnixDatagram keeps the order of all its sends",
  async () => {
    using first = UnixDatagram.create(null);
    using second = UnixDatagram.create(null);
    using sender = UnixDatagram.connectSync(first.localAddress!);
    const to = second.localAddress!;
    while (sender.trySend(bytes(0)));
    const waiting = sender.send(bytes(1));
    assert(!sender.trySend(bytes(2), { to }));
    const after = sender.send(bytes(2), { to });
    await turns();
    assertEquals(second.tryReceive(), undefined);
    while (first.tryReceive() !== undefined);
    await soon(waiting);
    await soon(after);
    assertEquals(second.receiveSync().data, bytes(2));
  },
);

leakTest("queues hold one more than their limit", () => {
  using receiver = UnixDatagram.create(null);
  using sender = UnixDatagram.create(null);
  const to = receiver.localAddress!;
  let messages = 0;
  while (sender.trySend(bytes(0), { to })) messages++;
  const limit = "/proc/sys/net/unix/max_dgram_qlen";
  assertEquals(messages, Number(Deno.readTextFileSync(limit)) + 1);

  for (const backlog of [1, 2, 7]) {
    using listener = UnixListener.listen(null, { backlog });
    const clients: UnixStream[] = [];
    const options = { timeout: 0 };
    const connect = () =>
      clients.push(UnixStream.connectSync(listener.localAddress!, options));
    for (let i = 0; i <= backlog; i++) connect();
    assertThrows(connect, DOMException);
    for (const client of clients) client.close();
  }

  using ends = UnixDatagram.pair(); // the send buffer is the only limit
  let between = 0;
  while (ends[0].trySend(bytes(0))) between++;
  assert(between > messages);
});
