/**
 * Pipes: what a read, a write, a stream and a splice promise, with the kernel's
 * own pipes, and with C and Deno processes at the other end.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { createHash } from "node:crypto";
import {
  F_DUPFD_CLOEXEC,
  fcntl,
  O_CLOEXEC,
  O_RDONLY,
  O_RDWR,
} from "../ffi/libc/fcntl.ts";
import { unistd } from "../ffi/libc/unistd.ts";
import {
  ClosedError,
  duplexPipe,
  IpcError,
  type Pipe,
  pipe,
  PIPE_BUF,
  PipeReader,
  PipeWriter,
  splice,
  tee,
} from "../ffi/pipe.ts";
import { O_NONBLOCK } from "../ffi/libc/fcntl.ts";
import { pendingWaits } from "../ffi/wait/reactor.ts";
import { assertRefused, assertSucceeded } from "./support/asserts.ts";
import { utf8 } from "./support/bytes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import {
  flagsOf,
  isCloseOnExec,
  openRaw,
  setNonblocking,
  socketPair,
} from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { type Scratch, scratch } from "./support/names.ts";
import {
  type Child,
  concatenate,
  spawn,
  spawnDeno,
  until,
} from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { soon, turns } from "./support/waits.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const MAX_SIZE = "/proc/sys/fs/pipe-max-size";

// --- Helpers ----------------------------------------------------------------

function text(buffer: Uint8Array): string {
  return new TextDecoder().decode(buffer);
}

/** Bytes that tell where in the stream they stand. */
function pattern(length: number, from = 0): Bytes {
  const all = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const at = from + i;
    all[i] = (at * 31 + (at >>> 8) * 17 + (at >>> 16)) & 0xff;
  }
  return all;
}

/** Compares faster, and with shorter messages, than assertEquals. */
function assertBytes(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  assertEquals(at, -1, "the index of the first byte that differs");
}

/** Everything to the end. */
async function readAll(reader: PipeReader): Promise<Bytes> {
  const chunks: Bytes[] = [];
  for (;;) {
    const buffer = new Uint8Array(65536);
    const count = await reader.read(buffer);
    if (count === null) return concatenate(chunks);
    chunks.push(buffer.subarray(0, count));
  }
}

/** Fills a pipe to its last byte. */
function fill(writer: PipeWriter): number {
  let total = 0;
  for (const size of [65536, PIPE_BUF, 1]) {
    const chunk = new Uint8Array(size);
    for (let count; (count = writer.tryWrite(chunk)) !== undefined;) {
      total += count;
    }
  }
  return total;
}

async function assertRefusedLater(
  call: () => Promise<unknown>,
  code: string,
  syscall: string,
): Promise<IpcError> {
  const error = await assertRejects(() => soon(call()), IpcError);
  assertEquals([error.code, error.syscall], [code, syscall]);
  return error;
}

async function assertTimesOut(
  call: () => Promise<unknown> | unknown,
  timeout: number,
): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(
    async () => await call(),
    DOMException,
  );
  const took = performance.now() - start;
  assertEquals(error.name, "TimeoutError");
  assert(took >= timeout, `${took} ms is earlier than ${timeout} ms`);
}

const PEER = new URL("./interop/c/pipe_peer.c", import.meta.url);

/** Starts the peer with one end of a pipe, and closes that end here. */
async function give(
  end: PipeReader | PipeWriter,
  what: string,
  ...args: (string | number)[]
): Promise<Child> {
  const program = await compile(PEER);
  const child = end.inherit((fd) =>
    spawn(program, { args: [what, `${fd}`, ...args.map(String)] })
  );
  end.close();
  return child;
}

/** The sum that the peer's "sip" prints. */
function sipSum(all: Uint8Array): bigint {
  let high = 0;
  let low = 0; // two halves of 32 bits: BigInts would take seconds
  for (const byte of all) {
    const product = low * 31 + byte;
    low = product >>> 0;
    high = (high * 31 + Math.floor(product / 2 ** 32)) >>> 0;
  }
  return (BigInt(high) << 32n) | BigInt(low);
}

/** Runs a module of Deno that gets the descriptor as its first argument. */
function giveDeno(
  dir: Scratch,
  end: PipeReader | PipeWriter,
  source: string,
): Child {
  const url = import.meta.resolve("../ffi/pipe.ts");
  const script = dir.file(
    `child${end.fd}.ts`,
    `import { PipeReader, PipeWriter } from "${url}";
    const fd = Number(Deno.args[0]);
    ${source}`,
  );
  const child = end.inherit((fd) => spawnDeno(script, { args: [`${fd}`] }));
  end.close();
  return child;
}

// --- pipe() -----------------------------------------------------------------

leakTest("pipe() makes both ends with close-on-exec", () => {
  using ends = pipe();
  assert(ends.reader instanceof PipeReader);
  assert(ends.writer instanceof PipeWriter);
  assert(isCloseOnExec(ends.reader.fd));
  assert(isCloseOnExec(ends.writer.fd));
  assertEquals(
    Deno.readLinkSync(`/proc/self/fd/${ends.reader.fd}`),
    Deno.readLinkSync(`/proc/self/fd/${ends.writer.fd}`),
  );
});

leakTest("pipe() is disposed of by closing both ends", () => {
  const ends = pipe();
  {
    using _ends = ends;
  }
  assertThrows(() => ends.reader.fd, ClosedError);
  assertThrows(() => ends.writer.fd, ClosedError);
  ends[Symbol.dispose](); // twice does nothing
});

