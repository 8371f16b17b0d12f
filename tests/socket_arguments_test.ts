/** What callers hand in is read once, and nothing of theirs runs before the call. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { pipe } from "@linux/ipc/pipe";
import {
  ClosedError,
  PassedDescriptor,
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
import { FramedStream } from "@linux/ipc/frames";
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from "../ffi/libc/fcntl.ts";
import {
  UnixChannel,
  UnixConnection,
  UnixSocket,
} from "../ffi/socket/socket.ts";
import { bytes } from "./support/bytes.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { turns } from "./support/waits.ts";

const KINDS = {
  UnixStream: () => UnixStream.pair(),
  UnixSeqpacket: () => UnixSeqpacket.pair(),
  UnixDatagram: () => UnixDatagram.pair(),
};

/** Bytes that say what is not so of themselves. */
class Lying extends Uint8Array<ArrayBuffer> {
  constructor(length: number) {
    super(new ArrayBuffer(length));
  }
  override get length(): number {
    return 50_000;
  }
  override get byteLength(): number {
    return 50_000;
  }
  override get byteOffset(): number {
    return 0;
  }
  override get buffer(): ArrayBuffer {
    throw new Error("asked for its buffer");
  }
  override set(): void {
    throw new Error("asked to copy");
  }
  // deno-lint-ignore no-explicit-any
  override subarray(): any {
    throw new Error("asked for a part");
  }
  // deno-lint-ignore no-explicit-any
  override slice(): any {
    throw new Error("asked for a copy");
  }
}

/** Options that count how often each of them is read. */
function counting<T extends object>(options: T) {
  const reads: Record<string, number> = {};
  const proxy = new Proxy(options, {
    get(target, key) {
      const name = String(key);
      reads[name] = (reads[name] ?? 0) + 1;
      return Reflect.get(target, key);
    },
  });
  return { options: proxy, reads };
}

