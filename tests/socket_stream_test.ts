import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { pipe } from "@linux/ipc/pipe";
import { Socket } from "node:net";
import {
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sysSocket,
} from "../ffi/libc/sys_socket.ts";
import { pendingWaits } from "../ffi/wait/reactor.ts";
import { failure } from "./support/asserts.ts";
import { bytes, utf8 } from "./support/bytes.ts";
import { Raw } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { PREFIX, scratch } from "./support/names.ts";
import { spawnDeno } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { soon, turns } from "./support/waits.ts";

/** Fills a socket's buffer. */
function fill(stream: UnixStream): number {
  let total = 0;
  for (
    let count;
    (count = stream.tryWrite(new Uint8Array(65536))) !== undefined;
  ) {
    total += count;
  }
  return total;
}

/** What an asynchronous call ends with. */
leakTest(
  "UnixStream.pair() connects two unnamed sockets, both ways",
  async () => {
    using ends = UnixStream.pair();
    const [one, other] = ends;
    const buffer = new Uint8Array(16);
    assertEquals(one.writeSync(utf8("there")), 5);
    assertEquals(other.available, 5);
    assertEquals(other.readSync(buffer), 5);
    assertEquals(await other.write(utf8("back")), 4);
    assertEquals(await one.read(buffer), 4);
    assertEquals(one.tryRead(buffer), undefined);
    assertEquals(one.readSync(new Uint8Array(0), { timeout: 0 }), 0);
    assertEquals(one.localAddress, null);
    assertEquals(one.remoteAddress, null);
    const { pid, uid, gid } = one.peerCredentials;
    assertEquals([pid, uid, gid], [Deno.pid, Deno.uid(), Deno.gid()]);
  },
);

leakTest(
  "UnixStream reads the end after closeWrite(), and can still write",
  async () => {
    using ends = UnixStream.pair();
    const [one, other] = ends;
    one.writeSync(bytes(1));
    one.closeWrite();
    const buffer = new Uint8Array(4);
    assertEquals(await other.read(buffer), 1);
    assertEquals(await other.read(buffer), null);
    assertEquals(other.tryRead(buffer), null);
    other.writeSync(bytes(2, 3));
    assertEquals(one.readSync(buffer), 2);
    const error = assertThrows(() => one.writeSync(bytes(1)), IpcError);
    assertEquals(error.code, "EPIPE");
  },
);

leakTest(
  "UnixStream waits with timeout and signal, and never shorter",
  async () => {
    using ends = UnixStream.pair();
    const [one] = ends;
    const buffer = new Uint8Array(4);
    for (const timeout of [0, 15]) {
      const before = performance.now();
      assertThrows(() => one.readSync(buffer, { timeout }), DOMException);
      await assertRejects(() => one.read(buffer, { timeout }), DOMException);
      await assertRejects(() => one.receive({ timeout }), DOMException);
      assert(performance.now() - before >= 3 * timeout);
    }
    const reason = new Error("enough");
    assertEquals(
      await failure(one.read(buffer, { signal: AbortSignal.abort(reason) })),
      reason,
    );
    const controller = new AbortController();
    const pending = failure(one.read(buffer, { signal: controller.signal }));
    controller.abort(reason);
    assertEquals(await pending, reason);

    fill(one);
    assertThrows(() => one.writeSync(buffer, { timeout: 5 }), DOMException);
    await assertRejects(() => one.write(buffer, { timeout: 5 }), DOMException);
  },
);

leakTest("UnixStream.close() ends pending waits", async () => {
  const [one, other] = UnixStream.pair();
  fill(one);
  const pending = [
    failure(one.read(new Uint8Array(1))),
    failure(one.receive()),
    failure(one.write(bytes(1))),
    failure(one.drained()),
  ];
  one.close();
  one.close();
  for (const error of await Promise.all(pending)) {
    assertInstanceOf(error, ClosedError);
  }
  assertThrows(() => one.fd, ClosedError);
  assertThrows(() => one.tryRead(new Uint8Array(1)), ClosedError);
  await assertRejects(() => one.write(bytes(1)), ClosedError);
  other.close();
});

leakTest(
  "UnixStream does not make a shared description nonblocking",
  async () => {
    using listener = UnixListener.listen(null);
    using one = await UnixStream.connect(listener.localAddress!);
    using other = listener.acceptSync();
    const pending = one.read(new Uint8Array(4), { timeout: 1000 });
    other.writeSync(bytes(1));
    await pending;
    one.tryRead(new Uint8Array(1));
    fill(one);
    const flags = Deno.readTextFileSync(`/proc/self/fdinfo/${one.fd}`);
    const O_NONBLOCK = 0o4000;
    assertEquals(
      parseInt(flags.match(/flags:\s*(\d+)/)![1]!, 8) & O_NONBLOCK,
      0,
    );
  },
);

