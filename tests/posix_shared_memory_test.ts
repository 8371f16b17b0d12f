import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  IpcError,
  PosixSharedMemory,
} from "../ffi/shared_memory.ts";
import { compile, noCompiler } from "./support/c.ts";
import { inChild, outcome, runCall, spawnCall } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { uniqueName } from "./support/names.ts";
import { unshareFlags } from "./support/namespaces.ts";
import { exists, run, spawn } from "./support/process.ts";
import { rounds } from "./support/rounds.ts";
import { noOtherUser, runAsNobody } from "./support/user.ts";

const PAGE = 4096;

/** The file behind a name. */
function fileOf(name: string): string {
  return `/dev/shm${name}`;
}

/** An object whose name is gone already. */
function newMemory(size: number): PosixSharedMemory {
  const memory = PosixSharedMemory.create(null, size);
  PosixSharedMemory.unlink(memory.name);
  return memory;
}

/** The kernel says no to a call, for this reason. */
function assertRefused(
  call: () => unknown,
  code: string,
  syscall: string,
): IpcError {
  const error = assertThrows(call, IpcError);
  assertEquals([error.code, error.syscall], [code, syscall], error.message);
  return error;
}

/** A shell that has a /dev/shm of its own, of this many kilobytes. */
function smallShm(kilobytes: number): string[] {
  const mount =
    `mount -t tmpfs -o size=${kilobytes}k ipc /dev/shm && exec "$0" "$@"`;
  return ["unshare", ...unshare!, "/bin/sh", "-c", mount];
}

const unshare = unshareFlags(
  "--mount",
  ...["sh", "-c", "mount -t tmpfs ipc /dev/shm"],
);
const noMounts = unshare === undefined ? "no mount namespace" : null;

// --- Create, open, unlink ----------------------------------------------------

leakTest("PosixSharedMemory.create() maps an object of zeroes", () => {
  for (const size of [1, 7, PAGE - 1, PAGE, PAGE + 1, 100_003]) {
    const name = uniqueName();
    using memory = PosixSharedMemory.create(name, size);
    assertEquals([memory.name, memory.size], [name, size]);
    assertEquals(memory.bytes, new Uint8Array(size));
    memory.bytes[size - 1] = 5;
    assertEquals(Deno.readFileSync(fileOf(name))[size - 1], 5);
    PosixSharedMemory.unlink(name);
    assert(!exists(fileOf(name)));
    assertEquals(memory.bytes[size - 1], 5);
  }
});

leakTest("PosixSharedMemory.create(null) picks a name that is free", () => {
  using one = PosixSharedMemory.create(null, 4);
  using two = PosixSharedMemory.create(null, 4);
  assertNotEquals(one.name, two.name);
  assertMatch(one.name, /^\/ipc-\d+-[\w-]+$/);
  assertThrows(() => Object.assign(one, { name: "/other" }), TypeError);
  for (const memory of [one, two]) {
    using other = PosixSharedMemory.open(memory.name);
    other.bytes[0] = 9;
    assertEquals(memory.bytes[0], 9);
    PosixSharedMemory.unlink(memory.name);
  }
});

leakTest(
  "PosixSharedMemory.create() gives the mode, whatever the umask",
  async () => {
    assertEquals(
      await inChild(async () => {
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        Deno.umask(0o277);
        return [undefined, 0o666, 0o640, 0o400, 0, -0].map((mode) => {
          using memory = PosixSharedMemory.create(null, 4, { mode });
          const { mode: found } = Deno.statSync(`/dev/shm${memory.name}`);
          PosixSharedMemory.unlink(memory.name);
          return found! & 0o777;
        });
      }),
      [0o400, 0o666, 0o640, 0o400, 0, 0],
    );
  },
);

leakTest("PosixSharedMemory.openOrCreate() keeps the mode of an object", () => {
  using memory = PosixSharedMemory.create(null, 4, { mode: 0o640 });
  using _again = PosixSharedMemory.openOrCreate(memory.name, 4, {
    mode: 0o666,
  });
  PosixSharedMemory.unlink(memory.name);
  assertEquals(memory.stat().mode, 0o640);
});

