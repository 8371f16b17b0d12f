import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { pipe } from "@linux/ipc/pipe";
import { BufferedReader } from "@linux/ipc/reader";
import { ClosedError, UnixStream } from "@linux/ipc/socket";
import { FramedStream, type FramedStreamOptions } from "@linux/ipc/frames";
import { failure } from "./support/asserts.ts";
import { bytes } from "./support/bytes.ts";
import { inChild } from "./support/child.ts";
import { descriptorCount } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { soon, turns } from "./support/waits.ts";

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

/** Whether a promise is not settled after the event loop has run a few times. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  promise.then(() => isSettled = true, () => isSettled = true);
  await turns(3);
  return !isSettled;
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
      assertThrows(() => new FramedStream(it.raw, { maxSize }), RangeError);
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

leakTest(
  "FramedStream delivers what arrives at once to all that wait",
  async () => {
    using it = framed();
    using other = pipe();
    // While others wait, a descriptor is served once in a pass: not so the buffer.
    const waiting = other.reader.read(new Uint8Array(1));
    const messages = [1, 2, 3].map(() => it.frames.receive());
    await turns(3);
    await it.raw.write(bytes(0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0, 0, 0, 1, 3));
    assertEquals(await soon(Promise.all(messages)), [
      bytes(1),
      bytes(2),
      bytes(3),
    ]);
    other.writer.writeSync(bytes(0));
    await waiting;
  },
);

leakTest("FramedStream lets the event loop run between frames", async () => {
  using it = framed();
  let isOver = false;
  setTimeout(() => isOver = true, 5);
  while (!isOver) {
    await it.frames.send(bytes(1));
    it.raw.readSync(new Uint8Array(5));
  }
});

leakTest("FramedStream keeps a frame that the next one waits for", async () => {
  using it = framed();
  const buffer = new Uint8Array(65536);
  const filler = new Uint8Array(2048).fill(9);
  let filled = 0;
  do filled++; while (!await isPending(it.frames.send(filler)));
  const last = [it.frames.send(bytes(1)), it.frames.send(bytes(2, 2))];
  const got: number[] = [];
  const size = filled * (filler.length + 4) + 5 + 6;
  while (got.length < size) {
    const count = await it.raw.read(buffer);
    got.push(...buffer.subarray(0, count!));
  }
  await Promise.all(last);
  assertEquals(got.slice(-11), [0, 0, 0, 1, 1, 0, 0, 0, 2, 2, 2]);
  assertEquals(got.filter((byte) => byte === 9).length, filled * filler.length);
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

const FRAMES: [FramedStreamOptions, number[]][] = [
  [{ prefixSize: 1 }, [2, 7, 8]],
  [{ prefixSize: 2 }, [0, 2, 7, 8]],
  [{ prefixSize: 2, littleEndian: true }, [2, 0, 7, 8]],
  [{ prefixSize: 4, littleEndian: false }, [0, 0, 0, 2, 7, 8]],
  [{ littleEndian: true }, [2, 0, 0, 0, 7, 8]],
  [{ prefixSize: 8 }, [0, 0, 0, 0, 0, 0, 0, 2, 7, 8]],
  [{ prefixSize: 8, littleEndian: true }, [2, 0, 0, 0, 0, 0, 0, 0, 7, 8]],
  [{ prefixIncluded: true }, [0, 0, 0, 6, 7, 8]],
  [{ prefixSize: 1, prefixIncluded: true }, [3, 7, 8]],
  [{ prefixSize: 2, littleEndian: true, prefixIncluded: true }, [4, 0, 7, 8]],
  [{ maxDescriptors: 2 }, [0, 0, 0, 2, 7, 8]],
  [{ delimiter: "\n" }, [7, 8, 10]],
  [{ delimiter: "\r\n" }, [7, 8, 13, 10]],
  [{ delimiter: bytes(0) }, [7, 8, 0]],
  [{ delimiter: bytes(1, 1, 2) }, [7, 8, 1, 1, 2]],
  [{ delimiter: "ä\0" }, [7, 8, 0xc3, 0xa4, 0]],
  [{ delimiter: "\n", maxDescriptors: 1 }, [7, 8, 10]],
];

for (const [options, frame] of FRAMES) {
  const name = `FramedStream with ${Deno.inspect(options)}`;

  leakTest(`${name} sends and receives`, async () => {
    using it = framed(options);
    const buffer = new Uint8Array(16);
    it.frames.sendSync(bytes(7, 8));
    assertEquals(buffer.slice(0, it.raw.readSync(buffer)!), bytes(...frame));
    await it.frames.send(bytes(7, 8));
    assertEquals(buffer.slice(0, it.raw.readSync(buffer)!), bytes(...frame));

    it.raw.writeSync(bytes(...frame, ...frame, ...frame, ...frame));
    assertEquals(await it.frames.receive(), bytes(7, 8));
    assertEquals(it.frames.receiveSync(), bytes(7, 8));
    assertEquals(it.frames.tryReceive(), bytes(7, 8));
    assertEquals((await it.frames.receiveMessage())?.data, bytes(7, 8));
    assertEquals(it.frames.tryReceive(), undefined);
    assertEquals(it.frames.tryReceiveMessage(), undefined);
    it.raw.closeWrite();
    assertEquals(await it.frames.receive(), null);
    assertEquals([it.frames.receiveSync(), it.frames.tryReceive()], [
      null,
      null,
    ]);
    assertEquals(it.frames.receiveMessageSync(), null);
  });

  leakTest(`${name} is cut at every byte`, async () => {
    for (let cut = 0; cut <= frame.length; cut++) {
      using it = framed(options);
      it.raw.writeSync(bytes(...frame.slice(0, cut)));
      assertEquals(
        it.frames.tryReceive(),
        cut < frame.length ? undefined : bytes(7, 8),
      );
      const rest = [...frame.slice(cut), ...frame, ...frame.slice(0, -1)];
      it.raw.writeSync(bytes(...rest));
      it.raw.closeWrite();
      if (cut < frame.length) {
        assertEquals(it.frames.receiveSync(), bytes(7, 8));
      }
      assertEquals(await it.frames.receive(), bytes(7, 8));
      const { UnexpectedEof } = Deno.errors;
      await assertRejects(() => it.frames.receive(), UnexpectedEof);
      assertThrows(() => it.frames.tryReceive(), UnexpectedEof);
    }
  });

  leakTest(`${name} carries messages of all lengths`, async () => {
    const longest = options.prefixSize === undefined
      ? Infinity
      : 256 ** options.prefixSize - 1 -
        (options.prefixIncluded ? options.prefixSize : 0);
    const sizes = [0, 1, 200, longest, 65_535, 65_536, 300_000, 3]
      .filter((size) => size <= Math.min(longest, 1e6));
    const [one, other] = UnixStream.pair();
    using client = new FramedStream(one, options);
    using server = new FramedStream(other, options);
    const sent = (async () => {
      for (const [index, size] of sizes.entries()) {
        await client.send(new Uint8Array(size).fill(100 + index));
      }
      client.close();
    })();
    const seen: number[] = [];
    for await (const message of server) {
      assert(message.every((value) => value === 100 + seen.length));
      seen.push(message.length);
    }
    await sent;
    assertEquals(seen, sizes);
  });
}

leakTest("FramedStream refuses options that cannot be", () => {
  const wrong: [FramedStreamOptions, typeof TypeError | typeof RangeError][] = [
    [{ prefixSize: 3 as 4 }, RangeError],
    [{ prefixSize: 0 as 4 }, RangeError],
    [{ prefixSize: 16 as 4 }, RangeError],
    [{ prefixSize: 1.5 as 4 }, RangeError],
    [{ prefixSize: "4" as never }, TypeError],
    [{ littleEndian: 1 as never }, TypeError],
    [{ prefixIncluded: "yes" as never }, TypeError],
    [{ prefixSize: 1, maxSize: 256 }, RangeError],
    [{ prefixSize: 1, prefixIncluded: true, maxSize: 255 }, RangeError],
    [{ prefixSize: 2, maxSize: 65_536 }, RangeError],
    [{ prefixSize: 8, maxSize: 2 ** 31 }, RangeError],
    [{ delimiter: "" }, RangeError],
    [{ delimiter: bytes() }, RangeError],
    [{ delimiter: "\ud800" }, TypeError],
    [{ delimiter: 10 as never }, TypeError],
    [{ delimiter: null as never }, TypeError],
    [{ delimiter: [10] as never }, TypeError],
    [{ delimiter: "\n", prefixSize: 4 }, TypeError],
    [{ delimiter: "\n", littleEndian: false }, TypeError],
    [{ delimiter: "\n", prefixIncluded: false }, TypeError],
    [{ maxDescriptors: 254 }, RangeError],
    [{ maxDescriptors: -1 }, RangeError],
    [{ maxDescriptors: "1" as never }, TypeError],
  ];
  const [one, other] = UnixStream.pair();
  for (const [options, kind] of wrong) {
    const error = assertThrows(() => new FramedStream(one, options), kind);
    assert(error instanceof kind && error.message.startsWith("Argument"));
  }
  one.close(); // it is the caller's still
  other.close();
});

leakTest("FramedStream's prefix limits the default of maxSize", () => {
  for (
    const [options, longest] of [
      [{ prefixSize: 1 }, 255],
      [{ prefixSize: 1, prefixIncluded: true }, 254],
      [{ prefixSize: 2 }, 65_535],
      [{ prefixSize: 2, prefixIncluded: true }, 65_533],
      [{ prefixSize: 8 }, 16 * 1024 * 1024],
    ] as const
  ) {
    using it = framed(options);
    const longer = new Uint8Array(longest + 1);
    assertThrows(() => it.frames.sendSync(longer), RangeError, `${longest}`);
    assertEquals(it.raw.tryRead(new Uint8Array(1)), undefined);
  }
});

leakTest("FramedStream refuses lengths that cannot be", async () => {
  const max = [255, 255, 255, 255, 255, 255, 255, 255];
  for (
    const [options, prefix] of [
      [{ prefixSize: 8 }, max],
      [{ prefixSize: 8 }, [0, 0, 0, 1, 0, 0, 0, 0]], // its lower half is 0
      [{ prefixSize: 8, littleEndian: true }, [0, 0, 0, 0, 1, 0, 0, 0]],
      [{ littleEndian: true, maxSize: 255 }, [0, 1, 0, 0]],
      [{ prefixSize: 1, maxSize: 7 }, [8]],
      [{ prefixIncluded: true }, [0, 0, 0, 0]],
      [{ prefixIncluded: true }, [0, 0, 0, 3]],
      [{ prefixSize: 1, prefixIncluded: true }, [0]],
      [{ prefixIncluded: true, maxSize: 7 }, [0, 0, 0, 12]],
    ] as [FramedStreamOptions, number[]][]
  ) {
    using it = framed(options);
    it.raw.writeSync(bytes(...prefix));
    const { InvalidData } = Deno.errors;
    await assertRejects(() => it.frames.receive(), InvalidData);
    assertThrows(() => it.frames.receiveSync(), InvalidData);
    assertThrows(() => it.frames.tryReceive(), InvalidData);
  }
});

leakTest("FramedStream claims memory as bytes come", async () => {
  using it = framed();
  const before = Deno.memoryUsage().external;
  it.raw.writeSync(bytes(0, 0xff, 0xff, 0xff, 7));
  await assertRejects(() => it.frames.receive({ timeout: 1 }), DOMException);
  assertEquals(it.frames.tryReceive(), undefined);
  assert(Deno.memoryUsage().external - before < 2 ** 20);
});

leakTest("FramedStream delivers descriptors with lines", async () => {
  using it = framed({ delimiter: "\n", maxDescriptors: 2 });
  it.raw.writeSync(bytes(1, 10, 2));
  it.raw.sendSync(bytes(3, 10, 4), { descriptors: [0, 1] });
  it.raw.sendSync(bytes(10), { descriptors: [0] });
  const got = [];
  for (let i = 0; i < 3; i++) {
    using message = (await it.frames.receiveMessage())!;
    got.push([...message.data, -message.descriptors.length]);
  }
  assertEquals(got, [[1, 0], [2, 3, -2], [4, -1]]);
});

leakTest("FramedStream sends no message that has the delimiter", async () => {
  for (
    const [delimiter, message] of [
      ["\n", [10]],
      ["\n", [1, 10, 2]],
      ["\r\n", [1, 13, 10, 2]],
      [bytes(5, 5), [1, 5]], // it would end one byte early
      [bytes(1, 2, 1, 2), [1, 2]],
    ] as [string | Uint8Array, number[]][]
  ) {
    using it = framed({ delimiter });
    assertThrows(() => it.frames.sendSync(bytes(...message)), TypeError);
    await assertRejects(() => it.frames.send(bytes(...message)), TypeError);
    assertEquals(it.raw.tryRead(new Uint8Array(1)), undefined);
    await it.frames.send(bytes(9)); // sending goes on
    assertEquals(it.raw.tryRead(new Uint8Array(1)), 1);
  }
  using it = framed({ delimiter: "\r\n" });
  const message = bytes(1, 13, 13); // a part of a delimiter is none
  it.frames.sendSync(message);
  it.raw.writeSync(bytes(...message, 13, 10));
  assertEquals(it.frames.receiveSync(), message);
});

leakTest("FramedStream limits a message without a delimiter", async () => {
  const { InvalidData } = Deno.errors;
  for (const delimiter of ["\n", "\r\n", "12345678"]) {
    const end = new TextEncoder().encode(delimiter);
    for (const maxSize of [1, 10, 65_535, 65_536, 100_000]) {
      for (const cut of [maxSize, 1000]) {
        using it = framed({ delimiter, maxSize });
        const send = async (data: Uint8Array) => {
          for (let at = 0; at < data.length; at += cut) {
            await it.raw.write(data.slice(at, at + cut));
          }
        };
        const longest = new Uint8Array(maxSize);
        const sending = send(Uint8Array.of(...longest, ...end));
        assertEquals(await it.frames.receive(), longest);
        await sending;
        // It is refused without an end of it.
        const more = send(new Uint8Array(maxSize + end.length));
        await assertRejects(() => it.frames.receive(), InvalidData, "maxSize");
        await more;
      }
    }
  }
  using it = framed({ delimiter: "\n", maxSize: 3 });
  it.raw.writeSync(bytes(1, 2, 3, 4, 10)); // the delimiter is there, too late
  assertThrows(() => it.frames.receiveSync(), InvalidData);
});

leakTest("FramedStream copies its delimiter", () => {
  const delimiter = bytes(10);
  using it = framed({ delimiter });
  delimiter[0] = 7;
  it.raw.writeSync(bytes(7, 10));
  assertEquals(it.frames.receiveSync(), bytes(7));
});

leakTest("FramedStream receives lines from a pipe", async () => {
  using ends = pipe();
  using lines = new FramedStream(ends, { delimiter: "\n", maxDescriptors: 0 });
  await ends.writer.write(new TextEncoder().encode("a\nbc\n\nd"));
  const text = (line?: Uint8Array | null) =>
    line && new TextDecoder().decode(line);
  assertEquals(text(lines.tryReceive()), "a");
  assertEquals(text(lines.receiveSync()), "bc");
  assertEquals(text(await lines.receive()), "");
  assertEquals(lines.tryReceive(), undefined);
  await assertRejects(() => lines.receive({ timeout: 1 }), DOMException);
  await ends.writer.write(bytes(10));
  assertEquals(text(lines.tryReceive()), "d");
});

// --- Descriptors -------------------------------------------------------------

/** Sends bytes one by one, with a descriptor at one of them. */
function sendWith(raw: UnixStream, data: number[], at: number, fd: number) {
  for (const [index, byte] of data.entries()) {
    if (index === at) raw.sendSync(bytes(byte), { descriptors: [fd] });
    else raw.writeSync(bytes(byte));
  }
}

