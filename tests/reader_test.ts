import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { File } from "@linux/ipc/descriptor";
import { Fifo } from "@linux/ipc/fifo";
import { pipe } from "@linux/ipc/pipe";
import {
  BufferedReader,
  type BufferedReaderOptions,
  type ByteSource,
  ClosedError,
} from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";
import { unistd } from "../ffi/libc/unistd.ts";
import { failure } from "./support/asserts.ts";
import { bytes, utf8 } from "./support/bytes.ts";
import { inChild } from "./support/child.ts";
import { descriptorCount, duplicate, openRaw } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import { rounds } from "./support/rounds.ts";
import { raceAborts, turns } from "./support/waits.ts";

const { InvalidData, UnexpectedEof } = Deno.errors;
const WAIT = { timeout: 20_000 };

const text = (data: Uint8Array | null | undefined) =>
  data && new TextDecoder().decode(data);

/** A reader, and the other side of its socket. */
function connected(options?: BufferedReaderOptions) {
  const [one, other] = UnixStream.pair();
  const reader = new BufferedReader(one, options);
  return {
    reader,
    peer: other,
    [Symbol.dispose]() {
      reader.close();
      other.close();
    },
  };
}

/** A read in each form; the one that tries does so until there is a result. */
const FORMS = ["async", "sync", "try"] as const;
type Form = typeof FORMS[number];

async function call(
  reader: BufferedReader,
  form: Form,
  name: string,
  // deno-lint-ignore no-explicit-any -- of any of the methods
  ...args: any[]
) {
  const upper = name[0]!.toUpperCase() + name.slice(1);
  const method = { async: name, sync: `${name}Sync`, try: `try${upper}` }[form];
  // deno-lint-ignore no-explicit-any
  const read = () => (reader as any)[method](...args);
  if (form !== "try") return await read();
  for (;;) {
    const got = read();
    if (got !== undefined) return got;
    await turns(1);
  }
}

// --- Items -------------------------------------------------------------------

const TEXT = utf8("line\r\n\nab||cd|\0\x01\x02\x03\x04rest");

/** Reads all of TEXT, item by item. */
async function readItems(reader: BufferedReader, form: Form) {
  const read = (name: string, ...args: unknown[]) =>
    call(reader, form, name, ...args);
  const buffer = new Uint8Array(2);
  const got = [
    await read("readLine"),
    await read("readLine"),
    text(await read("readUntil", "||")),
    text(await read("readUntil", bytes(0))),
    await read("peek", 3),
    await read("readExactly", 3),
    await read("readExactly", 0),
    await read("read", buffer.subarray(0, 1)),
    await read("read", buffer.subarray(0, 0)),
  ];
  const rest = text(await read("readToEnd"));
  assertEquals(reader.position, TEXT.length);
  const end = [
    await read("readLine"),
    await read("readExactly", 1),
    await read("peek", 1),
    await read("readUntil", "x"),
    await read("read", buffer),
    (await read("readToEnd")).length,
  ];
  assertEquals(got, [
    "line",
    "",
    "ab",
    "cd|",
    bytes(1, 2, 3),
    bytes(1, 2, 3),
    bytes(),
    1,
    0,
  ]);
  assertEquals([buffer[0], rest], [4, "rest"]);
  assertEquals(end, [null, null, null, null, null, 0]);
}

