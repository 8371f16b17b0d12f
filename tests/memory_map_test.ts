import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { statfsSync } from "node:fs";
import { ClosedError, IpcError, MemoryMap } from "../ffi/memory_map.ts";
import { cstring, i16, i32, struct } from "../ffi/struct.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { compile, noCompiler } from "./support/c.ts";
import { codeWith } from "./support/code.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { unshareFlags } from "./support/namespaces.ts";
import { exists, readAt, run, spawn } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser } from "./support/user.ts";

const PAGE = 4096; // the boundaries below are those of any larger page, too
const GIB = 2 ** 30;

// --- Helpers ----------------------------------------------------------------

const { code, spawnCode, runCode, runCodeAfter, nobodys } = codeWith({
  MemoryMap: "memory-map",
});

/** As many bytes, each different from its neighbours near and far. */
function pattern(size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
}

/** Both kinds of mapping. */
const KINDS = [{ private: false }, { private: true }];

// --- open -------------------------------------------------------------------

leakTest("MemoryMap.open() shows the file", () => {
  using dir = scratch();
  for (const size of [1, 6, PAGE - 1, PAGE, PAGE + 1, 100_003]) {
    const path = dir.file("data", pattern(size));
    for (const options of [undefined, {}, ...KINDS]) {
      using map = MemoryMap.open(path, options);
      assertEquals(map.bytes, pattern(size));
      assertEquals([map.bytes.byteOffset, map.bytes.buffer.byteLength], [
        0,
        size,
      ]);
      assertStrictEquals(map.bytes, map.bytes);
    }
  }
});

leakTest("MemoryMap.open() and openWhenReady() wait for the size", async () => {
  using dir = scratch();
  const path = dir.file("data", "");
  const open = MemoryMap.openWhenReady;
  for (const timeout of [0, 20]) {
    const error = assertThrows(
      () => MemoryMap.open(path, { timeout }),
      DOMException,
      path,
    );
    assertEquals(error.name, "TimeoutError");
    await assertRejects(() => open(path, { timeout }), DOMException, path);
  }
  const opened = open(path, { offset: 2, resizable: true });
  await Deno.writeTextFile(path, "hello");
  using map = await opened;
  map.resize(6);
  assertEquals(new TextDecoder().decode(map.bytes), "llo\0");
  using whole = MemoryMap.open(path, { timeout: 0 });
  assertEquals(whole.byteLength, 6);
  const signal = AbortSignal.abort(new Error("enough"));
  await assertRejects(() => open(path, { signal }), Error, "enough");
  await assertRejects(() => open(dir.file("none")), IpcError, "ENOENT");
  await assertRejects(() => open(path, { offset: 6 }), RangeError, "offset");
  assertThrows(() => MemoryMap.open(path, { timeout: -1 }), RangeError);
});

leakTest("MemoryMap.open() shares what is written with all", () => {
  using dir = scratch();
  const path = dir.file("data", "hello world\n");
  using map = MemoryMap.open(path);
  using other = MemoryMap.open(path);
  using copy = MemoryMap.open(path, { private: true });
  map.bytes.set(new TextEncoder().encode("HELLO"));
  assertEquals(Deno.readTextFileSync(path), "HELLO world\n");
  assertEquals(other.bytes, map.bytes);
  assertEquals(copy.bytes, map.bytes, "as far as it has not been written to");
  using file = Deno.openSync(path, { write: true });
  file.writeSync(new TextEncoder().encode("J"));
  assertEquals([map.bytes[0], other.bytes[0]], [74, 74]);
  map.close();
  assertEquals(Deno.readTextFileSync(path), "JELLO world\n");
});

leakTest("MemoryMap.open() keeps what is written to a private mapping", () => {
  using dir = scratch();
  const path = dir.file("data", pattern(2 * PAGE));
  using map = MemoryMap.open(path, { private: true });
  using other = MemoryMap.open(path, { private: true });
  using shared = MemoryMap.open(path);
  map.bytes.fill(0xff);
  map.flushSync();
  assertEquals(other.bytes, pattern(2 * PAGE));
  shared.bytes[PAGE]! = 1;
  assertEquals(map.bytes[PAGE], 0xff);
  map.close();
  shared.bytes[PAGE]! = pattern(PAGE + 1)[PAGE]!;
  assertEquals(Deno.readFileSync(path), pattern(2 * PAGE));
});