for (const [name, make] of Object.entries(KINDS)) {
  leakTest(`${name} sends and fills no more than bytes have`, async () => {
    using ends = make();
    const [one, other] = ends;
    const buffer = new Uint8Array(100_000);
    for (const send of ["sendSync", "send", "trySend"] as const) {
      await one[send](new Lying(80));
      assertEquals(other.receiveSync({ buffer })!.data.length, 80);
    }
    for (const size of [100, 5000]) {
      for (const receive of ["receiveSync", "receive", "tryReceive"] as const) {
        one.sendSync(new Uint8Array(80).fill(7));
        const lying = new Lying(size);
        const message = (await other[receive]({ buffer: lying }))!;
        assertEquals(message.data, new Uint8Array(80).fill(7));
        assertEquals(Uint8Array.prototype.at.call(lying, 79), 7);
      }
    }
    assertThrows(() => one.sendSync([1] as never), TypeError);
    await assertRejects(() => one.send([1] as never), TypeError);
    assertThrows(() => other.receiveSync({ buffer: [1] as never }), TypeError);
  });

  leakTest(`${name} reads each option once`, async () => {
    using ends = make();
    const [one, other] = ends;
    using pipes = pipe();
    const { signal } = new AbortController();
    for (const send of ["sendSync", "send", "trySend"] as const) {
      const given = counting({
        descriptors: [pipes.reader],
        timeout: 1000,
        signal,
        to: undefined,
      });
      await one[send](bytes(1), given.options);
      assert(Object.values(given.reads).every((count) => count === 1));
      using _ = other.receiveSync({ maxDescriptors: 1 })!;
    }
    for (const receive of ["receiveSync", "receive", "tryReceive"] as const) {
      const given = counting({
        maxSize: 9,
        maxDescriptors: 2,
        timeout: 9,
        signal,
      });
      one.sendSync(bytes(1));
      await other[receive](given.options);
      assert(Object.values(given.reads).every((count) => count === 1));
    }
    // Also when it has to wait.
    const given = counting({ maxSize: 9, maxDescriptors: 2, timeout: 9999 });
    const pending = other.receive(given.options);
    await turns();
    one.sendSync(bytes(1, 2, 3));
    assertEquals((await pending)!.data, bytes(1, 2, 3));
    assertEquals(given.reads, {
      maxSize: 1,
      maxDescriptors: 1,
      timeout: 1,
      buffer: 1,
      signal: 1,
    });
  });

  leakTest(
    `${name} reads the descriptors once, their numbers each time`,
    async () => {
      using ends = make();
      const [one, other] = ends;
      using pipes = pipe();
      while (one.trySend(new Uint8Array(1000)));
      const descriptors = [pipes.reader];
      const pending = one.send(bytes(1), { descriptors });
      descriptors.length = 0; // and nothing of that matters
      await turns();
      for (;;) {
        using message = (await other.receive({ maxDescriptors: 1 }))!;
        if (message.descriptors.length === 1) break;
      }
      await pending;

      // A number may be asked of the caller's own object, which may do anything.
      const inner = { fd: pipes.writer.fd };
      const outer = {
        get fd() {
          one.trySend(bytes(2), { descriptors: [inner, inner] });
          return pipes.reader.fd;
        },
      };
      one.sendSync(bytes(1), { descriptors: [outer] });
      const counts = [];
      for (let i = 0; i < 2; i++) {
        using message = other.receiveSync({ maxDescriptors: 9 })!;
        counts.push([message.data[0], message.descriptors.length]);
      }
      assertEquals(counts, [[2, 2], [1, 1]]);
      const closing = {
        get fd() {
          one.close();
          return pipes.reader.fd;
        },
      };
      assertThrows(
        () => one.sendSync(bytes(1), { descriptors: [closing] }),
        ClosedError,
      );
    },
  );

  leakTest(`${name} gives no descriptor two owners`, async () => {
    using ends = make();
    const [one, other] = ends;
    using pipes = pipe();
    one.sendSync(bytes(1), { descriptors: [pipes.reader] });
    one.sendSync(bytes(2), { descriptors: [pipes.reader] });
    const buffer = new Uint8Array(16);
    let asked = false;
    Object.defineProperty(buffer, "set", {
      value: () => {
        asked = true;
        other.tryReceive({ maxDescriptors: 1 });
      },
    });
    using first = other.receiveSync({ buffer, maxDescriptors: 1 })!;
    using second = (await other.receive({ maxDescriptors: 1 }))!;
    assert(!asked);
    assertEquals([first.data[0], second.data[0]], [1, 2]);
    const [a, b] = [...first.descriptors, ...second.descriptors];
    assert(a!.fd !== b!.fd);
  });

  leakTest(
    `${name} takes memory that shrinks during the wait as it is`,
    async () => {
      using ends = make();
      const [one, other] = ends;
      const memory = new ArrayBuffer(8192, { maxByteLength: 8192 });
      const pending = other.receive({ buffer: new Uint8Array(memory) });
      await turns();
      memory.resize(3);
      one.sendSync(bytes(1, 2, 3));
      assertEquals((await pending)!.data, bytes(1, 2, 3));
      const gone = new ArrayBuffer(8192);
      const refused = assertRejects(
        () => other.receive({ buffer: new Uint8Array(gone) }),
        RangeError,
      );
      await turns();
      gone.transfer();
      one.sendSync(bytes(4));
      await refused;
      assertEquals(other.receiveSync()!.data, bytes(4)); // and nothing is lost
    },
  );

  leakTest(`${name} sends nothing of memory that is gone`, async () => {
    using ends = make();
    const [one, other] = ends;
    let before = 0;
    while (one.trySend(new Uint8Array(1000).fill(1))) before++;
    const memory = new ArrayBuffer(64);
    const refused = assertRejects(
      () => one.send(new Uint8Array(memory)),
      TypeError,
      "must keep",
    );
    await turns();
    memory.transfer();
    const growing = new ArrayBuffer(1, { maxByteLength: 99 });
    const sent = one.send(new Uint8Array(growing));
    growing.resize(99);
    let size = 0;
    while (size <= before * 1000) size += (await other.receive())!.size;
    await refused;
    await sent;
    assertEquals(size, before * 1000 + 1);
  });

  leakTest(`${name} ends no wait by what is no AbortSignal`, async () => {
    using ends = make();
    const [one] = ends;
    const signal = {
      aborted: false,
      addEventListener() {},
      throwIfAborted() {},
    } as never;
    await assertRejects(() => one.receive({ signal }), TypeError, "signal");
    await assertRejects(
      () => one.send(bytes(1), { signal }),
      TypeError,
      "signal",
    );
    await assertRejects(() => one.drained({ signal }), TypeError, "signal");
    await assertRejects(
      () => one.receive({ timeout: "9" as never }),
      TypeError,
    );
    assertThrows(() => one.receiveSync({ timeout: -1 }), RangeError);
  });
}

