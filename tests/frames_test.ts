import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { pipe } from "@linux/ipc/pipe";
import { ClosedError, UnixStream } from "@linux/ipc/socket";
import { FramedStream, type FramedStreamOptions } from "@linux/ipc/frames";
import { leakTest } from "./support/leaks.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

/** A framed stream, and the raw other side. */
function framed(options?: FramedStreamOptions) {
  const [one, other] = UnixStream.pair();
  const frames = new FramedStream(one, options);
  return {
    frames,
    raw: other,
    [Symbol.dispose]() {
      frames.close();
      other.close();
    },
  };
}

function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => undefined, (error) => error);
}

leakTest("FramedStream puts the length in front, high byte first", async () => {
  using it = framed();
  const buffer = new Uint8Array(16);
  await it.frames.send(bytes(7, 8));
  assertEquals(it.raw.readSync(buffer), 6);
  assertEquals(buffer.slice(0, 6), bytes(0, 0, 0, 2, 7, 8));
  it.frames.sendSync(bytes());
  assertEquals(it.raw.readSync(buffer), 4);
  assertEquals(buffer.slice(0, 4), bytes(0, 0, 0, 0));
});

leakTest(
  "FramedStream finds the messages however the bytes are cut",
  async () => {
    const sizes = [0, 1, 3, 4, 5, 70_000, 0, 65_532, 65_536, 200_000, 2];
    const whole: number[] = [];
    for (const [index, size] of sizes.entries()) {
      whole.push(
        size >>> 24,
        (size >>> 16) & 255,
        (size >>> 8) & 255,
        size & 255,
      );
      for (let i = 0; i < size; i++) whole.push(index);
    }
    const data = Uint8Array.from(whole);
    for (
      const cut of [97, 511, 4096, 65_535, 65_536, 100_001, data.length]
    ) {
      using it = framed();
      const written = (async () => {
        for (let at = 0; at < data.length; at += cut) {
          await it.raw.write(data.slice(at, at + cut));
        }
        it.raw.closeWrite();
      })();
      const seen: number[] = [];
      for await (const message of it.frames) {
        assert(message.every((value) => value === seen.length));
        seen.push(message.length);
      }
      await written;
      assertEquals(seen, sizes);
    }
  },
);

leakTest("FramedStream receives byte by byte, sync", () => {
  using it = framed();
  for (const byte of bytes(0, 0, 0, 2, 7, 8, 0, 0, 0, 0)) {
    it.raw.writeSync(bytes(byte));
  }
  it.raw.closeWrite();
  assertEquals(it.frames.receiveSync(), bytes(7, 8));
  assertEquals(it.frames.receiveSync(), bytes());
  assertEquals(it.frames.receiveSync(), null);
});

leakTest(
  "FramedStream tells an end in the middle from one between messages",
  async () => {
    for (const part of [bytes(0), bytes(0, 0, 0, 2), bytes(0, 0, 0, 2, 7)]) {
      using it = framed();
      it.raw.writeSync(part);
      it.raw.close();
      await assertRejects(() => it.frames.receive(), Deno.errors.UnexpectedEof);
      assertThrows(() => it.frames.receiveSync(), Deno.errors.UnexpectedEof);
    }
    using it = framed();
    it.raw.close();
    assertEquals(await it.frames.receive(), null);
  },
);

leakTest(
  "FramedStream checks maxSize on both sides, before any memory is taken",
  async () => {
    using it = framed({ maxSize: 10 });
    await assertRejects(() => it.frames.send(new Uint8Array(11)), RangeError);
    assertThrows(() => it.frames.sendSync(new Uint8Array(11)), RangeError);
    assertEquals(it.raw.tryRead(new Uint8Array(1)), undefined); // nothing was sent
    it.raw.writeSync(bytes(0xff, 0xff, 0xff, 0xff));
    await assertRejects(() => it.frames.receive(), Deno.errors.InvalidData);
    await assertRejects(() => it.frames.receive(), Deno.errors.InvalidData);
    for (const maxSize of [0, -1, 1.5, 2 ** 31, NaN]) {
      assertThrows(() => framed({ maxSize }), RangeError);
    }
  },
);

