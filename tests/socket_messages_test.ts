import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
} from "@linux/ipc/socket";
import { failure } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { leakTest } from "./support/leaks.ts";
import { PREFIX, scratch } from "./support/names.ts";
import { exists } from "./support/process.ts";
import { soon, turns } from "./support/waits.ts";

for (const Kind of [UnixSeqpacket, UnixDatagram]) {
  const { name } = Kind;

  leakTest(`${name} keeps boundaries and order, sync and async`, async () => {
    using ends = Kind.pair();
    const [one, other] = ends;
    one.sendSync(bytes(1, 2, 3));
    await one.send(bytes());
    assertEquals(one.trySend(bytes(4)), true);
    assertEquals(other.receiveSync()?.data, bytes(1, 2, 3));
    const empty = await other.receive();
    assertEquals([empty?.size, empty?.truncated], [0, false]);
    const last = other.tryReceive();
    assertEquals(last?.data, bytes(4));
    assertEquals(last?.descriptors, []);
    assertEquals(last?.descriptorsTruncated, false);
    assertEquals(last?.credentials, null);
    assertEquals(last?.from, null);
    assertEquals(other.tryReceive() ?? null, null);
  });

  leakTest(
    `${name}.receive() tells truncation and never exceeds maxSize`,
    async () => {
      using ends = Kind.pair();
      const [one, other] = ends;
      one.sendSync(new Uint8Array(1000).fill(7));
      const message = (await other.receive({ maxSize: 10 }))!;
      assertEquals(message.data, new Uint8Array(10).fill(7));
      assertEquals([message.truncated, message.size], [true, 1000]);
      one.sendSync(bytes(1, 2));
      assertEquals(other.receiveSync({ maxSize: 2 })!.truncated, false);

      const buffer = new Uint8Array(8);
      one.sendSync(bytes(1, 2, 3));
      const view = other.receiveSync({ buffer })!;
      assert(view.data.buffer === buffer.buffer);
      assertEquals(buffer.slice(0, 4), bytes(1, 2, 3, 0));
      assertThrows(() => other.tryReceive({ maxSize: 0 }), RangeError);
      assertThrows(() => other.tryReceive({ maxSize: 1.5 }), RangeError);
      await assertRejects(
        () => other.receive({ maxDescriptors: 254 }),
        RangeError,
      );
    },
  );

  leakTest(
    `${name} receives the longest message whole, and says EMSGSIZE`,
    () => {
      using ends = Kind.pair();
      const [one, other] = ends;
      const longest = one.bufferSizes.send - 32;
      const error = assertThrows(
        () => one.sendSync(new Uint8Array(longest + 1)),
        IpcError,
      );
      assertEquals(error.code, "EMSGSIZE");
      assertEquals(error.limit?.value, longest);
      one.bufferSizes = { send: 100_000_000 }; // as much as the system allows
      const data = new Uint8Array(
        Math.min(one.bufferSizes.send - 32, (4 << 20) - 4096),
      );
      crypto.getRandomValues(data.subarray(0, 65536));
      data[data.length - 1] = 9;
      assertEquals(one.trySend(data), true);
      const message = other.receiveSync()!;
      assertEquals([message.size, message.truncated], [data.length, false]);
      assert(message.data.every((value, index) => value === data[index]));
    },
  );

  leakTest(`${name}.send() waits for room`, async () => {
    using ends = Kind.pair();
    const [one, other] = ends;
    let sent = 0;
    while (one.trySend(bytes(sent % 256))) sent++;
    assertThrows(() => one.sendSync(bytes(0), { timeout: 5 }), DOMException);
    await assertRejects(() => one.send(bytes(0), { timeout: 5 }), DOMException);
    const waiting = one.send(bytes(99));
    for (let index = 0; index < sent; index++) {
      assertEquals(other.receiveSync()!.data, bytes(index % 256));
    }
    await waiting;
    assertEquals((await other.receive())!.data, bytes(99));
  });

  leakTest(`${name} ends waits with timeout, signal and close`, async () => {
    const [one, other] = Kind.pair();
    assertThrows(() => one.receiveSync({ timeout: 5 }), DOMException);
    await assertRejects(() => one.receive({ timeout: 5 }), DOMException);
    const controller = new AbortController();
    const aborted = failure(one.receive({ signal: controller.signal }));
    controller.abort("reason");
    assertEquals(await aborted, "reason");
    while (one.trySend(bytes(1)));
    const pending = [failure(one.receive()), failure(one.send(bytes(1)))];
    const loop = (async () => {
      for await (const _ of one);
    })();
    one.close();
    for (const error of await Promise.all(pending)) {
      assertInstanceOf(error, ClosedError);
    }
    await loop; // ends without an error
    other.close();
  });

  leakTest(`${name}.passCredentials says who has sent`, () => {
    using ends = Kind.pair();
    const [one, other] = ends;
    assertEquals(other.passCredentials, false);
    other.passCredentials = true;
    assertEquals(other.passCredentials, true);
    one.sendSync(bytes(1));
    assertEquals(other.receiveSync()!.credentials, {
      pid: Deno.pid,
      uid: Deno.uid()!,
      gid: Deno.gid()!,
    });
  });

  leakTest(`${name}.fromFd() takes its own kind only`, () => {
    using ends = Kind.pair();
    const Other = Kind === UnixSeqpacket ? UnixDatagram : UnixSeqpacket;
    assertThrows(() => Other.fromFd(ends[0].fd), TypeError);
    using again = Kind.fromFd(ends[0].detach());
    again.sendSync(bytes(1));
    assertEquals(ends[1].receiveSync()?.data, bytes(1));
  });
}