leakTest(
  "pipe() and duplexPipe() report EMFILE and leave nothing open",
  async () => {
    const result = await inChild(async () => {
      const { duplexPipe, pipe } = await import("../ffi/pipe.ts");
      using first = pipe();
      first.writer.tryWrite(new Uint8Array(1)); // all libraries are open by now
      const spare: Deno.FsFile[] = [];
      for (;;) {
        try {
          spare.push(Deno.openSync("/dev/null"));
        } catch {
          break;
        }
      }
      const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
      const told = (call: () => Disposable | unknown) => {
        try {
          call();
          return "made";
        } catch (error) {
          const { name, code, syscall, message } = error as Error & {
            code: string;
            syscall: string;
          };
          return [name, code, syscall, message];
        }
      };
      const failures = [told(() => pipe())];
      // One descriptor is free for reading the directory; the pipe needs two.
      for (const free of [1, 3]) {
        while (spare.length > 0 && freeCount() < free) spare.pop()!.close();
        const before = open();
        failures.push(told(() => free === 1 ? pipe() : duplexPipe()));
        if (open() !== before) failures.push("something is left open");
      }
      for (const file of spare) file.close();
      pipe()[Symbol.dispose]();
      return failures;

      function freeCount(): number {
        const files: Deno.FsFile[] = [];
        for (;;) {
          try {
            files.push(Deno.openSync("/dev/null"));
          } catch {
            break;
          }
        }
        for (const file of files) file.close();
        return files.length;
      }
    }, { wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"] });
    const expected = [
      "IpcError",
      "EMFILE",
      "pipe2",
      "pipe2: Too many open files (EMFILE); RLIMIT_NOFILE is 64",
    ];
    assertEquals(result, [expected, expected, expected]);
  },
);

// --- Reading ----------------------------------------------------------------

leakTest("PipeReader reads a count, then null at the end", async () => {
  for (const how of ["readSync", "read", "tryRead"] as const) {
    const { reader, writer } = pipe();
    using _reader = reader;
    writer.writeSync(utf8("hello"));
    const buffer = new Uint8Array(4).fill(0xff);
    assertEquals(await reader[how](buffer), 4);
    assertEquals(text(buffer), "hell");
    buffer.fill(0xff);
    assertEquals(await reader[how](buffer), 1);
    assertEquals([...buffer], [0x6f, 0xff, 0xff, 0xff]);
    writer.close();
    assertEquals(await reader[how](buffer), null);
    assertEquals(await reader[how](buffer), null); // and stays there
    assertEquals([...buffer], [0x6f, 0xff, 0xff, 0xff]);
  }
});

leakTest("PipeReader reads into the view, not beside it", async () => {
  using ends = pipe();
  const whole = new Uint8Array(8).fill(9);
  ends.writer.writeSync(Uint8Array.of(1, 2, 3, 4));
  assertEquals(await ends.reader.read(whole.subarray(3, 5)), 2);
  assertEquals([...whole], [9, 9, 9, 1, 2, 9, 9, 9]);
  assertEquals(ends.reader.readSync(whole.subarray(7)), 1);
  assertEquals([...whole], [9, 9, 9, 1, 2, 9, 9, 3]);
});

leakTest("PipeReader reads 0 into an empty buffer, never null", async () => {
  const { reader, writer } = pipe();
  const nothing = new Uint8Array(0);
  assertEquals(reader.tryRead(nothing), 0);
  assertEquals(reader.readSync(nothing, { timeout: 0 }), 0);
  assertEquals(await reader.read(nothing), 0);
  writer.writeSync(Uint8Array.of(1));
  assertEquals(await reader.read(nothing), 0);
  writer.close();
  assertEquals(reader.available, 1);
  assertEquals(reader.readSync(new Uint8Array(9)), 1);
  assertEquals(reader.tryRead(nothing), 0);
  assertEquals(reader.readSync(nothing), 0);
  assertEquals(await reader.read(nothing), 0);
  reader.close();
});

leakTest("PipeReader.tryRead() tells nothing yet from the end", () => {
  const { reader, writer } = pipe();
  const buffer = new Uint8Array(8);
  assertStrictEquals(reader.tryRead(buffer), undefined);
  writer.writeSync(Uint8Array.of(7));
  assertStrictEquals(reader.tryRead(buffer), 1);
  assertStrictEquals(reader.tryRead(buffer), undefined);
  writer.close();
  assertStrictEquals(reader.tryRead(buffer), null);
  reader.close();
});

leakTest("PipeReader.read() waits for what comes later", async () => {
  using ends = pipe();
  const buffer = new Uint8Array(8);
  const reading = ends.reader.read(buffer);
  await turns();
  assertEquals(pendingWaits(), 1);
  ends.writer.writeSync(utf8("late"));
  assertEquals(await soon(reading), 4);
  assertEquals(text(buffer.subarray(0, 4)), "late");
  assertEquals(pendingWaits(), 0);
});

leakTest("PipeReader.read() waits for the end", async () => {
  using ends = pipe();
  const reading = ends.reader.read(new Uint8Array(8));
  await turns();
  ends.writer.close();
  assertEquals(await soon(reading), null);
});

leakTest(
  "PipeReader.read() twice at once loses and repeats nothing",
  async () => {
    using ends = pipe();
    const buffers = Array.from({ length: 10 }, () => new Uint8Array(1));
    const reads = buffers.map((buffer) => ends.reader.read(buffer));
    await turns();
    ends.writer.writeSync(pattern(4));
    await turns();
    ends.writer.writeSync(pattern(6, 4));
    assertEquals(await soon(Promise.all(reads)), new Array(10).fill(1));
    const got = buffers.map(([byte]) => byte!).sort((a, b) => a - b);
    assertEquals(got, [...pattern(10)].sort((a, b) => a - b));
  },
);

leakTest(
  "PipeReader.readSync() blocks until another process writes, or ends",
  { needs: [noCompiler] },
  async () => {
    const { reader, writer } = pipe();
    using _reader = reader;
    await using child = await give(writer, "say", "one");
    const buffer = new Uint8Array(64);
    assertEquals(reader.readSync(buffer), 3);
    assertEquals(text(buffer.subarray(0, 3)), "one");
    assertEquals(reader.readSync(buffer), null);
    await assertSucceeded(child);
  },
);

leakTest("PipeReader.readSync() and read() end at the timeout", async () => {
  using ends = pipe();
  const buffer = new Uint8Array(8);
  for (const timeout of [0, 0.5, 1, 20]) {
    await assertTimesOut(
      () => ends.reader.readSync(buffer, { timeout }),
      timeout,
    );
    await assertTimesOut(() => ends.reader.read(buffer, { timeout }), timeout);
  }
  // Nothing is taken by the reads that gave up.
  ends.writer.writeSync(Uint8Array.of(1, 2));
  assertEquals(await ends.reader.read(buffer, { timeout: 0 }), 2);
  ends.writer.writeSync(Uint8Array.of(1, 2));
  assertEquals(ends.reader.readSync(buffer, { timeout: 0 }), 2);
});

leakTest("PipeReader and PipeWriter refuse a wrong timeout", async () => {
  using ends = pipe();
  const buffer = new Uint8Array(8);
  const ways = (timeout: number) => [
    () => ends.reader.read(buffer, { timeout }),
    () => ends.writer.write(buffer, { timeout }),
  ];
  const ways_ = (timeout: number) => [
    () => ends.reader.readSync(buffer, { timeout }),
    () => ends.writer.writeSync(buffer, { timeout }),
  ];
  for (const timeout of [-1, -0.001, NaN, -Infinity]) {
    for (const way of ways(timeout)) await assertRejects(way, RangeError);
    for (const way of ways_(timeout)) assertThrows(way, RangeError);
  }
  for (const timeout of ["5", null, 5n] as unknown as number[]) {
    for (const way of ways(timeout)) await assertRejects(way, TypeError);
    for (const way of ways_(timeout)) assertThrows(way, TypeError);
  }
  assertEquals(ends.reader.available, 0); // nothing was written
});

leakTest("PipeReader.read() ends with the reason of an abort", async () => {
  using ends = pipe();
  const buffer = new Uint8Array(8);
  ends.writer.writeSync(Uint8Array.of(1));
  const reason = { any: "thing" };
  const before = ends.reader.read(buffer, {
    signal: AbortSignal.abort(reason),
  });
  assertStrictEquals(await before.catch((error) => error), reason);
  assertEquals(ends.reader.available, 1); // not even tried
  ends.reader.readSync(buffer);

  const controller = new AbortController();
  const reading = ends.reader.read(buffer, { signal: controller.signal });
  await turns();
  controller.abort(reason);
  assertStrictEquals(await soon(reading.catch((error) => error)), reason);
  assertEquals(pendingWaits(), 0);
  ends.writer.writeSync(Uint8Array.of(1, 2, 3));
  assertEquals(await ends.reader.read(buffer), 3); // the aborted one took nothing
});

leakTest("PipeReader and PipeWriter refuse what is no Uint8Array", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const others = [
    "text",
    [1, 2],
    new ArrayBuffer(8),
    new DataView(new ArrayBuffer(8)),
    new Uint16Array(4),
    null,
    undefined,
  ] as unknown[] as Bytes[];
  for (const other of others) {
    assertThrows(() => reader.readSync(other), TypeError);
    assertThrows(() => reader.tryRead(other), TypeError);
    assertThrows(() => writer.writeSync(other), TypeError);
    assertThrows(() => writer.tryWrite(other), TypeError);
    await assertRejects(() => reader.read(other), TypeError);
    await assertRejects(() => writer.write(other), TypeError);
  }
  assertEquals(reader.available, 0);
});

// --- Closing ----------------------------------------------------------------

leakTest("PipeReader and PipeWriter cannot be used once closed", async () => {
  const { reader, writer } = pipe();
  reader.close();
  reader.close();
  reader[Symbol.dispose]();
  writer.close();
  writer.close();
  writer[Symbol.dispose]();
  const buffer = new Uint8Array(8);
  let called = false;
  for (
    const use of [
      () => reader.fd,
      () => reader.readSync(buffer),
      () => reader.readSync(buffer, { timeout: 5 }),
      () => reader.tryRead(buffer),
      () => reader.available,
      () => reader.capacity,
      () => reader.setCapacity(4096),
      () => reader.inherit(() => called = true),
      () => writer.fd,
      () => writer.writeSync(buffer),
      () => writer.writeSync(buffer, { timeout: 5 }),
      () => writer.tryWrite(buffer),
      () => writer.capacity,
      () => writer.setCapacity(4096),
      () => writer.inherit(() => called = true),
    ]
  ) assertThrows(use, ClosedError);
  await assertRejects(() => reader.read(buffer), ClosedError);
  await assertRejects(() => writer.write(buffer), ClosedError);
  await assertRejects(() => splice(reader, writer, 1), ClosedError);
  await assertRejects(() => tee(reader, writer, 1), ClosedError);
  assertEquals(called, false);
});

leakTest("PipeReader.close() ends pending reads at once", async () => {
  using ends = pipe();
  const reads = [1, 2, 3].map((n) =>
    ends.reader.read(new Uint8Array(n)).catch((error) => error)
  );
  await turns();
  ends.reader.close();
  for (const error of await soon(Promise.all(reads))) {
    assertInstanceOf(error, ClosedError);
  }
  assertEquals(pendingWaits(), 0);
});

leakTest(
  "PipeReader.close() in the same turn ends a read that just began",
  async () => {
    using ends = pipe();
    const reading = ends.reader.read(new Uint8Array(1));
    ends.reader.close();
    await assertRejects(() => soon(reading), ClosedError);
    assertEquals(pendingWaits(), 0);
  },
);

leakTest("PipeWriter.close() ends pending writes at once", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  fill(writer);
  const writes = [1, PIPE_BUF, 100_000].map((size) =>
    writer.write(new Uint8Array(size)).catch((error) => error)
  );
  await turns();
  writer.close();
  for (const error of await soon(Promise.all(writes))) {
    assertInstanceOf(error, ClosedError);
  }
  assertEquals(pendingWaits(), 0);
  assertEquals((await readAll(reader)).length, 65536);
});

leakTest(
  "PipeWriter ends its reader only when the last copy is closed",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const copy = PipeWriter.fromFd(
      fcntl().fcntl(writer.fd, 1030, /* F_DUPFD_CLOEXEC */ 0),
    );
    const reading = reader.read(new Uint8Array(8));
    writer.close();
    await turns();
    assertEquals(reader.tryRead(new Uint8Array(8)), undefined);
    copy.close();
    assertEquals(await soon(reading), null);
  },
);

// --- Writing ----------------------------------------------------------------

leakTest("PipeWriter reports EPIPE when no reader is left", async () => {
  const { reader, writer } = pipe();
  using _writer = writer;
  reader.close();
  const one = new Uint8Array(1);
  assertRefused(() => writer.writeSync(one), "EPIPE", "write");
  assertRefused(() => writer.writeSync(one, { timeout: 5 }), "EPIPE", "write");
  const error = assertRefused(() => writer.tryWrite(one), "EPIPE", "write");
  assertEquals([error.errno, error.subject], [32, "pipe"]);
  assertEquals(error.message, "write pipe: Broken pipe (EPIPE)");
  await assertRefusedLater(() => writer.write(one), "EPIPE", "write");
});