const TWO = [0, 0, 0, 2, 7, 8];

for (
  const [form, receive] of Object.entries({
    // deno-lint-ignore require-await -- a promise, as the others
    receiveSync: async (frames: FramedStream) => frames.receiveSync(),
    // deno-lint-ignore require-await
    tryReceive: async (frames: FramedStream) => frames.tryReceive(),
    receive: (frames: FramedStream) => frames.receive(),
    receiveMessage: (frames: FramedStream) => frames.receiveMessage(),
    iteration: (frames: FramedStream) => Array.fromAsync(frames),
  })
) {
  leakTest(`FramedStream refuses descriptors at once: ${form}`, async () => {
    const before = descriptorCount();
    for (const options of [{}, { delimiter: "\n" }]) {
      for (const data of [[1], TWO, [...TWO, ...TWO]]) {
        using it = framed(options);
        it.raw.sendSync(bytes(...data), { descriptors: [0] });
        const { InvalidData } = Deno.errors;
        const failing = async () => {
          for (let i = 0; i < 2; i++) await receive(it.frames);
        };
        await assertRejects(failing, InvalidData, "maxDescriptors");
        assertThrows(() => it.frames.receiveSync(), InvalidData);
      }
    }
    assertEquals(descriptorCount(), before);
  });
}