leakTest("UnixStream.write() keeps concurrent writes apart", async () => {
  using ends = UnixStream.pair();
  const [one, other] = ends;
  const size = 500_000;
  const writes = [1, 2, 3].map((value) =>
    one.write(new Uint8Array(size).fill(value))
  );
  const all = new Uint8Array(3 * size);
  for (let at = 0; at < all.length;) {
    at += (await other.read(all.subarray(at)))!;
  }
  await Promise.all(writes);
  assert(all.every((value, index) => value === 1 + Math.floor(index / size)));
});

leakTest("UnixStream is empty of unread bytes when it is drained", async () => {
  using ends = UnixStream.pair();
  const [one, other] = ends;
  assertEquals(one.isDrained(), true);
  one.writeSync(bytes(1, 2));
  assertEquals(one.isDrained(), false);
  await assertRejects(() => one.drained({ timeout: 5 }), DOMException);
  const drained = one.drained();
  other.readSync(new Uint8Array(4));
  await drained;
});

leakTest("UnixStream.bufferSizes are doubled by the kernel", () => {
  using ends = UnixStream.pair();
  const [one] = ends;
  one.bufferSizes = { send: 20_000 };
  assertEquals(one.bufferSizes.send, 40_000);
  one.bufferSizes = { receive: 30_000 };
  assertEquals(one.bufferSizes, { send: 40_000, receive: 60_000 });
  assertThrows(() => one.bufferSizes = { send: -1 }, RangeError);
  assertThrows(() => one.bufferSizes = { send: 1.5 }, RangeError);
});

leakTest(
  "UnixStream.readable and writable echo with back-pressure",
  async () => {
    const [one, other] = UnixStream.pair();
    const echoed = other.readable.pipeTo(other.writable);
    const size = 3_000_000;
    const sent = crypto.getRandomValues(new Uint8Array(65536));
    const writer = one.writable.getWriter();
    const written = (async () => {
      for (let at = 0; at < size; at += sent.length) await writer.write(sent);
      await writer.close();
    })();
    let received = 0;
    for await (const chunk of one.readable) received += chunk.length;
    await Promise.all([written, echoed]);
    assertEquals(received, Math.ceil(size / sent.length) * sent.length);
    // Both directions have ended: both sockets are closed.
    assertThrows(() => one.fd, ClosedError);
    assertThrows(() => other.fd, ClosedError);
  },
);

leakTest("UnixStream.readable, cancelled, waits no more", async () => {
  const [one, other] = UnixStream.pair();
  const reader = one.readable.getReader();
  const reading = reader.read();
  await turns(); // it waits
  assertEquals(pendingWaits(), 1);
  await reader.cancel();
  assert((await reading).done);
  assertEquals(pendingWaits(), 0); // the program could end
  await one.write(bytes(1)); // this direction goes on
  assertEquals(await other.read(new Uint8Array(2)), 1);
  await one.writable.close();
  assertThrows(() => one.fd, ClosedError);
  other.close();
});

leakTest(
  "UnixStream.readable and writable of a closed stream fail",
  async () => {
    const [one, other] = UnixStream.pair();
    one.close();
    await assertRejects(() => one.readable.getReader().read(), ClosedError);
    const write = () => one.writable.getWriter().write(bytes(1));
    await assertRejects(write, ClosedError);
    other.close();
  },
);

leakTest(
  "UnixStream.fromFd() refuses everything else, and closes nothing",
  () => {
    using ends = pipe();
    using packets = UnixSeqpacket.pair();
    using listener = UnixListener.listen(null);
    const AF_INET = 2;
    const type = SOCK_STREAM | SOCK_CLOEXEC;
    using inet = new Raw(sysSocket().socket(AF_INET, type, 0));
    for (const { fd } of [ends.reader, packets[0], listener, inet]) {
      assertThrows(
        () => UnixStream.fromFd(fd),
        TypeError,
        "must be a Unix stream",
      );
    }
    ends.writer.writeSync(bytes(1)); // all are open
    assertEquals(listener.tryAccept(), undefined);
    assertThrows(() => UnixStream.fromFd(-1), RangeError);
    const error = assertThrows(() => UnixStream.fromFd(99_999), IpcError);
    assertEquals(error.code, "EBADF");
  },
);

