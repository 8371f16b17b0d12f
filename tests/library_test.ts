/**
 * Opening libc: under every kind of permission, at a terminal, off Linux and in
 * Workers. A permission belongs to a process, so each case is a child.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fromFileUrl } from "@std/path";
import * as ipc from "../mod.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild, spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import {
  type Scratch,
  scratch,
  uniqueKey,
  uniqueName,
} from "./support/names.ts";
import {
  exists,
  run,
  spawn,
  type SpawnOptions,
  until,
} from "./support/process.ts";
import { rounds } from "./support/rounds.ts";

const MOD = import.meta.resolve("../mod.ts");
const PIPE = import.meta.resolve("../ffi/pipe.ts");

/** What an error was, as a child can tell. */
interface Failure {
  name: string;
  message: string;
}

const NOT_CAPABLE = {
  name: "NotCapable",
  message: "Cannot call libc: run again with the --allow-ffi flag, " +
    "for all paths or for the absolute path of libc.so.6",
};

/** What is said of a relative path, which Deno takes for one of the directory. */
const RELATIVE = NOT_CAPABLE.message.replace(
  ": ",
  ": --allow-ffi=libc.so.6 names a file of the working directory; ",
);

const DENIED = {
  name: "NotCapable",
  message: "Cannot call libc: run again with the --allow-ffi flag, " +
    "and without --deny-ffi",
};

/** The paths by which a permission may name the libc that is loaded here. */
function libcPaths(): string[] {
  const maps = Deno.readTextFileSync("/proc/self/maps");
  const real = maps.match(/\S+\/libc\.so\.6$/m)?.[0];
  assert(real, "this process has no libc.so.6");
  const short = real.replace(/^\/usr/, "");
  return exists(short) ? [...new Set([real, short])] : [real];
}

// --- With a permission -------------------------------------------------------

/** Uses all that needs no view of memory. */
async function useDescriptors(
  { directory, name }: { directory: string; name: string },
): Promise<Record<string, unknown>> {
  const {
    Fifo,
    pipe,
    PosixSemaphore,
    SysvMessageQueue,
    UnixListener,
    UnixStream,
  } = await import("../mod.ts");
  const used: Record<string, unknown> = {};
  const bytes = new Uint8Array(8);
  {
    using ends = pipe();
    const waiting = ends.reader.read(bytes);
    used.pipe = ends.writer.writeSync(Uint8Array.of(1, 2, 3));
    used.wait = await waiting;
    used.empty = ends.reader.tryRead(bytes) === undefined;
  }
  {
    using fifo = Fifo.create(`${directory}/fifo`);
    using ends = fifo.openBoth();
    ends.writer.writeSync(Uint8Array.of(1, 2));
    used.fifo = ends.reader.readSync(bytes);
    fifo.unlink();
  }
  {
    using queue = SysvMessageQueue.create(null);
    try {
      queue.sendSync(Uint8Array.of(7), { type: 3 });
      used.queue = queue.receiveSync().type;
      const waiting = queue.receive({ timeout: 10_000 });
      await new Promise((resolve) => setTimeout(resolve)); // it has begun
      queue.sendSync(Uint8Array.of(7, 7));
      used["queue's wait"] = (await waiting).data.length;
      used.messages = queue.stat().messages;
    } finally {
      queue.remove();
    }
  }
  {
    using listener = UnixListener.listen(`${directory}/socket`);
    using client = await UnixStream.connect(`${directory}/socket`);
    using server = await listener.accept();
    await client.write(Uint8Array.of(1, 2, 3, 4));
    used.socket = await server.read(bytes);
  }
  {
    using semaphore = PosixSemaphore.create(name, 2);
    PosixSemaphore.unlink(name);
    using _permit = semaphore.acquireSync();
    used.semaphore = semaphore.value;
    using _other = semaphore.acquireSync();
    const waiting = semaphore.acquire({ timeout: 10_000 });
    await new Promise((resolve) => setTimeout(resolve));
    semaphore.release();
    using _third = await waiting;
    used["semaphore's wait"] = semaphore.value;
  }
  try {
    Fifo.open(`${directory}/missing`);
  } catch (error) {
    used.error = (error as Error).message;
  }
  return used;
}