leakTest("MemoryMap.open() begins and ends where it is told to", () => {
  using dir = scratch();
  const size = 70_000;
  const path = dir.file("data", pattern(size));
  const all = pattern(size);
  for (
    const [offset, length] of [
      [0, undefined],
      [0, 1],
      [0, size],
      [1, undefined],
      [1, 1],
      [1, 10],
      [PAGE - 1, 2],
      [PAGE, PAGE],
      [PAGE + 1, 3 * PAGE],
      [65_536, undefined],
      [65_537, 100],
      [undefined, 5],
      [size - 1, undefined],
      [size - 1, 1],
    ]
  ) {
    const start = offset ?? 0;
    const end = length === undefined ? size : start + length;
    for (const kind of KINDS) {
      using map = MemoryMap.open(path, { offset, length, ...kind });
      assertEquals(map.bytes, all.slice(start, end), `${offset} + ${length}`);
      assertEquals(map.bytes.buffer.byteLength, end - start);
      map.bytes[0]! ^= 0xff;
      map.bytes[map.bytes.length - 1]! ^= 0xff;
      map.flushSync();
      if (!kind.private) {
        all[start]! ^= 0xff;
        all[end - 1]! ^= 0xff;
      }
    }
    assertEquals(Deno.readFileSync(path), all);
  }
});

leakTest("MemoryMap.open() refuses a range that is not in the file", () => {
  using dir = scratch();
  const path = dir.file("data", pattern(100));
  for (const kind of KINDS) {
    for (
      const [options, message] of [
        [{ offset: 100 }, `must be below 100 (the size of ${path}): 100`],
        [{ offset: PAGE }, `must be below 100 (the size of ${path}): 4096`],
        [{ offset: 100, length: 1 }, `"offset"`],
        [
          { length: 101 },
          `must be at most 100 (the size of ${path} from offset 0): 101`,
        ],
        [
          { offset: 99, length: 2 },
          `must be at most 1 (the size of ${path} from offset 99): 2`,
        ],
        [{ length: PAGE }, `"length"`],
        [{ offset: Number.MAX_SAFE_INTEGER }, `"offset"`],
        [{ length: Number.MAX_SAFE_INTEGER }, `"length"`],
        [
          { offset: 1, length: Number.MAX_SAFE_INTEGER },
          `"length"`,
        ],
      ] as const
    ) {
      const open = () => MemoryMap.open(path, { ...options, ...kind });
      assertThrows(open, RangeError, message);
    }
  }
  assertEquals(Deno.readFileSync(path), pattern(100));
});

leakTest("MemoryMap.open() refuses what is no offset or length", () => {
  using dir = scratch();
  const path = dir.file("missing"); // and before it looks at the file
  for (const value of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
    const offset = () => MemoryMap.open(path, { offset: value });
    assertThrows(offset, RangeError, '"offset"');
    const length = () => MemoryMap.open(path, { length: value });
    assertThrows(length, RangeError, '"length"');
  }
  assertThrows(() => MemoryMap.open(path, { length: 0 }), RangeError);
  for (const wrong of ["1", 1n, true, {}]) {
    const value = wrong as unknown as number;
    assertThrows(() => MemoryMap.open(path, { offset: value }), TypeError);
    assertThrows(() => MemoryMap.open(path, { length: value }), TypeError);
  }
});

leakTest("MemoryMap.open() refuses an empty file", () => {
  using dir = scratch();
  const path = dir.file("empty", "");
  for (const kind of KINDS) {
    for (const range of [{}, { length: 1 }, { offset: 1 }]) {
      const { message } = assertThrows(
        () => MemoryMap.open(path, { ...range, ...kind }),
        RangeError,
      );
      assertEquals(message, `Cannot map ${path}: it is empty`);
    }
  }
  assertEquals(Deno.statSync(path).size, 0);
});

leakTest("MemoryMap.open() refuses a file that is missing", () => {
  using dir = scratch();
  for (const kind of KINDS) {
    const path = dir.file("missing");
    const error = assertRefused(
      () => MemoryMap.open(path, kind),
      "ENOENT",
      "open",
    );
    assertEquals(
      error.message,
      `open ${path}: No such file or directory (ENOENT)`,
    );
    const below = `${dir.file("file", "x")}/data`;
    assertRefused(() => MemoryMap.open(below, kind), "ENOTDIR", "open");
  }
  assertEquals(dir.list(), ["file"]);
});

