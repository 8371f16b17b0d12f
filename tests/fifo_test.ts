/**
 * FIFOs: their names, the opening of their ends with and without waiting, what
 * passes through them, and that only what is one's own is opened and removed.
 */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { createHash } from "node:crypto";
import {
  ClosedError,
  Fifo,
  IpcError,
  PIPE_BUF,
  type PipeReader,
  type PipeWriter,
} from "../ffi/fifo.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../ffi/libc/fcntl.ts";
import { pendingWaits } from "../ffi/wait/reactor.ts";
import { assertRefused, assertSucceeded, outcome } from "./support/asserts.ts";
import { utf8 } from "./support/bytes.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild } from "./support/child.ts";
import { duplicate, flagsOf, Raw } from "./support/descriptors.ts";
import { leakTest } from "./support/leaks.ts";
import { type Scratch, scratch } from "./support/names.ts";
import { reasonAgainst } from "./support/namespaces.ts";
import {
  type Child,
  exists,
  spawn,
  spawnDeno,
  until,
} from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";
import { SECOND, soon, turns } from "./support/waits.ts";

type Bytes = Uint8Array<ArrayBuffer>;

// --- Helpers ----------------------------------------------------------------

/** One read, as text; null at the end. */
async function say(reader: PipeReader): Promise<string | null> {
  const buffer = new Uint8Array(4096);
  const count = await soon(reader.read(buffer), 20 * SECOND);
  return count === null
    ? null
    : new TextDecoder().decode(buffer.subarray(0, count));
}

/** Still pending, also after the longest pause between two looks. */
async function assertWaits(promise: Promise<unknown>): Promise<void> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assertEquals(settled, false);
}

async function assertTimesOut(
  call: () => Promise<unknown>,
  timeout: number,
  subject: string,
): Promise<void> {
  const start = performance.now();
  const error = await assertRejects(call, DOMException);
  const took = performance.now() - start;
  assertEquals(error.name, "TimeoutError");
  assertEquals(error.message, `Timed out waiting for ${subject}`);
  assert(took >= timeout, `${took} ms is earlier than ${timeout} ms`);
}