leakTest(
  "FramedStream.send() keeps concurrent messages apart and in order",
  async () => {
    const [one, other] = UnixStream.pair();
    using client = new FramedStream(one);
    using server = new FramedStream(other);
    const sizes = Array.from(
      { length: 40 },
      (_, index) => index * 12_345 % 90_000,
    );
    const sends = sizes.map((size, index) =>
      client.send(new Uint8Array(size).fill(index))
    );
    assertThrows(
      () => client.sendSync(bytes(1)),
      Error,
      "is pending",
    );
    const receives = sizes.map(() => server.receive());
    assertThrows(() => server.receiveSync(), Error, "is pending");
    for (const [index, receive] of receives.entries()) {
      const message = (await receive)!;
      assertEquals(message.length, sizes[index]);
      assert(message.every((value) => value === index));
    }
    await Promise.all(sends);
  },
);

leakTest("FramedStream waits with back-pressure, and ends waits", async () => {
  const [one, other] = UnixStream.pair();
  using client = new FramedStream(one);
  using server = new FramedStream(other);
  let sent = 0;
  const chunk = new Uint8Array(4000);
  try {
    for (;; sent++) await client.send(chunk, { timeout: 5 });
  } catch (error) {
    assertInstanceOf(error, DOMException);
  }
  assert(sent > 0);
  // Either the message did not begin, and all goes on; or it did, and nothing does.
  const next = await failure(client.send(bytes(1), { timeout: 5 }));
  assertInstanceOf(next, DOMException);
  await assertRejects(() =>
    server.receive({ timeout: 0 }).then(() =>
      server.receive({ signal: AbortSignal.abort("x") })
    )
  );
});

leakTest(
  "FramedStream.send() that fails in the middle of a message ends sending",
  async () => {
    using it = framed();
    const error = await failure(
      it.frames.send(new Uint8Array(5_000_000), { timeout: 10 }),
    );
    assertInstanceOf(error, DOMException);
    assertEquals(await failure(it.frames.send(bytes(1))), error);
    assertThrows(() => it.frames.sendSync(bytes(1)), DOMException);
  },
);

leakTest("FramedStream.receive() goes on after an aborted wait", async () => {
  using it = framed();
  it.raw.writeSync(bytes(0, 0, 0, 3, 1, 2));
  await assertRejects(() => it.frames.receive({ timeout: 5 }), DOMException);
  it.raw.writeSync(bytes(3, 0, 0));
  assertEquals(await it.frames.receive(), bytes(1, 2, 3));
  const controller = new AbortController();
  const pending = failure(it.frames.receive({ signal: controller.signal }));
  controller.abort("enough");
  assertEquals(await pending, "enough");
  it.raw.writeSync(bytes(0, 1, 9));
  assertEquals(await it.frames.receive(), bytes(9));
});

leakTest("FramedStream.close() ends pending waits", async () => {
  using it = framed();
  const pending = [failure(it.frames.receive()), failure(it.frames.receive())];
  it.frames.close();
  for (const error of await Promise.all(pending)) {
    assertInstanceOf(error, ClosedError);
  }
});

leakTest("FramedStream, closed, ends its iteration", async () => {
  using it = framed();
  it.raw.writeSync(bytes(0, 0, 0, 1, 9));
  const received = [];
  for await (const message of it.frames) {
    received.push(message);
    queueMicrotask(() => it.frames.close()); // while it waits for the next
  }
  assertEquals(received, [bytes(9)]);
});

leakTest("FramedStream works over two pipes", async () => {
  const there = pipe();
  const back = pipe();
  using one = new FramedStream({ reader: back.reader, writer: there.writer });
  using other = new FramedStream({ reader: there.reader, writer: back.writer });
  const echo = (async () => {
    for await (const message of other) await other.send(message);
    other.close();
  })();
  const data = crypto.getRandomValues(new Uint8Array(65_536));
  for (let round = 0; round < 20; round++) {
    const size = round * 3000;
    await one.send(data.subarray(0, size));
    assertEquals(await one.receive(), data.slice(0, size));
  }
  there.writer.close();
  await echo;
  assertEquals(await one.receive(), null);
});