for (const form of FORMS) {
  leakTest(`BufferedReader reads what is cut anywhere: ${form}`, async () => {
    for (let size = 1; size <= TEXT.length; size++) {
      const pieces: Uint8Array<ArrayBuffer>[] = [];
      for (let at = 0; at < TEXT.length; at += size) {
        pieces.push(TEXT.slice(at, at + size));
      }
      const [one, other] = UnixStream.pair();
      const ends = pipe();
      for (
        const [source, to] of [[one, other], [
          ends.reader,
          ends.writer,
        ]] as const
      ) {
        using reader = new BufferedReader(source);
        const sending = (async () => {
          for (const piece of pieces) {
            to.writeSync(piece);
            if (form === "async") await turns(1);
          }
          to.close();
        })();
        if (form === "sync") await sending;
        await readItems(reader, form);
        await sending;
      }
      if (form !== "async") continue;
      using reader = new BufferedReader(ReadableStream.from(pieces));
      await readItems(reader, form);
    }
  });

  leakTest(`BufferedReader keeps what is truncated: ${form}`, async () => {
    for (
      const [name, ...args] of [
        ["readExactly", 4],
        ["peek", 4],
        ["readUntil", "\0"],
        ["readLine"],
      ]
    ) {
      using it = connected();
      it.peer.writeSync(bytes(7, 8, 9));
      it.peer.close();
      const { reader } = it;
      for (let i = 0; i < 2; i++) {
        const read = () => call(reader, form, name as string, ...args);
        await assertRejects(read, UnexpectedEof, "after 3 ");
      }
      assertEquals(await call(reader, form, "readExactly", 1), bytes(7));
      assertEquals(reader.readToEndSync(), bytes(8, 9));
      assertEquals(await call(reader, form, name as string, ...args), null);
    }
  });

  leakTest(
    `BufferedReader names the limit, and loses nothing: ${form}`,
    async () => {
      for (const maxSize of [3, 10, 65_536, 100_000]) {
        using it = connected({ maxSize });
        const { reader } = it;
        const data = new Uint8Array(maxSize + 3).fill(65);
        const sending = it.peer.write(data).then(() => it.peer.close());
        const named = `${maxSize} bytes (maxSize)`;
        for (const [name, ...args] of [["readLine"], ["readUntil", "ab"]]) {
          for (let i = 0; i < 2; i++) {
            const read = () => call(reader, form, name!, ...args);
            await assertRejects(read, InvalidData, named);
          }
        }
        await sending;
        await assertRejects(
          () => call(reader, form, "readToEnd"),
          InvalidData,
          named,
        );
        for (const size of [maxSize + 1, 2 ** 40, -1, 1.5, NaN]) {
          const wrong = () => call(reader, form, "readExactly", size);
          await assertRejects(wrong, RangeError, `to ${maxSize} (maxSize)`);
          await assertRejects(
            () => call(reader, form, "peek", size),
            RangeError,
          );
        }
        assertEquals(
          await call(reader, form, "readExactly", maxSize),
          data.slice(3),
        );
        assertEquals(await call(reader, form, "readToEnd"), data.slice(0, 3));
      }
    },
  );
}

leakTest("BufferedReader claims memory as bytes come", async () => {
  const maxSize = 2 ** 31 - 1;
  using it = connected({ maxSize });
  const before = Deno.memoryUsage().external;
  it.peer.writeSync(bytes(1, 2, 3));
  const wait = { timeout: 1 };
  await assertRejects(() => it.reader.readExactly(maxSize, wait), DOMException);
  assertThrows(() => it.reader.peekSync(maxSize, wait), DOMException);
  assertEquals(it.reader.tryReadExactly(maxSize), undefined);
  assert(Deno.memoryUsage().external - before < 2 ** 20);
  assertEquals(it.reader.readExactlySync(3), bytes(1, 2, 3));
});

leakTest("BufferedReader returns arrays that are the caller's", async () => {
  using it = connected();
  const { reader, peer } = it;
  const data = new Uint8Array(1_000_000).map((_, index) => index % 251);
  const sizes = [3, 65_536, 1, 300_000, 131_072, 0, 65_535, 65_537];
  const writing = peer.write(data).then(() => peer.close());
  let at = 0;
  for (const size of sizes) {
    assertEquals(
      await reader.peek(Math.min(size, 9)),
      data.slice(at, at + Math.min(size, 9)),
    );
    const got = (await reader.readExactly(size))!;
    assertEquals(got, data.slice(at, at += size));
    assertEquals(got.buffer.byteLength, size);
    got.fill(0);
  }
  assertEquals(await reader.readToEnd(), data.slice(at));
  await writing;
});

leakTest("BufferedReader decodes lines as UTF-8", () => {
  using it = connected();
  it.peer.writeSync(utf8("\ufeffä€😀\r\r\n"));
  it.peer.writeSync(bytes(0xff, 65, 10));
  assertEquals(it.reader.readLineSync(), "\ufeffä€😀\r");
  assertEquals(it.reader.readLineSync(), "\ufffdA");
});

// --- Waits -------------------------------------------------------------------