leakTest("MemoryMap refuses what is no path", () => {
  const call = [
    (path: string) => MemoryMap.open(path),
    (path: string) => MemoryMap.open(path, { private: true }),
    (path: string) => MemoryMap.create(path, 1),
  ];
  for (const use of call) {
    for (const path of ["", "a\0b", "\0", "/tmp/\ud800", 5, null, undefined]) {
      assertThrows(() => use(path as string), TypeError, '"path"');
    }
    for (
      const path of [
        "x".repeat(256),
        `/tmp/${"가".repeat(86)}/x`,
        "/x".repeat(2048),
      ]
    ) {
      assertThrows(() => use(path), RangeError, '"path"');
    }
  }
});

leakTest("MemoryMap.open() follows a symbolic link", () => {
  using dir = scratch();
  const path = dir.file("김함지", "data");
  const link = dir.file("link");
  Deno.symlinkSync(path, link);
  using map = MemoryMap.open(link);
  map.bytes[0] = 68;
  assertEquals(Deno.readTextFileSync(path), "Data");
});

leakTest("MemoryMap.open() keeps no descriptor, and no name", () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  using map = MemoryMap.open(path);
  const fds = Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch {
      return "";
    }
  });
  assert(!fds.includes(path));
  Deno.removeSync(path);
  map.bytes[0] = 74;
  assertEquals(new TextDecoder().decode(map.bytes), "Jello");
});

leakTest("MemoryMap.open() maps beyond 4 GiB", () => {
  using dir = scratch();
  const path = dir.file("sparse", "begin");
  const size = 5 * GIB + 5;
  Deno.truncateSync(path, size);
  const offset = 4 * GIB + 3;
  {
    using map = MemoryMap.open(path, { offset, length: 5 });
    assertEquals(map.bytes, new Uint8Array(5));
    map.bytes.set([1, 2, 3, 4, 5]);
  }
  assertEquals(readAt(path, offset - 1, 7), Uint8Array.of(0, 1, 2, 3, 4, 5, 0));
  assertEquals(readAt(path, 0, 6), new TextEncoder().encode("begin\0"));
  {
    using map = MemoryMap.open(path);
    assertEquals(map.bytes.length, size);
    assertEquals(map.bytes[offset + 4], 5);
    map.bytes[size - 1] = 9;
  }
  assertEquals(readAt(path, size - 1, 2), Uint8Array.of(9));
  using last = MemoryMap.open(path, { offset: size - 1 });
  assertEquals(last.bytes, Uint8Array.of(9));
});

// --- open: what is no regular file ------------------------------------------

leakTest("MemoryMap.open() refuses a directory", () => {
  using dir = scratch();
  for (const kind of KINDS) {
    const error = assertThrows(() => MemoryMap.open(dir.path, kind), Error);
    assert(
      error instanceof TypeError ||
        error instanceof IpcError && error.code === "EISDIR",
      error.message,
    );
    assert(error.message.includes(dir.path), error.message);
  }
});

leakTest("MemoryMap.open() refuses a device", () => {
  for (const path of ["/dev/null", "/dev/zero"]) {
    for (const kind of KINDS) {
      assertThrows(
        () => MemoryMap.open(path, kind),
        TypeError,
        `Cannot map ${path}: it is not a regular file`,
      );
    }
  }
});

leakTest("MemoryMap.open() refuses a socket", () => {
  using dir = scratch();
  const path = dir.file("socket");
  using _listener = Deno.listen({ transport: "unix", path });
  for (const kind of KINDS) {
    assertThrows(
      () => MemoryMap.open(path, kind),
      TypeError,
      `Cannot map ${path}: it is not a regular file`,
    );
  }
});

leakTest("MemoryMap.open() refuses a FIFO without blocking", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  assertEquals((await run("mkfifo", { args: [path] })).code, 0);
  for (const kind of KINDS) {
    assertThrows(
      () => MemoryMap.open(path, kind),
      TypeError,
      `Cannot map ${path}: it is not a regular file`,
    );
  }
});