function expectedUse(directory: string): Record<string, unknown> {
  return {
    pipe: 3,
    wait: 3,
    empty: true,
    fifo: 2,
    queue: 3,
    "queue's wait": 2,
    messages: 0,
    socket: 4,
    semaphore: 1,
    "semaphore's wait": 0,
    error: `open ${directory}/missing: No such file or directory (ENOENT)`,
  };
}

leakTest("header() opens libc under --allow-ffi", async () => {
  using dir = scratch();
  const used = await inChild(useDescriptors, {
    permissions: ["--allow-ffi"],
    argument: { directory: dir.path, name: uniqueName() },
  });
  assertEquals(used, expectedUse(dir.path));
  assertEquals(dir.list(), []);
});

for (const path of libcPaths()) {
  leakTest(
    `header() opens libc under --allow-ffi with ${
      path.startsWith("/usr") ? "its path" : "a path through a link"
    }`,
    async () => {
      using dir = scratch();
      const used = await inChild(useDescriptors, {
        permissions: [`--allow-ffi=${path}`],
        argument: { directory: dir.path, name: uniqueName() },
      });
      assertEquals(used, expectedUse(dir.path));
      assertEquals(dir.list(), []);
    },
  );
}

leakTest(
  "header() opens libc under --allow-ffi with its directory",
  async () => {
    using dir = scratch();
    const path = libcPaths()[0]!.replace(/\/[^/]*$/, "");
    const used = await inChild(useDescriptors, {
      permissions: [`--allow-ffi=${path}`],
      argument: { directory: dir.path, name: uniqueName() },
    });
    assertEquals(used, expectedUse(dir.path));
  },
);

/** Tries each way to a view of memory; tells of the errors and what stays. */
async function tryMemory(
  { directory, keys, ways }: {
    directory: string;
    keys: number[];
    ways: string[];
  },
): Promise<{ errors: Record<string, unknown>; before: string; after: string }> {
  const { MemoryMap, SysvSharedMemory } = await import(
    "../ffi/shared_memory.ts"
  );
  const { fcntl } = await import("../ffi/libc/fcntl.ts");
  const { unistd } = await import("../ffi/libc/unistd.ts");
  const { sysShm } = await import("../ffi/libc/sys_shm.ts");

  /** Deno would want a permission of its own for /proc. */
  function shared(): string {
    const path = new TextEncoder().encode("/proc/self/maps\0");
    const fd = fcntl().open(path, 0, 0);
    const buffer = new Uint8Array(1 << 20);
    let length = 0;
    for (
      let count;
      (count = unistd().read(fd, buffer.subarray(length), 4096)) > 0;
    ) {
      length += count;
    }
    unistd().close(fd);
    const text = new TextDecoder().decode(buffer.subarray(0, length));
    return text.split("\n").filter((row) => / ...s /.test(row)).join("\n");
  }

  const id = sysShm().shmget(keys[0]!, 100n, 0o1600); // IPC_CREAT
  const file = `${directory}/file`;
  const all: Record<string, () => unknown> = {
    anonymous: () => MemoryMap.anonymous(4096),
    create: () => MemoryMap.create(`${directory}/new`, 4096),
    open: () => MemoryMap.open(file),
    "open privately": () => MemoryMap.open(file, { private: true }),
    "create a segment": () => SysvSharedMemory.create(null, 4096),
    "create a segment with a key": () =>
      SysvSharedMemory.create(keys[1]!, 4096),
    "open a segment": () => SysvSharedMemory.open(keys[0]!),
    "open or create an existing segment": () =>
      SysvSharedMemory.openOrCreate(keys[0]!, 100),
    "open or create a new segment": () =>
      SysvSharedMemory.openOrCreate(keys[2]!, 100),
    "open a segment by its id": () => SysvSharedMemory.fromId(id),
  };
  const before = shared();
  const errors: Record<string, unknown> = {};
  for (const way of ways) {
    try {
      all[way]!();
      errors[way] = null;
    } catch (error) {
      const { name, message } = error as Error;
      errors[way] = error instanceof Deno.errors.NotCapable ? name : "other";
      const remedy = "run again with --allow-ffi, without a path";
      if (!message.includes(remedy)) errors[way] = message;
    }
  }
  const after = shared();
  sysShm().shmctl(id, 0, null); // IPC_RMID
  return { errors, before, after };
}