leakTest("BufferedReader serves its calls in their order", async () => {
  using it = connected();
  const { reader, peer } = it;
  const reads = [
    reader.readExactly(2),
    reader.readLine(),
    reader.peek(1),
    reader.read(new Uint8Array(1)),
    reader.readUntil("|"),
    reader.readExactly(1, { timeout: 0 }).catch((error) => error.name),
  ];
  assertThrows(() => reader.readExactlySync(1), Error, "is pending");
  assertThrows(() => reader.detach(), Error, "is pending");
  assertEquals(reader.tryRead(new Uint8Array(1)), undefined);
  peer.writeSync(utf8("12line\nxab|"));
  assertEquals(await Promise.all(reads), [
    utf8("12"),
    "line",
    utf8("x"),
    1,
    utf8("ab"),
    "TimeoutError",
  ]);
  assertEquals(reader.tryReadLine(), undefined);
});

leakTest("BufferedReader goes on after a timeout or an abort", async () => {
  using it = connected();
  const { reader, peer } = it;
  peer.writeSync(bytes(1, 2));
  await assertRejects(
    () => reader.readExactly(4, { timeout: 1 }),
    DOMException,
  );
  assertThrows(() => reader.readExactlySync(4, { timeout: 1 }), DOMException);
  await assertRejects(() => reader.readLine({ timeout: 0 }), DOMException);
  const controller = new AbortController();
  const { signal } = controller;
  const aborted = failure(reader.readToEnd({ signal }));
  peer.writeSync(bytes(3));
  await turns();
  controller.abort("enough");
  assertEquals(await aborted, "enough");
  assertEquals(await failure(reader.peek(1, { signal })), "enough");
  peer.writeSync(bytes(4));
  assertEquals(await reader.readExactly(4), bytes(1, 2, 3, 4));
});

leakTest("BufferedReader loses nothing to aborts at any moment", async () => {
  using it = connected({ maxDescriptors: 1 });
  const { reader, peer } = it;
  const { fd } = peer;
  await raceAborts(rounds(300, 10_000), {
    wait: (options) => reader.readExactly(4, options),
    async bring() {
      peer.writeSync(bytes(1, 2));
      await Promise.resolve();
      peer.sendSync(bytes(3, 4), { descriptors: [fd] });
    },
    check(value) {
      assertEquals(value, bytes(1, 2, 3, 4));
      using taken = reader.takeDescriptors();
      assertEquals(taken.length, 1);
    },
  });
});

leakTest(
  "BufferedReader.close() ends waits, and closes what arrived",
  async () => {
    const it = connected({ maxDescriptors: 2 });
    it.peer.sendSync(bytes(1, 2), { descriptors: [0, 1] });
    await assertRejects(() => it.reader.readExactly(3, { timeout: 1 }));
    const arrived = it.reader.descriptors;
    assertEquals(arrived.length, 2);
    const waits = [failure(it.reader.readLine()), failure(it.reader.peek(3))];
    it.reader.close();
    it.reader.close();
    for (const error of await Promise.all(waits)) {
      assertInstanceOf(error, ClosedError);
    }
    it.peer.close();
    for (const { descriptor } of arrived) {
      assertThrows(() => descriptor.fd, ClosedError);
    }
    const { reader } = it;
    assertThrows(() => reader.tryReadLine(), ClosedError);
    assertThrows(() => reader.takeDescriptors(), ClosedError);
    assertThrows(() => reader.detach(), ClosedError);
    assertThrows(() => reader.readable, ClosedError);
    assertInstanceOf(await failure(reader.readExactly(0)), ClosedError);
    assertThrows(() => reader.position, ClosedError);
  },
);

leakTest("BufferedReader.detach() gives everything back", () => {
  const [one, other] = UnixStream.pair();
  using stream = one;
  using peer = other;
  const reader = new BufferedReader(stream, { maxDescriptors: 2 });
  peer.sendSync(utf8("line\nmore"), { descriptors: [0] });
  assertEquals(reader.peekSync(9), utf8("line\nmore"));
  assertEquals(reader.readLineSync(), "line");
  const { bytes: rest, descriptors } = reader.detach();
  assertEquals([text(rest), descriptors.length], ["more", 1]);
  for (const { descriptor } of descriptors) descriptor.close();
  assertThrows(() => reader.readLineSync(), ClosedError);
  reader.close();
  peer.writeSync(bytes(1));
  assertEquals(stream.readSync(new Uint8Array(2)), 1); // it is open still
});