leakTest(
  "PipeWriter.write() reports EPIPE in the middle of a wait",
  async () => {
    const { reader, writer } = pipe();
    using _writer = writer;
    const writes = [200_000, 10].map((size) =>
      writer.write(new Uint8Array(size))
    );
    await turns();
    reader.close();
    for (const writing of writes) {
      await assertRefusedLater(() => writing, "EPIPE", "write");
    }
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "PipeWriter reports EPIPE when the reading process is killed",
  { needs: [noCompiler] },
  async () => {
    for (const how of ["write", "writeSync"] as const) {
      const { reader, writer } = pipe();
      using _writer = writer;
      await using child = await give(reader, "hold");
      await child.expect("ready");
      if (how === "write") {
        const writing = writer.write(new Uint8Array(200_000));
        await turns();
        child.kill("SIGKILL");
        await assertRefusedLater(() => writing, "EPIPE", "write");
      } else {
        child.kill("SIGKILL"); // comes while this thread is blocked, or before
        assertRefused(
          () => writer.writeSync(new Uint8Array(200_000)),
          "EPIPE",
          "write",
        );
      }
    }
  },
);

leakTest("PipeWriter writes nothing, and says 0", async () => {
  using ends = pipe();
  const nothing = new Uint8Array(0);
  assertEquals(ends.writer.writeSync(nothing), 0);
  assertEquals(ends.writer.tryWrite(nothing), 0);
  assertEquals(await ends.writer.write(nothing), 0);
  fill(ends.writer);
  assertEquals(ends.writer.writeSync(nothing, { timeout: 0 }), 0);
  assertEquals(await ends.writer.write(nothing, { timeout: 0 }), 0);
});

leakTest(
  "PipeWriter.writeSync() and write() write all to a slow reader",
  { needs: [noCompiler] },
  async () => {
    const size = 300_001;
    const all = pattern(size);
    const sum = sipSum(all);
    for (const how of ["writeSync", "write"] as const) {
      for (const timeout of [undefined, 20_000]) {
        const { reader, writer } = pipe();
        await using child = await give(reader, "sip");
        assertEquals(await writer[how](all, { timeout }), size);
        writer.close();
        assertEquals(await assertSucceeded(child), `${size} ${sum}\n`);
      }
    }
  },
);

leakTest("PipeWriter.write() writes all in parts", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const all = pattern(1_000_003);
  const writing = writer.write(all);
  const got: Bytes[] = [];
  for (let total = 0; total < all.length;) {
    const buffer = new Uint8Array(4999);
    const count = await soon(reader.read(buffer));
    got.push(buffer.subarray(0, count!));
    total += count!;
  }
  assertEquals(await writing, all.length);
  assertBytes(concatenate(got), all);
});

leakTest("PipeWriter.tryWrite() writes what there is room for", () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const big = pattern(100_000);
  assertEquals(writer.tryWrite(big), 65536);
  assertStrictEquals(writer.tryWrite(big), undefined);
  assertStrictEquals(writer.tryWrite(Uint8Array.of(1)), undefined);
  const got = new Uint8Array(65536);
  assertEquals(reader.readSync(got), 65536);
  assertBytes(got, big.subarray(0, 65536));
});

leakTest(
  "PipeWriter.tryWrite() writes up to PIPE_BUF bytes all or not at all",
  () => {
    assertEquals(PIPE_BUF, 4096);
    using ends = pipe();
    const { reader, writer } = ends;
    fill(writer);
    // No whole page is free, but the last one has room for some bytes.
    reader.readSync(new Uint8Array(PIPE_BUF));
    assertEquals(writer.tryWrite(new Uint8Array(PIPE_BUF - 10)), PIPE_BUF - 10);
    for (const size of [11, 100, PIPE_BUF]) {
      assertStrictEquals(
        writer.tryWrite(new Uint8Array(size)),
        undefined,
        `${size}`,
      );
    }
    assertEquals(reader.available, 65536 - 10);
    assertEquals(writer.tryWrite(new Uint8Array(10)), 10);
    assertEquals(writer.tryWrite(new Uint8Array(1)), undefined);
  },
);

leakTest("PipeWriter.writeSync() and write() end at the timeout", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  fill(writer);
  for (const timeout of [0, 1, 20]) {
    for (const size of [1, PIPE_BUF, 100_000]) {
      const chunk = new Uint8Array(size);
      await assertTimesOut(() => writer.writeSync(chunk, { timeout }), timeout);
      await assertTimesOut(() => writer.write(chunk, { timeout }), timeout);
    }
  }
  assertEquals(reader.available, 65536); // none of them wrote anything
  assertEquals(reader.readSync(new Uint8Array(65536)), 65536);
  // More than PIPE_BUF: a part is written.
  await assertTimesOut(
    () => writer.write(new Uint8Array(100_000), { timeout: 5 }),
    5,
  );
  assertEquals(reader.available, 65536);
});

leakTest(
  "PipeWriter.write() with an aborted signal writes nothing",
  async () => {
    using ends = pipe();
    const reason = new Error("never mind");
    const signal = AbortSignal.abort(reason);
    const error = await assertRejects(() =>
      ends.writer.write(utf8("x"), { signal })
    );
    assertStrictEquals(error, reason);
    assertEquals(ends.reader.available, 0);
  },
);

/** Four processes write records of PIPE_BUF bytes; none of them arrives torn. */
async function assertAtomic(
  start: (fd: number, letter: string, count: number) => Child,
): Promise<void> {
  const { reader, writer } = pipe();
  using _reader = reader;
  const count = rounds(400, 3_000);
  const children = [..."abcd"].map((letter) =>
    writer.inherit((fd) => start(fd, letter, count))
  );
  writer.close();
  const seen = new Map<string, number>();
  const record = new Uint8Array(PIPE_BUF);
  for (let filled = 0;;) {
    const got = await reader.read(record.subarray(filled));
    if (got === null) break;
    filled += got;
    if (filled < PIPE_BUF) continue;
    filled = 0;
    assert(record.every((byte) => byte === record[0]), "a record is torn");
    const letter = String.fromCharCode(record[0]!);
    seen.set(letter, (seen.get(letter) ?? 0) + 1);
  }
  const expected = [..."abcd"].map((letter) => [letter, count]);
  for (const child of children) {
    await using one = child;
    await assertSucceeded(one);
  }
  assertEquals([...seen].sort(), expected);
}

function writerScript(dir: Scratch, write: string): string {
  return dir.file(
    "writer.ts",
    `import { PipeWriter } from "${import.meta.resolve("../ffi/pipe.ts")}";
    const [fd, letter, count] = Deno.args;
    const writer = PipeWriter.fromFd(Number(fd));
    const record = new Uint8Array(${PIPE_BUF}).fill(letter.charCodeAt(0));
    for (let i = 0; i < Number(count); i++) {
      ${write}
    }`,
  );
}

leakTest(
  "PipeWriter.writeSync() of PIPE_BUF bytes is atomic among four processes",
  { soak: "also", needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const program = await compile(PEER);
    const script = writerScript(dir, "writer.writeSync(record);");
    await assertAtomic((fd, letter, count) =>
      letter < "c"
        ? spawn(program, { args: ["records", `${fd}`, letter, `${count}`] })
        : spawnDeno(script, { args: [`${fd}`, letter, `${count}`] })
    );
  },
);

leakTest(
  "PipeWriter.write() of PIPE_BUF bytes is atomic among four processes",
  { soak: "also" },
  async () => {
    using dir = scratch();
    const script = writerScript(
      dir,
      "if (i % 2 === 0 || writer.tryWrite(record) === undefined) await writer.write(record);",
    );
    await assertAtomic((fd, letter, count) =>
      spawnDeno(script, { args: [`${fd}`, letter, `${count}`] })
    );
  },
);

leakTest(
  "PipeWriter.write() does not mix what is written at once",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const sizes = [200_000, 1, 5000, 70_000, 4096, 300_000];
    const writes = sizes.map((size, index) =>
      writer.write(new Uint8Array(size).fill(index + 1))
    );
    const all = readAll(reader);
    assertEquals(await soon(Promise.all(writes), 10_000), sizes);
    writer.close();
    const expected = concatenate(
      sizes.map((size, index) => new Uint8Array(size).fill(index + 1)),
    );
    assertBytes(await all, expected); // in the order of the calls, each in one piece
  },
);

leakTest("PipeWriter writes nothing into the middle of a write()", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const one = Uint8Array.of(1);
  const pending = writer.write(new Uint8Array(200_000));
  assertEquals(reader.tryRead(new Uint8Array(100_000)), 65536); // there is room
  assertEquals(writer.tryWrite(one), undefined);
  assertThrows(() => writer.writeSync(one), Error, "pending");
  assertThrows(() => writer.writeSync(one, { timeout: 0 }), Error, "pending");
  const all = readAll(reader);
  await soon(pending);
  assertEquals(writer.tryWrite(one), 1);
  const refused = writer.write(new Uint8Array(200_000)).catch((error) => error);
  writer.close();
  assertThrows(() => writer.tryWrite(one), ClosedError);
  assertThrows(() => writer.writeSync(one), ClosedError);
  assertInstanceOf(await soon(refused), ClosedError);
  await soon(all);
});

leakTest(
  "PipeWriter.write() goes on after one that was aborted in the middle",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const controller = new AbortController();
    const { signal } = controller;
    const first = writer.write(new Uint8Array(200_000).fill(1), { signal })
      .catch((error) => error);
    const second = writer.write(new Uint8Array(100_000).fill(2));
    const third = writer.write(new Uint8Array(10).fill(3), { signal })
      .catch((error) => error);
    const fourth = writer.write(new Uint8Array(10).fill(4));
    await turns();
    controller.abort("stop");
    assertEquals(await first, "stop");
    assertEquals(await third, "stop");
    const all = readAll(reader);
    assertEquals(await soon(Promise.all([second, fourth])), [100_000, 10]);
    writer.close();
    // A part of the first, then the whole second right behind it; the third had
    // not begun.
    const got = await all;
    const kinds = [1, 2, 3, 4].map((kind) =>
      got.reduce((sum, byte) => sum + (byte === kind ? 1 : 0), 0)
    );
    assertEquals(kinds, [65536, 100_000, 0, 10]);
    assert(got.every((byte, i) => i === 0 || byte >= got[i - 1]!));
  },
);

leakTest(
  "PipeWriter.write() ends at its timeout while another one writes",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const first = writer.write(new Uint8Array(100_000).fill(1));
    await assertTimesOut(() => writer.write(utf8("x"), { timeout: 0 }), 0);
    await assertTimesOut(() => writer.write(utf8("x"), { timeout: 10 }), 10);
    const all = readAll(reader);
    assertEquals(await soon(first), 100_000);
    assertEquals(await soon(writer.write(utf8("y"))), 1); // the lock is free again
    writer.close();
    assertEquals((await all).length, 100_001);
  },
);