leakTest("UnixStream reads and writes as many bytes as there are", async () => {
  using ends = UnixStream.pair();
  const [one, other] = ends;
  const buffer = new Uint8Array(100_000);
  for (const write of ["writeSync", "write", "tryWrite"] as const) {
    await one[write](new Lying(80));
    assertEquals(other.readSync(buffer), 80);
  }
  for (const read of ["readSync", "read", "tryRead"] as const) {
    one.writeSync(new Uint8Array(200));
    assertEquals(await other[read](new Lying(80)), 80);
    assertEquals(other.readSync(buffer), 120);
  }
  const memory = new SharedArrayBuffer(3);
  await one.write(new Uint8Array(memory));
  one.writeSync(Buffer.from("abc"));
  const into = Buffer.alloc(9) as Uint8Array<ArrayBuffer>;
  assertEquals(await other.read(into), 6);
  assertEquals(other.tryRead(new Uint8Array(0)), 0);

  const shrinking = new ArrayBuffer(3_000_000, { maxByteLength: 3_000_000 });
  const pending = assertRejects(
    () => one.write(new Uint8Array(shrinking, 1_000_000, 1_000_000)),
    TypeError,
    "must keep",
  );
  await turns();
  shrinking.resize(1_500_000); // the kept half would be another place
  while (other.tryRead(buffer) !== undefined);
  await pending;
});

leakTest(
  "UnixStream's own code calls nothing that a program has put in its place",
  async () => {
    using ends = UnixStream.pair();
    const [one, other] = ends;
    const never = () => {
      throw new Error("called");
    };
    for (
      const method of [
        "read",
        "write",
        "send",
        "sendSync",
        "receive",
        "close",
        "closeWrite",
        "trySend",
      ]
    ) {
      Object.defineProperty(one, method, { value: never });
    }
    assertEquals(one.writeSync(bytes(1)), 1);
    assertEquals(one.tryWrite(bytes(2)), 1);
    const writer = one.writable.getWriter();
    await writer.write(bytes(3));
    await writer.close();
    assertEquals(other.readSync(new Uint8Array(9)), 3);
    other.writeSync(bytes(4));
    other.closeWrite();
    assertEquals(await new Response(one.readable).bytes(), bytes(4));
    assertThrows(() => one.fd, ClosedError);
  },
);

leakTest("sockets set nothing on a number that is another's by now", () => {
  using dir = scratch();
  const socket = UnixStream.pair()[0];
  const closing = (then: unknown) => ({
    valueOf() {
      socket.close();
      return then;
    },
  });
  socket.passCredentials = closing(0) as never; // it is true, as all objects are
  assert(socket.passCredentials);
  assertThrows(() => {
    socket.bufferSizes = {
      get send(): number {
        socket.close();
        return 4096;
      },
    };
  }, ClosedError);
  let calls = 0;
  const type = { toString: () => ["stream", "constructor"][calls++] } as never;
  assertThrows(() => UnixListener.listen(dir.file("a"), { type }), TypeError);
  const given = counting({
    type: "seqpacket" as const,
    mode: 0o600,
    backlog: 3,
    reclaim: true,
    passCredentials: true,
    passDescriptors: true,
  });
  using listener = UnixListener.listen(dir.file("a"), given.options);
  assert(listener.passCredentials);
  assertEquals(given.reads, {
    type: 1,
    mode: 1,
    backlog: 1,
    reclaim: 1,
    passCredentials: 1,
    passDescriptors: 1,
  });
  const { reads, options } = counting({ from: null, passCredentials: true });
  using datagram = UnixDatagram.create(null);
  UnixDatagram.connectSync(datagram.localAddress!, options).close();
  assertEquals([reads.from, reads.passCredentials], [1, 1]);
  const name = counting({ abstract: new Lying(8).fill(65) });
  using named = UnixDatagram.create(name.options);
  assertEquals(named.localAddress, { abstract: "AAAAAAAA" });
  assertEquals(name.reads, { path: 1, abstract: 1 });
});