leakTest("PosixSharedMemory.chmod() changes the mode", () => {
  using memory = PosixSharedMemory.create(null, 4);
  PosixSharedMemory.unlink(memory.name);
  for (const mode of [0o666, 0, 0o600]) {
    memory.chmod(mode);
    assertEquals(memory.stat().mode, mode);
  }
  for (const mode of [-1, 0o1000, 0.5, NaN]) {
    assertThrows(() => memory.chmod(mode), RangeError, "mode");
  }
  memory.close();
  assertThrows(() => memory.chmod(0o600), ClosedError);
});

leakTest("PosixSharedMemory.create() fails where an object is", () => {
  const name = uniqueName();
  using memory = PosixSharedMemory.create(name, 8);
  memory.bytes[0] = 1;
  const error = assertRefused(
    () => PosixSharedMemory.create(name, 100),
    "EEXIST",
    "shm_open",
  );
  assertEquals(error.message, `shm_open ${name}: File exists (EEXIST)`);
  assertEquals([memory.size, memory.bytes[0]], [8, 1]);
  PosixSharedMemory.unlink(name);
  const again = () => PosixSharedMemory.unlink(name);
  assertRefused(again, "ENOENT", "shm_unlink");
  assertRefused(() => PosixSharedMemory.open(name), "ENOENT", "shm_open");
});

leakTest("PosixSharedMemory refuses what is no name", () => {
  for (
    const call of [
      (name: string) => PosixSharedMemory.create(name, 4),
      (name: string) => PosixSharedMemory.open(name),
      (name: string) => PosixSharedMemory.unlink(name),
    ]
  ) {
    for (const name of ["", "x", "/", "/a/b", "/a\0b", "/.", "/..", "\ud800"]) {
      assertThrows(() => call(name), Error, '"name"');
    }
    assertThrows(() => call(`/${"é".repeat(128)}`), RangeError, "256 bytes");
    for (const name of [1, undefined, {}]) {
      assertThrows(() => call(name as unknown as string), TypeError);
    }
  }
  for (const call of [PosixSharedMemory.open, PosixSharedMemory.unlink]) {
    assertThrows(() => call(null as unknown as string), TypeError);
  }
});

leakTest("PosixSharedMemory takes the longest name", () => {
  const name = `${uniqueName()}-`.padEnd(256, "x");
  using memory = PosixSharedMemory.create(name, 1);
  using other = PosixSharedMemory.open(name);
  assertEquals(other.byteLength, memory.byteLength);
  PosixSharedMemory.unlink(name);
});

leakTest("PosixSharedMemory refuses what is no size, mode or range", () => {
  const name = uniqueName();
  for (const size of [0, -1, 1.5, NaN, 2 ** 53]) {
    const create = () => PosixSharedMemory.create(name, size);
    assertThrows(create, RangeError, '"size"');
  }
  for (const mode of [-1, 0o1000, 1.5]) {
    const create = () => PosixSharedMemory.create(name, 4, { mode });
    assertThrows(create, RangeError, '"mode"');
  }
  for (const value of [-1, 1.5, NaN]) { // before it looks for the object
    const offset = () => PosixSharedMemory.open(name, { offset: value });
    assertThrows(offset, RangeError, '"offset"');
    const length = () => PosixSharedMemory.open(name, { length: value });
    assertThrows(length, RangeError, '"length"');
  }
  assert(!exists(fileOf(name)));
});