leakTest("UnixSeqpacket.receive() is null at the end", async () => {
  const [one, other] = UnixSeqpacket.pair();
  one.sendSync(bytes(1));
  one.closeWrite();
  assertEquals((await other.receive())?.data, bytes(1));
  assertEquals(await other.receive(), null);
  assertEquals(other.tryReceive(), null);
  assertEquals(other.receiveSync(), null);
  other.sendSync(bytes(2));
  assertEquals(one.receiveSync()?.data, bytes(2));
  one.close();
  const error = assertThrows(() => other.sendSync(bytes(1)), IpcError);
  assertEquals(error.code, "EPIPE");
  other.close();
});

leakTest(
  "UnixSeqpacket tells empty messages from the end, as far as it can",
  () => {
    const lengths = (passCredentials: boolean) => {
      using ends = UnixSeqpacket.pair();
      const [one, other] = ends;
      other.passCredentials = passCredentials;
      for (const size of [0, 0, 3, 0]) one.sendSync(new Uint8Array(size));
      one.close();
      const all: number[] = [];
      for (let message; (message = other.receiveSync()) !== null;) {
        all.push(message.size);
      }
      return all;
    };
    assertEquals(lengths(true), [0, 0, 3, 0]);
    assertEquals(lengths(false), [0, 0, 3]); // only the last is lost in the end
  },
);

leakTest(
  "UnixSeqpacket reports ECONNRESET when the peer left with unread messages",
  () => {
    const [one, other] = UnixSeqpacket.pair();
    other.sendSync(bytes(1));
    one.close();
    const error = assertThrows(() => other.receiveSync(), IpcError);
    assertEquals(error.code, "ECONNRESET");
    assertEquals(other.receiveSync(), null);
    other.close();
  },
);

leakTest(
  "UnixSeqpacket connects through a listener, and iterates",
  async () => {
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"), {
      type: "seqpacket",
      passCredentials: true,
    });
    using client = await UnixSeqpacket.connect(dir.file("socket"));
    client.sendSync(bytes(1));
    using server = await listener.accept();
    for (const value of [2, 3]) client.sendSync(bytes(value));
    client.close();
    const all: (number | undefined)[] = [];
    for await (const { data, credentials } of server) {
      all.push(data[0], credentials?.pid);
    }
    assertEquals(all, [1, Deno.pid, 2, Deno.pid, 3, Deno.pid]);
    assertEquals(server.localAddress, dir.file("socket"));
  },
);

leakTest("UnixDatagram answers to the sender's address", async () => {
  using dir = scratch();
  using server = UnixDatagram.create(dir.file("server"), { mode: 0o620 });
  assertEquals(
    Deno.lstatSync(dir.file("server")).mode! & 0o777,
    0o620,
  );
  using named = UnixDatagram.connectSync(dir.file("server"), {
    from: dir.file("client"),
  });
  using chosen = UnixDatagram.connectSync(dir.file("server"), { from: null });
  using unnamed = UnixDatagram.connectSync(dir.file("server"));
  for (const client of [named, chosen, unnamed]) {
    await client.send(bytes(1));
    const { from } = await server.receive();
    assertEquals(from, client.localAddress);
    if (from === null) continue;
    server.sendSync(bytes(2), { to: from });
    assertEquals((await client.receive()).from, dir.file("server"));
  }
  assertThrows(
    () => named.sendSync(bytes(1), { to: dir.file("missing") }),
    IpcError,
  );
  named.close();
  assertEquals(exists(dir.file("client")), false);
  server.close();
  assertEquals(exists(dir.file("server")), false);
  const error = assertThrows(() => chosen.sendSync(bytes(1)), IpcError);
  assertEquals(error.code, "ECONNREFUSED");
});