leakTest("PipeWriter.write() survives a storm of aborted writes", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  fill(writer);
  const writes: Promise<unknown>[] = [];
  let kept = 0;
  for (let i = 0; i < 1000; i++) {
    const controller = new AbortController();
    const { signal } = controller;
    if (i % 3 === 0) kept++;
    writes.push(
      writer.write(Uint8Array.of(1), i % 3 === 0 ? {} : { signal })
        .catch(() => 0),
    );
    if (i % 3 === 1) queueMicrotask(() => controller.abort());
    if (i % 3 === 2) setTimeout(() => controller.abort(), i % 7);
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  const all = readAll(reader);
  const counts = await soon(Promise.all(writes), 10_000) as number[];
  assertEquals(counts.reduce((a, b) => a + b), kept);
  writer.close();
  assertEquals((await all).reduce((a, b) => a + b), kept);
  assertEquals(pendingWaits(), 0);
});

// --- Capacity ---------------------------------------------------------------

leakTest("PipeReader.available counts what can be read", () => {
  using ends = pipe();
  assertEquals(ends.reader.available, 0);
  ends.writer.writeSync(new Uint8Array(1000));
  assertEquals(ends.reader.available, 1000);
  ends.writer.writeSync(new Uint8Array(10));
  ends.reader.readSync(new Uint8Array(7));
  assertEquals(ends.reader.available, 1003);
  ends.writer.close();
  assertEquals(ends.reader.available, 1003);
});

leakTest("PipeReader.capacity and PipeWriter.capacity are the same one", () => {
  using ends = pipe();
  const { reader, writer } = ends;
  assertEquals([reader.capacity, writer.capacity], [65536, 65536]);
  assertEquals(reader.setCapacity(100_000), 131_072); // rounded up
  assertEquals([reader.capacity, writer.capacity], [131_072, 131_072]);
  assertEquals(fill(writer), 131_072);
  reader.readSync(new Uint8Array(131_072));
  assertEquals(writer.setCapacity(1), PIPE_BUF); // at least a page
  assertEquals([reader.capacity, writer.capacity], [PIPE_BUF, PIPE_BUF]);
  assertEquals(fill(writer), PIPE_BUF);
});

leakTest(
  "PipeWriter.setCapacity() makes room for a write that waits",
  async () => {
    using ends = pipe();
    fill(ends.writer);
    const writing = ends.writer.write(new Uint8Array(PIPE_BUF));
    await turns();
    ends.writer.setCapacity(131_072);
    assertEquals(await soon(writing), PIPE_BUF);
  },
);

leakTest("PipeReader.setCapacity() refuses wrong numbers", () => {
  using ends = pipe();
  for (const end of [ends.reader, ends.writer]) {
    for (const size of [0, -1, 1.5, NaN, Infinity, 2 ** 31]) {
      assertThrows(() => end.setCapacity(size), RangeError);
    }
    assertThrows(() => end.setCapacity("1" as unknown as number), TypeError);
    assertEquals(end.capacity, 65536);
  }
});

leakTest(
  "PipeReader.setCapacity() reports EBUSY below what the pipe holds",
  () => {
    using ends = pipe();
    ends.writer.writeSync(new Uint8Array(PIPE_BUF * 3));
    for (const end of [ends.reader, ends.writer]) {
      const error = assertRefused(
        () => end.setCapacity(PIPE_BUF),
        "EBUSY",
        "fcntl",
      );
      assertEquals([error.limit, error.subject], [undefined, "pipe"]);
      assertEquals(end.capacity, 65536);
    }
  },
);

leakTest(
  "PipeReader.setCapacity() reports EPERM above the limit, and the limit",
  { needs: [noOtherUser] },
  async () => {
    const limit = Number(Deno.readTextFileSync(MAX_SIZE));
    const { stdout } = await runAsNobody(`
      import { pipe } from "@linux/ipc/pipe";
      using ends = pipe();
      for (const end of [ends.reader, ends.writer]) {
        try {
          end.setCapacity(${limit} + 1);
        } catch (error) {
          console.log(error.name, error.code, error.syscall, error.limit.name,
            error.limit.value, error.message.endsWith("${MAX_SIZE} is ${limit}"));
        }
      }
    `);
    const line = `IpcError EPERM fcntl ${MAX_SIZE} ${limit} true\n`;
    assertEquals(stdout, line + line);
  },
);

// --- Packets ----------------------------------------------------------------

leakTest("pipe({ packets: true }) keeps each write apart", async () => {
  using ends = pipe({ packets: true });
  const { reader, writer } = ends;
  for (const packet of ["one", "three", "!"]) writer.writeSync(utf8(packet));
  assertEquals(writer.tryWrite(utf8("tried")), 5);
  assertEquals(await writer.write(new Uint8Array(PIPE_BUF)), PIPE_BUF);
  const buffer = new Uint8Array(PIPE_BUF);
  const next = (count: number) => text(buffer.subarray(0, count));
  assertEquals(next(reader.readSync(buffer)!), "one");
  assertEquals(next((await reader.read(buffer))!), "three");
  assertEquals(next(reader.tryRead(buffer)!), "!");
  assertEquals(next(reader.readSync(buffer)!), "tried");
  assertEquals(reader.readSync(buffer), PIPE_BUF);
  assertEquals(reader.tryRead(buffer), undefined);
});

leakTest(
  "pipe({ packets: true }) loses what the buffer has no room for",
  () => {
    using ends = pipe({ packets: true });
    ends.writer.writeSync(utf8("a long packet"));
    ends.writer.writeSync(utf8("next"));
    const buffer = new Uint8Array(PIPE_BUF);
    assertEquals(ends.reader.readSync(buffer.subarray(0, 6)), 6);
    assertEquals(ends.reader.readSync(buffer), 4);
    assertEquals(text(buffer.subarray(0, 4)), "next");
  },
);

leakTest(
  "pipe({ packets: true }) cuts a larger write into packets",
  async () => {
    using ends = pipe({ packets: true });
    const { reader, writer } = ends;
    const size = PIPE_BUF * 30 + 100; // more than fits, so it is written in parts
    const writing = writer.write(pattern(size));
    const counts: number[] = [];
    const got: Bytes[] = [];
    for (let total = 0; total < size;) {
      const buffer = new Uint8Array(65536);
      const count = (await soon(reader.read(buffer)))!;
      counts.push(count);
      got.push(buffer.subarray(0, count));
      total += count;
    }
    assertEquals(await writing, size);
    assertEquals(counts, [...new Array(30).fill(PIPE_BUF), 100]);
    assertBytes(concatenate(got), pattern(size));
  },
);

leakTest("pipe({ packets: false }) joins writes", () => {
  using ends = pipe({ packets: false });
  ends.writer.writeSync(utf8("one"));
  ends.writer.writeSync(utf8("two"));
  assertEquals(ends.reader.readSync(new Uint8Array(64)), 6);
});

// --- Streams ----------------------------------------------------------------

/** A stream of numbered chunks that counts what is taken from it. */
function source(
  size: number,
  end = Infinity,
): { stream: ReadableStream<Bytes>; taken: number; cancelled: unknown } {
  const counter = {
    stream: new ReadableStream<Bytes>({
      pull(controller) {
        if (counter.taken >= end) return controller.close();
        controller.enqueue(pattern(size, counter.taken));
        counter.taken += size;
      },
      cancel(reason) {
        counter.cancelled = reason;
      },
    }, { highWaterMark: 0 }),
    taken: 0,
    cancelled: undefined as unknown,
  };
  return counter;
}

leakTest("PipeReader.readable is one stream of bytes to the end", async () => {
  const { reader, writer } = pipe();
  assertStrictEquals(reader.readable, reader.readable);
  const all = pattern(300_000);
  const writing = writer.write(all).then(() => writer.close());
  const got: Bytes[] = [];
  for await (const chunk of reader.readable) got.push(chunk);
  await writing;
  assertBytes(concatenate(got), all);
  assertThrows(() => reader.fd, ClosedError); // its end closes the pipe's end
});

leakTest("PipeReader.readable reads only what is taken", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  writer.writeSync(new Uint8Array(1000));
  const stream = reader.readable;
  await turns();
  assertEquals(reader.available, 1000);
  const chunks = stream.getReader();
  assertEquals((await soon(chunks.read())).value!.length, 1000);
  writer.writeSync(new Uint8Array(10));
  await turns();
  assertEquals(reader.available, 10);
  await chunks.cancel();
});

leakTest(
  "PipeReader.readable reads into a buffer of the caller's",
  async () => {
    const { reader, writer } = pipe();
    writer.writeSync(utf8("hello world"));
    const chunks = reader.readable.getReader({ mode: "byob" });
    let view: Bytes = new Uint8Array(5);
    const first = await soon(chunks.read(view));
    assertEquals([first.done, text(first.value!)], [false, "hello"]);
    view = new Uint8Array(100);
    const second = await soon(chunks.read(view.subarray(50)));
    assertEquals([second.done, text(second.value!)], [false, " world"]);
    assertEquals(second.value!.byteOffset, 50);
    const third = chunks.read(new Uint8Array(8));
    await turns();
    writer.close();
    const end = await soon(third);
    assertEquals([end.done, end.value!.length], [true, 0]);
    assertThrows(() => reader.fd, ClosedError);
  },
);

leakTest(
  "PipeReader.readable keeps what comes for a reader that let go",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const first = reader.readable.getReader();
    const reading = first.read();
    await turns();
    first.releaseLock();
    await assertRejects(() => reading, TypeError);
    writer.writeSync(utf8("kept"));
    const second = reader.readable.getReader();
    assertEquals(text((await soon(second.read())).value!), "kept");
    await second.cancel();
  },
);