leakTest("PosixSharedMemory.open() maps a part, and changes no size", () => {
  using memory = newMemory(PAGE + 100);
  memory.bytes.forEach((_, index) => memory.bytes[index] = index * 7);
  const path = `/proc/self/fd/${memory.fd}`;
  const name = uniqueName();
  Deno.copyFileSync(path, fileOf(name)); // an object, as C makes it
  for (
    const [options, begin, end] of [
      [{}, 0, PAGE + 100],
      [{ offset: 1 }, 1, PAGE + 100],
      [{ offset: PAGE - 1, length: 2 }, PAGE - 1, PAGE + 1],
      [{ offset: PAGE + 99 }, PAGE + 99, PAGE + 100],
    ] as const
  ) {
    using part = PosixSharedMemory.open(name, options);
    assertEquals(part.bytes, memory.bytes.slice(begin, end));
    using reader = PosixSharedMemory.open(name, { ...options, readonly: true });
    assertEquals(reader.read(0, end - begin), memory.bytes.slice(begin, end));
    assertEquals(part.size, PAGE + 100);
  }
  for (
    const options of [
      { offset: PAGE + 100 },
      { length: PAGE + 101 },
      { offset: 100, length: PAGE + 1 },
      { offset: Number.MAX_SAFE_INTEGER },
    ]
  ) {
    const open = () => PosixSharedMemory.open(name, options);
    assertThrows(open, RangeError, `shared memory ${name}`);
  }
  assertEquals(Deno.statSync(fileOf(name)).size, PAGE + 100);
  PosixSharedMemory.unlink(name);
});

leakTest(
  "PosixSharedMemory.open() refuses what is empty, or no object",
  async () => {
    const name = uniqueName();
    Deno.writeTextFileSync(fileOf(name), "");
    assertThrows(
      () => PosixSharedMemory.open(name),
      RangeError,
      `Cannot map shared memory ${name}: it is empty`,
    );
    Deno.removeSync(fileOf(name));
    assertEquals((await run("mkfifo", { args: [fileOf(name)] })).code, 0);
    for (const readonly of [true, false]) {
      const open = () => PosixSharedMemory.open(name, { readonly });
      assertThrows(open, TypeError, "it is not a regular file");
    }
    Deno.removeSync(fileOf(name));
    Deno.mkdirSync(fileOf(name));
    assertThrows(() => PosixSharedMemory.open(name), IpcError, "EINVAL");
    Deno.removeSync(fileOf(name));
  },
);

leakTest("PosixSharedMemory.create() that fails leaves no name", () => {
  const name = uniqueName();
  for (const size of [Number.MAX_SAFE_INTEGER, 2 ** 50]) {
    for (const reserve of [true, false]) {
      const { code, message } = assertThrows(
        () => PosixSharedMemory.create(name, size, { reserve }),
        IpcError,
      );
      assert(["EFBIG", "EINVAL", "ENOMEM", "ENOSPC"].includes(code), message);
      assert(!exists(fileOf(name)));
    }
  }
});

leakTest(
  "PosixSharedMemory.create() says ENOSPC where there is no room",
  { needs: [noMounts] },
  async () => {
    const { code, stdout, transcript } = await runCall(
      async () => {
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        function told(call: () => unknown) {
          try {
            call();
            return "returned";
          } catch (error) {
            return (error as { code: string }).code;
          }
        }
        console.log(told(() => {
          PosixSharedMemory.create("/large", 1_000_000).bytes.fill(1);
        }));
        using memory = PosixSharedMemory.create("/small", 10_000);
        memory.bytes.fill(1);
        console.log(told(() => memory.resize(1_000_000)));
        console.log(memory.bytes.length, memory.bytes[9_999], memory.size);
        using sparse = PosixSharedMemory.create("/sparse", 1_000_000, {
          reserve: false,
        });
        sparse.bytes[999_999] = 1;
        const names = Array.from(Deno.readDirSync("/dev/shm"), (e) => e.name);
        console.log(names.sort().join());
      },
      { wrapper: smallShm(64) },
    );
    assertEquals(code, 0, transcript);
    assertEquals(
      stdout,
      "ENOSPC\nENOSPC\n10000 1 10000\nsmall,sparse\n",
    );
  },
);