for (const kind of KINDS) {
  const options = JSON.stringify(kind);
  leakTest(
    `MemoryMap.open() with ${options} does not disturb those who open a FIFO`,
    async () => {
      using dir = scratch();
      const path = dir.file("fifo");
      assertEquals((await run("mkfifo", { args: [path] })).code, 0);
      const shell = (text: string) =>
        spawn("/bin/sh", { args: ["-c", text, path] });
      // Each waits in open() until the other is there.
      await using reader = shell('echo up; cat <"$0"');
      assertEquals(await reader.line(), "up");
      await reader.settled();
      assertThrows(() => MemoryMap.open(path, kind), TypeError);
      await reader.settled();
      await using writer = shell('echo hello >"$0"');
      assertEquals((await writer.ended()).code, 0);
      assertEquals((await reader.ended()).stdout, "up\nhello\n");

      await using other = shell('echo up; echo again >"$0"');
      assertEquals(await other.line(), "up");
      await other.settled();
      assertThrows(() => MemoryMap.open(path, kind), TypeError);
      await other.settled();
      await using last = shell('cat <"$0"');
      assertEquals((await last.ended()).stdout, "again\n");
      assertEquals((await other.ended()).code, 0);
    },
  );
}

leakTest("MemoryMap.open() refuses a program that runs", async () => {
  using dir = scratch();
  const path = dir.file("cat");
  Deno.copyFileSync("/bin/cat", path);
  Deno.chmodSync(path, 0o755);
  await using child = spawn(path);
  await child.send("x");
  assertEquals(await child.line(), "x");
  let busy = false;
  try {
    Deno.openSync(path, { write: true }).close();
  } catch (error) {
    busy = error instanceof Error && /ETXTBSY|busy/i.test(error.message);
    assert(busy, String(error));
  }
  // A few kernels (6.11 and 6.12) allow to write to it.
  if (busy) assertRefused(() => MemoryMap.open(path), "ETXTBSY", "open");
  using map = MemoryMap.open(path, { private: true, length: 4 });
  assertEquals(new TextDecoder().decode(map.bytes), "\x7fELF");
  await child.closeStdin();
  assertEquals((await child.ended()).code, 0);
});

leakTest(
  "MemoryMap.open() needs the file's permissions",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755);
    const files = Object.entries({ none: 0o600, read: 0o644, write: 0o622 });
    for (const [name, mode] of files) {
      Deno.chmodSync(dir.file(name, "hello"), mode);
    }
    Deno.chmodSync(dir.file("both", "hello"), 0o666);
    assertPrinted(
      await nobodys(
        `for (const name of ["none", "read", "write", "both"]) {
          const path = "${dir.path}/" + name;
          for (const options of ${JSON.stringify(KINDS)}) {
            console.log(name, options.private, told(() => {
              using map = MemoryMap.open(path, options);
              map.bytes[0] = "J".charCodeAt(0);
              return map.bytes.length;
            }));
          }
        }`,
      ),
      "none false IpcError EACCES open",
      "none true IpcError EACCES open",
      "read false IpcError EACCES open",
      "read true 5",
      "write false IpcError EACCES open",
      "write true IpcError EACCES open",
      "both false 5",
      "both true 5",
    );
    assertEquals(Deno.readTextFileSync(`${dir.path}/read`), "hello");
    assertEquals(Deno.readTextFileSync(`${dir.path}/both`), "Jello");
  },
);

leakTest("MemoryMap says EMFILE, and leaves no file", async () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  assertPrinted(
    await runCodeAfter(
      "ulimit -n 100",
      `MemoryMap.open("${path}").close();
      const files = [];
      try {
        for (;;) files.push(Deno.openSync("/dev/null"));
      } catch {
        console.log(told(() => MemoryMap.open("${path}")));
        console.log(told(() => MemoryMap.create("${path}.new", 1)));
      }
      for (const file of files) file.close();
      console.log(MemoryMap.open("${path}").bytes.length);`,
    ),
    "IpcError EMFILE open",
    "IpcError EMFILE open",
    "5",
  );
  assertEquals(dir.list(), ["data"]);
});

// --- create -----------------------------------------------------------------

leakTest("MemoryMap.create() makes a file of zeroes", () => {
  using dir = scratch();
  for (const size of [1, PAGE - 1, PAGE, PAGE + 1, 100_003]) {
    const path = dir.file(`file${size}`);
    using map = MemoryMap.create(path, size);
    assertEquals(map.bytes, new Uint8Array(size));
    assertEquals(Deno.statSync(path).size, size);
    map.bytes[size - 1] = 7;
    map.flushSync();
    const expected = new Uint8Array(size);
    expected[size - 1] = 7;
    assertEquals(Deno.readFileSync(path), expected);
    using other = MemoryMap.open(path);
    assertEquals(other.bytes[size - 1], 7);
  }
});