leakTest("FramedStream delivers what came before a descriptor", async () => {
  using it = framed();
  it.raw.writeSync(bytes(...TWO, ...TWO));
  it.raw.sendSync(bytes(...TWO), { descriptors: [0] });
  it.raw.writeSync(bytes(...TWO));
  assertEquals(await it.frames.receive(), bytes(7, 8));
  assertEquals(it.frames.receiveSync(), bytes(7, 8));
  await assertRejects(() => it.frames.receive(), Deno.errors.InvalidData);
});

leakTest("FramedStream ends a wait when a descriptor comes", async () => {
  using it = framed();
  const waiting = assertRejects(
    () => it.frames.receive(),
    Deno.errors.InvalidData,
  );
  it.raw.writeSync(bytes(0, 0));
  await turns();
  it.raw.sendSync(bytes(0), { descriptors: [0] });
  await waiting;
});

leakTest("FramedStream delivers a descriptor with its message", async () => {
  for (let at = 0; at < TWO.length; at++) {
    using it = framed({ maxDescriptors: 1 });
    using ends = pipe();
    it.raw.writeSync(bytes(...TWO));
    sendWith(it.raw, TWO, at, ends.reader.fd);
    it.raw.sendSync(bytes(...TWO, ...TWO), { descriptors: [ends.writer] });
    it.raw.closeWrite();
    const counts = [];
    for (;;) {
      using message = await it.frames.receiveMessage();
      if (message === null) break;
      assertEquals(message.data, bytes(7, 8));
      counts.push(message.descriptors.length);
    }
    assertEquals(counts, [0, 1, 1, 0], `at ${at}`);
  }
});