leakTest(
  "PosixSharedMemory.create() says EMFILE, and leaves no name",
  async () => {
    const name = uniqueName();
    const outcome = await inChild(async (name: string) => {
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      PosixSharedMemory.create(null, 1).close(); // all is loaded
      const files = [];
      try {
        for (;;) files.push(Deno.openSync("/dev/null"));
      } catch {
        // No descriptor is left.
      }
      let code = "";
      try {
        PosixSharedMemory.create(name, 1);
      } catch (error) {
        code = (error as { code: string }).code;
      }
      for (const file of files) file.close();
      for (const { name } of Deno.readDirSync("/dev/shm")) {
        if (name.startsWith(`ipc-${Deno.pid}-`)) {
          Deno.removeSync(`/dev/shm/${name}`);
        }
      }
      return code;
    }, {
      argument: name,
      wrapper: ["/bin/sh", "-c", 'ulimit -n 60; exec "$0" "$@"'],
    });
    assertEquals(outcome, "EMFILE");
    assert(!exists(fileOf(name)));
  },
);

leakTest(
  "PosixSharedMemory says EACCES to another user",
  { needs: [noOtherUser] },
  async () => {
    const [secret, readable] = [uniqueName(), uniqueName()];
    using a = PosixSharedMemory.create(secret, 4);
    using b = PosixSharedMemory.create(readable, 4, { mode: 0o644 });
    b.bytes[3] = 80;
    const { stdout } = await runAsNobody(
      `import { PosixSharedMemory } from "@linux/ipc/shared-memory";
      const [secret, readable] = Deno.args;
      function told(call) {
        try {
          return String(call());
        } catch ({ code, syscall }) {
          return code + " " + syscall;
        }
      }
      const options = { readonly: true };
      console.log(told(() => PosixSharedMemory.open(secret)));
      console.log(told(() => PosixSharedMemory.open(secret, options)));
      console.log(told(() => PosixSharedMemory.open(readable)));
      using reader = PosixSharedMemory.open(readable, options);
      console.log(String(reader.read(0, 4)));
      console.log(told(() => PosixSharedMemory.unlink(readable)));`,
      { args: [secret, readable] },
    );
    assertMatch(
      stdout,
      /^(EACCES shm_open\n){3}0,0,0,80\nE(PERM|ACCES) shm_unlink\n$/,
    );
    PosixSharedMemory.unlink(a.name);
    PosixSharedMemory.unlink(b.name);
  },
);

// --- resize ------------------------------------------------------------------

leakTest("PosixSharedMemory.resize() grows, and detaches what was", () => {
  for (const reserve of [true, false]) {
    using memory = newMemory(4);
    memory.bytes.set([1, 2, 3, 4]);
    for (const size of [4, 5, PAGE, PAGE + 1, 1_000_000]) {
      const { bytes } = memory;
      const { int32 } = memory.atomics;
      memory.resize(size, { reserve });
      assertEquals([bytes.length, int32.length], [0, 0]);
      assertEquals([memory.size, memory.byteLength], [size, size]);
      assertEquals(memory.bytes.length, size);
      assertEquals(memory.read(0, 4), Uint8Array.of(1, 2, 3, 4));
      assertEquals(Atomics.load(memory.atomics.int32, 0), 0x04030201);
      memory.bytes[size - 1] ||= 1;
    }
  }
});

leakTest("PosixSharedMemory.resize() shrinks on purpose only", () => {
  using memory = newMemory(2 * PAGE);
  memory.bytes.fill(7);
  for (const options of [undefined, {}, { shrink: false }]) {
    assertThrows(() => memory.resize(PAGE, options), RangeError, '"size"');
  }
  assertEquals([memory.size, memory.bytes.length], [2 * PAGE, 2 * PAGE]);
  memory.resize(5, { shrink: true });
  assertEquals([memory.size, memory.bytes.length], [5, 5]);
  memory.resize(10);
  assertEquals(memory.bytes, Uint8Array.of(7, 7, 7, 7, 7, 0, 0, 0, 0, 0));
  for (const size of [0, -1, 1.5, NaN]) {
    assertThrows(() => memory.resize(size, { shrink: true }), RangeError);
  }
});