leakTest(
  "MemoryMap.create() gives the file its mode, whatever the umask",
  async () => {
    using dir = scratch();
    for (const umask of [0o000, 0o022, 0o027, 0o077]) {
      const base = dir.file(`umask${umask}-`);
      assertPrinted(
        await runCodeAfter(
          `umask ${umask.toString(8).padStart(4, "0")}`,
          `MemoryMap.create("${base}default", 1);
        for (const mode of [0o666, 0o640, 0o777, 0o400, 0]) {
          MemoryMap.create("${base}" + mode, 1, { mode }).bytes[0] = 1;
        }`,
        ),
      );
      const modeOf = (name: string) =>
        Deno.statSync(base + name).mode! & 0o7777;
      assertEquals(modeOf("default"), 0o600 & ~umask);
      for (const mode of [0o666, 0o640, 0o777, 0o400, 0]) {
        assertEquals(modeOf(`${mode}`), mode);
      }
    }
  },
);

leakTest("MemoryMap.create() leaves alone what is there", () => {
  using dir = scratch();
  const path = dir.file("data", "hello");
  const error = assertRefused(
    () => MemoryMap.create(path, 100),
    "EEXIST",
    "open",
  );
  assertEquals(error.message, `open ${path}: File exists (EEXIST)`);
  assertEquals(Deno.readTextFileSync(path), "hello");
  assertRefused(() => MemoryMap.create(dir.path, 1), "EEXIST", "open");
  const link = dir.file("link");
  Deno.symlinkSync(dir.file("nowhere"), link);
  assertRefused(() => MemoryMap.create(link, 1), "EEXIST", "open");
  assertEquals(dir.list(), ["data", "link"]);
});

leakTest("MemoryMap.create() needs a directory", () => {
  using dir = scratch();
  const missing = dir.file("missing/data");
  assertRefused(() => MemoryMap.create(missing, 1), "ENOENT", "open");
  const below = `${dir.file("file", "x")}/data`;
  assertRefused(() => MemoryMap.create(below, 1), "ENOTDIR", "open");
  assertEquals(dir.list(), ["file"]);
});

leakTest("MemoryMap.create() refuses what is no size or mode", () => {
  using dir = scratch();
  const path = dir.file("data");
  for (const size of [0, -1, 1.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(() => MemoryMap.create(path, size), RangeError, '"size"');
  }
  for (const size of ["1", 1n, null, undefined]) {
    const wrong = size as unknown as number;
    assertThrows(() => MemoryMap.create(path, wrong), TypeError, '"size"');
  }
  for (const mode of [-1, 0o1000, 1.5, NaN]) {
    const create = () => MemoryMap.create(path, 1, { mode });
    assertThrows(create, RangeError, '"mode"');
  }
  assertEquals(dir.list(), []);
});

leakTest("MemoryMap takes -0 for 0", () => {
  using dir = scratch();
  using map = MemoryMap.open(dir.file("data", "x"), { offset: -0 });
  assertEquals(map.bytes.length, 1);
  using created = MemoryMap.create(dir.file("created"), 1, { mode: -0 });
  assertEquals(created.bytes.length, 1);
});

leakTest(
  "MemoryMap.create() needs a directory that it may write to",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755);
    assertPrinted(
      await nobodys(
        `console.log(told(() => MemoryMap.create("${dir.path}/data", 1)));
        console.log(told(() => {
          // What it may not open, it may create.
          using map = MemoryMap.create("mine", 1, { mode: 0 });
          Deno.removeSync("mine");
          return map.bytes.length;
        }));`,
      ),
      "IpcError EACCES open",
      "1",
    );
  },
);

leakTest("MemoryMap.create() leaves no file that is too large", () => {
  using dir = scratch();
  const path = dir.file("data");
  // Not with room for it: some file systems take all that there is, then fail.
  const { code, message } = assertThrows(
    () => MemoryMap.create(path, Number.MAX_SAFE_INTEGER, { reserve: false }),
    IpcError,
  );
  // By file system: too large for a file, or for the address space.
  assert(["EFBIG", "ENOMEM", "EINVAL"].includes(code), message);
  assertEquals(dir.list(), []);
});