// --- Sources -----------------------------------------------------------------

leakTest("BufferedReader reads a FIFO, and on after its end", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  const opening = fifo.openReader(WAIT);
  let writer = await fifo.openWriter(WAIT);
  using reader = new BufferedReader(await opening);
  writer.writeSync(utf8("one\nt"));
  writer.close();
  assertEquals(await reader.readLine(), "one");
  await assertRejects(() => reader.readLine(), UnexpectedEof);
  writer = await fifo.openWriter(WAIT);
  writer.writeSync(utf8("wo\n"));
  assertEquals(await reader.readLine(WAIT), "two");
  writer.close();
  assertEquals(reader.tryReadLine(), null);
});

leakTest("BufferedReader reads a file of Deno, and itself", async () => {
  using dir = scratch();
  Deno.writeTextFileSync(dir.file("file"), "a\nb\nc");
  using file = Deno.openSync(dir.file("file"));
  const inner = new BufferedReader(file);
  const outer = new BufferedReader(inner);
  assertEquals(outer.readLineSync(), "a");
  assertEquals(await outer.readLine(), "b");
  assertThrows(() => outer.tryReadLine(), TypeError, "no tryRead()");
  await assertRejects(() => outer.readLine(), UnexpectedEof);
  assertEquals(text(await outer.readToEnd()), "c");
});

leakTest("BufferedReader reads a File in each form", async () => {
  using dir = scratch();
  Deno.writeTextFileSync(dir.file("file"), "a\nb\nc\nrest");
  const { fd } = openRaw(dir.file("file"), 0); // the File closes it
  using reader = new BufferedReader(File.fromFd(fd));
  assertEquals(reader.readLineSync(), "a");
  assertEquals(await reader.readLine(), "b");
  assertEquals(reader.tryReadLine(), "c");
  assertThrows(() => reader.readLineSync(), UnexpectedEof);
  assertEquals(text(await reader.readToEnd()), "rest");
});

leakTest("BufferedReader.readable has the rest", async () => {
  using it = connected();
  it.peer.writeSync(utf8("head\nthe "));
  assertEquals(await it.reader.readLine(), "head");
  it.peer.writeSync(utf8("body"));
  it.peer.close();
  assertEquals(await new Response(it.reader.readable).text(), "the body");
  assertThrows(() => it.reader.buffered, ClosedError);
});

leakTest("BufferedReader of a web stream waits for its chunks", async () => {
  const cancelled: unknown[] = [];
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start: (own) => void (controller = own),
    cancel: () => void cancelled.push(true),
  });
  const reader = new BufferedReader(stream);
  assertThrows(() => new BufferedReader(stream), TypeError); // it is locked
  await assertRejects(() => reader.peek(1, { timeout: 1 }), DOMException);
  const signal = AbortSignal.timeout(1);
  await assertRejects(() => reader.readExactly(4, { signal }));
  controller.enqueue(bytes(1, 2));
  controller.enqueue(bytes());
  controller.enqueue(bytes(3, 4, 5));
  assertEquals(await reader.readExactly(4, { timeout: 0 }), bytes(1, 2, 3, 4));
  assertEquals(reader.readExactlySync(0), bytes());
  assertThrows(() => reader.readExactlySync(2), TypeError, "no readSync()");
  assertThrows(() => reader.tryReadExactly(2), TypeError, "no tryRead()");
  const waiting = failure(reader.readLine());
  reader.close();
  assertInstanceOf(await waiting, ClosedError);
  assertEquals(cancelled, [true]);
});

leakTest("BufferedReader of a web stream gives it back", async () => {
  const parts = [bytes(1, 2, 3), new Uint8Array(100_000), bytes(4)];
  const stream = ReadableStream.from(parts);
  const reader = new BufferedReader(stream);
  assertEquals(await reader.readExactly(5), bytes(1, 2, 3, 0, 0));
  const { bytes: rest } = reader.detach();
  assertEquals(rest.length, 99_998);
  assertEquals((await Array.fromAsync(stream)).at(-1), bytes(4));

  let give!: (chunk: Uint8Array) => void;
  const slow = new ReadableStream<Uint8Array>({
    start: (own) => void (give = (chunk) => own.enqueue(chunk)),
  });
  const second = new BufferedReader(slow);
  await assertRejects(() => second.readLine({ timeout: 1 }));
  assertEquals(second.detach().bytes, bytes());
  give(bytes(9));
  const { value } = await slow.getReader().read();
  assertEquals(value, bytes(9));
});