leakTest("PosixSharedMemory.resize() follows what another has grown", () => {
  using memory = PosixSharedMemory.create(null, 4);
  using part = PosixSharedMemory.open(memory.name, { offset: 2, length: 1 });
  using reader = PosixSharedMemory.open(memory.name, { readonly: true });
  PosixSharedMemory.unlink(memory.name);
  memory.resize(100);
  memory.bytes[99] = 9;
  assertEquals([part.byteLength, part.size], [1, 100]);
  part.resize(part.size);
  assertEquals([part.byteLength, part.bytes[97]], [98, 9]);
  assertThrows(() => part.resize(2, { shrink: true }), RangeError);
  assertThrows(() => part.resize(99), RangeError);
  assertThrows(() => reader.resize(200), TypeError, "read-only");
});

leakTest("PosixSharedMemory.resize() takes nothing that is mapped here", () => {
  using memory = PosixSharedMemory.create(null, 3 * PAGE);
  using other = PosixSharedMemory.open(memory.name, { length: 2 * PAGE });
  PosixSharedMemory.unlink(memory.name);
  const shrink = () => memory.resize(PAGE, { shrink: true });
  assertThrows(shrink, TypeError, "mapped");
  assertEquals(other.bytes[2 * PAGE - 1], 0);
  memory.resize(2 * PAGE, { shrink: true }); // the other one ends there
  other.close();
  shrink();
  assertEquals(memory.size, PAGE);
});

leakTest(
  "PosixSharedMemory never takes views along that are kept",
  async () => {
    const { code, stdout, transcript } = await runCall(async () => {
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      const memory = PosixSharedMemory.create(null, 1_000_000);
      PosixSharedMemory.unlink(memory.name);
      const { bytes } = memory;
      const { int32 } = memory.atomics;
      const look = (array: Uint8Array) => array[999_999];
      for (let round = 0; round < 20_000; round++) look(bytes); // compiled
      memory.resize(2_000_000);
      console.log(look(bytes), int32.length);
      const larger = memory.bytes;
      memory.resize(1, { shrink: true });
      console.log(look(larger), look(memory.bytes), memory.bytes.length);
      const taken = new Uint8Array(memory.bytes.buffer.transfer());
      try {
        memory.resize(1, { shrink: true });
      } catch (error) {
        console.log((error as Error).name, taken[0]);
      }
    });
    assertEquals(code, 0, transcript);
    assertEquals(stdout, "undefined 0\nundefined undefined 1\nTypeError 0\n");
  },
);

// --- close -------------------------------------------------------------------

leakTest("PosixSharedMemory says ClosedError after close()", () => {
  const memory = newMemory(8);
  const { bytes } = memory;
  memory.close();
  memory.close();
  for (
    const call of [
      () => memory.fd,
      () => memory.size,
      () => memory.resize(16),
      () => memory.read(0, 1),
    ]
  ) assertThrows(call, ClosedError);
  assertEquals([bytes.length, memory.byteLength], [0, 0]);
});

leakTest("PosixSharedMemory leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using memory = PosixSharedMemory.create(null, round + 1);
    using other = PosixSharedMemory.open(memory.name);
    using _reader = PosixSharedMemory.open(memory.name, { readonly: true });
    const create = () => PosixSharedMemory.create(memory.name, 1);
    assertThrows(create, IpcError);
    PosixSharedMemory.unlink(memory.name);
    memory.resize(round + 2);
    memory.bytes[round] = 1;
    assertEquals(other.bytes[round], 1);
  }
});

// --- Two processes, and C ----------------------------------------------------

const PEER = new URL("./interop/c/posix_shared_memory_peer.c", import.meta.url);