/** How many descriptors lead to a path; those that only hold it, too. */
function opened(path: string, pid: number | "self" = "self"): number {
  let count = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`) === path) count++;
    } catch {
      // Closed since the directory was listed.
    }
  }
  return count;
}

function modeOf(path: string): number {
  return Deno.lstatSync(path).mode! & 0o7777;
}

const PEER = new URL("./interop/c/fifo_peer.c", import.meta.url);

async function peer(what: "read" | "write" | "visit", path: string) {
  return spawn(await compile(PEER), { args: [what, path] });
}

/** Waits until the child is in its open(2) and sleeps there. */
async function opening(child: Child): Promise<void> {
  await child.settled();
  assertEquals(child.stdout, "");
}

/** Why nothing can be mounted here, or null. */
const noMounts = reasonAgainst("mount", [
  ...["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"],
]);

// --- Fifo.create() ----------------------------------------------------------

leakTest("Fifo.create() makes a FIFO for its owner alone", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  assert(Deno.lstatSync(path).isFifo);
  assertEquals(modeOf(path), 0o600);
  assertEquals(fifo.path, path);
  assertEquals(opened(path), 1); // held, with neither end open
});

leakTest("Fifo.create() gives the mode exactly, whatever the umask", () => {
  using dir = scratch();
  const before = Deno.umask();
  try {
    for (const umask of [0o022, 0o077, 0o777, 0]) {
      Deno.umask(umask);
      for (const mode of [0o777, 0o666, 0o622, 0o400, 0]) {
        const path = dir.file(`${umask}-${mode}`);
        Fifo.create(path, { mode }).close();
        assertEquals(modeOf(path), mode);
      }
      const path = dir.file(`${umask}-default`);
      Fifo.create(path).close();
      assertEquals(modeOf(path), 0o600 & ~umask);
    }
  } finally {
    Deno.umask(before);
  }
});

leakTest("Fifo.chmod() changes the file, also under another name", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  const fifo = Fifo.create(path);
  using ends = fifo.openBoth();
  fifo.chmod(0o640);
  assertEquals(modeOf(path), 0o640);
  Deno.renameSync(path, `${path}2`);
  Deno.writeTextFileSync(path, "", { mode: 0o600 });
  fifo.chmod(0o444);
  assertEquals([modeOf(path), modeOf(`${path}2`)], [0o600, 0o444]);
  assertEquals(ends.writer.writeSync(Uint8Array.of(1)), 1);
  for (const mode of [-1, 0o1000, 1.5, NaN]) {
    assertThrows(() => fifo.chmod(mode), RangeError);
  }
  fifo.close();
  assertThrows(() => fifo.chmod(0o600), ClosedError);
});

leakTest("Fifo.create() refuses a wrong mode", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  for (const mode of [-1, 0o1000, 0o1777, 1.5, NaN]) {
    assertThrows(() => Fifo.create(path, { mode }), RangeError);
  }
  assertThrows(
    () => Fifo.create(path, { mode: "600" as unknown as number }),
    TypeError,
  );
  assertEquals(dir.list(), []);
});

leakTest("Fifo.create() and Fifo.open() refuse a wrong path", () => {
  using dir = scratch();
  for (const call of [Fifo.create, Fifo.open]) {
    for (const path of ["", "a\0b", "\ud800", 5, null] as unknown as string[]) {
      assertThrows(() => call(path), TypeError);
    }
    assertThrows(
      () => call(`${dir.path}/${"x".repeat(256)}`),
      RangeError,
      "255",
    );
    assertThrows(
      () => call(`${dir.path}/${"가".repeat(86)}`),
      RangeError,
      "258",
    );
    assertThrows(() => call("./".repeat(2048)), RangeError, "4095");
  }
  assertEquals(dir.list(), []);
  Fifo.create(`${dir.path}/${"가".repeat(85)}`).close();
  assertEquals(dir.list(), ["가".repeat(85)]);
});

leakTest("Fifo.create() takes the longest path there is", () => {
  using dir = scratch();
  const path = "./".repeat(2043) + "fifo"; // relative to the working directory
  const before = Deno.cwd();
  Deno.chdir(dir.path);
  try {
    assertEquals(path.length, 4090);
    Fifo.create(path).close();
    using fifo = Fifo.open(path);
    fifo.unlink();
  } finally {
    Deno.chdir(before);
  }
});

leakTest("Fifo.create() reports EEXIST, whatever is there", () => {
  using dir = scratch();
  const fifo = dir.file("fifo");
  Fifo.create(fifo).close();
  const file = dir.file("file", "precious");
  const link = dir.file("link");
  Deno.symlinkSync(fifo, link);
  const dangling = dir.file("dangling");
  Deno.symlinkSync(dir.file("target"), dangling);
  for (const path of [fifo, file, link, dangling, dir.path]) {
    assertRefused(() => Fifo.create(path), "EEXIST", "mkfifo", path);
  }
  assert(!exists(`${dir.path}/target`)); // the link was not followed
  assertEquals(dir.list(), ["dangling", "fifo", "file", "link"]);
  assertEquals(Deno.readTextFileSync(file), "precious");
});

leakTest("Fifo.create() reports ENOENT, ENOTDIR and ELOOP", () => {
  using dir = scratch();
  const file = dir.file("file", "");
  Deno.symlinkSync("loop", dir.file("loop"));
  for (const call of [Fifo.create, Fifo.open]) {
    const syscall = call === Fifo.create ? "mkfifo" : "open";
    assertRefused(() => call(dir.file("no/fifo")), "ENOENT", syscall);
    assertRefused(() => call(`${file}/fifo`), "ENOTDIR", syscall);
    assertRefused(() => call(dir.file("loop/fifo")), "ELOOP", syscall);
  }
  assertRefused(() => Fifo.open(dir.file("loop")), "ELOOP", "open");
  assertRefused(() => Fifo.open(dir.file("no")), "ENOENT", "open");
});

leakTest(
  "Fifo.create() reports EROFS",
  { needs: [noMounts] },
  async () => {
    using dir = scratch();
    const script = 'mount -t tmpfs -o ro none "$1" && shift && exec "$@"';
    const result = await inChild(async (path: string) => {
      const { Fifo } = await import("../ffi/fifo.ts");
      try {
        Fifo.create(path);
        return "made";
      } catch (error) {
        return (error as Error).message;
      }
    }, {
      argument: dir.file("fifo"),
      wrapper: ["unshare", "-m", "sh", "-c", script, "sh", dir.path],
    });
    const message = "Read-only file system (EROFS)";
    assertEquals(result, `mkfifo ${dir.path}/fifo: ${message}`);
  },
);

leakTest(
  "Fifo reports EACCES",
  { needs: [noOtherUser] },
  async () => {
    using dir = scratch();
    Deno.chmodSync(dir.path, 0o755);
    const fifo = (name: string, mode: number) => {
      const path = dir.file(name);
      Fifo.create(path).close();
      Deno.chmodSync(path, mode);
    };
    fifo("none", 0o600);
    fifo("read", 0o604);
    fifo("write", 0o602);
    Deno.mkdirSync(dir.file("locked"), { mode: 0o700 });
    fifo("locked/fifo", 0o666);
    const { stdout } = await runAsNobody(
      `import { Fifo } from "@linux/ipc/fifo";
      const told = async (name, call) => {
        try {
          const result = await call();
          console.log(name, result === undefined ? "done" : "opened");
          result?.[Symbol.dispose]();
        } catch (error) {
          console.log(name, error.name, error.code ?? "", error.syscall ?? "");
        }
      };
      const dir = Deno.args[0] + "/";
      await told("create", () => Fifo.create(dir + "new"));
      await told("create locked", () => Fifo.create(dir + "locked/new"));
      await told("open locked", () => Fifo.open(dir + "locked/fifo"));
      for (const name of ["none", "read", "write"]) {
        using fifo = Fifo.open(dir + name); // to hold it needs no permission
        await told(name + " reader", () => fifo.openReader({ timeout: 0 }));
        await told(name + " writer", () => fifo.openWriter({ timeout: 0 }));
        await told(name + " try", () => fifo.tryOpenWriter());
        await told(name + " both", () => fifo.openBoth());
        await told(name + " unlink", () => fifo.unlink());
        const fds = [...Deno.readDirSync("/proc/self/fd")].filter(({ name: fd }) => {
          try {
            return Deno.readLinkSync("/proc/self/fd/" + fd) === dir + name;
          } catch {
            return false;
          }
        });
        console.log(fds.length);
      }
      using fifo = Fifo.open(dir + "none");
      await told("sync reader", () => fifo.openReaderSync());
      await told("sync writer", () => fifo.openWriterSync());`,
      { args: [dir.path] },
    );
    const refused = (call: string) => `IpcError EACCES ${call}`;
    assertEquals(stdout.trim().split("\n"), [
      `create ${refused("mkfifo")}`,
      `create locked ${refused("mkfifo")}`,
      `open locked ${refused("open")}`,
      `none reader ${refused("open")}`,
      `none writer ${refused("open")}`,
      `none try ${refused("open")}`,
      `none both ${refused("open")}`,
      `none unlink ${refused("unlink")}`,
      "1",
      "read reader TimeoutError 23 ",
      `read writer ${refused("open")}`,
      `read try ${refused("open")}`,
      `read both ${refused("open")}`, // and its reader is closed again
      `read unlink ${refused("unlink")}`,
      "1",
      `write reader ${refused("open")}`,
      "write writer TimeoutError 23 ",
      "write try done", // undefined: no reader
      `write both ${refused("open")}`,
      `write unlink ${refused("unlink")}`,
      "1",
      `sync reader ${refused("open")}`,
      `sync writer ${refused("open")}`,
    ]);
    assertEquals(dir.list(), ["locked", "none", "read", "write"]);
  },
);

leakTest(
  "Fifo reports EMFILE, and leaves neither file nor descriptor behind",
  async () => {
    using dir = scratch();
    const result = await inChild(async (path: string) => {
      const { Fifo } = await import("../ffi/fifo.ts");
      const first = Fifo.create(`${path}/first`);
      first.openBoth()[Symbol.dispose]();
      await first.openReader({ timeout: 0 }).catch(() => 0);
      const spare: Deno.FsFile[] = [];
      const fillUp = () => {
        try {
          for (;;) spare.push(Deno.openSync("/dev/null"));
        } catch {
          // No more.
        }
      };
      const told = async (call: () => unknown) => {
        try {
          await call();
          return "made";
        } catch (error) {
          const { name, code, syscall } = error as Error & {
            code: string;
            syscall: string;
          };
          return [name, code, syscall].join(" ");
        }
      };
      fillUp();
      const all = [
        await told(() => Fifo.create(`${path}/second`)),
        await told(() => Fifo.open(`${path}/first`)),
        await told(() => first.openReaderSync()),
        await told(() => first.openReader()),
        await told(() => first.openWriter()),
        await told(() => first.openBoth()),
      ];
      spare.pop()!.close(); // for one end, not for two
      all.push(await told(() => first.openBoth()));
      all.push(await told(() => first.openReader()));
      const before = spare.length;
      fillUp();
      all.push(`${spare.length - before} free`);
      for (const file of spare) file.close();
      first.close();
      return all;
    }, {
      argument: dir.path,
      wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
    });
    const open = "IpcError EMFILE open";
    assertEquals(result, [
      ...new Array(7).fill(open),
      "IpcError EMFILE pipe2",
      "1 free",
    ]);
    assertEquals(dir.list(), ["first"]);
  },
);

// --- Fifo.open() ------------------------------------------------------------

leakTest("Fifo.open() finds a FIFO, also through a link", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  Fifo.create(path).close();
  Deno.symlinkSync("fifo", dir.file("link"));
  for (const name of ["fifo", "link"]) {
    using fifo = Fifo.open(dir.file(name));
    assertEquals(fifo.path, dir.file(name));
    using ends = fifo.openBoth();
    ends.writer.writeSync(utf8("x"));
    assertEquals(ends.reader.readSync(new Uint8Array(8)), 1);
  }
});

leakTest("Fifo.open() refuses other files without touching them", async () => {
  using dir = scratch();
  const file = dir.file("file", "precious");
  const past = new Date(1_000_000_000_000);
  Deno.utimeSync(file, past, past);
  const path = dir.file("socket");
  const server = Deno.listen({ transport: "unix", path });
  const accepting = server.accept().then((connection) => {
    connection.close();
    return "connected";
  }, () => "no connection");
  Deno.symlinkSync(file, dir.file("link"));
  for (
    const other of [
      file,
      dir.path,
      path,
      "/dev/null",
      "/dev/ptmx",
      dir.file("link"),
    ]
  ) {
    const error = assertThrows(() => Fifo.open(other), TypeError);
    assertStringIncludes(error.message, other);
  }
  assertEquals(Deno.readTextFileSync(file), "precious");
  assertEquals(Deno.statSync(file).mtime, past);
  await turns();
  server.close();
  assertEquals(await accepting, "no connection");
});

leakTest(
  "Fifo opens the file it found, whatever has its name now",
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    Deno.renameSync(path, dir.file("moved"));
    const precious = dir.file("fifo", "precious");
    using ends = fifo.openBoth();
    await ends.writer.write(utf8("to the FIFO"));
    assertEquals(await say(ends.reader), "to the FIFO");
    assertEquals(Deno.readTextFileSync(precious), "precious");
    using moved = Fifo.open(dir.file("moved"));
    await ends.writer.write(utf8("the same one"));
    using other = moved.openReaderSync();
    assertEquals(await say(other), "the same one");
  },
);

leakTest(
  "Fifo opens the file it found, also when it has no name any more",
  async () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    fifo.unlink();
    assertEquals(dir.list(), []);
    using ends = fifo.openBoth();
    await ends.writer.write(utf8("x"));
    assertEquals(await say(ends.reader), "x");
  },
);

leakTest("Fifo works with a relative path, in any script", async () => {
  using dir = scratch();
  const before = Deno.cwd();
  Deno.chdir(dir.path);
  try {
    using fifo = Fifo.create("이름 있는 파이프 ✉");
    Deno.chdir("/");
    using ends = fifo.openBoth(); // from elsewhere
    await ends.writer.write(utf8("안녕"));
    assertEquals(await say(ends.reader), "안녕");
    assertEquals(dir.list(), ["이름 있는 파이프 ✉"]);
    assertRefused(() => fifo.unlink(), "ENOENT", "statx"); // the name is relative
    Deno.chdir(dir.path);
    fifo.unlink();
    assertEquals(dir.list(), []);
  } finally {
    Deno.chdir(before);
  }
});

// --- Fifo.unlink() and close() ----------------------------------------------

leakTest("Fifo.unlink() removes the name; open ends go on", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  using ends = fifo.openBoth();
  fifo.unlink();
  assertEquals(dir.list(), []);
  await ends.writer.write(utf8("still here"));
  assertEquals(await say(ends.reader), "still here");
  const error = assertThrows(() => fifo.unlink(), IpcError);
  assertEquals(error.code, "ENOENT");
});

leakTest("Fifo.unlink() leaves another file of that name alone", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  const others: Record<string, () => void> = {
    file: () => Deno.writeTextFileSync(path, "precious"),
    fifo: () => Fifo.create(path).close(),
    link: () => Deno.symlinkSync("moved", path),
    directory: () => Deno.mkdirSync(path),
  };
  for (const [name, make] of Object.entries(others)) {
    using fifo = Fifo.create(path);
    Deno.renameSync(path, dir.file("moved"));
    make();
    assertRefused(() => fifo.unlink(), "ENOENT", "unlink", path);
    assertEquals(dir.list(), ["fifo", "moved"], name);
    Deno.removeSync(path);
    Deno.renameSync(dir.file("moved"), path);
    fifo.unlink(); // its own again
    assertEquals(dir.list(), []);
  }
});

leakTest("Fifo.unlink() through a link leaves link and FIFO alone", () => {
  using dir = scratch();
  Fifo.create(dir.file("fifo")).close();
  Deno.symlinkSync("fifo", dir.file("link"));
  using fifo = Fifo.open(dir.file("link"));
  assertRefused(() => fifo.unlink(), "ENOENT", "unlink");
  assertEquals(dir.list(), ["fifo", "link"]);
});

leakTest("Fifo.close() leaves the name and the open ends", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  const fifo = Fifo.create(path);
  using ends = fifo.openBoth();
  fifo.close();
  fifo.close(); // twice does nothing
  fifo[Symbol.dispose]();
  assert(exists(path));
  assertEquals(opened(path), 2);
  await ends.writer.write(utf8("x"));
  assertEquals(await say(ends.reader), "x");
});

leakTest("Fifo cannot be used once closed", async () => {
  using dir = scratch();
  const fifo = Fifo.create(dir.file("fifo"));
  fifo.close();
  for (
    const use of [
      () => fifo.openReaderSync(),
      () => fifo.openWriterSync(),
      () => fifo.tryOpenWriter(),
      () => fifo.openBoth(),
      () => fifo.unlink(),
    ]
  ) assertThrows(use, ClosedError, fifo.path);
  await assertRejects(() => fifo.openReader(), ClosedError);
  await assertRejects(() => fifo.openWriter(), ClosedError);
  assertEquals(dir.list(), ["fifo"]);
});

// --- Opening the ends -------------------------------------------------------

leakTest("Fifo opens its ends with close-on-exec, and blocking", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  using ends = fifo.openBoth();
  using writer = fifo.openWriterSync();
  using reader = fifo.openReaderSync();
  using tried = fifo.tryOpenWriter()!;
  using waited = await fifo.openWriter();
  using awaited = await fifo.openReader();
  for (
    const { fd } of [
      ends.reader,
      ends.writer,
      writer,
      reader,
      tried,
      waited,
      awaited,
    ]
  ) {
    assertEquals(flagsOf(fd) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC);
  }
});

leakTest("Fifo.tryOpenWriter() is undefined without a reader", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  assertStrictEquals(fifo.tryOpenWriter(), undefined);
  assertEquals(opened(path), 1);
  {
    using _ends = fifo.openBoth();
    using writer = fifo.tryOpenWriter();
    assertEquals(writer!.writeSync(utf8("x")), 1);
  }
  assertStrictEquals(fifo.tryOpenWriter(), undefined);
});

leakTest(
  "Fifo.openReaderSync() and openWriterSync() take a timeout",
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    for (const open of ["openReaderSync", "openWriterSync"] as const) {
      for (const timeout of [0, 20]) {
        const start = performance.now();
        const error = assertThrows(() => fifo[open]({ timeout }), DOMException);
        assertEquals(error.name, "TimeoutError");
        assert(performance.now() - start >= timeout);
      }
      assertThrows(() => fifo[open]({ timeout: -1 }), RangeError);
      assertThrows(() => fifo[open]({ timeout: "1" as never }), TypeError);
    }
    assertEquals(opened(path), 1);
    const shell = (script: string) =>
      new Deno.Command("sh", { args: ["-c", script, "sh", path] }).spawn();
    const writing = shell('printf hello > "$1"');
    {
      using reader = fifo.openReaderSync({ timeout: 10_000 });
      assertEquals(flagsOf(reader.fd) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC);
      const buffer = new Uint8Array(16);
      assertEquals(reader.readSync(buffer), 5);
      assertEquals(reader.readSync(buffer), null);
    }
    await writing.status;
    const reading = shell('exec cat "$1" > /dev/null');
    {
      using writer = fifo.openWriterSync({ timeout: 10_000 });
      assertEquals(flagsOf(writer.fd) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC);
      writer.writeSync(utf8("x"));
    }
    assertEquals((await reading.status).success, true);
  },
);

leakTest("Deno.inspect() shows what a FIFO is", () => {
  using dir = scratch();
  const path = dir.file("fifo");
  const fifo = Fifo.create(path);
  assertEquals(Deno.inspect(fifo), `Fifo { path: "${path}", closed: false }`);
  fifo.close();
  assertEquals(Deno.inspect(fifo), `Fifo { path: "${path}", closed: true }`);
});

leakTest("Fifo.openBoth() never reads the end", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  const ends = fifo.openBoth();
  const buffer = new Uint8Array(64);
  assertStrictEquals(ends.reader.tryRead(buffer), undefined);
  const reading = ends.reader.read(buffer);
  for (let visit = 0; visit < 3; visit++) fifo.openWriterSync().close();
  await assertWaits(reading);
  {
    using writer = fifo.openWriterSync();
    writer.writeSync(utf8("hello"));
  }
  assertEquals(await soon(reading), 5);
  assertStrictEquals(ends.reader.tryRead(buffer), undefined);
  ends[Symbol.dispose]();
  assertThrows(() => ends.reader.fd, ClosedError);
  assertThrows(() => ends.writer.fd, ClosedError);
});

leakTest(
  "PipeReader of a FIFO reads the end, and the next writer",
  async () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    const opening = fifo.openReader();
    let writer: PipeWriter = await fifo.openWriter();
    using reader = await opening;
    for (const word of ["first", "second", "third"]) {
      await writer.write(utf8(word));
      assertEquals(await say(reader), word);
      assertStrictEquals(reader.tryRead(new Uint8Array(8)), undefined);
      const end = reader.read(new Uint8Array(8));
      await turns();
      writer.close();
      assertStrictEquals(await soon(end), null);
      assertStrictEquals(reader.tryRead(new Uint8Array(8)), null);
      writer = fifo.tryOpenWriter()!; // the reader is still there
      assertStrictEquals(reader.tryRead(new Uint8Array(8)), undefined);
    }
    writer.close();
  },
);

leakTest("PipeWriter of a FIFO reports EPIPE, with the path", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  const ends = fifo.openBoth();
  using writer = ends.writer;
  ends.reader.close();
  assertRefused(() => writer.writeSync(utf8("x")), "EPIPE", "write", path);
  const error = await assertRejects(() => writer.write(utf8("x")), IpcError);
  assertEquals(error.message, `write ${path}: Broken pipe (EPIPE)`);
  using _reader = await fifo.openReader(); // a reader again
  assertEquals(writer.writeSync(utf8("x")), 1);
});

// --- Waiting for the other side ---------------------------------------------

leakTest("Fifo.openReader() and Fifo.openWriter() meet", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  using again = Fifo.open(path);
  for (const order of ["reader", "writer"]) {
    const calls = {
      reader: () => fifo.openReader(),
      writer: () => again.openWriter(),
    };
    const first = order === "reader" ? calls.reader() : calls.writer();
    await assertWaits(first);
    const second = order === "reader" ? calls.writer() : calls.reader();
    const both = await soon(Promise.all([first, second]));
    const [reader, writer] =
      (order === "reader" ? both : both.toReversed()) as [
        PipeReader,
        PipeWriter,
      ];
    await writer.write(utf8(order));
    assertEquals(await say(reader), order);
    reader.close();
    writer.close();
  }
  assertEquals(opened(path), 2);
});

for (const how of ["openReader", "openWriter"] as const) {
  leakTest(`Fifo.${how}() ends by timeout, abort and close`, async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    const fifo = Fifo.create(path);
    for (const timeout of [0, 1, 30]) {
      await assertTimesOut(() => fifo[how]({ timeout }), timeout, path);
    }
    for (const timeout of [-1, NaN]) {
      await assertRejects(() => fifo[how]({ timeout }), RangeError);
    }
    const reason = { any: "thing" };
    const aborted = AbortSignal.abort(reason);
    assertStrictEquals(await outcome(fifo[how]({ signal: aborted })), reason);
    const controller = new AbortController();
    const waiting = outcome(fifo[how]({ signal: controller.signal }));
    await assertWaits(waiting);
    controller.abort(reason);
    assertStrictEquals(await soon(waiting), reason);
    await until(() => opened(path) === 1, "closed end");
    const closed = outcome(fifo[how]({ timeout: 60_000 }));
    await assertWaits(closed);
    fifo.close();
    assertInstanceOf(await soon(closed), ClosedError);
    assertEquals(opened(path), 0); // no end is left open
    assertEquals(pendingWaits(), 0);
  });

  leakTest(
    `Fifo.${how}() does not take a huge timeout for a short one`,
    async () => {
      using dir = scratch();
      const fifo = Fifo.create(dir.file("fifo"));
      const waits = [2 ** 31, 2 ** 40, Infinity].map((timeout) =>
        outcome(fifo[how]({ timeout }))
      );
      await assertWaits(Promise.race(waits));
      fifo.close();
      for (const error of await soon(Promise.all(waits))) {
        assertInstanceOf(error, ClosedError);
      }
    },
  );
}

leakTest(
  "Fifo.openReader() waits for a writer that blocks, in either order",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    for (const first of ["reader", "writer"]) {
      let opened: Promise<PipeReader>;
      let child: Child;
      if (first === "reader") {
        opened = fifo.openReader();
        await assertWaits(opened);
        child = await peer("write", path);
      } else {
        child = await peer("write", path);
        await opening(child);
        opened = fifo.openReader();
      }
      await using _child = child;
      // The writer says nothing: that it is there is enough.
      using reader = await soon(opened, 10 * SECOND);
      assertEquals(await child.line(), "open");
      assertStrictEquals(reader.tryRead(new Uint8Array(8)), undefined);
      await child.send("hello");
      assertEquals(await say(reader), "hello\n");
      await child.closeStdin();
      assertEquals(await say(reader), null);
      await assertSucceeded(child);
    }
  },
);

leakTest(
  "Fifo.openWriter() waits for a reader that blocks, in either order",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    for (const first of ["writer", "reader"]) {
      let opened: Promise<PipeWriter>;
      let child: Child;
      if (first === "writer") {
        opened = fifo.openWriter();
        await assertWaits(opened);
        child = await peer("read", path);
      } else {
        child = await peer("read", path);
        await opening(child);
        opened = fifo.openWriter();
      }
      await using _child = child;
      using writer = await soon(opened, 10 * SECOND);
      assertEquals(await child.line(), "open");
      await writer.write(utf8("hello"));
      await child.expect("hello");
      writer.close();
      await child.expect("end\n");
      await assertSucceeded(child);
    }
  },
);

leakTest(
  "Fifo.openReaderSync() and openWriterSync() block for the other side",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    {
      await using child = await peer("write", path);
      using reader = fifo.openReaderSync(); // nothing else runs until then
      await child.send("hello");
      assertEquals(await say(reader), "hello\n");
      await child.closeStdin();
      await assertSucceeded(child);
    }
    await using child = await peer("read", path);
    using writer = fifo.openWriterSync();
    writer.writeSync(utf8("hello"));
    await child.expect("hello");
    writer.close();
    await assertSucceeded(child);
  },
);

leakTest(
  "Fifo.openReader() counts a writer that came and went",
  { needs: [noCompiler] },
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    for (let round = 0; round < 5; round++) {
      const opened = fifo.openReader();
      await turns(round);
      await using child = await peer("visit", path);
      using reader = await soon(opened, 10 * SECOND);
      assertEquals(await say(reader), null);
      await assertSucceeded(child);
    }
    // In this process, within one turn: no look falls in between.
    const opened = fifo.openReader();
    fifo.tryOpenWriter()!.close();
    using reader = await soon(opened);
    assertEquals(await say(reader), null);
    // And with words left behind.
    const next = fifo.openReader();
    await turns();
    using writer = fifo.tryOpenWriter()!;
    writer.writeSync(utf8("words"));
    writer.close();
    using nextReader = await soon(next);
    assertEquals(await say(nextReader), "words"); // none was taken by the waiting
    assertEquals(await say(nextReader), null);
  },
);

leakTest(
  "Fifo.openReader() takes nothing from those who write early",
  async () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    const opened = fifo.openReader();
    using writer = fifo.tryOpenWriter()!;
    for (let i = 0; i < 16; i++) {
      writer.writeSync(
        new Uint8Array(PIPE_BUF).fill(i),
      );
    }
    using reader = await soon(opened);
    assertEquals(reader.available, 65536);
    const buffer = new Uint8Array(65536);
    assertEquals(reader.readSync(buffer), 65536);
    assertEquals([buffer[0], buffer[65535]], [0, 15]);
  },
);

leakTest("Fifo.openReader() serves one writer after another", async () => {
  using dir = scratch();
  using fifo = Fifo.create(dir.file("fifo"));
  let next = fifo.openReader();
  for (const word of ["one", "two", "three"]) {
    using writer = await soon(fifo.openWriter());
    await writer.write(utf8(word));
    writer.close();
    using reader = await soon(next);
    assertEquals(await say(reader), word);
    assertEquals(await say(reader), null);
    next = fifo.openReader(); // before the last is closed: no writer comes between
  }
  const controller = new AbortController();
  controller.abort();
  fifo.close();
  assertInstanceOf(await outcome(next), ClosedError);
});

leakTest(
  "Fifo waits 100 times and leaves the runtime's threads free",
  async () => {
    using dir = scratch();
    const file = dir.file("file", "content");
    const fifos = Array.from(
      { length: 50 },
      (_, index) => Fifo.create(dir.file(`fifo${index}`)),
    );
    const waits = fifos.flatMap((fifo, index) => [
      outcome(index % 2 === 0 ? fifo.openReader() : fifo.openWriter()),
      outcome(index % 2 === 0 ? fifo.openReader() : fifo.openWriter()),
    ]);
    await turns();
    assertEquals(await soon(Deno.readTextFile(file)), "content");
    for (const fifo of fifos) fifo.close();
    for (const error of await soon(Promise.all(waits), 5 * SECOND)) {
      assertInstanceOf(error, ClosedError);
    }
  },
);

// --- What passes through ----------------------------------------------------

leakTest("Fifo carries streams, with their ends", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  const reading = fifo.openReader();
  const writer = await fifo.openWriter();
  const reader = await reading;
  const words = ["하나 ", "two ", "drei"];
  const sending = ReadableStream.from(words)
    .pipeThrough(new TextEncoderStream())
    .pipeTo(writer.writable as WritableStream<Uint8Array>);
  let got = "";
  const texts = reader.readable.pipeThrough(new TextDecoderStream());
  for await (const text of texts) got += text;
  await sending;
  assertEquals(got, words.join(""));
  assertEquals(opened(path), 1); // the streams have closed their ends
});

leakTest("Fifo works with the shell's tools", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  await using sender = spawn("sh", {
    args: ["-c", 'echo "a job" > "$1"', "sh", path],
  });
  using reader = await soon(fifo.openReader(), 10 * SECOND);
  assertEquals(await say(reader), "a job\n");
  assertEquals(await say(reader), null);
  await assertSucceeded(sender);
  reader.close();
  await using receiver = spawn("cat", { args: [path] });
  using writer = await soon(fifo.openWriter(), 10 * SECOND);
  await writer.write(utf8("done\n"));
  assertEquals(await receiver.line(), "done");
  writer.close();
  await assertSucceeded(receiver);
});

leakTest(
  "PipeReader.inherit() gives the end of a FIFO to a child",
  async () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    const ends = fifo.openBoth();
    await using child = ends.reader.inherit((fd) =>
      spawn("cat", { args: [`/proc/self/fd/${fd}`] })
    );
    ends.reader.close();
    await ends.writer.write(utf8("for the child\n"));
    assertEquals(await child.line(), "for the child");
    ends.writer.close();
    await assertSucceeded(child);
  },
);

/** A Deno process that opens the FIFO. */
function denoPeer(dir: Scratch, path: string, body: string): Child {
  const url = import.meta.resolve("../ffi/fifo.ts");
  const script = dir.file(
    "peer.ts",
    `import { Fifo } from "${url}";
    using fifo = Fifo.open(Deno.args[0]);
    ${body}`,
  );
  return spawnDeno(script, { args: [path] });
}

leakTest("Fifo brings much to a slow reader, in little memory", {
  soak: "also",
}, async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  const size = rounds(2 ** 26, 2 ** 28);
  const chunk = 1_000_003; // has nothing to do with pages
  await using child = denoPeer(
    dir,
    path,
    `import { createHash } from "node:crypto";
    using writer = await fifo.openWriter();
    const chunk = new Uint8Array(${chunk});
    for (let at = 0; at < chunk.length; at++) chunk[at] = at * 31 + (at >>> 8);
    const hash = createHash("sha1");
    await writer.write(chunk.subarray(0, 0));
    const before = Deno.memoryUsage().rss;
    let peak = before;
    for (let left = ${size}, round = 0; left > 0; round++) {
      chunk[0] = round;
      const part = chunk.subarray(0, Math.min(left, chunk.length));
      hash.update(part);
      left -= await writer.write(part);
      peak = Math.max(peak, Deno.memoryUsage().rss);
    }
    console.log(hash.digest("hex"), peak - before);`,
  );
  using reader = await soon(fifo.openReader(), 20 * SECOND);
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
    pause += size / 64;
    await new Promise((resolve) => setTimeout(resolve, 2)); // slow
    peak = Math.max(peak, Deno.memoryUsage().rss);
  }
  assertEquals(total, size);
  const [digest, grown] = (await child.line()).split(" ");
  assertEquals(hash.digest("hex"), digest);
  assert(Number(grown) < 64 * 2 ** 20, `the writer grew by ${grown} bytes`);
  assert(peak - before < 64 * 2 ** 20, `the reader grew by ${peak - before}`);
  await assertSucceeded(child);
});

leakTest(
  "PipeWriter of a FIFO reports EPIPE when its reader is killed",
  async () => {
    using dir = scratch();
    const path = dir.file("fifo");
    using fifo = Fifo.create(path);
    await using child = denoPeer(
      dir,
      path,
      `using reader = await fifo.openReader();
    await reader.read(new Uint8Array(1));
    console.log("read");
    await new Promise(() => setInterval(() => {}, 1000));`,
    );
    using writer = await soon(fifo.openWriter(), 20 * SECOND);
    const writing = outcome(writer.write(new Uint8Array(200_000)));
    assertEquals(await child.line(), "read");
    child.kill("SIGKILL");
    const error = await soon(writing, 10 * SECOND);
    assertInstanceOf(error, IpcError);
    assertEquals(error.code, "EPIPE");
  },
);

leakTest("Fifo lets a program end that has given up waiting", async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  Fifo.create(path).close();
  await using child = denoPeer(
    dir,
    path,
    `for (const open of [() => fifo.openReader({ timeout: 20 }), () => fifo.openWriter({ timeout: 20 })]) {
      await open().catch((error) => console.log(error.name));
    }`,
  );
  const ended = await child.ended();
  assertEquals([ended.code, ended.stdout], [0, "TimeoutError\n".repeat(2)]);
});

leakTest("Fifo.openReader() waits on in a storm of signals", {}, async () => {
  using dir = scratch();
  const path = dir.file("fifo");
  using fifo = Fifo.create(path);
  const opened = await inChild(async (path: string) => {
    const { Fifo } = await import("../ffi/fifo.ts");
    let signals = 0;
    const listen = () => signals++;
    Deno.addSignalListener("SIGUSR1", listen);
    using fifo = Fifo.open(path);
    const { stormOfSignals } = await import("./support/storm.ts");
    const storm = stormOfSignals();
    const told = new Set<string>();
    for (let round = 0; round < 100; round++) {
      // One look each, of which some are interrupted.
      const looks = Array.from({ length: 100 }, () => {
        return fifo.openReader({ timeout: 0 }).catch(({ name }) =>
          told.add(name)
        );
      });
      await Promise.all(looks);
    }
    storm.kill("SIGKILL");
    await storm.status;
    await new Promise((resolve) => setTimeout(resolve, 1));
    Deno.removeSignalListener("SIGUSR1", listen);
    return [...told, signals > 0];
  }, { argument: path });
  assertEquals(opened, ["TimeoutError", true]);
  fifo.unlink();
});

leakTest(
  "ends of a FIFO stay blocking for a process that has inherited them",
  async () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    using ends = fifo.openBoth();
    const { reader, writer } = ends;
    const buffer = new Uint8Array(8);
    const brief = { timeout: 3 };
    assertStrictEquals(reader.tryRead(buffer), undefined); // before
    assertEquals(writer.tryWrite(utf8("x")), 1);
    const heirs = [reader, writer].map((end) =>
      new Raw(end.inherit((fd) => duplicate(fd)))
    );
    const assertBlocking = () => {
      for (const { fd } of heirs) assertEquals(flagsOf(fd) & O_NONBLOCK, 0);
    };
    assertBlocking();
    assertEquals(reader.tryRead(buffer), 1); // and after
    assertBlocking();
    await assertRejects(() => reader.read(buffer, brief), DOMException);
    assertThrows(() => reader.readSync(buffer, brief), DOMException);
    await assertRejects(
      () => writer.write(new Uint8Array(100_000), brief),
      DOMException,
    );
    assertStrictEquals(writer.tryWrite(utf8("x")), undefined);
    assertBlocking();
    for (const heir of heirs) heir[Symbol.dispose]();
  },
);

leakTest(
  "PipeReader.fd of a FIFO and detach() give a blocking descriptor",
  () => {
    using dir = scratch();
    using fifo = Fifo.create(dir.file("fifo"));
    using ends = fifo.openBoth();
    const buffer = new Uint8Array(8);
    assertStrictEquals(ends.reader.tryRead(buffer), undefined);
    assertEquals(flagsOf(ends.reader.fd) & O_NONBLOCK, 0);
    assertEquals(ends.writer.tryWrite(utf8("x")), 1);
    using writer = new Raw(ends.writer.detach());
    assertEquals(flagsOf(writer.fd) & O_NONBLOCK, 0);
  },
);