leakTest(
  "BufferedReader gives back a chunk that came after a timeout",
  async () => {
    let give!: (chunk: Uint8Array) => void;
    const stream = new ReadableStream<Uint8Array>({
      start: (own) => void (give = (chunk) => own.enqueue(chunk)),
    });
    const reader = new BufferedReader(stream);
    await assertRejects(() => reader.readLine({ timeout: 1 }), DOMException);
    give(bytes(1, 2));
    await turns();
    assertEquals(reader.detach().bytes, bytes(1, 2));
    assert(!stream.locked);
  },
);

leakTest(
  "BufferedReader: a source that never waits extends no timeout",
  async () => {
    const endless = {
      read: (buffer: Uint8Array) => Promise.resolve(endless.readSync(buffer)),
      readSync: (buffer: Uint8Array) => buffer.fill(1, 0, 1) && 1,
      close() {},
    };
    const pull = (chunk: Uint8Array) =>
      new ReadableStream<Uint8Array>({ pull: (own) => own.enqueue(chunk) });
    const sources = [endless, pull(bytes(1)), pull(bytes())];
    for (const source of sources) {
      using reader = new BufferedReader(source, { maxSize: 2 ** 30 });
      const wait = { timeout: 20 };
      const error = await failure(reader.readLine(wait)) as DOMException;
      assertEquals(error.name, "TimeoutError");
      // Timers run meanwhile.
      const signal = AbortSignal.timeout(20);
      assertStrictEquals(
        await failure(reader.readLine({ signal })),
        signal.reason,
      );
    }
    using reader = new BufferedReader(endless, { maxSize: 2 ** 30 });
    assertThrows(() => reader.readLineSync({ timeout: 20 }), DOMException);
  },
);

leakTest(
  "BufferedReader of a web stream says what is wrong with it",
  async () => {
    const wrong = ReadableStream.from(["text"]) as unknown as ReadableStream<
      Uint8Array
    >;
    using strings = new BufferedReader(wrong);
    await assertRejects(() => strings.readLine(), TypeError, "chunk");
    const reason = new Error("broken");
    using failing = new BufferedReader(
      new ReadableStream({ pull: () => Promise.reject(reason) }),
    );
    for (let i = 0; i < 2; i++) {
      assertStrictEquals(await failure(failing.readLine()), reason);
    }
  },
);

leakTest("BufferedReader believes nothing that a source says", async () => {
  const unused = () => {
    throw new Error("unused");
  };
  // deno-lint-ignore no-explicit-any -- what TypeScript refuses
  const sourceOf = (parts: any): any => ({
    close() {},
    read: unused,
    ...parts,
  });
  for (const count of [0, -1, 1.5, NaN, 65_537, undefined, "1", 1n, {}]) {
    const one = new BufferedReader(sourceOf({
      read: () => count,
      readSync: () => count,
      tryRead: () => count,
    }));
    await assertRejects(() => one.readExactly(1), TypeError);
    assertThrows(() => one.readExactlySync(1), TypeError);
    if (count !== undefined) assertThrows(() => one.tryPeek(1), TypeError);
  }
  // A source that gives the buffer away, one that calls its reader, one that closes it.
  const thief = new BufferedReader(sourceOf({
    readSync: (buffer: Uint8Array<ArrayBuffer>) => {
      buffer.buffer.transfer();
      return 1;
    },
  }));
  assertThrows(() => thief.readExactlySync(1), TypeError);
  assertThrows(() => thief.readLineSync(), TypeError);
  const recursive: BufferedReader = new BufferedReader(sourceOf({
    readSync: () => recursive.readExactlySync(1),
    tryRead: () => recursive.tryReadLine(),
  }));
  assertThrows(() => recursive.readLineSync(), Error, "pending");
  assertEquals(recursive.tryReadLine(), undefined);
  const closing: BufferedReader = new BufferedReader(sourceOf({
    readSync: () => (closing.close(), 1),
  }));
  assertThrows(() => closing.readLineSync(), ClosedError);
});