leakTest(
  "PosixSharedMemory is the same to C, atomics included",
  { needs: [noCompiler] },
  async () => {
    const { cstring, i16, i32, i64, struct } = await import("../ffi/struct.ts");
    const times = 200_000;
    const shared = struct({
      count: i32,
      age: i16,
      name: cstring(20),
      wide: i64,
    });
    using memory = PosixSharedMemory.create(null, shared.size);
    const program = await compile(PEER);
    await using peer = spawn(program, { args: [memory.name, `${times}`] });
    await using child = spawnCall(async ({ name, times }) => {
      const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
      using memory = PosixSharedMemory.open(name);
      const { int32, bigInt64 } = memory.atomics;
      for (let i = 0; i < times; i++) {
        Atomics.add(int32, 0, 1);
        Atomics.sub(bigInt64, 4, 1n);
      }
    }, { argument: { name: memory.name, times } });
    const { int32, bigInt64 } = memory.atomics;
    for (let i = 0; i < times; i++) {
      Atomics.add(int32, 0, 1);
      Atomics.sub(bigInt64, shared.offsets.wide / 8, 1n);
    }
    for (const one of [peer, child]) {
      const ended = await one.ended();
      assertEquals(ended.code, 0, ended.transcript);
    }
    PosixSharedMemory.unlink(memory.name);
    assertEquals(shared.decode(memory.bytes), {
      count: 3 * times,
      age: 80,
      name: "ghkim",
      wide: BigInt(-3 * times),
    });
  },
);

const MAKE = new URL("./interop/c/posix_shared_memory_make.c", import.meta.url);

leakTest(
  "PosixSharedMemory.open() waits for no size, and takes the one of C",
  { needs: [noCompiler] },
  async () => {
    const name = uniqueName();
    const args = [name, "5000"];
    await using peer = spawn(await compile(MAKE), { args });
    assertEquals(await peer.line(), "made");
    assertEquals(
      await outcome(() => PosixSharedMemory.open(name)),
      `RangeError: Cannot map shared memory ${name}: it is empty`,
    );
    await peer.send("");
    assertEquals(await peer.line(), "sized");
    using memory = PosixSharedMemory.open(name);
    assertEquals(new TextDecoder().decode(memory.read(0, 6)), "from C");
    assertEquals(memory.byteLength, 5_000);
    PosixSharedMemory.unlink(name);
    await peer.send("");
    assertEquals((await peer.ended()).code, 0);
    assertEquals(memory.bytes[0], "f".charCodeAt(0));
  },
);

leakTest(
  "PosixSharedMemory.open() with a timeout waits for the size",
  { needs: [noCompiler] },
  async () => {
    const name = uniqueName();
    const args = [name, "5000"];
    await using peer = spawn(await compile(MAKE), { args });
    assertEquals(await peer.line(), "made");
    for (const timeout of [0, 20]) {
      const error = assertThrows(
        () => PosixSharedMemory.open(name, { timeout }),
        DOMException,
        `shared memory ${name}`,
      );
      assertEquals(error.name, "TimeoutError");
    }
    // The size comes while this thread blocks.
    const sized = peer.send("");
    using memory = PosixSharedMemory.open(name, { timeout: 10_000 });
    await sized;
    assertEquals(memory.byteLength, 5_000);
    assertEquals(await peer.line(), "sized");
    PosixSharedMemory.unlink(name);
    await peer.send("");
    assertEquals((await peer.ended()).code, 0);
  },
);

leakTest(
  "PosixSharedMemory.openWhenReady() waits for the size",
  { needs: [noCompiler] },
  async () => {
    const name = uniqueName();
    const args = [name, "5000"];
    await using peer = spawn(await compile(MAKE), { args });
    assertEquals(await peer.line(), "made");
    const open = PosixSharedMemory.openWhenReady;
    for (const timeout of [0, 20]) {
      const error = await assertRejects(
        () => open(name, { timeout }),
        DOMException,
        `shared memory ${name}`,
      );
      assertEquals(error.name, "TimeoutError");
    }
    const controller = new AbortController();
    const { signal } = controller;
    const aborted = open(name, { signal });
    const opened = open(name, { offset: 1, readonly: true });
    controller.abort(new Error("enough"));
    await assertRejects(() => aborted, Error, "enough");
    await assertRejects(() => open(name, { signal }), Error, "enough");
    await peer.send("");
    using memory = await opened;
    assertEquals(memory.byteLength, 4_999);
    assertEquals(await peer.line(), "sized");
    PosixSharedMemory.unlink(name);
    await peer.send("");
    assertEquals((await peer.ended()).code, 0);
    await assertRejects(() => open(name), IpcError, "ENOENT");
    await assertRejects(() => open("none"), TypeError, "name");
    await assertRejects(() => open(name, { timeout: -1 }), RangeError);
  },
);