async function assertNoMemory(ways: string[]): Promise<void> {
  using dir = scratch();
  dir.file("file", "some text");
  const keys = [uniqueKey(), uniqueKey(), uniqueKey()];
  const { errors, before, after } = await inChild(tryMemory, {
    permissions: [`--allow-ffi=${libcPaths()[0]}`],
    argument: { directory: dir.path, keys, ways },
  });
  const expected = ways.map((way) => [way, "NotCapable"]);
  assertEquals(errors, Object.fromEntries(expected));
  assertEquals(after, before, "a mapping was left");
  assertEquals(dir.list(), ["file"]); // leakTest looks for segments
}

leakTest(
  "MemoryMap under a path's permission fails, and leaves nothing",
  () => assertNoMemory(["anonymous", "create", "open", "open privately"]),
);

leakTest(
  "SysvSharedMemory under a path's permission fails, and leaves nothing",
  () =>
    assertNoMemory([
      "create a segment",
      "create a segment with a key",
      "open a segment",
      "open or create an existing segment",
      "open a segment by its id",
    ]),
);

leakTest(
  "SysvSharedMemory.openOrCreate() under a path's permission leaves no new segment",
  () => assertNoMemory(["open or create a new segment"]),
);

// --- Beside a foreign file of the name ---------------------------------------

const FOREIGN = new URL("./interop/c/foreign_library.c", import.meta.url);

/** Tells what a first call does where a foreign libc.so.6 is. */
const FIRST_CALL = `
  import { pipe } from ${JSON.stringify(PIPE)};
  try {
    using ends = pipe();
    console.log("done:", ends.writer.writeSync(new Uint8Array(3)));
  } catch (error) {
    console.log("failed:", error.name, error.message);
  }`;

/** Puts a foreign libc.so.6 into the directory; returns what it leaves. */
async function putForeign(directory: Scratch): Promise<string> {
  const library = await compile(FOREIGN, "-shared", "-fPIC");
  Deno.copyFileSync(library, `${directory.path}/libc.so.6`);
  return `${directory.path}/loaded`;
}

const [LIBC, LINK = "/usr/nothing"] = libcPaths() as [string, string?];
const OTHER = "/nowhere/libother.so";
const LEFT_OUT =
  "is denied; run again with a --deny-ffi flag that leaves it out";

/** What the first call does under each permission. */
const OUTCOMES: [string[], string][] = [
  [[], `failed: NotCapable ${NOT_CAPABLE.message}`],
  [["--allow-ffi"], "done: 3"],
  [["-A"], "done: 3"],
  [["--allow-ffi", `--deny-ffi=${OTHER}`], "done: 3"],
  [["-A", `--deny-ffi=${OTHER}`], "done: 3"],
  [["-A", "--deny-ffi=libc.so.6"], "done: 3"],
  [[`--allow-ffi=${LIBC}`], "done: 3"],
  [[`--allow-ffi=${LIBC}`, `--deny-ffi=${OTHER}`], "done: 3"],
  [["--allow-ffi=libc.so.6"], `failed: NotCapable ${RELATIVE}`],
  [["--allow-ffi=./libc.so.6"], `failed: NotCapable ${RELATIVE}`],
  [
    ["-A", `--deny-ffi=${LIBC}`],
    `failed: NotCapable Cannot call libc: ${LIBC} ${LEFT_OUT}`,
  ],
  [
    ["-A", `--deny-ffi=${LINK}`],
    LINK === "/usr/nothing"
      ? "done: 3"
      : `failed: NotCapable Cannot call libc: ${LINK} ${LEFT_OUT}`,
  ],
  [["--deny-ffi"], `failed: NotCapable ${DENIED.message}`],
];

for (const [flags, expected] of OUTCOMES) {
  leakTest(
    `header() loads no libc.so.6 of the working directory (${
      flags.join(" ") || "no permission"
    })`,
    { needs: [noCompiler] },
    async () => {
      using dir = scratch();
      const loaded = await putForeign(dir);
      const { code, stdout, stderr } = await run(Deno.execPath(), {
        args: ["run", "--quiet", "--no-prompt", ...flags, "-"],
        cwd: dir.path,
        env: { LOADED: loaded },
        stdin: FIRST_CALL,
      });
      assertEquals([code, stdout, stderr], [0, `${expected}\n`, ""]);
      assert(!exists(loaded), "the foreign file was loaded");
    },
  );
}

// --- Without -----------------------------------------------------------------