leakTest(
  "PipeReader.readable closes the end when it is cancelled",
  async () => {
    const { reader, writer } = pipe();
    using _writer = writer;
    const chunks = reader.readable.getReader();
    const reading = chunks.read(); // pending
    await turns();
    await soon(chunks.cancel("enough"));
    assertEquals((await reading).done, true);
    assertThrows(() => reader.fd, ClosedError);
    assertRefused(() => writer.tryWrite(utf8("x")), "EPIPE", "write");
    await turns(); // nothing is rejected unseen
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "PipeReader.readable is closed by leaving a loop over it",
  async () => {
    const { reader, writer } = pipe();
    using _writer = writer;
    writer.writeSync(utf8("first"));
    for await (const chunk of reader.readable) {
      assertEquals(text(chunk), "first");
      break;
    }
    assertThrows(() => reader.fd, ClosedError);
  },
);

leakTest(
  "PipeReader.readable fails when the end is closed beside it",
  async () => {
    using ends = pipe();
    const chunks = ends.reader.readable.getReader();
    const reading = chunks.read();
    await turns();
    ends.reader.close();
    await assertRejects(() => soon(reading), ClosedError);
    await assertRejects(() => chunks.closed, ClosedError);
  },
);

leakTest(
  "PipeReader.readable and PipeWriter.writable pass bytes on",
  async () => {
    const first = pipe();
    const second = pipe();
    const moving = first.reader.readable
      .pipeThrough(new CompressionStream("gzip"))
      .pipeThrough(new DecompressionStream("gzip"))
      .pipeTo(second.writer.writable);
    const all = pattern(500_000);
    const writing = first.writer.write(all).then(() => first.writer.close());
    assertBytes(await readAll(second.reader), all);
    await Promise.all([moving, writing]);
    for (const end of [first.reader, second.writer]) {
      assertThrows(() => end.fd, ClosedError);
    }
    second.reader.close();
  },
);

leakTest("PipeReader.readable decodes as text", async () => {
  const { reader, writer } = pipe();
  const lines = reader.readable.pipeThrough(new TextDecoderStream());
  const all = utf8("한 줄의 글");
  writer.writeSync(all.subarray(0, 5)); // to the middle of a character
  const chunks = lines.getReader();
  assertEquals((await soon(chunks.read())).value, "한 ");
  writer.writeSync(all.subarray(5));
  writer.close();
  assertEquals((await soon(chunks.read())).value, "줄의 글");
  assertEquals((await soon(chunks.read())).done, true);
});

leakTest("PipeWriter.writable takes no more than the pipe does", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const size = 65536;
  const total = size * 64;
  const from = source(size, total);
  const moving = from.stream.pipeTo(writer.writable);
  await until(() => reader.available === 65536, "full pipe");
  await turns(20); // the reader is stalled: nothing more is taken
  assert(from.taken <= 4 * size, `${from.taken} bytes were taken`);
  let got = 0;
  const buffer = new Uint8Array(10_000);
  for (let count; (count = await reader.read(buffer)) !== null; got += count) {
    assertBytes(buffer.subarray(0, count), pattern(count, got));
    assert(from.taken - got <= 6 * size, "more is taken than the reader reads");
  }
  assertEquals(got, total);
  await moving;
  assertThrows(() => writer.fd, ClosedError);
});

leakTest("PipeWriter.writable tells by `ready` when to go on", async () => {
  using ends = pipe();
  const { reader, writer } = ends;
  assertStrictEquals(writer.writable, writer.writable);
  const chunks = writer.writable.getWriter();
  fill(writer);
  assertEquals(chunks.desiredSize, 1);
  const writing = chunks.write(utf8("waits"));
  assertEquals(chunks.desiredSize, 0);
  let ready = false;
  const isReady = chunks.ready.then(() => ready = true);
  await turns();
  assertEquals(ready, false);
  reader.readSync(new Uint8Array(65536));
  await soon(isReady);
  await writing;
  await chunks.close();
});

leakTest(
  "PipeWriter.writable closes the end after the last chunk",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const chunks = writer.writable.getWriter();
    const writes = [1, 2, 3].map((n) =>
      chunks.write(new Uint8Array(50_000).fill(n))
    );
    const closing = chunks.close();
    const got = await readAll(reader);
    await soon(Promise.all([...writes, closing]));
    assertEquals(got.length, 150_000);
    assertThrows(() => writer.fd, ClosedError);
  },
);

leakTest("PipeWriter.writable closes the end when it is aborted", async () => {
  const { reader, writer } = pipe();
  using _reader = reader;
  await soon(writer.writable.abort("never mind"));
  assertThrows(() => writer.fd, ClosedError);
  assertEquals(reader.tryRead(new Uint8Array(1)), null);
});