/** Numbered messages, each filled with its number; the sends time out at will. */
async function sendUnderPressure(
  frames: FramedStream,
  size: number,
  rounds: number,
): Promise<{ sent: number[]; broken: unknown }> {
  const sent: number[] = [];
  let last: unknown;
  for (let number = 1; number <= rounds; number++) {
    const message = new Uint8Array(size).fill(number);
    const error = await failure(frames.send(message, { timeout: 1 }));
    if (error === undefined) sent.push(number);
    else if (error === last) return { sent, broken: error };
    last = error;
  }
  return { sent, broken: undefined };
}

/** What has arrived, until the end: whole messages, and whether one was cut. */
async function arrived(frames: FramedStream) {
  const numbers: number[] = [];
  try {
    for await (const message of frames) {
      assert(message.every((value) => value === message[0]));
      numbers.push(message[0]!);
    }
    return { numbers, cut: false };
  } catch (error) {
    assertInstanceOf(error, Deno.errors.UnexpectedEof);
    return { numbers, cut: true };
  }
}

for (const size of [1, 700, 2000, 4000, 9000, 100_000]) {
  leakTest(
    `FramedStream finishes messages of ${size}, or breaks, in the smallest buffer`,
    async () => {
      const [one, other] = UnixStream.pair();
      one.bufferSizes = { send: 0 };
      using client = new FramedStream(one);
      using server = new FramedStream(other);
      // The peer reads now and then, so that sends begin, and end in the middle.
      const taken: number[] = [];
      let wanted = true;
      const reading = (async () => {
        while (wanted) {
          await new Promise((resolve) => setTimeout(resolve, 3));
          const message = await server.receive({ timeout: 0 }).catch(() =>
            null
          );
          if (message !== null) taken.push(message[0]!);
        }
      })();
      const { sent, broken } = await sendUnderPressure(client, size, 60);
      wanted = false;
      await reading;
      client.close();
      const { numbers, cut } = await arrived(server);
      assertEquals([...taken, ...numbers], sent);
      assertEquals(cut, broken !== undefined);
    },
  );
}

leakTest(
  "FramedStream is not confused by a write that ends in the middle",
  async () => {
    const [one, other] = UnixStream.pair();
    one.bufferSizes = { send: 4000 }; // the kernel sends less than 4096 at a time
    // Room for one piece comes between the try and the write.
    const client = new FramedStream({
      reader: one,
      writer: {
        tryWrite(bytes) {
          const count = one.tryWrite(bytes);
          if (count === undefined) other.readSync(new Uint8Array(1));
          return count;
        },
        write: (bytes, options) => one.write(bytes, options),
        writeSync: (bytes, options) => one.writeSync(bytes, options),
        close: () => one.close(),
      },
    });
    using server = new FramedStream(other);
    let left = -1;
    while (one.tryWrite(bytes(0)) !== undefined) left++;
    const cut = await failure(
      client.send(new Uint8Array(4000).fill(7), { timeout: 20 }),
    );
    assertInstanceOf(cut, DOMException);
    other.readSync(new Uint8Array(left)); // what filled the buffer
    const next = await failure(client.send(bytes(8), { timeout: 20 }));
    client.close();
    if (next === undefined) assertEquals(await server.receive(), bytes(8));
    else assertEquals(next, cut);
  },
);

leakTest("FramedStream over a full pipe goes on after a timeout", async () => {
  const there = pipe();
  const back = pipe();
  using client = new FramedStream({
    reader: back.reader,
    writer: there.writer,
  });
  using server = new FramedStream({
    reader: there.reader,
    writer: back.writer,
  });
  const message = new Uint8Array(4000);
  let sent = 0;
  const error = await (async () => {
    for (;; sent++) {
      const error = await failure(client.send(message, { timeout: 1 }));
      if (error !== undefined) return error;
    }
  })();
  assertInstanceOf(error, DOMException);
  assertThrows(() => client.sendSync(message, { timeout: 1 }), DOMException);
  assertThrows(() => client.sendSync(message, { timeout: -1 }), RangeError);
  for (let i = 0; i < sent; i++) server.receiveSync();
  await client.send(bytes(1, 2));
  client.sendSync(bytes(3));
  assertEquals(server.receiveSync(), bytes(1, 2));
  assertEquals(server.receiveSync(), bytes(3));
});