/** Makes the first call of each mechanism; tells of the errors. */
async function tryEverything(
  { directory, key, build }: {
    directory: string;
    key: number;
    build?: Partial<typeof Deno.build>;
  },
): Promise<Record<string, Failure | null>> {
  const value = { ...Deno.build, ...build };
  Object.defineProperty(Deno, "build", { value });
  const ipc = await import("../mod.ts");
  const calls: Record<string, () => unknown> = {
    "pipe()": () => ipc.pipe(),
    "PipeReader.fromFd()": () => ipc.PipeReader.fromFd(0),
    "PipeWriter.fromFd()": () => ipc.PipeWriter.fromFd(1),
    "Fifo.create()": () => ipc.Fifo.create(`${directory}/fifo`),
    "Fifo.open()": () => ipc.Fifo.open(`${directory}/fifo`),
    "PosixMessageQueue.create()": () => ipc.PosixMessageQueue.create(null),
    "PosixMessageQueue.fromFd()": () => ipc.PosixMessageQueue.fromFd(0),
    "SysvMessageQueue.create()": () => ipc.SysvMessageQueue.create(null),
    "SysvMessageQueue.open()": () => ipc.SysvMessageQueue.open(key),
    "SysvMessageQueue.openOrCreate()": () =>
      ipc.SysvMessageQueue.openOrCreate(key),
    "SysvMessageQueue.fromId()": () => ipc.SysvMessageQueue.fromId(0),
    "SysvSharedMemory.create()": () => ipc.SysvSharedMemory.create(null, 1),
    "SysvSharedMemory.open()": () => ipc.SysvSharedMemory.open(key),
    "SysvSharedMemory.openOrCreate()": () =>
      ipc.SysvSharedMemory.openOrCreate(key, 1),
    "SysvSharedMemory.fromId()": () => ipc.SysvSharedMemory.fromId(0),
    "MemoryMap.create()": () => ipc.MemoryMap.create(`${directory}/map`, 1),
    "MemoryMap.open()": () => ipc.MemoryMap.open(`${directory}/map`),
    "MemoryMap.anonymous()": () => ipc.MemoryMap.anonymous(1),
    "PosixSemaphore.create()": () => ipc.PosixSemaphore.create(null, 1),
    "PosixSemaphore.open()": () => ipc.PosixSemaphore.open("/nothing"),
    "PosixSemaphore.openOrCreate()": () =>
      ipc.PosixSemaphore.openOrCreate("/nothing", 1),
    "PosixSemaphore.unlink()": () => ipc.PosixSemaphore.unlink("/nothing"),
    "UnixListener.listen()": () =>
      ipc.UnixListener.listen(`${directory}/socket`),
    "UnixStream.connect()": () => ipc.UnixStream.connect(`${directory}/socket`),
    "UnixStream.connectSync()": () =>
      ipc.UnixStream.connectSync(`${directory}/socket`),
  };
  const failures: Record<string, Failure | null> = {};
  for (const [call, body] of Object.entries(calls)) {
    try {
      await body();
      failures[call] = null;
    } catch (error) {
      const { name, message } = error as Error;
      failures[call] = { name, message };
    }
  }
  return failures;
}

/** All calls fail alike. */
async function assertAllFail(
  expected: Failure,
  options: { permissions?: string[]; build?: Partial<typeof Deno.build> },
): Promise<void> {
  using dir = scratch();
  const { build } = options;
  const failures = await inChild(tryEverything, {
    permissions: options.permissions ?? [],
    argument: { directory: dir.path, key: uniqueKey(), build },
  });
  const calls = Object.keys(failures);
  assert(calls.length > 20);
  assertEquals(
    failures,
    Object.fromEntries(calls.map((call) => [call, expected])),
  );
  assertEquals(dir.list(), []);
}

leakTest(
  "header() without a permission names --allow-ffi",
  () => assertAllFail(NOT_CAPABLE, { permissions: [] }),
);

leakTest("header() opens no musl in a process with glibc", () => {
  const path = `/lib/ld-musl-${Deno.build.arch}.so.1`;
  return assertAllFail(NOT_CAPABLE, { permissions: [`--allow-ffi=${path}`] });
});

leakTest(
  "header() with a denied permission names --deny-ffi",
  async () => {
    await assertAllFail(DENIED, { permissions: ["--deny-ffi"] });
    await assertAllFail(DENIED, { permissions: ["-A", "--deny-ffi"] });
  },
);