leakTest("BufferedReader refuses arguments that cannot be", async () => {
  using ends = pipe();
  const { reader: source } = ends;
  for (const wrong of [null, undefined, 1, {}, { read: 1 }, "x"]) {
    const make = () => new BufferedReader(wrong as unknown as ByteSource);
    assertThrows(make, TypeError, "source");
  }
  for (
    const [options, kind] of [
      [{ maxSize: 0 }, RangeError],
      [{ maxSize: 2 ** 31 }, RangeError],
      [{ maxSize: "1" }, TypeError],
      [{ maxDescriptors: 254 }, RangeError],
      [{ maxDescriptors: -1 }, RangeError],
      [{ maxDescriptors: 1 }, TypeError], // a pipe carries none
    ] as [BufferedReaderOptions, typeof TypeError][]
  ) {
    assertThrows(() => new BufferedReader(source, options), kind, "Argument");
  }
  const reader = new BufferedReader(source);
  // deno-lint-ignore no-explicit-any
  const any = reader as any;
  for (const delimiter of [null, undefined, 10, [10], "\ud800"]) {
    await assertRejects(() => any.readUntil(delimiter), TypeError, "delimiter");
    assertThrows(() => any.tryReadUntil(delimiter), TypeError, "delimiter");
  }
  for (const empty of ["", bytes()]) {
    await assertRejects(() => reader.readUntil(empty), RangeError, "delimiter");
    assertThrows(() => reader.readUntilSync(empty), RangeError, "delimiter");
  }
  for (const buffer of [null, 1, new ArrayBuffer(1), new Int32Array(1)]) {
    await assertRejects(() => any.read(buffer), TypeError, "buffer");
    assertThrows(() => any.tryRead(buffer), TypeError, "buffer");
  }
  await assertRejects(() => any.readExactly("1"), TypeError, "size");
  await assertRejects(() => any.readLine({ timeout: -1 }), RangeError);
  await assertRejects(() => any.readLine({ signal: {} }), TypeError);
  assertThrows(() => reader.takeDescriptors(-1), RangeError, "count");
  reader.close();
});

// --- Descriptors -------------------------------------------------------------

/** Which file a descriptor leads to. */
const target = ({ fd }: { readonly fd: number }) =>
  Deno.readLinkSync(`/proc/self/fd/${fd}`);

/** Messages with their length in front, and where each begins. */
const MESSAGES = [[1, 7], [3, 8, 9, 10], [2, 11, 12]];
const WHOLE = MESSAGES.flat();

interface Got {
  readonly message: number[];
  readonly positions: number[];
  readonly targets: string[];
}

/** What has come, as a message with its descriptors. */
function gotten(reader: BufferedReader, message: Uint8Array): Got {
  const positions = reader.descriptors.map(({ position }) => position);
  using taken = reader.takeDescriptors();
  return { message: [...message], positions, targets: taken.map(target) };
}

/** The messages that are there, without waiting. */
function tryMessages(reader: BufferedReader): Got[] {
  const got: Got[] = [];
  for (let size; (size = reader.tryPeek(1)?.[0]) !== undefined;) {
    const message = reader.tryReadExactly(1 + size);
    if (!message) break;
    got.push(gotten(reader, message));
  }
  return got;
}

/** The messages that come until the end. */
async function messages(reader: BufferedReader, form: Form): Promise<Got[]> {
  const got: Got[] = [];
  for (;;) {
    const head = await call(reader, form, "peek", 1);
    if (head === null) return got;
    const message = await call(reader, form, "readExactly", 1 + head[0]);
    got.push(gotten(reader, message));
  }
}

/** Sends bytes in pieces that begin at these positions, with descriptors at some. */
function sendPieces(
  peer: UnixStream,
  from: number,
  to: number,
  descriptors: Map<number, { readonly fd: number }>,
  cuts: number[] = [],
) {
  const starts = [...new Set([from, ...descriptors.keys(), ...cuts])]
    .filter((at) => at >= from && at < to).sort((a, b) => a - b);
  for (const [index, start] of starts.entries()) {
    const data = bytes(...WHOLE.slice(start, starts[index + 1] ?? to));
    const passed = descriptors.get(start);
    peer.sendSync(data, { descriptors: passed === undefined ? [] : [passed] });
  }
}