leakTest("MemoryMap.create() leaves no file that it cannot map", () => {
  // In memory a file may be larger than the address space.
  const path = `/dev/shm${uniqueName()}`;
  const create = () => MemoryMap.create(path, 2 ** 50, { reserve: false });
  assertRefused(create, "ENOMEM", "mmap");
  assert(!exists(path));
});

leakTest(
  "MemoryMap.create() leaves no file beyond the size limit",
  async () => {
    using dir = scratch();
    const path = dir.file("data");
    // The limit is 1 or 2 GiB, in units of the shell: the runtime has files, too.
    const ended = await runCodeAfter(
      "ulimit -c 0; ulimit -f 2097152 || exit",
      `console.log(told(() => MemoryMap.create("${path}", ${8 * GIB})));
      using map = MemoryMap.create("${path}", 1000);
      console.log(map.bytes.length);`,
    );
    const { code: status, stdout, transcript } = ended;
    assertEquals(status, 0, transcript);
    const [failure, ...rest] = stdout.trimEnd().split("\n");
    assert(failure?.startsWith("IpcError EFBIG "), transcript);
    assertEquals(rest, ["1000"]);
  },
);

/** `unshare` with which a child may mount file systems for itself; or null. */
const unshare = unshareFlags(
  "--mount",
  ...["mount", "-t", "tmpfs", "-o", "size=64k", "ipc", "/tmp"],
);

leakTest(
  "MemoryMap.create() leaves no file for which the disk has no room",
  { needs: [unshare === undefined ? "no mount namespace" : null] },
  async () => {
    using dir = scratch();
    const text = `
      const path = "${dir.path}/data";
      console.log(told(() => {
        using map = MemoryMap.create(path, 1_000_000);
        map.bytes.fill(1);
      }));
      console.log(Array.from(Deno.readDirSync("${dir.path}")).length);
      using map = MemoryMap.create(path, 10_000);
      map.bytes.fill(1);
      console.log(map.bytes.length);`;
    const mount = `ulimit -c 0
      mount -t tmpfs -o size=64k ipc "${dir.path}" || exit
      exec "$0" "$@"`;
    const { code: status, stdout, transcript } = await run("unshare", {
      args: [
        ...unshare!,
        "/bin/sh",
        "-c",
        mount,
        Deno.execPath(),
        ...code(text),
      ],
    });
    assertEquals(status, 0, transcript);
    const [failure, ...rest] = stdout.trimEnd().split("\n");
    assert(failure?.startsWith("IpcError ENOSPC "), transcript);
    assertEquals(rest, ["0", "10000"]);
  },
);

// --- anonymous --------------------------------------------------------------

leakTest("MemoryMap.anonymous() gives zeroes", () => {
  for (const size of [1, 32, PAGE, PAGE + 1, 1_000_003]) {
    using map = MemoryMap.anonymous(size);
    using other = MemoryMap.anonymous(size);
    assertEquals(map.bytes, new Uint8Array(size));
    assertEquals(map.bytes.buffer.byteLength, size);
    map.bytes.fill(1);
    map.flushSync();
    assertEquals(other.bytes, new Uint8Array(size));
  }
});

leakTest("MemoryMap.anonymous() refuses what is no size", () => {
  for (const size of [0, -1, 1.5, NaN, 2 ** 53]) {
    assertThrows(() => MemoryMap.anonymous(size), RangeError, '"size"');
  }
  for (const size of ["1", 1n, null]) {
    const wrong = size as unknown as number;
    assertThrows(() => MemoryMap.anonymous(wrong), TypeError, '"size"');
  }
});

leakTest("MemoryMap.anonymous() says ENOMEM", () => {
  const error = assertRefused(
    () => MemoryMap.anonymous(Number.MAX_SAFE_INTEGER),
    "ENOMEM",
    "mmap",
  );
  assertEquals(
    error.message,
    "mmap anonymous memory: Cannot allocate memory (ENOMEM)",
  );
});

// --- flush, close, view -----------------------------------------------------

/** File systems that write to a device: their pages are clean after a flush. */
const ON_DEVICE = new Set([0xef53, 0x58465342, 0x9123683e]); // ext, XFS, Btrfs

/** How many kilobytes of a mapped file are not written to their device yet. */
const DIRTY = `
  function dirty(path) {
    const areas = Deno.readTextFileSync("/proc/self/smaps")
      .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
    const ours = areas.filter((area) => area.split("\\n")[0].endsWith(path));
    const counts = ours.join("").matchAll(/_Dirty: *(\\d+) kB/g);
    return ours.length + " " + counts.reduce((sum, [, kb]) => sum + Number(kb), 0);
  }
`;

