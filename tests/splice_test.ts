/** splice() and tee() with files: positions, limits, and what other processes see. */
import { assertEquals, assertRejects } from "@std/assert";
import { IpcError } from "../ffi/errors.ts";
import { Fifo } from "../ffi/fifo.ts";
import {
  O_APPEND,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../ffi/libc/fcntl.ts";
import { pipe, splice, tee } from "../ffi/pipe.ts";
import { utf8 } from "./support/bytes.ts";
import { inChild } from "./support/child.ts";
import {
  flagsOf,
  openRaw,
  setNonblocking,
  socketPair,
} from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";

leakTest(
  "splice() reads a file at a position, and leaves its own",
  async () => {
    using dir = scratch();
    using file = openRaw(dir.file("data", "0123456789"), O_RDONLY);
    using ends = pipe();
    const buffer = new Uint8Array(16);
    const text = () =>
      new TextDecoder().decode(
        buffer.subarray(0, ends.reader.tryRead(buffer) ?? 0),
      );
    const from = (sourceOffset: number) =>
      splice(file.fd, ends.writer, 4, { sourceOffset });
    assertEquals([await from(3), text()], [4, "3456"]);
    assertEquals([await from(8), text()], [2, "89"]);
    assertEquals([await splice(file.fd, ends.writer, 4), text()], [4, "0123"]);
    assertEquals(await from(10), null);
    assertEquals(await from(Number.MAX_SAFE_INTEGER), null);
  },
);

leakTest(
  "splice() writes to a file at a position, and leaves its own",
  async () => {
    using dir = scratch();
    const path = dir.file("data", "0123456789");
    using file = openRaw(path, O_RDWR);
    using ends = pipe();
    ends.writer.writeSync(utf8("abcdef"));
    const options = { targetOffset: 6 };
    assertEquals(await splice(ends.reader, file.fd, 2, options), 2);
    assertEquals(
      await splice(ends.reader, file.fd, 2, { targetOffset: 12 }),
      2,
    );
    assertEquals(await splice(ends.reader, file.fd, 9), 2);
    assertEquals(Deno.readTextFileSync(path), "ef2345ab89\0\0cd");
  },
);

leakTest("splice() refuses a position that is none", async () => {
  using dir = scratch();
  using file = openRaw(dir.file("data", "0123456789"), O_RDONLY);
  using ends = pipe();
  for (const offset of [-1, 1.5, NaN, 2 ** 53]) {
    for (const name of ["sourceOffset", "targetOffset"]) {
      await assertRejects(
        () => splice(file.fd, ends.writer, 1, { [name]: offset }),
        RangeError,
        name,
      );
    }
  }
  ends.writer.writeSync(utf8("x"));
  const [a, b] = socketPair();
  using _a = a;
  using _b = b;
  const refused = [
    ["EINVAL", ends.reader, b.fd, { targetOffset: 0 }],
    ["ESPIPE", ends.reader, b.fd, { sourceOffset: 0 }],
    ["ESPIPE", file.fd, ends.writer, { targetOffset: 0 }],
  ] as const;
  for (const [code, from, to, options] of refused) {
    await assertRejects(() => splice(from, to, 1, options), IpcError, code);
  }
});

leakTest("splice() says EBADF and EINVAL of the target", async () => {
  using dir = scratch();
  const path = dir.file("data", "0123456789");
  using reading = openRaw(path, O_RDONLY);
  using appending = openRaw(path, O_WRONLY | O_APPEND);
  using ends = pipe();
  ends.writer.writeSync(utf8("x"));
  const into = (fd: number) => splice(ends.reader, fd, 1);
  await assertRejects(() => into(reading.fd), IpcError, "EBADF");
  await assertRejects(() => into(appending.fd), IpcError, "EINVAL");
  await assertRejects(() => into(ends.writer.fd), IpcError, "EINVAL");
  await assertRejects(() => tee(ends.reader, reading.fd, 1), IpcError);
});

leakTest(
  "splice() beyond RLIMIT_FSIZE says EFBIG, and the process lives",
  async () => {
    using dir = scratch();
    const path = dir.file("data", "");
    const told = await inChild(async (path: string) => {
      const { pipe, splice } = await import("../ffi/pipe.ts");
      const { outcome } = await import("./support/child.ts");
      const { openRaw } = await import("./support/descriptors.ts");
      using file = openRaw(path, 1); // O_WRONLY
      using ends = pipe();
      ends.writer.writeSync(new Uint8Array(3000));
      const RLIMIT_FSIZE = 1;
      const { setrlimit } = Deno.dlopen("libc.so.6", {
        setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
      }).symbols;
      const limit = 1n << 24n; // what the runtime writes stays below
      setrlimit(RLIMIT_FSIZE, new BigUint64Array([limit, limit]));
      const into = async (targetOffset?: number) => {
        const options = { targetOffset };
        const move = () => splice(ends.reader, file.fd, 1000, options);
        return (await outcome(move)).replace(/\d+:/, "N:");
      };
      const end = Number(limit);
      return [await into(end - 500), await into(end), await into(2 ** 30)];
    }, { argument: path });
    const refused =
      "IpcError: splice descriptor N: File too large (EFBIG); RLIMIT_FSIZE is 16777216";
    assertEquals(told, ["returns", refused, refused]);
    assertEquals(Deno.statSync(path).size, 1 << 24);
  },
);

leakTest("splice() and tee() leave descriptors blocking", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  using named = fifo.openBoth();
  using one = pipe();
  using two = pipe();
  using file = openRaw(dir.file("data", "0123456789"), O_RDWR);
  const [a, b] = socketPair();
  using _a = a;
  using _b = b;
  for (const { fd } of [a, b]) setNonblocking(fd, false);
  one.writer.writeSync(utf8("123456"));
  await tee(one.reader, two.writer, 2);
  await splice(one.reader, named.writer, 2);
  await splice(named.reader, file.fd, 2);
  await splice(one.reader, a.fd, 2);
  await splice(b.fd, two.writer, 2);
  // Also where they wait.
  const soon = { timeout: 5 };
  await assertRejects(() => splice(b.fd, two.writer, 2, soon), DOMException);
  await assertRejects(
    () => splice(named.reader, a.fd, 2, soon),
    DOMException,
  );
  const ends = [one.reader, one.writer, two.reader, two.writer];
  for (const { fd } of [...ends, named.reader, named.writer, file, a, b]) {
    assertEquals(flagsOf(fd) & O_NONBLOCK, 0);
  }
  setNonblocking(a.fd, true);
  one.writer.writeSync(utf8("12"));
  await splice(one.reader, a.fd, 2);
  assertEquals(flagsOf(a.fd) & O_NONBLOCK, O_NONBLOCK); // as it was
});