leakTest(
  "PipeWriter.writable is aborted at once though the reader is stalled",
  async () => {
    using ends = pipe();
    const chunks = ends.writer.writable.getWriter();
    chunks.closed.catch(() => {});
    const writing = chunks.write(new Uint8Array(100_000)).catch((error) =>
      error
    );
    await turns();
    await soon(chunks.abort(new Error("enough")));
    assertInstanceOf(await writing, Error);
    assertThrows(() => ends.writer.fd, ClosedError);
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "PipeWriter.close() ends a pipeTo() whose reader is stalled",
  async () => {
    using ends = pipe();
    const controller = new AbortController();
    const { signal } = controller;
    const from = source(65536);
    const moving = from.stream.pipeTo(ends.writer.writable, { signal })
      .catch((error) => error);
    await until(() => ends.reader.available === 65536, "full pipe");
    await turns();
    // An aborted pipeTo() first waits for the chunk on its way: so it is specified.
    controller.abort("enough");
    ends.writer.close();
    await soon(moving);
    assertNotEquals(from.cancelled, undefined);
    assertEquals(pendingWaits(), 0);
  },
);

leakTest(
  "PipeWriter.writable closes the end when its source fails",
  async () => {
    const { reader, writer } = pipe();
    using _reader = reader;
    const failing = new ReadableStream<Bytes>({
      pull() {
        throw new Error("no more");
      },
    }, { highWaterMark: 0 });
    await assertRejects(
      () => failing.pipeTo(writer.writable),
      Error,
      "no more",
    );
    assertThrows(() => writer.fd, ClosedError);
  },
);

leakTest("PipeWriter.writable cancels its source at EPIPE", async () => {
  const { reader, writer } = pipe();
  using _writer = writer;
  const from = source(65536);
  const moving = from.stream.pipeTo(writer.writable).catch((error) => error);
  await until(() => reader.available === 65536, "full pipe");
  reader.close();
  const error = await soon(moving);
  assertInstanceOf(error, IpcError);
  assertEquals(error.code, "EPIPE");
  assertStrictEquals(from.cancelled, error);
});

leakTest("PipeWriter.writable closes the end when a write fails", async () => {
  const { reader, writer } = pipe();
  using _writer = writer;
  reader.close();
  const chunks = writer.writable.getWriter();
  chunks.closed.catch(() => {});
  await assertRejects(() => chunks.write(utf8("x")), IpcError, "EPIPE");
  // The stream is no more than an error from here on: nothing else closes it.
  await assertRejects(() => chunks.close());
  assertThrows(() => writer.fd, ClosedError);
});

leakTest("PipeWriter.writable refuses what is no Uint8Array", async () => {
  using ends = pipe();
  const chunks = ends.writer.writable.getWriter();
  chunks.closed.catch(() => {});
  const other = "text" as unknown as Bytes;
  await assertRejects(() => chunks.write(other), TypeError, "Uint8Array");
  assertEquals(ends.reader.available, 0);
});

// --- Large amounts ----------------------------------------------------------

const SIZE = rounds(2 ** 27, 2 ** 30);

/** A block whose length has nothing to do with pages, and the sum of them all. */
const BLOCK = pattern(1_000_003);

function blockHash(total: number): string {
  const hash = createHash("sha1");
  for (let done = 0; done < total; done += BLOCK.length) {
    hash.update(BLOCK.subarray(0, Math.min(BLOCK.length, total - done)));
  }
  return hash.digest("hex");
}

leakTest(
  "PipeWriter.write() brings much to a slow reader, in little memory",
  { soak: "also" },
  async () => {
    using dir = scratch();
    const { reader, writer } = pipe();
    using _reader = reader;
    await using child = giveDeno(
      dir,
      writer,
      `const writer = PipeWriter.fromFd(fd);
      const block = new Uint8Array(${BLOCK.length});
      for (let at = 0; at < block.length; at++) {
        block[at] = at * 31 + (at >>> 8) * 17 + (at >>> 16);
      }
      await writer.write(block.subarray(0, 1));
      const before = Deno.memoryUsage().rss;
      let peak = before;
      let left = ${SIZE} - 1;
      let rest = block.subarray(1);
      while (left > 0) {
        left -= await writer.write(rest.subarray(0, Math.min(rest.length, left)));
        rest = block;
        peak = Math.max(peak, Deno.memoryUsage().rss);
      }
      writer.close();
      console.log(peak - before);`,
    );
    const hash = createHash("sha1");
    const buffer = new Uint8Array(65536);
    const before = Deno.memoryUsage().rss;
    let peak = before;
    let total = 0;
    let pause = 0;
    for (let count; (count = await reader.read(buffer)) !== null;) {
      hash.update(buffer.subarray(0, count));
      total += count;
      if (total < pause) continue;
      pause += SIZE / 64;
      await new Promise((resolve) => setTimeout(resolve, 2)); // slow
      peak = Math.max(peak, Deno.memoryUsage().rss);
    }
    assertEquals(total, SIZE);
    assertEquals(hash.digest("hex"), blockHash(SIZE));
    const grown = Number(await assertSucceeded(child));
    assert(grown < 64 * 2 ** 20, `the writer grew by ${grown} bytes`);
    assert(peak - before < 64 * 2 ** 20, `the reader grew by ${peak - before}`);
  },
);

// --- splice() and tee() -----------------------------------------------------

leakTest("splice() moves between pipes, and says null at the end", async () => {
  using one = pipe();
  using two = pipe();
  one.writer.writeSync(utf8("hello"));
  assertEquals(await splice(one.reader, two.writer, 2), 2);
  assertEquals(await splice(one.reader, two.writer, 65536), 3);
  const buffer = new Uint8Array(8);
  assertEquals(two.reader.readSync(buffer), 5);
  assertEquals(text(buffer.subarray(0, 5)), "hello");
  const moving = splice(one.reader, two.writer, 65536);
  await turns();
  assertEquals(pendingWaits(), 1);
  one.writer.writeSync(utf8("!"));
  assertEquals(await soon(moving), 1);
  const last = splice(one.reader, two.writer, 65536);
  await turns();
  one.writer.close();
  assertEquals(await soon(last), null);
  assertEquals(await splice(one.reader, two.writer, 1), null);
  assertEquals(two.reader.available, 1);
});

leakTest("splice() moves from a file to a pipe, and to a file", async () => {
  using dir = scratch();
  const all = pattern(200_000);
  using from = openRaw(dir.file("from", all), O_RDONLY);
  using to = openRaw(dir.file("to", ""), O_RDWR);
  using ends = pipe();
  const { reader, writer } = ends;
  const filling = (async () => {
    let total = 0;
    for (let n; (n = await splice(from.fd, writer, 2 ** 30)) !== null;) {
      total += n;
    }
    writer.close();
    return total;
  })();
  let total = 0;
  for (let n; (n = await splice(reader, to.fd, 2 ** 30)) !== null;) total += n;
  assertEquals([await filling, total], [all.length, all.length]);
  assertBytes(Deno.readFileSync(`${dir.path}/to`), all);
});

leakTest("splice() moves between a pipe and a socket", async () => {
  const [here, there] = socketPair();
  using _here = here;
  using one = pipe();
  using two = pipe();
  const all = pattern(1_000_000);
  const writing = one.writer.write(all).then(() => one.writer.close());
  const sending = (async () => {
    using _there = there;
    while (await splice(one.reader, there.fd, 65536) !== null);
  })();
  const receiving = (async () => {
    while (await splice(here.fd, two.writer, 65536) !== null);
    two.writer.close();
  })();
  assertBytes(await soon(readAll(two.reader), 10_000), all);
  await Promise.all([writing, sending, receiving]);
});

leakTest(
  "splice() to a full socket, which is blocking, does not block this thread",
  async () => {
    const result = await inChild(async () => {
      const { pipe, splice } = await import("../ffi/pipe.ts");
      const { sysSocket } = await import("../ffi/libc/sys_socket.ts");
      const fds = new Int32Array(2);
      sysSocket().socketpair(1, 1, 0, fds); // AF_UNIX, SOCK_STREAM
      using ends = pipe();
      const chunk = new Uint8Array(65536);
      for (let moved = 0; moved < 2 ** 24;) { // until nothing more fits
        if (ends.reader.available === 0) ends.writer.tryWrite(chunk);
        try {
          moved +=
            (await splice(ends.reader, fds[0]!, 65536, { timeout: 20 }))!;
        } catch (error) {
          return (error as Error).name;
        }
      }
      return "endless";
    }, { limit: 5000 });
    assertEquals(result, "TimeoutError");
  },
);

leakTest("splice() waits while the target is full", async () => {
  using one = pipe();
  using two = pipe();
  one.writer.writeSync(utf8("more"));
  fill(two.writer);
  let moved = false;
  const moving = splice(one.reader, two.writer, 10).finally(() => moved = true);
  await turns(10);
  assertEquals(moved, false);
  assertEquals(one.reader.available, 4);
  two.reader.readSync(new Uint8Array(65536));
  assertEquals(await soon(moving), 4);
});

leakTest("splice() from a file waits while the target is full", async () => {
  using dir = scratch();
  using from = openRaw(dir.file("from", "text"), O_RDONLY);
  using ends = pipe();
  fill(ends.writer);
  const moving = splice(from.fd, ends.writer, 10);
  await turns(5);
  ends.reader.readSync(new Uint8Array(65536));
  assertEquals(await soon(moving), 4);
});

leakTest("splice() and tee() end by timeout, abort and close", async () => {
  for (const move of [splice, tee]) {
    using empty = pipe();
    using full = pipe();
    using some = pipe();
    fill(full.writer);
    some.writer.writeSync(Uint8Array.of(1));
    for (
      const [from, to] of [
        [empty.reader, some.writer], // waits for the source
        [some.reader, full.writer], // waits for the target
      ] as const
    ) {
      for (const timeout of [0, 10]) {
        await assertTimesOut(() => move(from, to, 1, { timeout }), timeout);
      }
      const controller = new AbortController();
      const { signal } = controller;
      const moving = move(from, to, 1, { signal }).catch((error) => error);
      await turns();
      controller.abort("enough");
      assertEquals(await soon(moving), "enough");
      const late = move(from, to, 1, { signal }).catch((error) => error);
      assertEquals(await soon(late), "enough");
      const closed = move(from, to, 1);
      await turns();
      (from === empty.reader ? from : to).close();
      await assertRejects(() => soon(closed), ClosedError);
    }
    assertEquals(pendingWaits(), 0);
  }
});

leakTest(
  "splice() and tee() take nothing of who has a closed source's number",
  async () => {
    for (const move of [splice, tee]) {
      const one = pipe();
      using two = pipe();
      one.writer.writeSync(utf8("mine"));
      while (two.writer.tryWrite(new Uint8Array(4096)) !== undefined);
      const moving = assertRejects(
        () => move(one.reader, two.writer, 100),
        ClosedError,
      );
      await turns(); // it waits for room in the second
      const { fd } = one.reader;
      one.reader.close();
      using other = pipe();
      assertEquals(other.reader.fd, fd);
      other.writer.writeSync(utf8("not mine"));
      const size = two.reader.available;
      two.reader.readSync(new Uint8Array(size));
      await moving;
      assertEquals([other.reader.available, two.reader.available], [8, 0]);
      one.writer.close();
    }
  },
);

leakTest(
  "splice() and tee() touch nothing under a number that was closed",
  async () => {
    using dir = scratch();
    for (const move of [splice, tee]) {
      for (const room of ["with", "without"]) {
        using source = pipe();
        using other = pipe();
        const target = pipe();
        if (room === "without") fill(target.writer);
        const { fd } = target.writer;
        const moving = move(source.reader, target.writer, 1)
          .catch((error) => error);
        await turns(); // it waits for the source
        target.writer.close();
        const { fcntl: call } = fcntl();
        const again = call(other.writer.fd, F_DUPFD_CLOEXEC, fd);
        assertEquals(again, fd); // is another's now
        source.writer.writeSync(Uint8Array.of(1));
        assertInstanceOf(await soon(moving), ClosedError);
        assertEquals([source.reader.available, other.reader.available], [1, 0]);
        target.reader.close();
        unistd().close(fd);
      }
    }
    assertEquals([dir.list(), pendingWaits()], [[], 0]);
  },
);

leakTest("splice() and tee() refuse what is out of range", async () => {
  using one = pipe();
  using two = pipe();
  one.writer.writeSync(Uint8Array.of(1));
  for (const move of [splice, tee]) {
    for (const length of [0, -1, 1.5, NaN, 2 ** 31]) {
      await assertRejects(
        () => move(one.reader, two.writer, length),
        RangeError,
      );
    }
    for (const fd of [-1, 1.5, 2 ** 31]) {
      await assertRejects(() => move(fd, two.writer, 1), RangeError);
      await assertRejects(() => move(one.reader, fd, 1), RangeError);
    }
    const nothing = {} as { fd: number };
    await assertRejects(() => move(nothing, two.writer, 1), TypeError);
    await assertRejects(
      () => move(one.reader, two.writer, 1, { timeout: -1 }),
      RangeError,
    );
  }
});

leakTest("splice() reports EINVAL, EBADF and EPIPE", async () => {
  using dir = scratch();
  using from = openRaw(dir.file("from", "text"), O_RDONLY);
  using to = openRaw(dir.file("to", ""), O_RDWR);
  using appending = openRaw(dir.file("log", ""), 1 | 0x400); // O_WRONLY | O_APPEND
  using one = pipe();
  using two = pipe();
  one.writer.writeSync(utf8("text"));
  const { reader, writer } = one;
  await assertRefusedLater(() => splice(from.fd, to.fd, 1), "EINVAL", "splice");
  await assertRefusedLater(() => splice(reader, writer, 1), "EINVAL", "splice");
  const error = await assertRefusedLater(
    () => splice(reader, appending.fd, 1),
    "EINVAL",
    "splice",
  );
  assertEquals(
    error.subject,
    `descriptor ${reader.fd} to descriptor ${appending.fd}`,
  );
  await assertRefusedLater(
    () => splice(writer, two.writer, 1),
    "EBADF",
    "splice",
  );
  await assertRefusedLater(
    () => splice(reader, two.reader, 1),
    "EBADF",
    "splice",
  );
  await assertRefusedLater(() => splice(reader, from.fd, 1), "EBADF", "splice");
  await assertRefusedLater(() => splice(reader, 19_999, 1), "EBADF", "splice");
  two.reader.close();
  await assertRefusedLater(
    () => splice(reader, two.writer, 1),
    "EPIPE",
    "splice",
  );
  assertEquals(reader.available, 4);
});

leakTest("tee() copies, and leaves what it copied", async () => {
  using one = pipe();
  using copy = pipe();
  one.writer.writeSync(utf8("hello"));
  assertEquals(await tee(one.reader, copy.writer, 2), 2);
  assertEquals(await tee(one.reader, copy.writer, 65536), 5);
  const buffer = new Uint8Array(16);
  assertEquals(copy.reader.readSync(buffer), 7);
  assertEquals(text(buffer.subarray(0, 7)), "hehello");
  assertEquals(one.reader.readSync(buffer), 5);
  const copying = tee(one.reader, copy.writer, 65536);
  await turns();
  one.writer.writeSync(utf8("more"));
  assertEquals(await soon(copying), 4);
  assertEquals(one.reader.readSync(buffer), 4);
  one.writer.close();
  assertEquals(await soon(tee(one.reader, copy.writer, 1)), null);
});

leakTest("tee() waits while the target is full", async () => {
  using one = pipe();
  using copy = pipe();
  one.writer.writeSync(utf8("more"));
  fill(copy.writer);
  const copying = tee(one.reader, copy.writer, 10);
  await turns(5);
  assertEquals(pendingWaits(), 1);
  copy.reader.readSync(new Uint8Array(65536));
  assertEquals(await soon(copying), 4);
  assertEquals(one.reader.available, 4);
});

leakTest(
  "tee() reports EINVAL for what is no pipe, or the same one",
  async () => {
    using dir = scratch();
    using file = openRaw(dir.file("file", "text"), O_RDWR);
    using one = pipe();
    const { reader, writer } = one;
    writer.writeSync(utf8("text"));
    await assertRefusedLater(() => tee(file.fd, writer, 1), "EINVAL", "tee");
    await assertRefusedLater(() => tee(reader, file.fd, 1), "EINVAL", "tee");
    await assertRefusedLater(() => tee(reader, writer, 1), "EINVAL", "tee");
  },
);

leakTest("tee() and splice() duplicate a stream to its end", async () => {
  using one = pipe();
  using copy = pipe();
  using rest = pipe();
  const all = pattern(400_000);
  const writing = one.writer.write(all).then(() => one.writer.close());
  const copies = readAll(copy.reader);
  const moved = readAll(rest.reader);
  for (let n; (n = await tee(one.reader, copy.writer, 65536)) !== null;) {
    while (n > 0) n -= (await splice(one.reader, rest.writer, n))!;
  }
  copy.writer.close();
  rest.writer.close();
  await writing;
  assertBytes(await copies, all);
  assertBytes(await moved, all);
});

leakTest(
  "PipeReader and PipeWriter.detach() give the descriptor away",
  async () => {
    const { reader, writer } = pipe();
    const reading = reader.read(new Uint8Array(1));
    const fds = [reader.detach(), writer.detach()] as const;
    await assertRejects(() => reading, ClosedError);
    for (const end of [reader, writer]) {
      assertThrows(() => end.fd, ClosedError);
      assertThrows(() => end.detach(), ClosedError);
      end.close();
    }
    using again = PipeReader.fromFd(fds[0]);
    using out = PipeWriter.fromFd(fds[1]);
    out.writeSync(utf8("x"));
    assertEquals(again.readSync(new Uint8Array(2)), 1);
  },
);

leakTest("Deno.inspect() shows what the end of a pipe is", () => {
  using ends = pipe();
  const { reader, writer } = ends;
  const { fd } = reader;
  assertEquals(
    Deno.inspect(reader),
    `PipeReader { name: "pipe", fd: ${fd}, closed: false }`,
  );
  ends.close();
  assertEquals(
    Deno.inspect(writer),
    'PipeWriter { name: "pipe", closed: true }',
  );
});

leakTest("pipe() and duplexPipe() can be closed, and not assigned to", () => {
  const ends = pipe();
  const sides = duplexPipe();
  using other = pipe();
  const strangers = [ends, sides[0], sides] as unknown as Record<
    string,
    unknown
  >[];
  for (const object of strangers) {
    for (const name of Object.keys(object)) {
      assertThrows(() => object[name] = other, TypeError);
    }
  }
  sides.close();
  ends.close();
  ends.close();
  for (const { reader, writer } of [ends, ...sides]) {
    assertThrows(() => reader.fd, ClosedError);
    assertThrows(() => writer.fd, ClosedError);
  }
});

// --- duplexPipe() -----------------------------------------------------------

leakTest("duplexPipe() connects each side with the other", async () => {
  const [here, there] = duplexPipe();
  {
    using _here = here;
    const buffer = new Uint8Array(8);
    for (const [from, to] of [[here, there], [there, here]] as [Pipe, Pipe][]) {
      from.writer.writeSync(utf8("question"));
      assertEquals(to.reader.readSync(buffer), 8);
      assertEquals(to.reader.tryRead(buffer), undefined);
      assertEquals(from.reader.tryRead(buffer), undefined); // not its own words
    }
    const reading = there.reader.read(buffer);
    here.writer.close(); // one direction ends, the other goes on
    assertEquals(await soon(reading), null);
    there.writer.writeSync(utf8("!"));
    assertEquals(here.reader.readSync(buffer), 1);
  }
  assertThrows(() => here.reader.fd, ClosedError);
  assertRefused(() => there.writer.tryWrite(utf8("x")), "EPIPE", "write");
  there[Symbol.dispose]();
  assertThrows(() => there.reader.fd, ClosedError);
});

leakTest(
  "duplexPipe() exchanges questions and answers with a child",
  async () => {
    using dir = scratch();
    const [here, there] = duplexPipe();
    using _here = here;
    const url = import.meta.resolve("../ffi/pipe.ts");
    const script = dir.file(
      "child.ts",
      `import { PipeReader, PipeWriter } from "${url}";
    using reader = PipeReader.fromFd(Number(Deno.args[0]));
    using writer = PipeWriter.fromFd(Number(Deno.args[1]));
    const buffer = new Uint8Array(64);
    for (let count; (count = await reader.read(buffer)) !== null;) {
      await writer.write(buffer.slice(0, count).reverse());
    }`,
    );
    await using child = there.reader.inherit((fd) =>
      there.writer.inherit((other) =>
        spawnDeno(script, { args: [`${fd}`, `${other}`] })
      )
    );
    there[Symbol.dispose]();
    const buffer = new Uint8Array(64);
    for (let round = 0; round < 100; round++) {
      await here.writer.write(utf8(`question ${round}`));
      const count = await here.reader.read(buffer);
      const answer = text(buffer.slice(0, count!).reverse());
      assertEquals(answer, `question ${round}`);
    }
    here.writer.close();
    assertEquals(await soon(here.reader.read(buffer), 10_000), null);
    await assertSucceeded(child);
  },
);

// --- fromFd() ---------------------------------------------------------------

leakTest(
  "PipeReader.fromFd() and PipeWriter.fromFd() take an end over",
  async () => {
    const ends = pipe();
    // Without close-on-exec, as a parent hands them over.
    const [from, to] = [ends.reader, ends.writer].map((end) =>
      fcntl().fcntl(end.fd, 0, /* F_DUPFD */ 0)
    ) as [number, number];
    ends[Symbol.dispose]();
    assert(!isCloseOnExec(from));
    const reader = PipeReader.fromFd(from);
    const writer = PipeWriter.fromFd(to, { name: "the log" });
    assertEquals([reader.fd, writer.fd], [from, to]);
    assert(isCloseOnExec(from) && isCloseOnExec(to));
    await writer.write(utf8("hello"));
    assertEquals(await reader.read(new Uint8Array(8)), 5);
    await assertRejects(
      () => reader.read(new Uint8Array(8), { timeout: 0 }),
      DOMException,
      `descriptor ${from}`,
    );
    reader.close();
    const error = assertRefused(
      () => writer.writeSync(utf8("x")),
      "EPIPE",
      "write",
    );
    assertEquals(error.subject, "the log");
    writer.close();
    assertThrows(() => writer.fd, ClosedError, "the log");
  },
);

leakTest("PipeReader.fromFd() takes over both ways of one descriptor", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  assertEquals(
    new Deno.Command("mkfifo", { args: [path] }).outputSync().code,
    0,
  );
  const { fcntl: call, open } = fcntl();
  const fd = open(utf8(`${path}\0`), O_RDWR | O_CLOEXEC, 0);
  using reader = PipeReader.fromFd(fd);
  using writer = PipeWriter.fromFd(call(fd, 1030, /* F_DUPFD_CLOEXEC */ 0));
  writer.writeSync(utf8("abc"));
  assertEquals(reader.readSync(new Uint8Array(8)), 3);
});