leakTest("sockets cannot be constructed", () => {
  using ends = UnixSeqpacket.pair();
  const classes = [
    UnixSocket,
    UnixChannel,
    UnixConnection,
    UnixStream,
    UnixSeqpacket,
    UnixDatagram,
    UnixListener,
    PassedDescriptor,
    // deno-lint-ignore no-explicit-any -- what TypeScript refuses
  ] as any[];
  for (const Class of classes) {
    for (const args of [[], [null], [{ fd: 0 }], [ends[0], ends[0]]]) {
      assertThrows(() => new Class(...args), TypeError, "Cannot construct");
      const Own: typeof Class = class extends Class {};
      assertThrows(() => new Own(...args), TypeError, "Cannot construct");
    }
  }
});

leakTest(
  "FramedStream takes bytes of every kind, as many as there are",
  async () => {
    const [one, other] = UnixStream.pair();
    using client = new FramedStream(one, { maxSize: 100 });
    using server = new FramedStream(other);
    await client.send(new Lying(80));
    client.sendSync(new Lying(80));
    assertThrows(() => client.sendSync(new Lying(101)), RangeError);
    await client.send(Buffer.from("abc"));
    for (const length of [80, 80, 3]) {
      assertEquals((await server.receive())!.length, length);
    }
    const given = counting({ timeout: 1000 });
    await client.send(bytes(1), given.options);
    await server.receive(given.options);
    assertEquals(given.reads, { timeout: 2, signal: 2, descriptors: 1 });
  },
);

Deno.test("a listener does not block when another clears its O_NONBLOCK", async () => {
  const outcomes = await inChild(async () => {
    const { F_SETFL, fcntl } = await import("../ffi/libc/fcntl.ts");
    const { UnixListener } = await import("../ffi/socket.ts");
    using listener = UnixListener.listen(null);
    const clear = () => fcntl().fcntl(listener.fd, F_SETFL, 0);
    const outcomes: unknown[] = [];
    for (let round = 0; round < 2; round++) {
      clear();
      outcomes.push(listener.tryAccept());
      clear();
      outcomes.push(await listener.accept({ timeout: 5 }).catch((e) => e.name));
      clear();
      try {
        listener.acceptSync({ timeout: 5 });
      } catch (error) {
        outcomes.push((error as Error).name);
      }
    }
    const pending = listener.accept({ timeout: 50 });
    const timer = setTimeout(clear, 1);
    outcomes.push(await pending.catch((error) => error.name));
    clearTimeout(timer);
    return outcomes;
  }, { limit: 10_000 });
  const late = "TimeoutError";
  assertEquals(outcomes, [null, late, late, null, late, late, late]);
});

leakTest("a listener that is passed arrives blocking", () => {
  using ends = UnixStream.pair();
  const isNonblocking = (fd: number) =>
    (fcntl().fcntl(fd, F_GETFL, 0) & O_NONBLOCK) !== 0;
  using listener = UnixListener.listen(null);
  UnixStream.connectSync(listener.localAddress!).close();
  listener.tryAccept()!.close();
  fcntl().fcntl(listener.fd, F_SETFL, O_NONBLOCK);
  ends[0].sendSync(bytes(1), { descriptors: [listener] });
  using message = ends[1].receiveSync({ maxDescriptors: 1 })!;
  assert(!isNonblocking(message.descriptors[0]!.fd));
  assertEquals(listener.tryAccept(), undefined);

  // What another has made non-blocking is passed on as it is.
  const foreign = message.descriptors[0]!;
  fcntl().fcntl(foreign.fd, F_SETFL, O_NONBLOCK);
  ends[0].sendSync(bytes(1), { descriptors: [foreign] });
  using again = ends[1].receiveSync({ maxDescriptors: 1 })!;
  assert(isNonblocking(again.descriptors[0]!.fd));
});