leakTest(
  "header() with a permission for something else names --allow-ffi",
  () =>
    assertAllFail(NOT_CAPABLE, {
      permissions: ["--allow-ffi=/nowhere/libother.so", "--allow-read"],
    }),
);

leakTest(
  "an uncaught error without a permission names --allow-ffi",
  async () => {
    await using child = spawnCall(async () => {
      const { pipe } = await import("../ffi/pipe.ts");
      pipe();
    }, { permissions: [] });
    const { code, stderr } = await child.ended();
    assertEquals(code, 1);
    assertStringIncludes(stderr, `NotCapable: ${NOT_CAPABLE.message}`);
  },
);

leakTest("importing needs no permission", async () => {
  const { exports } = JSON.parse(
    Deno.readTextFileSync(new URL("../deno.json", import.meta.url)),
  ) as { exports: Record<string, string> };
  // Every entry point, imported as a program does it.
  const lines = Object.values(exports).map((file, index) =>
    `import * as entry${index} from "../${file}";`
  );
  const names = lines.map((_, index) => `entry${index}`).join(", ");
  const state = 'Deno.permissions.querySync({ name: "ffi" }).state';
  const program = [
    ...lines,
    `console.log([${names}].map((entry) => Object.keys(entry).length > 0).join());`,
    `console.log(${state});`,
  ];
  const { code, stdout, stderr } = await run(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "-"],
    cwd: fromFileUrl(new URL(".", import.meta.url)),
    stdin: program.join("\n"),
  });
  assertEquals(stderr, "");
  assertEquals(code, 0);
  assertEquals(stdout, `${lines.map(() => true).join()}\nprompt\n`);
});

leakTest("importing does nothing", async () => {
  const { before, after } = await inChild(async () => {
    // What the runtime has of its own comes and goes.
    const targets = () =>
      Array.from(Deno.readDirSync("/proc/self/fd"), ({ name }) => {
        try {
          return Deno.readLinkSync(`/proc/self/fd/${name}`);
        } catch {
          return "";
        }
      }).filter((target) =>
        target !== "" && !/_cache_v\d|\/proc\//.test(target)
      );
    const mappings = () =>
      Deno.readTextFileSync("/proc/self/maps").split("\n")
        .filter((row) => / ...s |\.so/.test(row))
        .map((row) => row.replace(/^\S+ /, ""));
    const look = () => [...targets(), ...new Set(mappings())].sort();
    await import("./support/names.ts"); // the first import has costs of its own
    const before = look();
    await import("../mod.ts");
    return { before, after: look() };
  });
  assertEquals(after, before);
});

leakTest("struct() needs no permission", async () => {
  const size = await inChild(async () => {
    const { cstring, i16, struct } = await import("../ffi/struct.ts");
    const human = struct({ age: i16, name: cstring(20) });
    return human.encode({ age: 80, name: "ghkim" }).length;
  }, { permissions: [] });
  assertEquals(size, 22);
});

// --- At a terminal -----------------------------------------------------------

const noTerminal = findTerminal();