leakTest(
  "PipeReader.fromFd() and PipeWriter.fromFd() refuse other kinds",
  () => {
    using dir = scratch();
    using file = openRaw(dir.file("file", "text"), O_RDWR);
    using directory = openRaw(dir.path, O_RDONLY);
    using device = openRaw("/dev/null", O_RDWR);
    const [socket, other] = socketPair();
    using _socket = socket, _other = other;
    using ends = pipe();
    for (const { fd } of [file, directory, device, socket]) {
      assertThrows(() => PipeReader.fromFd(fd), TypeError, "must be a pipe");
      assertThrows(() => PipeWriter.fromFd(fd), TypeError, "must be a pipe");
      assert(isCloseOnExec(fd)); // still open, and as it was
    }
    for (const fd of [-1, 1.5, NaN, 2 ** 31]) {
      assertThrows(() => PipeReader.fromFd(fd), RangeError);
      assertThrows(() => PipeWriter.fromFd(fd), RangeError);
    }
    for (const fd of ["3", null, undefined] as unknown as number[]) {
      assertThrows(() => PipeReader.fromFd(fd), TypeError);
      assertThrows(() => PipeWriter.fromFd(fd), TypeError);
    }
    const { reader, writer } = ends;
    assertThrows(() => PipeReader.fromFd(writer.fd), TypeError, "for reading");
    assertThrows(() => PipeWriter.fromFd(reader.fd), TypeError, "for writing");
    writer.writeSync(utf8("both ends are still open"));
    assertEquals(reader.available, 24);
  },
);