for (const form of FORMS) {
  leakTest(
    `BufferedReader ties a descriptor to its bytes: ${form}`,
    async () => {
      using ends = pipe();
      for (let at = 0; at < WHOLE.length; at++) {
        for (let cut = 0; cut <= WHOLE.length; cut++) {
          for (const alone of [true, false]) {
            using it = connected({ maxDescriptors: 1 });
            const { reader, peer } = it;
            const passed = new Map([[at, ends.reader]]);
            const cuts = alone ? [cut, at + 1] : [cut];
            sendPieces(peer, 0, cut, passed, cuts);
            const got = tryMessages(reader);
            sendPieces(peer, cut, WHOLE.length, passed, cuts);
            peer.closeWrite();
            got.push(...await messages(reader, form));
            let start = 0;
            const expected = MESSAGES.map((message) => {
              const end = start + message.length;
              const has = at >= start && at < end;
              const targets = has ? [target(ends.reader)] : [];
              start = end;
              return { message, targets };
            });
            assertEquals(
              got.map(({ message, targets }) => ({ message, targets })),
              expected,
              `at ${at}, cut at ${cut}`,
            );
            const [position] = got.flatMap(({ positions }) => positions);
            assert(position! <= at && at < position! + 4);
          }
        }
      }
    },
  );
}

leakTest("BufferedReader keeps the order of many descriptors", async () => {
  using one = pipe();
  using other = pipe();
  const all = [one.reader, one.writer, other.reader, other.writer];
  for (let cut = 0; cut <= WHOLE.length; cut++) {
    using it = connected({ maxDescriptors: 9 });
    const passed = new Map(WHOLE.map((_, at) => [at, all[at % all.length]!]));
    sendPieces(it.peer, 0, cut, passed);
    const got = tryMessages(it.reader);
    sendPieces(it.peer, cut, WHOLE.length, passed);
    it.peer.close();
    got.push(...await messages(it.reader, "async"));
    assertEquals(got.map(({ message }) => message), MESSAGES);
    assertEquals(
      got.flatMap(({ targets }) => targets),
      WHOLE.map((_, at) => target(all[at % all.length]!)),
    );
    assertEquals(got.flatMap(({ positions }) => positions), [...WHOLE.keys()]);
  }
});

leakTest("BufferedReader reads ahead, but not past descriptors", () => {
  using it = connected({ maxDescriptors: 2 });
  const { reader, peer } = it;
  peer.writeSync(utf8("one\ntwo\nthree"));
  assertEquals(reader.readLineSync(), "one");
  assertEquals(reader.buffered, 9);
  peer.writeSync(utf8("\nfour\nfi"));
  peer.sendSync(utf8("ve\nsix\n"), { descriptors: [0] });
  const got = [];
  for (let line; (line = reader.tryReadLine());) {
    using taken = reader.takeDescriptors();
    got.push([line, taken.length]);
  }
  assertEquals(got, [["two", 0], ["three", 0], ["four", 0], ["five", 1], [
    "six",
    0,
  ]]);
});

leakTest(
  "BufferedReader.takeDescriptors() takes what was read, in parts",
  () => {
    using it = connected({ maxDescriptors: 4 });
    const { reader, peer } = it;
    peer.sendSync(bytes(1, 2), { descriptors: [0, 1] });
    peer.sendSync(bytes(3), { descriptors: [2] });
    assertEquals(reader.peekSync(3), bytes(1, 2, 3));
    assertEquals(reader.descriptors.map(({ position }) => position), [0, 0, 2]);
    assertEquals(reader.takeDescriptors().length, 0); // only peeked at
    assertEquals(reader.readExactlySync(1), bytes(1));
    using first = reader.takeDescriptors(1);
    using second = reader.takeDescriptors();
    assertEquals([first.length, second.length, reader.descriptors.length], [
      1,
      1,
      1,
    ]);
    first.close();
    assertThrows(() => first[0]!.fd, ClosedError);
    assertEquals(reader.readExactlySync(2), bytes(2, 3));
    using third = reader.takeDescriptors();
    assertEquals(third.length, 1);
  },
);