leakTest("MemoryMap.flushSync() writes to the file on its device", async () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(40 * PAGE));
  const onDevice = ON_DEVICE.has(statfsSync(dir.path).type);
  assertPrinted(
    await runCode(
      `${DIRTY}
      for (const [offset, length] of [[0], [PAGE], [5], [5, 10], [PAGE - 1, 2]]) {
        using map = MemoryMap.open("${path}", { offset, length });
        map.bytes.fill(offset + 1);
        map.flushSync();
        console.log(${onDevice ? `dirty("${path}")` : '"1 0"'});
      }`.replaceAll("PAGE", `${PAGE}`),
    ),
    ...Array(5).fill("1 0"),
  );
  const expected = new Uint8Array(40 * PAGE);
  expected.fill(1);
  expected.fill((PAGE + 1) & 0xff, PAGE);
  expected.fill(6, 5);
  expected.fill((PAGE + 0) & 0xff, PAGE - 1, PAGE + 1);
  assertEquals(Deno.readFileSync(path), expected);
});

leakTest(
  "MemoryMap.flushSync() does not pass over a buffer that was transferred",
  async () => {
    using dir = scratch();
    const path = dir.file("data", new Uint8Array(10 * PAGE));
    const onDevice = ON_DEVICE.has(statfsSync(dir.path).type);
    const { code: status, stdout, transcript } = await runCode(
      `${DIRTY}
      const map = MemoryMap.open("${path}");
      const taken = new Uint8Array(map.bytes.buffer.transfer());
      taken.fill(7);
      const flushed = told(() => map.flushSync());
      console.log(flushed === "undefined" ? dirty("${path}") : "refused");`,
    );
    assertEquals(status, 0, transcript);
    if (!onDevice) return;
    assert(["refused\n", "1 0\n"].includes(stdout), transcript);
  },
);

leakTest("MemoryMap.close() detaches the memory", async () => {
  using dir = scratch();
  const path = dir.file("data", pattern(PAGE + 100));
  const text = (open: string) =>
    `import { i32, struct } from "${import.meta.resolve("../ffi/struct.ts")}";
    const map = ${open};
    const { bytes } = map;
    const views = [bytes, bytes.subarray(5), new Int16Array(bytes.buffer, 0, 10)];
    const data = new DataView(bytes.buffer);
    const view = map.view(10, struct({ value: i32 }));
    // Compiled code knows the address.
    function sum(values) {
      let sum = 0;
      for (let i = 0; i < 50; i++) sum += values[i] ?? 0;
      return sum;
    }
    for (let i = 0; i < 20_000; i++) sum(bytes);
    map.close();
    console.log(views.map(({ length }) => length).join());
    console.log(views.map(sum).join());
    console.log(told(() => data.getInt8(0)));
    console.log(told(() => { view.value = 1; }));
    console.log(bytes.buffer.detached, map.bytes === bytes);
    console.log(Deno.readTextFileSync("/proc/self/maps").includes("${path}"));`;
  for (
    const open of [
      `MemoryMap.open("${path}")`,
      `MemoryMap.open("${path}", { private: true })`,
      `MemoryMap.open("${path}", { offset: 7, length: 93 })`,
      `MemoryMap.create("${path}2", 100)`,
      `MemoryMap.anonymous(100)`,
    ]
  ) {
    assertPrinted(
      await runCode(text(open)),
      "0,0,0",
      "0,0,0",
      "TypeError",
      "TypeError",
      "true true",
      "false",
    );
  }
  assertEquals(Deno.readFileSync(path), pattern(PAGE + 100));
});

leakTest("MemoryMap says ClosedError after close()", () => {
  using dir = scratch();
  const map = MemoryMap.create(dir.file("data"), 8);
  map.close();
  map.close();
  for (
    const call of [
      () => map.flushSync(),
      () => map.view(0, struct({ value: i32 })),
    ]
  ) {
    assertInstanceOf(assertThrows(call, ClosedError), TypeError);
  }
  assertEquals(map.bytes.length, 0);
  assertEquals(Deno.statSync(dir.file("data")).size, 8);
});

leakTest("MemoryMap is closed at the end of its block", () => {
  let kept: MemoryMap;
  {
    using map = MemoryMap.anonymous(8);
    kept = map;
  }
  assertEquals(kept.bytes.length, 0);
  assertThrows(() => kept.flushSync(), ClosedError);
});