leakTest("PipeReader.fromFd() refuses a FIFO that is only held", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  assertEquals(
    new Deno.Command("mkfifo", { args: [path] }).outputSync().code,
    0,
  );
  using held = openRaw(path, 0x200000 /* O_PATH */);
  // It can be neither read nor written: read(2) would say EBADF.
  const copy = () => fcntl().fcntl(held.fd, 1030, /* F_DUPFD_CLOEXEC */ 0);
  for (const end of [PipeReader, PipeWriter]) {
    const fd = copy();
    let taken: Disposable | undefined;
    try {
      taken = end.fromFd(fd);
    } catch {
      unistd().close(fd);
    }
    taken?.[Symbol.dispose]();
    assertStrictEquals(taken, undefined);
  }
});

leakTest("PipeReader.fromFd() reports EBADF for a closed descriptor", () => {
  const { reader, writer } = pipe();
  const fds = [reader.fd, writer.fd];
  reader.close();
  writer.close();
  for (const fd of [...fds, 19_999]) {
    const error = assertRefused(() => PipeReader.fromFd(fd), "EBADF", "fcntl");
    assertEquals([error.errno, error.subject], [9, `descriptor ${fd}`]);
    assertRefused(() => PipeWriter.fromFd(fd, { name: "x" }), "EBADF", "fcntl");
  }
});

// --- inherit() --------------------------------------------------------------

/** Which descriptors a child has, given what starts it. */
async function descriptorsOfChild(start: () => Child): Promise<number[]> {
  await using child = start();
  const listed = await assertSucceeded(child);
  return listed.trim().split(" ").map(Number);
}

leakTest(
  "PipeReader.inherit() gives a child that descriptor and no other",
  { needs: [noCompiler] },
  async () => {
    using ends = pipe();
    using _others = pipe();
    const [here, there] = duplexPipe();
    using _here = here, _there = there;
    const program = await compile(PEER);
    const list = () => spawn(program, { args: ["list", "0"] });
    const without = await descriptorsOfChild(list);
    for (const end of [ends.reader, ends.writer]) {
      const fds = await descriptorsOfChild(() =>
        end.inherit((fd) => {
          assertEquals(fd, end.fd);
          assert(!isCloseOnExec(fd));
          return list();
        })
      );
      const added = fds.filter((fd) => !without.includes(fd));
      assertEquals(added, [end.fd]);
      assert(isCloseOnExec(end.fd));
    }
    assertEquals(await descriptorsOfChild(list), without);
  },
);

leakTest("PipeWriter.inherit() gives a Deno child no other pipe", async () => {
  using dir = scratch();
  const ends = pipe();
  using others = pipe();
  const ours = [...placesOf(ends), ...placesOf(others)];
  await using child = giveDeno(
    dir,
    ends.writer,
    `const pipes = [];
    for (const { name } of Deno.readDirSync("/proc/self/fd")) {
      try {
        const to = Deno.readLinkSync("/proc/self/fd/" + name);
        if (to.startsWith("pipe:")) pipes.push(name + " " + to);
      } catch {
        // The directory's own.
      }
    }
    using writer = PipeWriter.fromFd(fd);
    await writer.write(new TextEncoder().encode(pipes.join("\\n")));`,
  );
  const [readEnd, writeEnd, ...rest] = ours;
  const told = text(await readAll(ends.reader)).split("\n");
  assert(told.includes(writeEnd!), told.join());
  for (const other of [readEnd!, ...rest]) assert(!told.includes(other), other);
  ends.reader.close();
  await assertSucceeded(child);
});

function placesOf({ reader, writer }: Pipe): string[] {
  return [reader, writer].map(({ fd }) =>
    `${fd} ${Deno.readLinkSync(`/proc/self/fd/${fd}`)}`
  );
}

leakTest(
  "PipeReader.inherit() gives a blocking descriptor, whatever it was here",
  { needs: [noCompiler] },
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const reading = reader.read(new Uint8Array(1));
    writer.writeSync(Uint8Array.of(1));
    await reading;
    assertEquals(flagsOf(reader.fd) & O_NONBLOCK, 0);
    setNonblocking(reader.fd, true); // as another process may
    await using child = await give(reader, "echo");
    assertEquals(await child.line(), "blocking");
    await child.settled(); // in its read
    writer.writeSync(utf8("for the child"));
    assertEquals(await child.line(), "for the child");
    await assertSucceeded(child);
  },
);

leakTest(
  "PipeReader.inherit() leaves the end usable in either way",
  async () => {
    using ends = pipe();
    const { reader, writer } = ends;
    const buffer = new Uint8Array(8);
    assertEquals(reader.tryRead(buffer), undefined);
    assertEquals(reader.inherit(() => "result"), "result");
    assertEquals(reader.tryRead(buffer), undefined); // it does not block
    assertEquals(reader.inherit(() => 1), 1);
    const reading = reader.read(buffer);
    await turns();
    writer.inherit(() => 0);
    assertEquals(await writer.write(utf8("abc")), 3);
    assertEquals(await soon(reading), 3);
  },
);

leakTest(
  "PipeReader.inherit() restores close-on-exec when `spawn` throws",
  () => {
    using ends = pipe();
    for (const end of [ends.reader, ends.writer]) {
      assertThrows(
        () =>
          end.inherit(() => {
            throw new Error("cannot spawn");
          }),
        Error,
        "cannot spawn",
      );
      assert(isCloseOnExec(end.fd));
      assertThrows(
        () => end.inherit(() => spawn("/nowhere/program")),
        Deno.errors.NotFound,
      );
      assert(isCloseOnExec(end.fd));
    }
  },
);

leakTest("PipeReader.inherit() lets `spawn` close the end", () => {
  using ends = pipe();
  const { reader, writer } = ends;
  let reused: PipeReader | undefined;
  reader.inherit((fd) => {
    reader.close();
    // The number belongs to another now, which inherit() must not touch.
    reused = PipeReader.fromFd(
      (() => {
        using other = pipe();
        assertEquals(other.reader.fd, fd);
        return fcntl().fcntl(other.reader.fd, 0, /* F_DUPFD */ 0);
      })(),
    );
  });
  reused!.close();
  assertRefused(() => writer.tryWrite(utf8("x")), "EPIPE", "write");
});

leakTest(
  "PipeReader.inherit() does not make a pending read block this thread",
  async () => {
    const result = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      using ends = pipe();
      const buffer = new Uint8Array(1);
      const reads = [1, 2].map(() => ends.reader.read(buffer));
      await new Promise((resolve) => setTimeout(resolve, 5));
      ends.reader.inherit(() => 0); // which makes it blocking
      ends.writer.tryWrite(new Uint8Array(1)); // both are woken; one is too late
      await new Promise((resolve) => setTimeout(resolve, 5));
      ends.writer.close();
      return await Promise.all(reads);
    }, { limit: 5000 });
    assertEquals(result, [1, null]);
  },
);

leakTest(
  "PipeWriter.inherit() does not make a pending write block this thread",
  async () => {
    const result = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      using ends = pipe();
      const writing = ends.writer.write(new Uint8Array(300_000));
      await new Promise((resolve) => setTimeout(resolve, 5));
      ends.writer.inherit(() => 0);
      let total = 0;
      const buffer = new Uint8Array(4096);
      while (total < 300_000) total += (await ends.reader.read(buffer))!;
      return [await writing, total];
    }, { limit: 5000 });
    assertEquals(result, [300_000, 300_000]);
  },
);

leakTest(
  "PipeWriter.inherit() lets a child write what this reads",
  { needs: [noCompiler] },
  async () => {
    const { reader, writer } = pipe();
    using _reader = reader;
    await using child = await give(writer, "say", "one ", "two ", "three");
    assertEquals(text(await readAll(reader)), "one two three");
    await assertSucceeded(child);
  },
);

leakTest(
  "PipeReader.fromFd() reads in a Deno child what this writes",
  async () => {
    using dir = scratch();
    const { reader, writer } = pipe();
    using _writer = writer;
    await using child = giveDeno(
      dir,
      reader,
      `const reader = PipeReader.fromFd(fd);
    for await (const text of reader.readable.pipeThrough(new TextDecoderStream())) {
      console.log(text);
    }`,
    );
    for (const line of ["one", "둘", "three"]) {
      await writer.write(utf8(line));
      assertEquals(await child.line(), line);
    }
    writer.close();
    await assertSucceeded(child);
  },
);

leakTest(
  "PipeReader and PipeWriter never block when another clears O_NONBLOCK",
  async () => {
    const told = await inChild(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      const { setNonblocking } = await import("./support/descriptors.ts");
      const { reader, writer } = pipe();
      const buffer = new Uint8Array(65536);
      const told: unknown[] = [];
      const both = (on: boolean) => {
        setNonblocking(reader.fd, on);
        setNonblocking(writer.fd, on);
      };
      for (const on of [true, false, true, false]) {
        both(on);
        told.push(reader.tryRead(buffer) === undefined);
        const waiting = reader.read(buffer);
        both(!on);
        await new Promise((resolve) => setTimeout(resolve, 20));
        both(on);
        writer.tryWrite(Uint8Array.of(1));
        told.push(await waiting);
        while (writer.tryWrite(buffer) !== undefined) { /* there was room */ }
        const writing = writer.write(new Uint8Array(1));
        both(!on);
        await new Promise((resolve) => setTimeout(resolve, 20));
        both(on);
        told.push(reader.tryRead(buffer), await writing);
        told.push(reader.tryRead(buffer));
        try {
          reader.readSync(buffer, { timeout: 10 });
        } catch (error) {
          told.push((error as Error).name);
        }
      }
      reader.close();
      writer.close();
      return told;
    });
    const round = [true, 1, 65536, 1, 1, "TimeoutError"];
    assertEquals(told, [...round, ...round, ...round, ...round]);
  },
);