leakTest("PosixSharedMemory.open() refuses what is no timeout", () => {
  const bad = (timeout: unknown) => () =>
    PosixSharedMemory.open("/none", { timeout: timeout as number });
  assertThrows(bad(-1), RangeError, "timeout");
  assertThrows(bad(NaN), RangeError, "timeout");
  assertThrows(bad("1"), TypeError, "timeout");
});

// --- Open or create ----------------------------------------------------------

leakTest("PosixSharedMemory.openOrCreate() makes one object", () => {
  const name = uniqueName();
  using memory = PosixSharedMemory.openOrCreate(name, 100, { mode: 0o640 });
  assertEquals([memory.byteLength, memory.stat().mode], [100, 0o640]);
  memory.bytes[99] = 7;
  using other = PosixSharedMemory.openOrCreate(name, 50);
  assertEquals([other.byteLength, other.bytes[99]], [100, 7]);
  assertThrows(
    () => PosixSharedMemory.openOrCreate(name, 101),
    RangeError,
    `must be at most 100 (the size of shared memory ${name}): 101`,
  );
  PosixSharedMemory.unlink(name);
});

leakTest("PosixSharedMemory.openOrCreate() sizes what is empty", () => {
  for (const reserve of [true, false]) {
    const name = uniqueName();
    Deno.writeFileSync(fileOf(name), new Uint8Array());
    using memory = PosixSharedMemory.openOrCreate(name, 3 * PAGE, { reserve });
    PosixSharedMemory.unlink(name);
    assertEquals(memory.size, 3 * PAGE);
    memory.bytes[3 * PAGE - 1] = 1;
  }
});

leakTest("PosixSharedMemory.openOrCreate() that fails leaves no name", () => {
  const name = uniqueName();
  const call = () => PosixSharedMemory.openOrCreate(name, 2 ** 52);
  assertThrows(call, IpcError);
  assert(!exists(fileOf(name)));
  assertThrows(() => PosixSharedMemory.openOrCreate(name, 0), RangeError);
  // @ts-expect-error: only create() picks a name
  assertThrows(() => PosixSharedMemory.openOrCreate(null, 8), TypeError);
});

leakTest("PosixSharedMemory.openOrCreate() is one object to all", async () => {
  const rounds = 50;
  const names = Array.from({ length: rounds }, () => uniqueName());
  using gate = PosixSharedMemory.create(null, 8);
  const argument = { gate: gate.name, names };
  const children = Array.from(
    { length: 3 },
    () =>
      spawnCall(async ({ gate, names }) => {
        const { PosixSharedMemory } = await import("../ffi/shared_memory.ts");
        using start = PosixSharedMemory.open(gate);
        console.log("ready");
        start.waitSync(0, 0, { timeout: 20_000 });
        for (const name of names) {
          using memory = PosixSharedMemory.openOrCreate(name, 8);
          Atomics.add(memory.atomics.int32, 0, 1);
        }
      }, { argument }),
  );
  try {
    for (const child of children) assertEquals(await child.line(), "ready");
    Atomics.store(gate.atomics.int32, 0, 1);
    gate.notify(0);
    for (const child of children) {
      const ended = await child.ended();
      assertEquals(ended.code, 0, ended.transcript);
    }
    for (const name of names) {
      using memory = PosixSharedMemory.open(name);
      assertEquals(memory.atomics.int32[0], 3);
      PosixSharedMemory.unlink(name);
    }
  } finally {
    PosixSharedMemory.unlink(gate.name);
    for (const child of children) await child[Symbol.asyncDispose]();
  }
});

// --- Descriptors -------------------------------------------------------------