leakTest(
  "UnixDatagram.send({ to }) waits for room in the receiver's queue",
  async () => {
    using server = UnixDatagram.create({ abstract: `${PREFIX}-queue` });
    using client = UnixDatagram.create(null);
    const to = server.localAddress!;
    let queued = 0;
    while (client.trySend(bytes(queued), { to })) queued++;
    assertThrows(
      () => client.sendSync(bytes(0), { to, timeout: 10 }),
      DOMException,
    );
    await assertRejects(
      () => client.send(bytes(0), { to, timeout: 10 }),
      DOMException,
    );
    const waiting = client.send(bytes(99), { to });
    for (let index = 0; index < queued; index++) {
      assertEquals(server.receiveSync().data, bytes(index));
    }
    await waiting;
    assertEquals(server.receiveSync().data, bytes(99));

    while (client.trySend(bytes(1), { to }));
    const pending = failure(client.send(bytes(1), { to }));
    await Promise.resolve();
    client.close();
    assertInstanceOf(await pending, ClosedError);
  },
);

leakTest(
  "UnixDatagram.send({ to }) ends when its socket is closed or given away",
  async () => {
    using server = UnixDatagram.create({ abstract: `${PREFIX}-full` });
    const to = server.localAddress!;
    for (
      const end of [
        (client: UnixDatagram) => client.close(),
        (client: UnixDatagram) => UnixDatagram.fromFd(client.detach()).close(),
      ]
    ) {
      const client = UnixDatagram.create(null);
      while (client.trySend(bytes(1), { to }));
      const pending = failure(client.send(bytes(1), { to }));
      await turns(); // it waits for room at the receiver
      end(client);
      assertInstanceOf(await soon(pending), ClosedError);
      while (server.tryReceive() !== undefined);
    }
  },
);

leakTest(
  "UnixDatagram.connect() leaves nothing behind when it fails",
  async () => {
    using dir = scratch();
    const to = dir.file("missing");
    const options = { from: dir.file("me") };
    for (
      const error of [
        assertThrows(() => UnixDatagram.connectSync(to, options), IpcError),
        await assertRejects(() => UnixDatagram.connect(to, options), IpcError),
      ]
    ) assertEquals(error.code, "ENOENT");
    const reason = new Error("no more");
    const aborted = { ...options, signal: AbortSignal.abort(reason) };
    const error = await assertRejects(() => UnixDatagram.connect(to, aborted));
    assertStrictEquals(error, reason);
    const late = { ...options, timeout: -1 };
    assertThrows(() => UnixDatagram.connectSync(to, late), RangeError);
    await assertRejects(() => UnixDatagram.connect(to, late), RangeError);
    assertEquals(dir.list(), []);
  },
);

leakTest("UnixDatagram.connect() connects as connectSync() does", async () => {
  using server = UnixDatagram.create(null);
  const to = server.localAddress!;
  using client = await UnixDatagram.connect(to, { from: null, timeout: 0 });
  assertEquals(client.remoteAddress, to);
  await client.send(bytes(1));
  const { data, from } = await server.receive();
  assertEquals([data, from], [bytes(1), client.localAddress]);
});

leakTest(
  "a UnixMessage cannot be assigned to, and closes its descriptors",
  () => {
    using ends = UnixSeqpacket.pair();
    const [one, other] = ends;
    one.sendSync(bytes(1, 2, 3), { descriptors: [one] });
    const message = other.receiveSync({ maxDescriptors: 1, maxSize: 2 })!;
    const stranger = message as unknown as Record<string, unknown>;
    for (
      const name of [
        "data",
        "size",
        "truncated",
        "descriptors",
        "descriptorsTruncated",
        "credentials",
        "from",
      ]
    ) assertThrows(() => stranger[name] = 0, TypeError);
    const [passed] = message.descriptors;
    const { fd } = passed!;
    assertEquals(
      Deno.inspect(passed),
      `PassedDescriptor { name: "descriptor ${fd}", fd: ${fd}, closed: false }`,
    );
    assertStringIncludes(Deno.inspect(message), "UnixMessage {");
    assertEquals([message.size, message.truncated], [3, true]);
    message.close();
    message.close();
    assertThrows(() => passed!.fd, ClosedError);
    assertStringIncludes(Deno.inspect(message), "closed: true");
    assertEquals(
      Deno.inspect(one),
      `UnixSeqpacket { name: "socket pair", fd: ${one.fd}, closed: false }`,
    );
    ends.close();
    assertEquals(
      Deno.inspect(one),
      'UnixSeqpacket { name: "socket pair", closed: true }',
    );
  },
);

leakTest(
  "UnixDatagram.create() reclaims a dead socket file, not a live one",
  () => {
    using dir = scratch();
    const path = dir.file("socket");
    const stale = UnixDatagram.create(path);
    const fd = stale.detach(); // as if its process had been killed
    UnixDatagram.fromFd(fd).close();
    assertThrows(() => UnixDatagram.create(path), IpcError, "EADDRINUSE");
    using live = UnixDatagram.create(path, { reclaim: true });
    assertThrows(
      () => UnixDatagram.create(path, { reclaim: true }),
      IpcError,
      "EADDRINUSE",
    );
    assertEquals(live.tryReceive(), undefined); // and was not disturbed
  },
);
