/** Frames of other programs: C ones, and those of Python's multiprocessing. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FramedStream, type FramedStreamOptions } from "@linux/ipc/frames";
import { pipe, PipeReader } from "@linux/ipc/pipe";
import { BufferedReader } from "@linux/ipc/reader";
import { UnixListener, type UnixStream } from "@linux/ipc/socket";
import { noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import { scratch } from "../support/names.ts";
import { noPython, startPython } from "../support/python.ts";
import { startPeer } from "./peers.ts";

const WAIT = { timeout: 20_000 };
const { InvalidData } = Deno.errors;

const textOf = (bytes: Uint8Array | null | undefined) =>
  new TextDecoder().decode(bytes ?? undefined);

/** The C peer with these arguments, and the stream to it. */
async function connected(...args: string[]) {
  using dir = scratch();
  using listener = UnixListener.listen(dir.file("socket"));
  const child = await startPeer("frame_peer", [dir.file("socket"), ...args]);
  return { child, stream: await listener.accept(WAIT) };
}

const SIZES = [0, 1, 2, 200, 255, 300, 4096, 65_535, 70_000, 1_000_000];

async function converse(options: FramedStreamOptions, args: string[]) {
  const { child, stream } = await connected(...args);
  await using _ = child;
  const { prefixSize = 4, prefixIncluded = false } = options;
  const longest = 256 ** prefixSize - 1 - (prefixIncluded ? prefixSize : 0);
  using frames = new FramedStream(stream, options);
  for (const size of SIZES) {
    if (size > longest) {
      assertThrows(() => frames.sendSync(new Uint8Array(size)), RangeError);
      continue;
    }
    const message = new Uint8Array(size).map((_, index) => 32 + index % 90);
    await frames.send(message, WAIT);
    assertEquals(await child.line(), String(size));
    assertEquals(await frames.receive(WAIT), message);
  }
  stream.closeWrite();
  assertEquals(await child.line(), "end");
  assertEquals(await frames.receive(WAIT), null);
  assertEquals((await child.ended()).code, 0);
}

for (const prefixSize of [1, 2, 4, 8] as const) {
  for (const littleEndian of [false, true]) {
    for (const prefixIncluded of [false, true]) {
      const order = littleEndian ? "little" : "big";
      const counted = Number(prefixIncluded);
      leakTest(
        `FramedStream and C: ${prefixSize} bytes, ${order} endian, ${
          counted ? "included" : "not included"
        }`,
        { needs: [noCompiler] },
        () =>
          converse(
            { prefixSize, littleEndian, prefixIncluded },
            ["echo", `${prefixSize}`, order, `${counted}`],
          ),
      );
    }
  }
}

leakTest(
  "FramedStream and C: lines",
  { needs: [noCompiler] },
  () => converse({ delimiter: "\n" }, ["lines"]),
);

leakTest(
  "FramedStream takes the descriptors of a C program with their messages",
  { needs: [noCompiler] },
  async () => {
    const { child, stream } = await connected("give");
    await using _ = child;
    using frames = new FramedStream(stream, { maxDescriptors: 2 });
    const got = [];
    for (;;) {
      using message = await frames.receiveMessage(WAIT);
      if (message === null) break;
      const [first, ...others] = message.descriptors;
      assertEquals(others, []);
      const buffer = new Uint8Array(16);
      let count = 0;
      if (first !== undefined) {
        using reader = PipeReader.fromFd(first.detach());
        count = reader.readSync(buffer) ?? 0;
      }
      got.push([textOf(message.data), textOf(buffer.subarray(0, count))]);
    }
    assertEquals(got, [["one", ""], ["two", "first"], ["three", "second"]]);
    assertEquals((await child.ended()).code, 0);
  },
);

for (const args of ["give", "byte"]) {
  leakTest(
    `FramedStream says at once that a C program passes descriptors: ${args}`,
    { needs: [noCompiler] },
    async () => {
      const { child, stream } = await connected(args);
      await using _ = child;
      using frames = new FramedStream(stream);
      // What came before is delivered.
      assertEquals(textOf(await frames.receive(WAIT)), "one");
      for (let i = 0; i < 2; i++) {
        const receive = () => frames.receive(WAIT);
        await assertRejects(receive, InvalidData, "maxDescriptors");
      }
      frames.close();
      await child.ended();
    },
  );
}

const CONNECT = (path: string) => [
  "import os",
  "from multiprocessing import reduction",
  "from multiprocessing.connection import Client",
  `its = Client("${path}", "AF_UNIX")`,
  "reader, writer = os.pipe()",
];

leakTest(
  "FramedStream speaks with multiprocessing, and says that send_handle passes one",
  { needs: [noPython] },
  async () => {
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"));
    await using python = await startPython(...CONNECT(dir.file("socket")));
    using frames = new FramedStream(await listener.accept(WAIT));
    for (const size of [0, 1, 1000, 100_000]) {
      await python.ask(`its.send_bytes(b"x" * ${size})`);
      assertEquals((await frames.receive(WAIT))?.length, size);
      await frames.send(new Uint8Array(size).fill(65), WAIT);
      const expression = `its.recv_bytes() == b"A" * ${size}`;
      assertEquals(await python.ask(expression), "True");
    }
    const waiting = assertRejects(
      () => frames.receive(WAIT),
      InvalidData,
      "maxDescriptors",
    );
    await python.ask("reduction.send_handle(its, reader, 0)");
    await waiting;
    await assertRejects(() => frames.receive(WAIT), InvalidData);
  },
);

leakTest(
  "FramedStream leaves send_handle and recv_handle to its reader",
  { needs: [noPython] },
  async () => {
    using dir = scratch();
    using listener = UnixListener.listen(dir.file("socket"));
    await using python = await startPython(...CONNECT(dir.file("socket")));
    const stream: UnixStream = await listener.accept(WAIT);
    using reader = new BufferedReader(stream, { maxDescriptors: 1 });
    const frames = new FramedStream({ reader, writer: stream });
    for (let round = 0; round < 3; round++) {
      // All of it is there before anything is read.
      await python.ask(`its.send_bytes(b"next")`);
      await python.ask("reduction.send_handle(its, reader, 0)");
      await python.ask(`its.send_bytes(b"after")`);
      assertEquals(textOf(await frames.receive(WAIT)), "next");
      assertEquals((await reader.readExactly(1, WAIT))?.length, 1);
      const [handle] = reader.takeDescriptors();
      using its = PipeReader.fromFd(handle!.detach());
      assertEquals(textOf(await frames.receive(WAIT)), "after");
      await python.ask(`os.write(writer, b"${round}")`);
      const buffer = new Uint8Array(8);
      assertEquals(await its.read(buffer, WAIT), 1);

      using ends = pipe();
      await stream.send(Uint8Array.of(1), { descriptors: [ends.writer] });
      await frames.send(new TextEncoder().encode("text"));
      await python.ask("globals().update(fd=reduction.recv_handle(its))");
      assertEquals(await python.ask("its.recv_bytes()"), "b'text'");
      await python.ask(`os.write(fd, b"by Python"), os.close(fd)`);
      assertEquals(await ends.reader.read(buffer, WAIT), 8);
    }
  },
);