leakTest("UnixStream.detach() gives the descriptor away", () => {
  const [one, other] = UnixStream.pair();
  const fd = one.detach();
  assertThrows(() => one.fd, ClosedError);
  assertThrows(() => one.detach(), ClosedError);
  one.close();
  using again = UnixStream.fromFd(fd);
  again.writeSync(bytes(1));
  assertEquals(other.readSync(new Uint8Array(2)), 1);
  other.close();
});

leakTest("UnixStream.detach() hands over to node:net", async () => {
  const [one, other] = UnixStream.pair();
  const socket = new Socket({
    fd: one.detach(),
    readable: true,
    writable: true,
  });
  const data = new Promise<Uint8Array>((resolve) =>
    socket.once("data", resolve)
  );
  other.writeSync(utf8("to node"));
  assertEquals(new TextDecoder().decode(await data), "to node");
  socket.write("from node");
  const buffer = new Uint8Array(16);
  const count = (await other.read(buffer, { timeout: 5000 }))!;
  assertEquals(buffer.slice(0, count), utf8("from node"));
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.destroy();
  await closed;
  other.close();
});

leakTest(
  "UnixStream.connect() waits for a full backlog, sync and async",
  async () => {
    using listener = UnixListener.listen(null, { backlog: 1 });
    const address = listener.localAddress!;
    const clients: UnixStream[] = [];
    try {
      for (;;) clients.push(UnixStream.connectSync(address, { timeout: 5 }));
    } catch (error) {
      assertInstanceOf(error, DOMException);
    }
    assert(clients.length >= 1);
    await assertRejects(
      () => UnixStream.connect(address, { timeout: 5 }),
      DOMException,
    );
    assertThrows(
      () => UnixStream.connectSync(address, { timeout: 0 }),
      DOMException,
    );
    const next = UnixStream.connect(address, { timeout: 5000 });
    listener.acceptSync().close();
    clients.push(await next);
    for (const client of clients) client.close();
  },
);

leakTest(
  "UnixStream.connect() says what is wrong with an address",
  async () => {
    using dir = scratch();
    using packets = UnixListener.listen(dir.file("packets"), {
      type: "seqpacket",
    });
    const code = (address: string) =>
      assertThrows(() => UnixStream.connectSync(address), IpcError).code;
    assertEquals(code(dir.file("missing")), "ENOENT");
    assertEquals(code(dir.file("plain", "text")), "ECONNREFUSED");
    assertEquals(code(packets.localAddress as string), "EPROTOTYPE");
    assertEquals(
      (await assertRejects(() => UnixStream.connect(dir.file("x")), IpcError))
        .message,
      `connect ${dir.path}/x: No such file or directory (ENOENT)`,
    );
  },
);

for (
  const [what, address, type] of [
    ["an empty path", "", TypeError],
    ["NUL in a path", "a\0b", TypeError],
    ["a lone surrogate", "\ud800", TypeError],
    ["a path of 4096 bytes", "é/".repeat(1366), RangeError],
    ["a name of 256 bytes", "é".repeat(128), RangeError],
    ["an empty abstract name", { abstract: "" }, TypeError],
    ["an abstract name of 108 bytes", { abstract: "é".repeat(54) }, RangeError],
    ["108 abstract bytes", { abstract: new Uint8Array(108) }, RangeError],
    ["an abstract lone surrogate", { abstract: "\udc00" }, TypeError],
    ["a number", 5, TypeError],
    ["an abstract number", { abstract: 5 }, TypeError],
  ] as const
) {
  leakTest(`UnixStream.connect() refuses ${what}`, async () => {
    const wrong = address as string;
    assertThrows(() => UnixStream.connectSync(wrong), type);
    await assertRejects(() => UnixStream.connect(wrong), type);
    assertThrows(() => UnixListener.listen(wrong), type);
  });
}

leakTest(
  "UnixStream reads EOF or ECONNRESET when the peer is killed in a write",
  async () => {
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"));
    const script = dir.file(
      "child.ts",
      `import { UnixStream } from "${new URL(
        "../ffi/socket.ts",
        import.meta.url,
      )}";
     const stream = UnixStream.connectSync(Deno.args[0]!);
     for (;;) stream.writeSync(new Uint8Array(1 << 20).fill(7));`,
    );
    await using child = spawnDeno(script, { args: [dir.file("socket")] });
    using stream = await listener.accept({ timeout: 20_000 });
    assertEquals(stream.peerCredentials.pid, child.pid);
    using pidfd = stream.peerPidfd();
    assert(pidfd.fd > 2);
    await child.until(() => stream.available > 100_000, "full buffer");
    child.kill("SIGKILL");
    const buffer = new Uint8Array(65536);
    let total = 0;
    for (let count; (count = await stream.read(buffer)) !== null;) {
      assert(buffer.subarray(0, count).every((value) => value === 7));
      total += count;
    }
    assert(total > 100_000);
  },
);