/** Why no child can have a terminal here, or null. */
function findTerminal(): string | null {
  try {
    const { success } = new Deno.Command("script", {
      args: ["-qec", "true", "/dev/null"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).outputSync();
    return success ? null : "script gives no terminal here";
  } catch {
    return "no script command";
  }
}

/** Runs a program at a terminal, where the first question is answered. */
async function atTerminal(
  program: string,
  answer: "y" | "n" | null,
  flags: string[] = [],
  { cwd, env }: SpawnOptions = {},
): Promise<{ code: number; output: string; questions: number }> {
  using dir = scratch();
  const file = dir.file("program.ts", program);
  const command = [Deno.execPath(), "run", "--quiet", ...flags, file]
    .map((part) => `'${part}'`).join(" ");
  await using child = spawn("script", {
    args: ["-qec", command, "/dev/null"],
    cwd: cwd ?? dir.path,
    env: { DENO_NO_PROMPT: "", SHELL: "/bin/sh", TERM: "xterm", ...env },
  });
  if (answer !== null) {
    await child.expect(/Allow\?[^>]*> /);
    // Deno throws away what is typed before it reads, and reads when nothing
    // has been typed for a while: so type again now and then until it does.
    let typed = -Infinity;
    await until(() => {
      if (/(Granted|Denied) ffi/.test(child.unread)) return true;
      if (performance.now() - typed > 250) {
        child.write(`${answer}\n`).catch(() => {});
        typed = performance.now();
      }
      return false;
    }, "an answer that is heard");
  }
  await child.expect(/(done|failed): [^\n]*\n/);
  const { code, stdout } = await child.ended();
  const questions = stdout.match(/Deno requests \w+ access/g) ?? [];
  return { code, output: stdout, questions: questions.length };
}

const AT_TERMINAL = `
  import { MemoryMap, pipe } from ${JSON.stringify(MOD)};
  try {
    using ends = pipe();
    const count = ends.writer.writeSync(new Uint8Array(3));
    using map = MemoryMap.anonymous(10);
    console.log("done:", count, map.bytes.length);
  } catch (error) {
    console.log("failed:", error.name, error.message);
  }`;

leakTest(
  "header() at a terminal asks once",
  { needs: [noTerminal] },
  async () => {
    const { output, questions } = await atTerminal(AT_TERMINAL, "y");
    assertStringIncludes(output, "done: 3 10");
    assertEquals(questions, 1);
  },
);

leakTest(
  "header() at a terminal takes no for an answer",
  { needs: [noTerminal] },
  async () => {
    const { output, questions } = await atTerminal(AT_TERMINAL, "n");
    assertStringIncludes(output, `failed: NotCapable ${DENIED.message}`);
    assertEquals(questions, 1);
  },
);

leakTest(
  "header() at a terminal does not ask what is granted",
  { needs: [noTerminal] },
  async () => {
    const program = AT_TERMINAL.replace(
      /using map.*/,
      "const map = { bytes: [] };",
    );
    for (const path of ["", `=${libcPaths()[0]}`]) {
      const flags = [`--allow-ffi${path}`];
      const { output, questions } = await atTerminal(program, null, flags);
      assertStringIncludes(output, "done: 3 0");
      assertEquals(questions, 0);
    }
  },
);

leakTest(
  "header() at a terminal beside a denial loads no foreign libc.so.6",
  { needs: [noTerminal, noCompiler] },
  async () => {
    using dir = scratch();
    const loaded = await putForeign(dir);
    const flags = [`--deny-ffi=${OTHER}`];
    const options = { cwd: dir.path, env: { LOADED: loaded } };
    const { output } = await atTerminal(FIRST_CALL, "y", flags, options);
    assertStringIncludes(output, "done: 3");
    assert(!exists(loaded), "the foreign file was loaded");
  },
);

leakTest(
  "header() at a terminal does not ask what is denied",
  { needs: [noTerminal] },
  async () => {
    const flags = [`--deny-ffi=${LIBC}`];
    const { output, questions } = await atTerminal(FIRST_CALL, null, flags);
    assertStringIncludes(output, LEFT_OUT);
    assertEquals(questions, 0);
  },
);

// --- Other systems -----------------------------------------------------------

for (const os of ["darwin", "windows"] as const) {
  leakTest(`header() on ${os} says that Linux is needed`, () =>
    assertAllFail({
      name: "NotSupported",
      message:
        `Cannot call libc: this module needs Linux, and this system is ${os}`,
    }, { build: { os }, permissions: ["--allow-ffi"] }));
}

leakTest(
  "header() on another machine says which it knows",
  () =>
    assertAllFail({
      name: "NotSupported",
      message:
        "Cannot call libc: this module knows x86_64 and aarch64, not riscv64gc",
    }, {
      build: { arch: "riscv64gc" as "x86_64" },
      permissions: ["--allow-ffi"],
    }),
);

leakTest("header() off Linux asks for no permission", () =>
  assertAllFail({
    name: "NotSupported",
    message:
      "Cannot call libc: this module needs Linux, and this system is darwin",
  }, { build: { os: "darwin" }, permissions: [] }));

// --- Workers -----------------------------------------------------------------

/** A Worker's program: fails again and again, always with its own number. */
const FAIL_AGAIN_AND_AGAIN = `
  const calls = {
    ENOENT: (path) => Fifo.open(path + "/missing"),
    EEXIST: (path) => Fifo.create(path),
    EBADF: () => PipeReader.fromFd(0x7fffffff),
    ENOTDIR: () => Fifo.open("/dev/null/x"),
    EIDRM: () => SysvMessageQueue.fromId(0x7fffffff),
  };
  addEventListener("message", ({ data: { kind, rounds, path } }) => {
    const codes = {};
    for (let round = 0; round < rounds; round++) {
      try {
        calls[kind](path);
      } catch ({ code }) {
        codes[code] = (codes[code] ?? 0) + 1;
      }
    }
    postMessage(codes);
  });
  postMessage("ready");`;

/** The next message of a Worker. */
function next(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
}

/** Writes a Worker's program, which can use all of the library. */
function workerProgram(directory: Scratch, text: string): string {
  const names = Object.keys(ipc).join(", ");
  const start = `import { ${names} } from ${JSON.stringify(MOD)};\n`;
  return `file://${directory.file("worker.js", start + text)}`;
}

function startWorker(program: string): Worker {
  return new Worker(program, { type: "module" });
}

leakTest("errno() is each Worker's own", { soak: "also" }, async () => {
  using dir = scratch();
  const kinds = ["ENOENT", "EEXIST", "EBADF", "ENOTDIR", "EIDRM"];
  const times = rounds(300, 2_000);
  const program = workerProgram(dir, FAIL_AGAIN_AND_AGAIN);
  const workers = kinds.map(() => startWorker(program));
  try {
    assertEquals(
      await Promise.all(workers.map(next)),
      kinds.map(() => "ready"),
    );
    const answers = workers.map(next);
    workers.forEach((worker, index) =>
      worker.postMessage({ kind: kinds[index], rounds: times, path: dir.path })
    );
    assertEquals(
      await Promise.all(answers),
      kinds.map((kind) => ({ [kind]: times })),
    );
  } finally {
    for (const worker of workers) worker.terminate();
  }
});

/** A Worker's program: waits without blocking, and maps memory. */
const USE = `
  {
    using ends = pipe();
    const waiting = ends.reader.read(new Uint8Array(8));
    setTimeout(() => ends.writer.writeSync(Uint8Array.of(1, 2, 3)), 1);
    using map = MemoryMap.anonymous(64);
    using semaphore = PosixSemaphore.init(map.bytes.subarray(0, 32), 2);
    using permit = semaphore.acquireSync();
    postMessage([await waiting, map.bytes.length, semaphore.value]);
  }
  close();`;

leakTest("everything works in a Worker", async () => {
  using dir = scratch();
  const worker = startWorker(workerProgram(dir, USE));
  try {
    assertEquals(await next(worker), [3, 64, 1]);
  } finally {
    worker.terminate();
  }
});

leakTest("a Worker that has waited leaves no descriptor", async () => {
  using dir = scratch();
  const { first, last, answers } = await inChild(async (program: string) => {
    const polls = () =>
      Array.from(Deno.readDirSync("/proc/self/fd")).filter(({ name }) => {
        try {
          const target = Deno.readLinkSync(`/proc/self/fd/${name}`);
          return target === "anon_inode:[eventpoll]";
        } catch {
          return false; // closed since
        }
      }).length;
    const answers: unknown[] = [];
    const live = async () => {
      const worker = new Worker(program, { type: "module" });
      answers.push(
        await new Promise((resolve) => {
          worker.onmessage = ({ data }) => resolve(data);
        }),
      );
    };
    await live(); // the first one has costs of its own
    const first = polls();
    for (let count = 0; count < 4; count++) await live();
    // The threads of the Workers end a little later.
    for (let look = 0; look < 200 && polls() > first + 1; look++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return { first, last: polls(), answers };
  }, { argument: workerProgram(dir, USE) });
  assertEquals(answers, Array(5).fill([3, 64, 1]));
  assert(last <= first + 1, `${first} epolls, then ${last}`);
});

leakTest(
  "a Worker that is ended while it waits lets the process end",
  async () => {
    using dir = scratch();
    const program = workerProgram(
      dir,
      `
    using ends = pipe();
    const waiting = ends.reader.read(new Uint8Array(8));
    postMessage("waits");
    await waiting;`,
    );
    const answer = await inChild(async (program: string) => {
      const worker = new Worker(program, { type: "module" });
      const answer = await new Promise((resolve) => {
        worker.onmessage = ({ data }) => resolve(data);
      });
      worker.terminate();
      await Deno.stat("/"); // the pool of threads still works
      return answer;
    }, { argument: program, limit: 10_000 });
    assertEquals(answer, "waits");
  },
);