/** A stream of the caller's, over `written`, which is as the test wants it. */
function ownStream(parts: Record<string, unknown>) {
  const unused = () => {
    throw new Error("unused");
  };
  return {
    read: unused,
    readSync: unused,
    write: unused,
    writeSync: unused,
    tryWrite: () => undefined,
    close() {},
    ...parts,
    // deno-lint-ignore no-explicit-any -- what TypeScript refuses
  } as any;
}

leakTest(
  "FramedStream is broken by a writer that fails after a part",
  async () => {
    const late = new DOMException("late", "TimeoutError");
    const failing = () => {
      throw late;
    };
    const reject = () => Promise.reject(late);
    const first = (then: (bytes: Uint8Array) => unknown) => {
      let calls = 0;
      return (bytes: Uint8Array) => calls++ === 0 ? bytes.length : then(bytes);
    };
    const cases = {
      "in tryWrite": { tryWrite: failing },
      "in the rest": { write: first(reject), writeSync: first(failing) },
      "at once, not in time": { write: reject, writeSync: failing },
    };
    for (const [title, parts] of Object.entries(cases)) {
      const one = new FramedStream(ownStream(parts));
      assertEquals(await failure(one.send(bytes(1, 2))), late, title);
      assertEquals(await failure(one.send(bytes(3))), late, title);
      const other = new FramedStream(ownStream(cases[title as "in tryWrite"]));
      assertThrows(() => other.sendSync(bytes(1, 2)), DOMException);
      assertThrows(() => other.sendSync(bytes(3)), DOMException);
    }
  },
);

leakTest("FramedStream believes no count that cannot be", async () => {
  for (const count of [NaN, -1, 0.5, 7, undefined, "6", 6n]) {
    const one = new FramedStream(ownStream({ tryWrite: () => count }));
    if (count === undefined) continue; // it has to wait
    await assertRejects(() => one.send(bytes(1, 2)), TypeError, "count");
    assertThrows(() => one.sendSync(bytes(1, 2)), TypeError, "count");
  }
  for (const count of [0, 2, NaN, -1, undefined, null, 1n]) {
    const writes = { write: () => count, writeSync: () => count };
    const one = new FramedStream(ownStream(writes));
    await assertRejects(() => one.send(bytes(1, 2)), TypeError, "count");
    const other = new FramedStream(ownStream(writes));
    assertThrows(() => other.sendSync(bytes(1, 2)), TypeError, "count");
  }
  for (const count of [0, -1, 1.5, NaN, 65_537, undefined, "1"]) {
    const reads = { read: () => count, readSync: () => count };
    const one = new FramedStream(ownStream(reads));
    await assertRejects(() => one.receive(), TypeError, "count");
    const other = new FramedStream(ownStream(reads));
    assertThrows(() => other.receiveSync(), TypeError, "count");
  }
  for (const stream of [null, undefined, 1, { reader: null, writer: null }]) {
    // deno-lint-ignore no-explicit-any -- what TypeScript refuses
    assertThrows(() => new FramedStream(stream as any), TypeError, "stream");
  }
});

leakTest("FramedStream lets no send of its writer come between", () => {
  const errors: unknown[] = [];
  const frames: FramedStream = new FramedStream(ownStream({
    tryWrite(bytes: Uint8Array) {
      try {
        frames.sendSync(bytes.slice(0, 1));
      } catch (error) {
        errors.push(error);
      }
      return bytes.length;
    },
  }));
  frames.sendSync(bytes(1));
  assertEquals(errors.length, 1);
  assertInstanceOf(errors[0], Error);
});

leakTest("FramedStream sends nothing of memory that is gone", async () => {
  const [one, other] = UnixStream.pair();
  using client = new FramedStream(one);
  using server = new FramedStream(other);
  const long = client.send(new Uint8Array(1_000_000));
  const memory = new ArrayBuffer(64);
  const refused = failure(client.send(new Uint8Array(memory)));
  memory.transfer();
  const last = client.send(bytes(1));
  assertEquals((await server.receive())!.length, 1_000_000);
  await long;
  assertInstanceOf(await refused, TypeError);
  await last;
  assertEquals(await server.receive(), bytes(1));
});