leakTest(
  "UnixStream carries much to a slow reader, exactly and in bounded memory",
  { soak: "also", limit: 120_000 },
  async () => {
    const size = rounds(2 ** 26, 2 ** 30);
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"));
    const script = dir.file(
      "child.ts",
      `import { UnixStream } from "${new URL(
        "../ffi/socket.ts",
        import.meta.url,
      )}";
       const stream = await UnixStream.connect(Deno.args[0]!);
       const chunk = new Uint8Array(1 << 20);
       const words = new Uint32Array(chunk.buffer);
       for (let block = 0; block < ${size >> 20}; block++) {
         for (let i = 0; i < words.length; i++) words[i] = Math.imul(block * words.length + i, 2654435761);
         await stream.write(chunk);
       }
       stream.close();`,
    );
    await using child = spawnDeno(script, { args: [dir.file("socket")] });
    using stream = await listener.accept({ timeout: 20_000 });
    const before = Deno.memoryUsage().rss;
    const memory = () =>
      Number(
        Deno.readTextFileSync(`/proc/${child.pid}/status`)
          .match(/VmRSS:\s*(\d+) kB/)?.[1] ?? 0,
      );
    const { createHash } = await import("node:crypto");
    const hash = createHash("sha256");
    const buffer = new Uint8Array(100_001); // cuts through all words
    let total = 0;
    let peak = 0; // on its way
    let largest = 0; // the memory of the writer
    for (let count; (count = await stream.read(buffer)) !== null;) {
      hash.update(buffer.subarray(0, count));
      total += count;
      peak = Math.max(peak, stream.available);
      if (total % (1 << 27) < count) largest = Math.max(largest, memory());
    }
    assertEquals(total, size);
    const expected = createHash("sha256");
    const words = new Uint32Array(1 << 18);
    for (let block = 0; block < size >> 20; block++) {
      for (let i = 0; i < words.length; i++) {
        words[i] = Math.imul(block * words.length + i, 2654435761);
      }
      expected.update(new Uint8Array(words.buffer));
    }
    assertEquals(hash.digest("hex"), expected.digest("hex"));
    assert(peak <= 1 << 20, `${peak} bytes were on their way`);
    assert(largest < 400_000, `the writer takes ${largest} kB`);
    assert(Deno.memoryUsage().rss - before < 100 * 1024 * 1024);
    assertEquals((await child.ended()).code, 0);
  },
);

leakTest(
  "100 pending reads occupy no thread: files still answer at once",
  async () => {
    const pairs = Array.from({ length: 50 }, () => UnixStream.pair());
    const pending = pairs.flatMap(([one, other]) => [
      failure(one.read(new Uint8Array(1))),
      failure(other.receive()),
    ]);
    await soon(Deno.readTextFile(new URL(import.meta.url)));
    for (const pair of pairs) pair[Symbol.dispose]();
    for (const error of await Promise.all(pending)) {
      assertInstanceOf(error, ClosedError);
    }
  },
);

leakTest(
  "abstract addresses may be text, bytes or chosen by the kernel",
  () => {
    using text = UnixListener.listen({ abstract: `${PREFIX}-é` });
    assertEquals(text.localAddress, { abstract: `${PREFIX}-é` });
    const raw = {
      abstract: Uint8Array.of(
        0xff,
        0,
        1,
        ...crypto.getRandomValues(new Uint8Array(9)),
      ),
    };
    using binary = UnixListener.listen(raw);
    assertEquals(binary.localAddress, raw);
    using longest = UnixListener.listen({ abstract: PREFIX.padEnd(107, "x") });
    assertEquals(longest.localAddress, { abstract: PREFIX.padEnd(107, "x") });
    using chosen = UnixListener.listen(null);
    for (const listener of [text, binary, longest, chosen]) {
      using client = UnixStream.connectSync(listener.localAddress!);
      using server = listener.acceptSync();
      assertEquals(client.remoteAddress, listener.localAddress);
      assertEquals(server.localAddress, listener.localAddress);
      assertEquals(server.remoteAddress, null);
    }
    const error = assertThrows(
      () => UnixListener.listen({ abstract: `${PREFIX}-é` }),
      IpcError,
    );
    assertEquals([error.code, error.subject], ["EADDRINUSE", `@${PREFIX}-é`]);
    assertThrows(
      () => UnixListener.listen({ abstract: "x" }, { mode: 0o600 }),
      TypeError,
    );
  },
);