leakTest("PosixSharedMemory.fromFd() takes over what detach() gives", () => {
  using memory = PosixSharedMemory.create(null, 2 * PAGE);
  const { name } = memory;
  const { bytes } = memory;
  bytes[PAGE] = 5;
  const fd = memory.detach();
  assertEquals([bytes.length, memory.byteLength], [0, 0]);
  assertThrows(() => memory.fd, ClosedError);
  assertThrows(() => memory.detach(), ClosedError);
  using other = PosixSharedMemory.fromFd(fd, { offset: PAGE });
  assertEquals([other.fd, other.name, other.size], [fd, name, 2 * PAGE]);
  assertEquals(other.bytes[0], 5);
  PosixSharedMemory.unlink(name);
  other.resize(3 * PAGE);
  const again = other.detach();
  using last = PosixSharedMemory.fromFd(again, { readonly: true });
  assertEquals(last.name, name); // though it has none any more
  assertEquals(last.read(PAGE, 1), Uint8Array.of(5));
});

leakTest("PosixSharedMemory.fromFd() refuses what is no object", async () => {
  using memory = newMemory(8);
  assertThrows(
    () => PosixSharedMemory.fromFd(memory.fd),
    TypeError,
    "belongs to an object",
  );
  assertEquals(memory.bytes.length, 8);
  const { MemoryFile } = await import("../ffi/shared_memory.ts");
  using file = MemoryFile.create("test", 8);
  assertThrows(
    () => PosixSharedMemory.fromFd(file.fd),
    TypeError,
    "must be a POSIX shared memory object",
  );
  assertEquals(file.size, 8);
  assertRefused(() => PosixSharedMemory.fromFd(0x7fffffff), "EBADF", "statx");
  for (const fd of [-1, 1.5, 2 ** 31]) {
    assertThrows(() => PosixSharedMemory.fromFd(fd), RangeError, "fd");
  }
});

leakTest("PosixSharedMemory.inherit() gives it to a child", async () => {
  using memory = newMemory(8);
  const script = `import { PosixSharedMemory } from ${
    JSON.stringify(import.meta.resolve("../ffi/shared_memory.ts"))
  };
    using memory = PosixSharedMemory.fromFd(Number(Deno.args[0]));
    Atomics.add(memory.atomics.int32, 1, 80);
    console.log(memory.byteLength);`;
  const { code, stdout, stderr } = await memory.inherit((fd) =>
    new Deno.Command(Deno.execPath(), {
      args: ["eval", "--quiet", script, `${fd}`],
    }).output()
  );
  const decoder = new TextDecoder();
  assertEquals([code, decoder.decode(stderr)], [0, ""]);
  assertEquals(decoder.decode(stdout), "8\n");
  assertEquals(memory.atomics.int32[1], 80);
});

// --- Status ------------------------------------------------------------------

leakTest("PosixSharedMemory.list() has objects, and empty ones", () => {
  using memory = PosixSharedMemory.create(null, 100, { mode: 0o640 });
  const empty = uniqueName();
  const semaphore = `/sem.${empty.slice(1)}`;
  for (const name of [empty, semaphore]) {
    Deno.writeFileSync(fileOf(name), new Uint8Array(), { mode: 0o600 });
  }
  const find = (name: string) =>
    PosixSharedMemory.list().find((entry) => entry.name === name);
  const { uid, gid } = Deno.statSync(fileOf(memory.name));
  const owner = { uid: uid!, gid: gid! };
  assertEquals(find(memory.name), {
    name: memory.name,
    size: 100,
    mode: 0o640,
    ...owner,
  });
  assertEquals(find(empty)?.size, 0);
  assertEquals(find(semaphore), undefined);
  assertEquals(memory.stat(), { size: 100, mode: 0o640, ...owner });
  Deno.truncateSync(fileOf(memory.name));
  assertEquals([memory.stat().size, find(memory.name)?.size], [0, 0]);
  for (const name of [empty, semaphore, memory.name]) {
    Deno.removeSync(fileOf(name));
  }
  assertEquals(find(memory.name), undefined);
});