leakTest("FramedStream delivers several descriptors, in order", async () => {
  using it = framed({ maxDescriptors: 4 });
  using ends = pipe();
  const { reader, writer } = ends;
  it.raw.sendSync(bytes(0, 0, 0), { descriptors: [reader, writer] });
  it.raw.sendSync(bytes(2, 7), { descriptors: [writer] });
  assertEquals(it.frames.tryReceiveMessage(), undefined);
  it.raw.sendSync(bytes(8), { descriptors: [reader] });
  using message = (await it.frames.receiveMessage())!;
  const target = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
  const flags = (fd: number) =>
    Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`).match(/flags:.*(.)/)?.[1];
  assertEquals(
    message.descriptors.map(({ fd }) => [target(fd), flags(fd)]),
    ["0", "1", "1", "0"].map((flag) => [target(reader.fd), flag]),
  );
});

leakTest("FramedStream keeps long messages and their descriptors", async () => {
  using it = framed({ maxDescriptors: 3 });
  const data = new Uint8Array(300_000).map((_, index) => index % 251);
  const sending = (async () => {
    await it.raw.write(bytes(0, 4, 0x93, 0xe0));
    for (let at = 0; at < data.length; at += 100_000) {
      const descriptors = [0];
      await it.raw.send(data.slice(at, at + 100_000), { descriptors });
    }
  })();
  using message = (await it.frames.receiveMessage())!;
  assertEquals(message.data, data);
  assertEquals(message.descriptors.length, 3);
  await sending;
});

leakTest("FramedStream.receive() loses no descriptor", async () => {
  using it = framed({ maxDescriptors: 1 });
  it.raw.sendSync(bytes(...TWO), { descriptors: [0] });
  await assertRejects(() => it.frames.receive(), Error, "receiveMessage");
  assertThrows(() => it.frames.receiveSync(), Error, "receiveMessage");
  assertThrows(() => it.frames.tryReceive(), Error, "receiveMessage");
  using message = it.frames.receiveMessageSync()!;
  assertEquals([message.data, message.descriptors.length], [bytes(7, 8), 1]);
  it.raw.writeSync(bytes(...TWO));
  assertEquals(await it.frames.receive(), bytes(7, 8)); // it has none
});

leakTest("FramedStream refuses too many descriptors", async () => {
  const before = descriptorCount();
  for (
    const parts of [
      [[TWO, [0, 0]]],
      [[[0], [0]], [[0, 0, 2, 7, 8], [0]]],
    ] as [number[], number[]][][]
  ) {
    using it = framed({ maxDescriptors: 1 });
    const count = descriptorCount();
    for (const [data, descriptors] of parts) {
      it.raw.sendSync(bytes(...data), { descriptors });
    }
    const { InvalidData } = Deno.errors;
    await assertRejects(() => it.frames.receiveMessage(), InvalidData);
    assertThrows(() => it.frames.tryReceiveMessage(), InvalidData);
    assertEquals(descriptorCount(), count);
  }
  assertEquals(descriptorCount() <= before, true);
});

leakTest("FramedStream without a free descriptor says so", async () => {
  const errors = await inChild(async () => {
    const { FramedStream } = await import("../ffi/frames.ts");
    const { UnixStream } = await import("../ffi/socket.ts");
    const libc = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
      dup: { parameters: ["i32"], result: "i32" },
    });
    const [one, other] = UnixStream.pair();
    const frames = new FramedStream(other, { maxDescriptors: 2 });
    one.sendSync(Uint8Array.of(0, 0, 0, 1, 7), { descriptors: [0, 0] });
    const RLIMIT_NOFILE = 7;
    libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(100n, 256n));
    while (libc.symbols.dup(0) !== -1);
    const errors = [];
    for (let i = 0; i < 2; i++) {
      errors.push(await frames.receiveMessage().then(String, String));
    }
    libc.symbols.setrlimit(RLIMIT_NOFILE, BigUint64Array.of(256n, 256n));
    return errors;
  });
  for (const error of errors) {
    assert(/^InvalidData: .*EMFILE/.test(error), error);
  }
});

leakTest("FramedStream keeps and closes what came with a part", async () => {
  using it = framed({ maxDescriptors: 1 });
  it.raw.sendSync(bytes(0, 0), { descriptors: [0] });
  const { frames } = it;
  await assertRejects(
    () => frames.receiveMessage({ timeout: 1 }),
    DOMException,
  );
  const signal = AbortSignal.timeout(1);
  await assertRejects(() => frames.receiveMessage({ signal }));
  assertThrows(() => frames.receiveMessageSync({ timeout: 1 }), DOMException);
  it.raw.writeSync(bytes(0, 2, 7, 8));
  {
    using message = (await frames.receiveMessage())!;
    assertEquals(message.descriptors.length, 1);
  }
  it.raw.sendSync(bytes(0, 0), { descriptors: [0] });
  assertEquals(frames.tryReceiveMessage(), undefined);
  // What is left of it: close() here, the end there.
  const waiting = failure(frames.receiveMessage());
  it.frames.close();
  assertInstanceOf(await waiting, ClosedError);
  using other = framed({ maxDescriptors: 1 });
  other.raw.sendSync(bytes(0, 0), { descriptors: [0] });
  other.raw.close();
  const { UnexpectedEof } = Deno.errors;
  await assertRejects(() => other.frames.receiveMessage(), UnexpectedEof);
});

leakTest(
  "FramedStream shares a BufferedReader with bytes that have no frame",
  async () => {
    const [raw, other] = UnixStream.pair();
    using sender = raw;
    using reader = new BufferedReader(other, { maxDescriptors: 1 });
    const frames = new FramedStream({ reader, writer: other });
    sender.writeSync(bytes(...TWO));
    sender.sendSync(bytes(99), { descriptors: [0] });
    sender.sendSync(bytes(...TWO, ...TWO), { descriptors: [0] });
    assertEquals(await frames.receive(), bytes(7, 8));
    assertEquals(reader.readExactlySync(1), bytes(99));
    using taken = reader.takeDescriptors();
    assertEquals(taken.length, 1);
    using message = await frames.receiveMessage();
    assertEquals(message?.descriptors.length, 1);
    assertEquals(await frames.receive(), bytes(7, 8));
    const twice = { maxDescriptors: 1 };
    const again = () => new FramedStream({ reader, writer: other }, twice);
    assertThrows(again, TypeError, "reader has its own");
  },
);

leakTest("FramedStream: the forms do not overtake each other", async () => {
  using it = framed({ maxDescriptors: 1 });
  const first = it.frames.receive();
  const second = it.frames.receiveMessage();
  assertEquals(it.frames.tryReceive(), undefined);
  assertEquals(it.frames.tryReceiveMessage(), undefined);
  assertThrows(() => it.frames.receiveMessageSync(), Error, "is pending");
  it.raw.writeSync(bytes(0, 0, 0, 1, 1, 0, 0, 0, 1, 2, 0, 0, 0, 1, 3));
  assertEquals(await first, bytes(1));
  assertEquals((await second)?.data, bytes(2));
  assertEquals(it.frames.tryReceive(), bytes(3));
});

leakTest("FramedStream leaks nothing in many passes", async () => {
  using it = framed({ maxDescriptors: 2 });
  const before = descriptorCount();
  for (let round = 0; round < 2000; round++) {
    it.raw.sendSync(bytes(...TWO), { descriptors: [0, 1] });
    using message = (await it.frames.receiveMessage())!;
    assertEquals(message.descriptors.length, 2);
  }
  assertEquals(descriptorCount(), before);
});

leakTest(
  "FramedStream.send() passes descriptors with its message",
  async () => {
    const [one, other] = UnixStream.pair();
    using client = new FramedStream(one);
    using server = new FramedStream(other, { maxDescriptors: 253 });
    using ends = pipe();
    client.sendSync(bytes(), { descriptors: [ends.reader] });
    await client.send(bytes(1), { descriptors: [ends.reader.fd, ends.writer] });
    await client.send(bytes(2), { descriptors: [] });
    // Longer than the buffer: the descriptors come with the first byte, and once.
    const descriptors = Array(100).fill(ends.writer);
    const sending = client.send(new Uint8Array(1_000_000), { descriptors });
    const after = client.send(bytes(3), { descriptors: [ends.writer] });
    const got = [];
    for (let i = 0; i < 5; i++) {
      using message = (await server.receiveMessage())!;
      got.push([message.data.length, message.descriptors.length]);
    }
    await Promise.all([sending, after]);
    assertEquals(got, [[0, 1], [1, 2], [1, 0], [1_000_000, 100], [1, 1]]);
  },
);

leakTest("FramedStream.send() refuses descriptors, and goes on", async () => {
  using it = framed();
  using closed = pipe();
  closed.close();
  const wrong: [unknown, string][] = [
    [Array(254).fill(0), "RangeError"],
    [[-1], "RangeError"],
    [[99_999], "IpcError"],
    [[closed.reader], "ClosedError"],
    [["0"], "TypeError"],
  ];
  for (const [descriptors, name] of wrong) {
    const options = { descriptors: descriptors as number[] };
    const error = await failure(it.frames.send(bytes(1), options));
    assertEquals((error as Error).name, name);
    assertThrows(() => it.frames.sendSync(bytes(1), options));
  }
  assertEquals(it.raw.tryRead(new Uint8Array(1)), undefined);
  using ends = pipe();
  using over = new FramedStream(ends);
  const refused = await failure(over.send(bytes(1), { descriptors: [0] }));
  assertInstanceOf(refused, TypeError);
  over.sendSync(bytes(1));
  assertEquals(over.receiveSync(), bytes(1));

  // While it waits for room: nothing of it is sent.
  const [one, other] = UnixStream.pair();
  using client = new FramedStream(one);
  using server = new FramedStream(other, { maxDescriptors: 1 });
  let sent = 0;
  while (
    await failure(client.send(new Uint8Array(3000), { timeout: 0 })) ===
      undefined
  ) {
    sent++;
  }
  const late = { descriptors: [0], timeout: 1 };
  assertInstanceOf(await failure(client.send(bytes(1), late)), DOMException);
  assertThrows(() => client.sendSync(bytes(1), late), DOMException);
  const waiting = client.send(bytes(9), { descriptors: [0] });
  for (let i = 0; i < sent; i++) await server.receive();
  await waiting;
  using message = server.receiveMessageSync()!;
  assertEquals([message.data, message.descriptors.length], [bytes(9), 1]);
});