leakTest(
  "BufferedReader without maxDescriptors refuses descriptors",
  async () => {
    for (const form of FORMS) {
      using it = connected();
      const { reader, peer } = it;
      const before = descriptorCount();
      peer.writeSync(utf8("before\n"));
      peer.sendSync(utf8("with\n"), { descriptors: [0] });
      peer.writeSync(utf8("after\n"));
      const read = () => call(reader, form, "readLine");
      assertEquals(await read(), "before");
      await assertRejects(read, InvalidData, "at most 0");
      assertEquals([await read(), await read()], ["with", "after"]);
      assertEquals(descriptorCount(), before);
    }
  },
);

leakTest("BufferedReader does not mistake credentials for descriptors", () => {
  for (const maxDescriptors of [0, 1]) {
    using it = connected({ maxDescriptors });
    const { reader, peer } = it;
    using socket = UnixStream.pair();
    const [one, other] = socket;
    one.passCredentials = true;
    using same = new BufferedReader(one, { maxDescriptors });
    for (const [to, from] of [[peer, reader], [other, same]] as const) {
      to.writeSync(utf8("one\n"));
      to.sendSync(utf8("two\n"), { credentials: {} });
      assertEquals([from.readLineSync(), from.tryReadLine()], ["one", "two"]);
      assertEquals(from.descriptors, []);
    }
  }
});

leakTest("BufferedReader limits the descriptors that wait", () => {
  using it = connected({ maxDescriptors: 2 });
  const { reader, peer } = it;
  peer.sendSync(bytes(1), { descriptors: [0] });
  peer.sendSync(bytes(2), { descriptors: [1, 2] });
  assertEquals(reader.readExactlySync(1), bytes(1));
  assertThrows(() => reader.readExactlySync(1), InvalidData, "at most 2");
  assertEquals(reader.readExactlySync(1), bytes(2));
  using taken = reader.takeDescriptors();
  assertEquals(taken.length, 2);
});

let library: ReturnType<typeof open> | undefined;
const open = () =>
  Deno.dlopen("libc.so.6", {
    getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  });
const resources = () => library ??= open();
globalThis.addEventListener("unload", () => library?.close());

/** Calls with so many free descriptors. */
function withFree<T>(count: number, call: () => T): T {
  const { getrlimit, setrlimit } = resources().symbols;
  const RLIMIT_NOFILE = 7;
  const before = new BigUint64Array(2);
  getrlimit(RLIMIT_NOFILE, before);
  const lowest = Array.from({ length: count + 1 }, () => duplicate(0));
  for (const fd of lowest) unistd().close(fd);
  const limit = BigUint64Array.of(BigInt(lowest[count]!), before[1]!);
  setrlimit(RLIMIT_NOFILE, limit);
  try {
    return call();
  } finally {
    setrlimit(RLIMIT_NOFILE, before);
  }
}

leakTest(
  "BufferedReader leaks no descriptor, with EMFILE in between",
  async () => {
    using it = connected({ maxDescriptors: 3 });
    const { reader, peer } = it;
    const before = descriptorCount();
    for (let round = 0; round < rounds(400, 10_000); round++) {
      const form = FORMS[round % 3]!;
      const at = round % 5;
      const data = bytes(4, 1, 2, 3, 4);
      if (at > 0) peer.writeSync(data.subarray(0, at));
      peer.sendSync(data.subarray(at), { descriptors: [0, 1, 2] });
      const free = round % 20 < 3 ? round % 20 : 3; // less than three: EMFILE
      if (free < 3) {
        const fails = () => withFree(free, () => reader.tryReadExactly(5));
        assertThrows(fails, InvalidData, "EMFILE");
      }
      assertEquals(await call(reader, form, "readExactly", 5), data);
      using taken = reader.takeDescriptors();
      assertEquals(taken.length, free);
    }
    assertEquals(descriptorCount(), before);
  },
);

leakTest("BufferedReader needs no permission but --allow-ffi", async () => {
  const got = await inChild(async () => {
    const { BufferedReader } = await import("../ffi/reader.ts");
    const { UnixStream } = await import("../ffi/socket.ts");
    const [one, other] = UnixStream.pair();
    using reader = new BufferedReader(one, { maxDescriptors: 1 });
    other.sendSync(Uint8Array.of(10), { descriptors: [0] });
    const line = await reader.readLine();
    using taken = reader.takeDescriptors();
    other.close();
    return [line, taken.length];
  }, { permissions: ["--allow-ffi"] });
  assertEquals(got, ["", 1]);
});
