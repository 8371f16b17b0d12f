import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { pipe } from "@linux/ipc/pipe";
import {
  ClosedError,
  FramedStream,
  type FramedStreamOptions,
  UnixStream,
} from "@linux/ipc/socket";
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