leakTest(
  "MemoryMap.close() keeps memory whose buffer was transferred",
  async () => {
    using dir = scratch();
    const path = dir.file("data", "hello");
    assertPrinted(
      await runCode(
        `const map = MemoryMap.open("${path}");
        const taken = new Uint8Array(structuredClone(map.bytes.buffer, {
          transfer: [map.bytes.buffer],
        }));
        try {
          map.close();
        } catch ({ name, message }) {
          console.log(name, message.includes("transferred"));
        }
        taken[0] = "J".charCodeAt(0);
        console.log(taken.length, map.bytes.length);
        map.close();
        console.log(told(() => map.flushSync()));`,
      ),
      "Error true",
      "5 0",
      "ClosedError",
    );
    assertEquals(Deno.readTextFileSync(path), "Jello");
  },
);

leakTest(
  "MemoryMap leaves nothing behind in many rounds",
  { soak: "also" },
  () => {
    using dir = scratch();
    const path = dir.file("data", pattern(2 * PAGE));
    const created = dir.file("created");
    const ROUNDS = rounds(100, 1_000);
    for (let round = 0; round < ROUNDS; round++) {
      using map = MemoryMap.open(path, {
        offset: round,
        length: 3 * round + 1,
      });
      using copy = MemoryMap.open(path, { private: true });
      using _anonymous = MemoryMap.anonymous(round + 1);
      copy.bytes[round] = 1;
      assertEquals(map.bytes[0], pattern(round + 1)[round]);
      assertThrows(
        () => MemoryMap.open(path, { offset: 2 * PAGE }),
        RangeError,
      );
      assertThrows(() => MemoryMap.create(path, 1), IpcError);
      using _created = MemoryMap.create(created, 1);
      Deno.removeSync(created);
    }
  },
);

leakTest("MemoryMap.view() shows a struct in place", () => {
  using map = MemoryMap.anonymous(20);
  const layout = struct({ tag: i16, value: i32 });
  map.view(0, layout).value = 0x01020304;
  map.view(12, layout).tag = -1;
  assertEquals(
    map.bytes.slice(0, 14),
    Uint8Array.of(...[0, 0, 0, 0, 4, 3, 2, 1], ...[0, 0, 0, 0, 255, 255]),
  );
  for (const offset of [13, 20, 2 ** 40, -1, 1.5, NaN]) {
    assertThrows(() => map.view(offset, layout), RangeError);
  }
});

// --- Two processes, and C ---------------------------------------------------

const PERSON = new URL("./interop/c/map_person.c", import.meta.url);

leakTest(
  "MemoryMap shares a file with a C program that maps it",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("data");
    using map = MemoryMap.create(path, 3 * PAGE);
    const offset = PAGE + 10;
    const person = map.view(offset, struct({ age: i16, name: cstring(20) }));
    const args = [path, `${offset}`];
    await using peer = spawn(await compile(PERSON), { args });
    for (
      const [age, name] of [[80, "ghkim"], [-3, ""], [7, "김함지"]] as const
    ) {
      person.age = age;
      person.name = name;
      await peer.send("from C");
      assertEquals(await peer.line(), `${age} ${name}`);
      assertEquals([person.age, person.name], [age + 1, "from C"]);
    }
    await peer.closeStdin();
    assertEquals((await peer.ended()).code, 0);
  },
);

leakTest("MemoryMap: Atomics work between processes", async () => {
  using dir = scratch();
  const path = dir.file("data");
  using map = MemoryMap.create(path, PAGE + 8);
  const words = new Int32Array(map.bytes.buffer);
  await using all = new AsyncDisposableStack();
  const children = [0, 1, 2].map(() =>
    all.use(spawnCode(
      `using map = MemoryMap.open("${path}");
      const words = new Int32Array(map.bytes.buffer);
      Atomics.add(words, 1, 1);
      while (Atomics.load(words, 2) === 0);
      for (let i = 0; i < 100_000; i++) Atomics.add(words, 0, 1);`,
    ))
  );
  for (const child of children) {
    await child.until(() => Atomics.load(words, 1) === 3, "start");
  }
  Atomics.store(words, 2, 1);
  for (const child of children) assertPrinted(await child.ended());
  assertEquals(Atomics.load(words, 0), 300_000);
  assert(exists(path));
});
