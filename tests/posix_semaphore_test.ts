import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertThrows,
} from "@std/assert";
import { MemoryMap } from "../ffi/memory_map.ts";
import { ClosedError, IpcError, PosixSemaphore } from "../ffi/semaphore.ts";
import { SysvSharedMemory } from "../ffi/shared_memory.ts";
import { assertPrinted, assertRefused } from "./support/asserts.ts";
import { compile, noCompiler, runC } from "./support/c.ts";
import { codeWith, TOLD } from "./support/code.ts";
import { kill, killAll } from "./support/kills.ts";
import { inChild } from "./support/child.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import { noPrlimit } from "./support/namespaces.ts";
import { type Child, exists, spawn } from "./support/process.ts";
import { rounds, share } from "./support/rounds.ts";
import { noOtherUser, runAsNobody, spawnAsNobody } from "./support/user.ts";
import { Words } from "./support/words.ts";

const MAX = 2 ** 31 - 1;
const SIZE = PosixSemaphore.size;

// --- Helpers ----------------------------------------------------------------

const { prelude, spawnCode, runCode, runCodeAfter } = codeWith({
  PosixSemaphore: "semaphore",
  MemoryMap: "memory-map",
  SysvSharedMemory: "shared-memory",
});

/** Where the C library keeps a named semaphore. */
function fileOf(name: string): string {
  return `/dev/shm/sem.${name.slice(1)}`;
}

/** A new named semaphore, whose name its `using` block removes. */
function newNamed(value: number): Place {
  const semaphore = PosixSemaphore.create(uniqueName(), value);
  const name = semaphore.name!;
  return {
    semaphore,
    peer: ["name", name],
    code: `const semaphore = PosixSemaphore.open("${name}");`,
    [Symbol.dispose]() {
      semaphore.close();
      if (exists(fileOf(name))) PosixSemaphore.unlink(name);
    },
  };
}

/** A semaphore, and how others get at it. */
interface Place extends Disposable {
  readonly semaphore: PosixSemaphore;
  /** The arguments of the C peer. */
  readonly peer: string[];
  /** Code that has it as `semaphore`. */
  readonly code: string;
}

const OFFSET = 8; // of the semaphore in its memory; a counter is behind it

function newShared(value: number): Place & { memory: SysvSharedMemory } {
  const memory = SysvSharedMemory.create(null, 100);
  memory.remove();
  return {
    memory,
    semaphore: PosixSemaphore.init(memory.bytes.subarray(OFFSET), value),
    peer: ["shm", `${memory.id}`, `${OFFSET}`],
    code: `const memory = SysvSharedMemory.fromId(${memory.id});
      const bytes = memory.bytes.subarray(${OFFSET});
      const semaphore = PosixSemaphore.at(bytes);`,
    [Symbol.dispose]() {
      memory.close();
    },
  };
}

function newMapped(value: number): Place & { memory: MemoryMap } {
  const dir = scratch();
  const path = dir.file("map");
  const memory = MemoryMap.create(path, 5_000);
  return {
    memory,
    semaphore: PosixSemaphore.init(memory.bytes.subarray(OFFSET), value),
    peer: ["map", path, `${OFFSET}`],
    code: `const memory = MemoryMap.open("${path}");
      const bytes = memory.bytes.subarray(${OFFSET});
      const semaphore = PosixSemaphore.at(bytes);`,
    [Symbol.dispose]() {
      memory.close();
      dir[Symbol.dispose]();
    },
  };
}

const PLACES = {
  "with a name": newNamed,
  "in shared memory": newShared,
  "in a mapped file": newMapped,
};
const places = Object.entries(PLACES);
/** Where other processes use it: in memory in the long run. */
const somePlaces = share(places, 1);
/** Where many processes use it at the same time: in the long run everywhere. */
const busyPlaces = places.slice(0, rounds(2, 3));

/** A C program that uses the same semaphore. */
async function spawnPeer(place: Place): Promise<Child> {
  const source = new URL("./interop/c/semaphore_peer.c", import.meta.url);
  return spawn(await compile(source), { args: place.peer });
}

/** Runs a function with a semaphore in memory of this process alone. */
function withAnonymous(
  value: number,
  fn: (semaphore: PosixSemaphore) => void,
): void {
  using map = MemoryMap.anonymous(SIZE);
  fn(PosixSemaphore.init(map.bytes, value));
}

// --- Named: create, open, unlink --------------------------------------------

leakTest("PosixSemaphore.create() makes a semaphore under a name", () => {
  const name = uniqueName();
  for (const value of [0, 1, 7, MAX]) {
    using semaphore = PosixSemaphore.create(name, value);
    assertEquals([semaphore.name, semaphore.value], [name, value]);
    assertEquals(Deno.statSync(fileOf(name)).size, SIZE);
    PosixSemaphore.unlink(name);
    assert(!exists(fileOf(name)));
  }
});

leakTest("PosixSemaphore.create() fails where the name is taken", () => {
  using place = newNamed(3);
  const name = place.semaphore.name!;
  const error = assertRefused(
    () => PosixSemaphore.create(name, 1),
    "EEXIST",
    "sem_open",
  );
  assertEquals(error.message, `sem_open ${name}: File exists (EEXIST)`);
  assertEquals([error.subject, error.errno], [name, 17]);
  assertEquals(place.semaphore.value, 3);
});

leakTest("PosixSemaphore.create(null) picks a free name each time", () => {
  using one = PosixSemaphore.create(null, 1);
  using two = PosixSemaphore.create(null, 2);
  assertNotEquals(one.name, two.name);
  for (const semaphore of [one, two]) {
    const name = semaphore.name!;
    using again = PosixSemaphore.open(name);
    assertEquals(again.value, semaphore.value);
    PosixSemaphore.unlink(name);
    assert(!exists(fileOf(name)));
  }
});

leakTest("PosixSemaphore.open() fails where there is none", () => {
  const name = uniqueName();
  const error = assertRefused(
    () => PosixSemaphore.open(name),
    "ENOENT",
    "sem_open",
  );
  assertEquals(
    error.message,
    `sem_open ${name}: No such file or directory (ENOENT)`,
  );
});

leakTest("PosixSemaphore.openOrCreate() makes one semaphore", () => {
  const name = uniqueName();
  using made = PosixSemaphore.openOrCreate(name, 3);
  using opened = PosixSemaphore.openOrCreate(name, 5);
  assertEquals([made.value, opened.value], [3, 3]);
  opened.release();
  assertEquals(made.value, 4);
  PosixSemaphore.unlink(name);
});

leakTest(
  "PosixSemaphore.openOrCreate() makes one semaphore for all who hurry",
  async () => {
    using start = new Words(1);
    const { words } = start;
    const name = uniqueName();
    const rounds = 200;
    await using all = new AsyncDisposableStack();
    const children = [0, 1, 2, 3].map(() =>
      all.use(spawnCode(
        `${start.code}
        Atomics.add(words, 0, 1);
        while (Atomics.load(words, 0) < 5);
        for (let round = 0; round < ${rounds}; round++) {
          using semaphore = PosixSemaphore.openOrCreate("${name}." + round, 10);
          semaphore.release();
        }`,
      ))
    );
    for (const child of children) {
      await child.until(() => Atomics.load(words, 0) === 4, "start");
    }
    Atomics.add(words, 0, 1);
    const ended = await Promise.all(children.map((child) => child.ended()));
    const values = Array.from({ length: rounds }, (_, round) => {
      using semaphore = PosixSemaphore.open(`${name}.${round}`);
      PosixSemaphore.unlink(`${name}.${round}`);
      return semaphore.value;
    });
    for (const one of ended) assertPrinted(one);
    assertEquals(values, Array(rounds).fill(14));
  },
);

leakTest("PosixSemaphore.unlink() removes the name only", () => {
  const name = uniqueName();
  using first = PosixSemaphore.create(name, 1);
  using alias = PosixSemaphore.open(name);
  PosixSemaphore.unlink(name);
  assertRefused(() => PosixSemaphore.open(name), "ENOENT", "sem_open");
  const error = assertRefused(
    () => PosixSemaphore.unlink(name),
    "ENOENT",
    "sem_unlink",
  );
  assert(error.message.includes(name), error.message);
  using second = PosixSemaphore.create(name, 5);
  first.release();
  assertEquals([first.value, alias.value, second.value], [2, 2, 5]);
  PosixSemaphore.unlink(name);
});

leakTest(
  "PosixSemaphore gives its file the mode, whatever the umask",
  async () => {
    for (const umask of [0o000, 0o022, 0o027, 0o077]) {
      const base = uniqueName();
      assertPrinted(
        await runCodeAfter(
          `umask ${umask.toString(8).padStart(4, "0")}`,
          `PosixSemaphore.create("${base}default", 1);
        for (const mode of [0o666, 0o640, 0o400, 0]) {
          PosixSemaphore.create("${base}" + mode, 1, { mode });
          PosixSemaphore.openOrCreate("${base}or" + mode, 1, { mode });
        }`,
        ),
      );
      const modeOf = (name: string) => {
        const { mode } = Deno.statSync(fileOf(base + name));
        PosixSemaphore.unlink(base + name);
        return mode! & 0o7777;
      };
      assertEquals(modeOf("default"), 0o600 & ~umask);
      for (const mode of [0o666, 0o640, 0o400, 0]) {
        assertEquals(modeOf(`${mode}`), mode);
        assertEquals(modeOf(`or${mode}`), mode);
      }
    }
  },
);

leakTest("PosixSemaphore.chmod() changes the mode of a name", () => {
  const name = uniqueName();
  using semaphore = PosixSemaphore.create(name, 1);
  const modeOf = () => Deno.statSync(fileOf(name)).mode! & 0o7777;
  PosixSemaphore.chmod(name, 0o666);
  assertEquals(modeOf(), 0o666);
  using again = PosixSemaphore.openOrCreate(name, 5, { mode: 0o600 });
  assertEquals([modeOf(), again.value], [0o666, 1]);
  assertThrows(() => PosixSemaphore.chmod(name, 0o1000), RangeError, "mode");
  assertThrows(() => PosixSemaphore.chmod("none", 0o600), TypeError, "name");
  PosixSemaphore.unlink(name);
  const chmod = () => PosixSemaphore.chmod(name, 0o600);
  assertThrows(chmod, IpcError, "ENOENT");
  semaphore.release();
});

leakTest("PosixSemaphore refuses what is no name", () => {
  const calls = [
    (name: string) => PosixSemaphore.create(name, 1),
    (name: string) => PosixSemaphore.openOrCreate(name, 1),
    PosixSemaphore.open,
    PosixSemaphore.unlink,
  ];
  for (const call of calls) {
    for (
      const name of [
        "",
        "x",
        "x/",
        "//x",
        "/a/b",
        "/x/",
        "/a\0b",
        "/.",
        "/..",
        "/\ud800",
        5,
        {},
      ]
    ) {
      assertThrows(() => call(name as string), TypeError, '"name"');
    }
    for (const name of ["/" + "x".repeat(252), "/" + "가".repeat(84)]) {
      assertThrows(() => call(name), RangeError, "1 to 251 bytes");
    }
    const empty = assertThrows(() => call("/"), Error);
    assert(empty instanceof TypeError || empty instanceof RangeError);
  }
  for (const call of calls.slice(1)) {
    for (const nothing of [null, undefined]) {
      assertThrows(() => call(nothing as unknown as string), TypeError);
    }
  }
});

leakTest("PosixSemaphore.create() refuses a name that is undefined", () => {
  assertThrows(() => {
    const nothing = undefined as unknown as null;
    using semaphore = PosixSemaphore.create(nothing, 1);
    PosixSemaphore.unlink(semaphore.name!);
  }, TypeError);
});

leakTest("PosixSemaphore takes names of up to 251 bytes", () => {
  const base = uniqueName();
  for (
    const name of [
      "/" + base.slice(1, 2),
      base.padEnd(252, "x"),
      base + "가".repeat(70),
      `${base} "'$;\n\\`,
      `${base}...`,
    ]
  ) {
    if (name.length === 2 && exists(fileOf(name))) continue;
    using semaphore = PosixSemaphore.create(name, 1);
    assertEquals(semaphore.name, name);
    assert(exists(fileOf(name)));
    using opened = PosixSemaphore.open(name);
    using again = PosixSemaphore.openOrCreate(name, 5);
    assertEquals([opened.value, again.value], [1, 1]);
    PosixSemaphore.unlink(name);
  }
});

leakTest("PosixSemaphore refuses what is no value or mode", () => {
  using map = MemoryMap.anonymous(SIZE);
  const name = uniqueName();
  const calls = [
    (value: number) => PosixSemaphore.create(name, value),
    (value: number) => PosixSemaphore.create(null, value),
    (value: number) => PosixSemaphore.openOrCreate(name, value),
    (value: number) => PosixSemaphore.init(map.bytes, value),
  ];
  for (const call of calls) {
    for (const value of [-1, 1.5, NaN, MAX + 1, 2 ** 32, Infinity]) {
      assertThrows(() => call(value), RangeError, '"value"');
    }
    for (const value of ["1", 1n, null, undefined, true]) {
      assertThrows(
        () => call(value as unknown as number),
        TypeError,
        '"value"',
      );
    }
  }
  for (const mode of [-1, 0o1000, 1.5, NaN]) {
    const create = () => PosixSemaphore.create(name, 1, { mode });
    assertThrows(create, RangeError, '"mode"');
    const open = () => PosixSemaphore.openOrCreate(name, 1, { mode });
    assertThrows(open, RangeError, '"mode"');
  }
  assert(!exists(fileOf(name)));
  assertEquals(map.bytes, new Uint8Array(SIZE));
});

leakTest("PosixSemaphore takes -0 for 0", () => {
  using map = MemoryMap.anonymous(SIZE);
  assertEquals(PosixSemaphore.init(map.bytes, -0).value, 0);
  const name = uniqueName();
  using semaphore = PosixSemaphore.create(name, -0, { mode: -0 });
  PosixSemaphore.unlink(name);
  assertEquals(semaphore.value, 0);
});

leakTest(
  "PosixSemaphore.open() refuses a file that is no semaphore",
  async () => {
    const name = uniqueName();
    const path = fileOf(name);
    const kinds: Record<string, () => unknown> = {
      "0 bytes": () => Deno.writeFileSync(path, new Uint8Array(0)),
      "31 bytes": () => Deno.writeFileSync(path, new Uint8Array(31)),
      "32 bytes of something else": () =>
        Deno.writeFileSync(path, new Uint8Array(32).fill(65)),
      directory: () => Deno.mkdirSync(path),
      FIFO: () => new Deno.Command("mkfifo", { args: [path] }).outputSync(),
    };
    for (const [what, make] of Object.entries(kinds)) {
      make();
      try {
        assert(exists(path), what);
        assertPrinted(
          await runCode(
            `function use(semaphore) {
              semaphore.release();
              return semaphore.value;
            }
            console.log(told(() => use(PosixSemaphore.open("${name}"))));
            console.log(told(() => use(PosixSemaphore.openOrCreate("${name}", 1))));
            console.log(told(() => use(PosixSemaphore.create("${name}", 1))));`,
          ),
          "TypeError",
          "TypeError",
          "IpcError EEXIST sem_open",
        );
        const { message } = assertThrows(
          () => PosixSemaphore.open(name),
          TypeError,
        );
        assert(message.includes(path), message);
      } finally {
        Deno.removeSync(path, { recursive: true });
      }
    }
  },
);

leakTest("PosixSemaphore.at() refuses bytes that are no semaphore", () => {
  using map = MemoryMap.anonymous(SIZE);
  map.bytes.fill(65); // with which sem_post would end the process
  assertThrows(() => PosixSemaphore.at(map.bytes), TypeError, '"bytes"');
  PosixSemaphore.init(map.bytes, 1).close();
  assertEquals(PosixSemaphore.at(map.bytes).value, 1);
});

leakTest("PosixSemaphore.at() says why processes cannot share it", () => {
  using map = MemoryMap.anonymous(SIZE);
  const words = new Int32Array(map.bytes.buffer);
  const [SHARED, MUSL_WAITERS] = [128, -0x8000_0000];
  for (
    const [value, second, third, reason] of [
      [1, 0, 0, "pshared = 0"], // glibc for threads; musl for processes
      [0, 1, 0, "pshared = 0"], // the same, with a waiter
      [0, 0, 0, "not at all"],
      [MUSL_WAITERS, 1, 0, "musl"],
      [MUSL_WAITERS | 1, 1, SHARED, "musl"],
      [-1, 1, 0, "musl"], // before musl 1.2.4
      [2, SHARED, 0, "32-bit"],
      [1, 0, 1, "not initialised"],
    ] as const
  ) {
    words.set([value, second, third]);
    assertThrows(() => PosixSemaphore.at(map.bytes), TypeError, reason);
  }
  words.set([1, 0, SHARED]);
  assertEquals(PosixSemaphore.at(map.bytes).value, 1);
});

leakTest("PosixSemaphore.open() takes a file that C would take", () => {
  const name = uniqueName();
  Deno.writeFileSync(fileOf(name), new Uint8Array(SIZE));
  using semaphore = PosixSemaphore.open(name);
  semaphore.release();
  assertEquals(semaphore.value, 1);
  PosixSemaphore.unlink(name);
});

leakTest("PosixSemaphore says EMFILE, and leaves no name", async () => {
  const name = uniqueName();
  assertPrinted(
    await runCodeAfter(
      "ulimit -n 100",
      `const semaphore = PosixSemaphore.create("${name}", 7);
      PosixSemaphore.open("${name}").close();
      const files = [];
      try {
        for (;;) files.push(Deno.openSync("/dev/null"));
      } catch {
        console.log(told(() => PosixSemaphore.create("${name}x", 1)));
        semaphore.close();
        console.log(told(() => PosixSemaphore.open("${name}")));
      }
      for (const file of files) file.close();
      console.log(PosixSemaphore.open("${name}").value);`,
    ),
    "IpcError EMFILE sem_open",
    "IpcError EMFILE sem_open",
    "7",
  );
  PosixSemaphore.unlink(name);
});

leakTest(
  "PosixSemaphore.create() beyond RLIMIT_FSIZE says EFBIG, and is no SIGXFSZ",
  { needs: [noPrlimit] },
  async () => {
    const [fresh, present] = [uniqueName(), uniqueName()];
    using _present = PosixSemaphore.create(present, 3);
    const told = await inChild(async ([fresh, present]: [string, string]) => {
      const { PosixSemaphore } = await import("../ffi/semaphore.ts");
      // No file can be written from here on, not even the 32 bytes of a semaphore.
      const args = ["--fsize=0", "--pid", `${Deno.pid}`];
      new Deno.Command("prlimit", { args }).outputSync();
      return [
        () => PosixSemaphore.create(fresh, 1),
        () => PosixSemaphore.openOrCreate(fresh, 1),
        () => PosixSemaphore.create(present, 1),
        () => PosixSemaphore.openOrCreate(present, 1).value,
      ].map((call) => {
        try {
          return call();
        } catch (error) {
          return (error as Error).message;
        }
      });
    }, { argument: [fresh, present], flags: ["--no-code-cache"] });
    const tooLarge = `sem_open ${fresh}: File too large (EFBIG); ` +
      "RLIMIT_FSIZE is 0";
    const inUse = `sem_open ${present}: File exists (EEXIST)`;
    assertEquals(told, [tooLarge, tooLarge, inUse, 3]);
    PosixSemaphore.unlink(present);
  },
);

leakTest(
  "PosixSemaphore says EACCES to another user",
  { needs: [noOtherUser] },
  async () => {
    const [own, readable, open] = [uniqueName(), uniqueName(), uniqueName()];
    const umask = Deno.umask(0);
    using a = PosixSemaphore.create(own, 1);
    using b = PosixSemaphore.create(readable, 1, { mode: 0o644 });
    using c = PosixSemaphore.create(open, 1, { mode: 0o666 });
    Deno.umask(umask);
    assertPrinted(
      await runAsNobody(
        `import { PosixSemaphore } from "@linux/ipc/semaphore";
        ${TOLD}
        for (const name of ${JSON.stringify([own, readable])}) {
          console.log(told(() => PosixSemaphore.open(name)));
          console.log(told(() => PosixSemaphore.openOrCreate(name, 1)));
          console.log(told(() => PosixSemaphore.create(name, 1)));
          console.log(told(() => PosixSemaphore.unlink(name)));
        }
        using semaphore = PosixSemaphore.open("${open}");
        semaphore.release();
        console.log(semaphore.value);
        console.log(told(() => PosixSemaphore.unlink("${open}")));`,
      ),
      ...Array(2).fill([
        "IpcError EACCES sem_open",
        "IpcError EACCES sem_open",
        "IpcError EEXIST sem_open",
        "IpcError EACCES sem_unlink",
      ]).flat(),
      "2",
      "IpcError EACCES sem_unlink",
    );
    assertEquals([a.value, b.value, c.value], [1, 1, 2]);
    for (const name of [own, readable, open]) PosixSemaphore.unlink(name);
  },
);

leakTest(
  "PosixSemaphore works between users who may use it",
  { needs: [noOtherUser] },
  async () => {
    const name = uniqueName();
    const umask = Deno.umask(0);
    using semaphore = PosixSemaphore.create(name, 0, { mode: 0o666 });
    Deno.umask(umask);
    await using child = spawnAsNobody(
      `import { PosixSemaphore } from "@linux/ipc/semaphore";
      using semaphore = PosixSemaphore.open("${name}");
      console.log("up");
      semaphore.acquireSync();
      console.log("taken");`,
    );
    assertEquals(await child.line(), "up");
    await child.settled();
    semaphore.release();
    assertPrinted(await child.ended(), "up", "taken");
    PosixSemaphore.unlink(name);
  },
);

// --- Permits ----------------------------------------------------------------

leakTest("PosixSemaphore.tryAcquire() takes what is there", () => {
  for (const [, make] of places) {
    using place = make(2);
    const { semaphore } = place;
    const one = semaphore.tryAcquire();
    const two = semaphore.tryAcquire();
    assert(one !== undefined && two !== undefined);
    assertEquals([semaphore.value, semaphore.tryAcquire()], [0, undefined]);
    two.release();
    assertEquals(semaphore.value, 1);
    assertNotEquals(semaphore.tryAcquire(), undefined);
    assertEquals(semaphore.tryAcquire(), undefined);
  }
});

leakTest("PosixSemaphore gives a permit back once", () => {
  withAnonymous(1, (semaphore) => {
    for (const take of ["acquireSync", "tryAcquire"] as const) {
      const permit = semaphore[take]()!;
      assertEquals(semaphore.value, 0);
      permit.release();
      assertEquals(semaphore.value, 1);
      permit.release();
      permit[Symbol.dispose]();
      assertEquals(semaphore.value, 1);
      {
        using again = semaphore[take]()!;
        assertEquals(semaphore.value, 0);
        again.release();
      }
      assertEquals(semaphore.value, 1);
      assertThrows(
        () => {
          using _permit = semaphore[take]();
          assertEquals(semaphore.value, 0);
          throw new Error("in the middle of the work");
        },
        Error,
        "in the middle",
      );
      assertEquals(semaphore.value, 1);
    }
  });
});

leakTest("PosixSemaphore.release() gives back what another took", async () => {
  using place = newShared(1);
  assertPrinted(
    await runCode(`${place.code}
      semaphore.acquireSync();
      console.log(semaphore.value);`),
    "0",
  );
  assertEquals(
    place.semaphore.tryAcquire(),
    undefined,
    "its permit died with it",
  );
  place.semaphore.release();
  assertEquals(place.semaphore.value, 1);
});

leakTest("PosixSemaphore.release() says EOVERFLOW at the highest value", () => {
  for (const [, make] of places) {
    using place = make(MAX);
    const { semaphore } = place;
    const error = assertRefused(
      () => semaphore.release(),
      "EOVERFLOW",
      "sem_post",
    );
    assertEquals(error.errno, 75);
    assertEquals(semaphore.value, MAX);
    const permit = semaphore.acquireSync();
    assertEquals(semaphore.value, MAX - 1);
    permit.release();
    assertEquals(semaphore.value, MAX);
  }
});

leakTest("PosixSemaphore.acquireSync() takes what is there at once", () => {
  withAnonymous(6, (semaphore) => {
    const timeouts = [undefined, 0, 0.5, 1e15, Number.MAX_VALUE, Infinity];
    for (const timeout of timeouts) semaphore.acquireSync({ timeout });
    assertEquals(semaphore.value, 0);
  });
});

leakTest("PosixSemaphore.acquireSync() never gives up early", () => {
  withAnonymous(0, (semaphore) => {
    for (const timeout of [0, 0.25, 1, 1.5, 2, 10, 33.3, 100, 250]) {
      for (let round = 0; round < (timeout < 5 ? 50 : 1); round++) {
        const start = performance.now();
        const error = assertThrows(
          () => semaphore.acquireSync({ timeout }),
          DOMException,
        );
        const passed = performance.now() - start;
        assert(passed >= timeout, `${passed} of ${timeout} ms`);
        assertEquals(error.name, "TimeoutError");
      }
    }
    assertEquals(semaphore.value, 0);
    semaphore.release();
    assertEquals(semaphore.value, 1);
  });
});

leakTest("PosixSemaphore.acquireSync() refuses what is no timeout", () => {
  withAnonymous(1, (semaphore) => {
    for (const timeout of [-1, -0.001, NaN, -Infinity]) {
      const acquire = () => semaphore.acquireSync({ timeout });
      assertThrows(acquire, RangeError, '"timeout"');
    }
    for (const timeout of ["5", 5n, null, true]) {
      const wrong = { timeout: timeout as unknown as number };
      assertThrows(() => semaphore.acquireSync(wrong), TypeError, '"timeout"');
    }
    assertEquals(semaphore.value, 1);
  });
});

// --- Two handles, close -----------------------------------------------------

leakTest("PosixSemaphore.close() of one handle leaves the other", () => {
  using place = newNamed(1);
  const first = place.semaphore;
  const name = first.name!;
  const second = PosixSemaphore.open(name);
  using third = PosixSemaphore.openOrCreate(name, 9);
  second.release();
  first.close();
  first.close(); // twice takes nothing from the others
  first.close();
  assertEquals([second.value, third.value], [2, 2]);
  second.acquireSync();
  second.close();
  third.release();
  assertEquals(third.value, 2);
  third.close();
  using again = PosixSemaphore.open(name);
  assertEquals(again.value, 2);
});

leakTest("PosixSemaphore says ClosedError after close()", () => {
  for (const [, make] of places) {
    using place = make(1);
    const { semaphore } = place;
    const permit = semaphore.acquireSync();
    semaphore.close();
    semaphore.close();
    for (
      const call of [
        () => semaphore.value,
        () => semaphore.acquireSync(),
        () => semaphore.acquireSync({ timeout: 0 }),
        () => semaphore.tryAcquire(),
        () => semaphore.release(),
        () => permit.release(),
      ]
    ) {
      assertInstanceOf(assertThrows(call, ClosedError), TypeError);
    }
  }
});

leakTest("PosixSemaphore is closed at the end of its block", () => {
  using place = newNamed(1);
  let kept: PosixSemaphore;
  {
    using semaphore = PosixSemaphore.open(place.semaphore.name!);
    kept = semaphore;
  }
  assertThrows(() => kept.value, ClosedError);
  assertEquals(place.semaphore.value, 1);
});

leakTest("PosixSemaphore.close() of an unnamed one leaves its memory", () => {
  using place = newShared(1);
  place.semaphore.close();
  using again = PosixSemaphore.at(place.memory.bytes.subarray(OFFSET));
  assertEquals([again.name, again.value], [null, 1]);
  assertEquals(place.memory.bytes.length, 100);
});

leakTest(
  "PosixSemaphore says ClosedError when its memory is closed",
  async () => {
    for (const [what, make] of places.slice(1)) {
      using place = make(1);
      assertPrinted(
        await runCode(`${place.code}
        const permit = semaphore.acquireSync();
        const { bytes: all } = memory;
        memory.close();
        const calls = [
          () => semaphore.value,
          () => semaphore.acquireSync(),
          () => semaphore.acquireSync({ timeout: 0 }),
          () => semaphore.tryAcquire(),
          () => semaphore.release(),
          () => permit.release(),
          () => PosixSemaphore.at(bytes),
          () => PosixSemaphore.at(all),
          () => PosixSemaphore.at(memory.bytes),
          () => PosixSemaphore.init(bytes, 1),
        ];
        for (const call of calls) console.log(told(call));
        semaphore.close();`),
        ...Array(10).fill("ClosedError"),
      );
      assertEquals(place.semaphore.value, 0, what);
    }
  },
);

leakTest("PosixSemaphore leaves nothing behind in many rounds", {
  soak: "also",
}, () => {
  const name = uniqueName();
  const ROUNDS = rounds(100, 1_000);
  for (let round = 0; round < ROUNDS; round++) {
    using one = PosixSemaphore.create(round % 2 === 0 ? name : null, 0);
    using two = PosixSemaphore.open(one.name!);
    assertThrows(() => PosixSemaphore.create(one.name, 1), IpcError);
    two.release();
    using _permit = one.acquireSync();
    PosixSemaphore.unlink(one.name!);
  }
});

// --- Unnamed: init, at ------------------------------------------------------

leakTest("PosixSemaphore.init() makes a semaphore in memory", () => {
  using memory = SysvSharedMemory.create(null, 4_096);
  memory.remove();
  for (const offset of [0, 8, 2_000, 4_096 - SIZE]) {
    for (const end of [offset + SIZE, undefined]) {
      const bytes = memory.bytes.subarray(offset, end);
      if (bytes.length < SIZE) continue;
      memory.bytes.fill(0xff);
      using made = PosixSemaphore.init(bytes, 3);
      assertEquals([made.name, made.value], [null, 3]);
      const outside = memory.bytes.slice();
      outside.fill(0xff, offset, offset + SIZE);
      assert(outside.every((byte) => byte === 0xff), "it is all that changes");
      using found = PosixSemaphore.at(bytes);
      using _permit = found.acquireSync();
      assertEquals(made.value, 2);
    }
  }
});

leakTest(
  "PosixSemaphore.size is that of C",
  { needs: [noCompiler] },
  async () => {
    const printed = await runC(`
      #include <limits.h>
      #include <semaphore.h>
      #include <stdio.h>
      int main(void) {
        printf("%zu %zu %d\\n", sizeof(sem_t), _Alignof(sem_t), SEM_VALUE_MAX);
        return 0;
      }`);
    assertEquals(printed, `${SIZE} 8 ${MAX}\n`);
  },
);

leakTest("PosixSemaphore.init() refuses bytes that are not aligned", () => {
  using dir = scratch();
  const path = dir.file("data", new Uint8Array(200));
  using memory = SysvSharedMemory.create(null, 100);
  memory.remove();
  using map = MemoryMap.open(path, { offset: 12 });
  const { bytes } = memory;
  for (const offset of [1, 2, 3, 4, 5, 6, 7, 9, 12, 60]) {
    const call = [PosixSemaphore.at, PosixSemaphore.init];
    for (const use of call) {
      const place = () => use(bytes.subarray(offset), 1);
      assertThrows(place, RangeError, "multiple of 8");
    }
  }
  assertEquals(bytes, new Uint8Array(100));
  // Where the file is mapped from an odd place, the address counts.
  assertThrows(() => PosixSemaphore.init(map.bytes, 1), RangeError);
  assertThrows(() => PosixSemaphore.init(map.bytes.subarray(8), 1), RangeError);
  assertEquals(PosixSemaphore.init(map.bytes.subarray(4), 7).value, 7);
  assertEquals(Deno.readFileSync(path)[16], 7);
});

leakTest("PosixSemaphore.init() refuses bytes that are too few", () => {
  using map = MemoryMap.anonymous(64);
  for (const [start, end] of [[0, 0], [0, 31], [8, 8], [40, 64], [64, 64]]) {
    const bytes = map.bytes.subarray(start, end);
    for (const use of [PosixSemaphore.at, PosixSemaphore.init]) {
      assertThrows(() => use(bytes, 1), RangeError, "at least 32 bytes");
    }
  }
  assertEquals(map.bytes, new Uint8Array(64));
});

leakTest("PosixSemaphore.init() refuses bytes of another kind", () => {
  using map = MemoryMap.anonymous(64);
  const foreign = new Uint8Array(64);
  const shared = new Uint8Array(new SharedArrayBuffer(64));
  const moved = MemoryMap.anonymous(64);
  for (
    const bytes of [
      foreign,
      shared,
      map.bytes.slice(),
      structuredClone(map.bytes),
      map.bytes.buffer,
      new DataView(map.bytes.buffer),
      new Int32Array(map.bytes.buffer),
      null,
      undefined,
      0n,
    ]
  ) {
    for (const use of [PosixSemaphore.at, PosixSemaphore.init]) {
      const wrong = bytes as Uint8Array<ArrayBuffer>;
      assertThrows(() => use(wrong, 1), TypeError);
    }
  }
  assertEquals(foreign, new Uint8Array(64));
  moved.close();
});

leakTest(
  "PosixSemaphore.init() refuses a buffer that was transferred",
  async () => {
    assertPrinted(
      await runCode(
        `const map = MemoryMap.anonymous(64);
        using semaphore = PosixSemaphore.init(map.bytes, 1);
        const old = map.bytes;
        const taken = new Uint8Array(map.bytes.buffer.transfer());
        console.log(told(() => PosixSemaphore.init(taken, 1)));
        console.log(told(() => PosixSemaphore.init(old, 1)));
        // The memory is there as before, but perhaps not for this object.
        console.log(/^(1|ClosedError)$/.test(told(() => semaphore.value)));
        console.log(taken.length);`,
      ),
      "TypeError",
      "TypeError",
      "true",
      "64",
    );
  },
);

// --- Between processes, Workers, and with C ---------------------------------

for (const [where, make] of somePlaces) {
  leakTest(
    `PosixSemaphore.release() wakes a process, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      await using child = spawnCode(`${place.code}
        console.log("up", semaphore.value);
        semaphore.acquireSync();
        console.log("taken");
        semaphore.acquireSync({ timeout: 25_000 });
        console.log("taken in time");
        semaphore.acquireSync({ timeout: 2 ** 53 });
        console.log("taken at last", semaphore.value);`);
      assertEquals(await child.line(), "up 0");
      for (const line of ["taken", "taken in time", "taken at last 0"]) {
        await child.settled();
        assertEquals(child.unread, "");
        place.semaphore.release();
        assertEquals(await child.line(), line);
      }
      assertEquals((await child.ended()).code, 0);
      assertEquals(place.semaphore.value, 0);
    },
  );

  leakTest(
    `PosixSemaphore.release() wakes one of several, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      await using all = new AsyncDisposableStack();
      const children = [0, 1, 2].map(() =>
        all.use(spawnCode(`${place.code}
          console.log("up");
          semaphore.acquireSync();
          console.log("taken");
          Deno.stdin.readSync(new Uint8Array(1));`))
      );
      for (const child of children) assertEquals(await child.line(), "up");
      const taken = () => children.filter(({ unread }) => unread !== "").length;
      for (let count = 1; count <= 3; count++) {
        await Promise.all(children.map((child) => child.settled()));
        assertEquals(taken(), count - 1);
        place.semaphore.release();
        await children[0]!.until(() => taken() >= count, "permit");
      }
      for (const child of children) {
        await child.closeStdin();
        assertPrinted(await child.ended(), "up", "taken");
      }
      assertEquals(place.semaphore.value, 0);
    },
  );

  leakTest(
    `PosixSemaphore is shared with Workers, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      using dir = scratch();
      const worker = dir.file(
        "worker.js",
        `${prelude}${place.code}
        postMessage("up");
        semaphore.acquireSync();
        postMessage("taken");
        semaphore.release();
        semaphore.close();
        close();`,
      );
      await using child = spawnCode(`${place.code}
        for (let i = 0; i < 2; i++) {
          const worker = new Worker("file://${worker}", { type: "module" });
          worker.onmessage = ({ data }) => console.log(data);
        }
        const read = await Deno.stdin.read(new Uint8Array(1));
        semaphore.release();`);
      assertEquals([await child.line(), await child.line()], ["up", "up"]);
      await child.settled();
      assertEquals([child.unread, place.semaphore.value], ["", 0]);
      await child.send("");
      assertPrinted(await child.ended(), "up", "up", "taken", "taken");
      assertEquals(place.semaphore.value, 1);
    },
  );

  leakTest(
    `PosixSemaphore works with a C program, ${where}`,
    { soak: "also", needs: [noCompiler] },
    async () => {
      using place = make(2);
      const { semaphore } = place;
      await using peer = await spawnPeer(place);
      const ask = async (line: string) => {
        await peer.send(line);
        return await peer.line();
      };
      assertEquals(await ask("value"), "2");
      assertEquals(await ask("wait"), "taken");
      assertEquals(semaphore.value, 1);
      semaphore.acquireSync();
      assertEquals(await ask("try"), "none");
      assertEquals(await ask("post"), "posted");
      assertEquals(semaphore.value, 1);
      semaphore.acquireSync().release();
      semaphore.release();
      assertEquals(await ask("value"), "2");
      // C waits, TypeScript releases.
      while (semaphore.tryAcquire() !== undefined);
      await peer.send("wait");
      await peer.settled();
      assertEquals(peer.unread, "");
      semaphore.release();
      assertEquals(await peer.line(), "taken");
      // TypeScript waits, C releases.
      await using child = spawnCode(`${place.code}
        console.log("up");
        semaphore.acquireSync();
        console.log("taken");`);
      assertEquals(await child.line(), "up");
      await child.settled();
      assertEquals(await ask("post"), "posted");
      assertPrinted(await child.ended(), "up", "taken");
      assertEquals(await ask("value"), "0");
      await peer.closeStdin();
      assertEquals((await peer.ended()).code, 0);
    },
  );

  leakTest(
    `PosixSemaphore is not harmed by one who is killed, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      await using child = spawnCode(`${place.code}
        console.log("up");
        semaphore.acquireSync();`);
      assertEquals(await child.line(), "up");
      await child.settled();
      await kill(child);
      place.semaphore.release();
      assertEquals(place.semaphore.value, 1);
      place.semaphore.acquireSync().release();
      assertPrinted(
        await runCode(`${place.code}
          semaphore.acquireSync();
          console.log(semaphore.value);`),
        "0",
      );
    },
  );

  leakTest(
    `PosixSemaphore keeps waiting when a signal arrives, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      for (const options of ["", "{ timeout: 25_000 }"]) {
        await using child = spawnCode(`${place.code}
          Deno.addSignalListener("SIGUSR1", () => {});
          console.log("up");
          semaphore.acquireSync(${options});
          console.log("taken");
          Deno.exit();`);
        assertEquals(await child.line(), "up");
        for (let i = 0; i < 5; i++) {
          await child.settled();
          assert(child.kill("SIGUSR1"));
        }
        await child.settled();
        place.semaphore.release();
        assertPrinted(await child.ended(), "up", "taken");
      }
    },
  );
}

leakTest(
  "PosixSemaphore loses what the dead had, and nothing else: kill -9",
  { soak: "also", limit: 240_000 },
  async () => {
    const ROUNDS = rounds(4, 100);
    const KINDS = {
      "has one": "semaphore.acquireSync(); console.log('up'); await stay();",
      "waits for one": "console.log('up'); none.acquireSync();",
      "takes and gives": `
        console.log("up");
        for (;;) semaphore.acquireSync().release();`,
      "takes and gives, without blocking": `
        console.log("up");
        for (;;) (await semaphore.acquire()).release();`,
    };
    using place = newShared(0);
    const NONE = OFFSET + SIZE;
    using none = PosixSemaphore.init(place.memory.bytes.subarray(NONE), 0);
    const { semaphore } = place;
    for (let round = 0; round < ROUNDS; round += 4) {
      const most = 5; // more than can be lost
      while (semaphore.value < most) semaphore.release();
      const victims = Object.values(KINDS).map((text) =>
        spawnCode(`${place.code}
          const none = PosixSemaphore.at(memory.bytes.subarray(${NONE}));
          const stay = () => new Promise(() => setInterval(() => {}, 1000));
          ${text}`)
      );
      await killAll(victims, async () => {
        using _permit = await semaphore.acquire({ timeout: 20_000 });
      });
      // Nobody gives it back: that is what SharedMutex and SEM_UNDO are for.
      const lost = most - semaphore.value;
      assert(lost >= 1 && lost <= 3, `${lost} lost`);
      none.release();
      assert(
        none.tryAcquire() !== undefined,
        "the one who waited took it",
      );
    }
    // Who waits for the last one waits in vain, and can be told so.
    while (semaphore.tryAcquire() !== undefined);
    await using holder = spawnCode(`${place.code}
      semaphore.acquireSync();
      console.log("has");
      await new Promise(() => setInterval(() => {}, 1000));`);
    semaphore.release();
    await holder.expect("has\n");
    await kill(holder);
    assertThrows(() => semaphore.acquireSync({ timeout: 1 }), DOMException);
    assertEquals(
      await outcome(semaphore.acquire({ timeout: 1 })),
      "TimeoutError",
    );
    semaphore.release(); // by another owner
    semaphore.acquireSync();
  },
);

leakTest(
  "PosixSemaphore.acquireSync() does not give up early after signals",
  async () => {
    using place = newShared(0);
    await using child = spawnCode(`${place.code}
      Deno.addSignalListener("SIGUSR1", () => {});
      console.log("up");
      const start = performance.now();
      const outcome = told(() => semaphore.acquireSync({ timeout: 500 }));
      console.log(outcome.split(" ")[0], performance.now() - start >= 500);
      Deno.exit();`);
    assertEquals(await child.line(), "up");
    const signals = setInterval(() => child.kill("SIGUSR1"), 20);
    await child.ended();
    clearInterval(signals);
    assertPrinted(await child.ended(), "up", "TimeoutError true");
  },
);

leakTest(
  "PosixSemaphore.at() finds what a C program has initialised",
  { needs: [noCompiler] },
  async () => {
    using place = newMapped(0);
    place.memory.bytes.fill(0xee);
    await using peer = await spawnPeer(place);
    const bytes = place.memory.bytes.subarray(OFFSET);
    await peer.send("threads 3");
    assertEquals(await peer.line(), "ready");
    assertThrows(() => PosixSemaphore.at(bytes), TypeError, "pshared = 0");
    await peer.send("init 3");
    assertEquals(await peer.line(), "ready");
    using semaphore = PosixSemaphore.at(bytes);
    assertEquals(semaphore.value, 3);
    semaphore.acquireSync();
    await peer.send("value");
    assertEquals(await peer.line(), "2");
    await peer.closeStdin();
    assertEquals((await peer.ended()).code, 0);
  },
);

// --- acquire: waiting without blocking the thread ---------------------------

/** Reports how a promise ends, as one line. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "taken";
  } catch (error) {
    return error instanceof Error ? error.name : String(error);
  }
}

leakTest("PosixSemaphore.acquire() takes what is there", async () => {
  for (const [, make] of places) {
    using place = make(4);
    const { semaphore } = place;
    for (const timeout of [undefined, 0, Infinity]) {
      await semaphore.acquire({ timeout });
    }
    {
      using permit = await semaphore.acquire();
      assertEquals(semaphore.value, 0);
      permit.release();
      permit.release();
      assertEquals(semaphore.value, 1);
    }
    assertEquals(semaphore.value, 1);
  }
});

leakTest("PosixSemaphore.acquire() never gives up early", async () => {
  using place = newShared(0);
  for (const timeout of [0, 0.5, 1, 10, 33.3, 60, 200]) {
    const start = performance.now();
    const acquired = place.semaphore.acquire({ timeout });
    assertEquals(await outcome(acquired), "TimeoutError");
    const passed = performance.now() - start;
    assert(passed >= timeout, `${passed} of ${timeout} ms`);
  }
  place.semaphore.release();
  assertEquals(place.semaphore.value, 1, "none of them took it");
});

leakTest("PosixSemaphore.acquire() rejects what is no timeout", async () => {
  using place = newShared(1);
  for (const timeout of [-1, NaN, -Infinity]) {
    const acquired = place.semaphore.acquire({ timeout });
    assertEquals(await outcome(acquired), "RangeError");
  }
  const timeout = "5" as unknown as number;
  const acquired = place.semaphore.acquire({ timeout });
  assertEquals(await outcome(acquired), "TypeError");
  assertEquals(place.semaphore.value, 1);
});

leakTest("PosixSemaphore.acquire() ends with the signal's reason", async () => {
  using place = newShared(1);
  const { semaphore } = place;
  const aborted = AbortSignal.abort("before");
  assertEquals(await outcome(semaphore.acquire({ signal: aborted })), "before");
  assertEquals(semaphore.value, 1);
  semaphore.acquireSync();
  // Some of them have a thread to wait on, the others have not.
  const controllers = Array.from({ length: 8 }, () => new AbortController());
  const waits = controllers.map(({ signal }) =>
    outcome(semaphore.acquire({ signal, timeout: 30_000 }))
  );
  controllers.forEach((controller, i) => controller.abort(`reason ${i}`));
  assertEquals(
    await Promise.all(waits),
    controllers.map((_, i) => `reason ${i}`),
  );
  semaphore.release();
  assertEquals(semaphore.value, 1, "none of them took it");
});

leakTest("PosixSemaphore.close() ends acquire()", async () => {
  for (const [, make] of places) {
    using place = make(0);
    const { semaphore } = place;
    const waits = Array.from({ length: 8 }, () => outcome(semaphore.acquire()));
    semaphore.close();
    assertEquals(await Promise.all(waits), Array(8).fill("ClosedError"));
    assertEquals(await outcome(semaphore.acquire()), "ClosedError");
    assertPrinted(
      await runCode(`${place.code}
        semaphore.release();
        console.log(semaphore.value);`),
      "1",
    );
  }
});

leakTest(
  "PosixSemaphore.acquire() ends when its memory is closed",
  async () => {
    for (const [, make] of places.slice(1)) {
      using place = make(0);
      assertPrinted(
        await runCode(`${place.code}
        const waits = Array.from({ length: 8 }, () => semaphore.acquire());
        memory.close();
        const ends = await Promise.allSettled(waits);
        console.log(ends.map(({ reason }) => reason?.name).join());`),
        Array(8).fill("ClosedError").join(),
      );
      place.semaphore.release();
      assertEquals(place.semaphore.value, 1, "none of them took it");
    }
  },
);

for (const [where, make] of somePlaces) {
  leakTest(
    `PosixSemaphore.acquire() waits for another process, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0);
      await using child = spawnCode(`${place.code}
        for (let i = 0; i < 12; i++) {
          semaphore.acquire().then(() => console.log("taken"));
        }
        console.log(Deno.readTextFileSync("/proc/self/comm") !== "");
        console.log((await Deno.readTextFile("/proc/self/comm")) !== "");`);
      assertEquals([await child.line(), await child.line()], ["true", "true"]);
      for (let i = 0; i < 12; i++) {
        assertEquals(child.unread, "");
        place.semaphore.release();
        assertEquals(await child.line(), "taken");
      }
      const { code, stderr } = await child.ended(); // by itself
      assertEquals([code, stderr], [0, ""]);
      assertEquals(place.semaphore.value, 0);
    },
  );
}

leakTest("PosixSemaphore.acquire() loses no permit that it took", async () => {
  using place = newShared(0);
  const { semaphore } = place;
  let taken = 0;
  for (let round = 0; round < 40; round++) {
    const controllers = Array.from({ length: 8 }, () => new AbortController());
    const waits = controllers.map(({ signal }, i) =>
      outcome(semaphore.acquire({ signal, timeout: i < 4 ? round : Infinity }))
    );
    for (let i = 0; i < 4; i++) {
      semaphore.release();
      if (round % 2 === 0) await null;
      controllers[7 - i]!.abort("aborted");
    }
    for (const controller of controllers.slice(0, 4)) controller.abort("late");
    const ends = await Promise.all(waits);
    taken += ends.filter((end) => end === "taken").length;
    assertEquals(taken + semaphore.value, 4 * (round + 1), ends.join());
  }
});

leakTest("PosixSemaphore.acquire() lets one at a time count", async () => {
  using place = newShared(0);
  using counter = new Words(2);
  await using all = new AsyncDisposableStack();
  const children = [0, 1, 2].map((i) =>
    all.use(spawnCode(`${place.code} ${counter.code}
      console.log("up");
      async function count() {
        for (let i = 0; i < 50; i++) {
          using _permit = ${
      i === 0 ? "semaphore.acquireSync()" : "await semaphore.acquire()"
    };
          const value = words[0];
          await null;
          for (let spin = 0; spin < 20; spin++) Atomics.load(words, 1);
          words[0] = value + 1;
        }
      }
      ${
      i === 0
        ? "for (let i = 0; i < 6; i++) await count();"
        : "await Promise.all(Array.from({ length: 6 }, count));"
    }`))
  );
  await releaseWhenUp(place, children);
  for (const child of children) assertPrinted(await child.ended(), "up");
  assertEquals([counter.words[0], place.semaphore.value], [900, 1]);
});

// --- Mutual exclusion -------------------------------------------------------

/** Gives the children what they wait for when all of them do. */
async function releaseWhenUp(
  { semaphore }: Place,
  children: Child[],
): Promise<void> {
  for (const child of children) assertEquals(await child.line(), "up");
  semaphore.release();
}

const COUNTS = rounds(1_000, 10_000);

/** Code that adds to a counter, so that others could get in between. */
const ADD = `
  for (let i = 0; i < ${COUNTS}; i++) {
    using _permit = semaphore.acquireSync();
    const value = words[0];
    for (let spin = 0; spin < 20; spin++) Atomics.load(words, 1);
    words[0] = value + 1;
  }
`;

for (const [where, make] of busyPlaces) {
  leakTest(
    `PosixSemaphore lets one at a time count, ${where}`,
    { soak: "also" },
    async () => {
      using place = make(0); // all begin when there is a permit
      using counter = new Words(2);
      await using all = new AsyncDisposableStack();
      const children = [0, 1, 2, 3].map(() =>
        all.use(spawnCode(`${place.code} ${counter.code}
          console.log("up");
          ${ADD}`))
      );
      await releaseWhenUp(place, children);
      for (const child of children) assertPrinted(await child.ended(), "up");
      assertEquals([counter.words[0], place.semaphore.value], [4 * COUNTS, 1]);
    },
  );
}

for (const [where, make] of busyPlaces.slice(1)) {
  leakTest(
    `PosixSemaphore lets one at a time count, with C, ${where}`,
    { soak: "also", needs: [noCompiler] },
    async () => {
      using place = make(0);
      const { memory } = place as ReturnType<typeof newShared>;
      const words = new Int32Array(memory.bytes.buffer, OFFSET + SIZE, 2);
      words.fill(0);
      await using all = new AsyncDisposableStack();
      const children = [0, 1].map(() =>
        all.use(spawnCode(`${place.code}
          const words = new Int32Array(memory.bytes.buffer, ${
          OFFSET + SIZE
        }, 2);
          console.log("up");
          ${ADD}`))
      );
      const peers = [
        all.use(await spawnPeer(place)),
        all.use(await spawnPeer(place)),
      ];
      for (const peer of peers) await peer.send(`add ${COUNTS}`);
      await releaseWhenUp(place, children);
      for (const child of children) assertPrinted(await child.ended(), "up");
      for (const peer of peers) {
        assertEquals(await peer.line(), "added");
        await peer.closeStdin();
        assertEquals((await peer.ended()).code, 0);
      }
      assertEquals([words[0], place.semaphore.value], [4 * COUNTS, 1]);
    },
  );
}

leakTest("PosixSemaphore hands out n places", { soak: "also" }, async () => {
  using place = newShared(0);
  using counter = new Words(2);
  await using all = new AsyncDisposableStack();
  const children = [0, 1, 2, 3].map(() =>
    all.use(spawnCode(`${place.code} ${counter.code}
      console.log("up");
      let most = 0;
      for (let i = 0; i < ${rounds(200, 2_000)}; i++) {
        using _permit = semaphore.acquireSync();
        most = Math.max(most, Atomics.add(words, 0, 1) + 1);
        for (let spin = 0; spin < 1_000; spin++) Atomics.load(words, 1);
        Atomics.sub(words, 0, 1);
      }
      console.log(most);`))
  );
  await releaseWhenUp(place, children);
  place.semaphore.release();
  for (const child of children) {
    const most = Number(await child.line());
    assert(most >= 1 && most <= 2, `${most} at a time`);
    assertEquals((await child.ended()).code, 0);
  }
  assertEquals([counter.words[0], place.semaphore.value], [0, 2]);
});

leakTest("PosixSemaphore.list() finds the named semaphores", () => {
  const find = () =>
    PosixSemaphore.list().find((entry) => entry.name === place.semaphore.name);
  using place = newNamed(1);
  const { name } = place.semaphore;
  const { uid, gid } = Deno.statSync(fileOf(name!));
  const entry = { name, mode: 0o600, uid, gid };
  assertEquals(find(), entry as ReturnType<typeof find>);
  Deno.truncateSync(fileOf(name!), SIZE - 1);
  assertEquals(find(), undefined); // it cannot be a semaphore
  Deno.truncateSync(fileOf(name!), SIZE);
  Deno.chmodSync(fileOf(name!), 0o640);
  assertEquals(find()!.mode, 0o640);
  PosixSemaphore.unlink(name!);
  assertEquals(find(), undefined);
});

leakTest("Deno.inspect() shows a PosixSemaphore and its permit", () => {
  using place = newNamed(1);
  const { semaphore } = place;
  const { name } = semaphore;
  const permit = semaphore.acquireSync();
  assertEquals(Deno.inspect(permit), "SemaphorePermit { released: false }");
  permit.release();
  assertEquals(Deno.inspect(permit), "SemaphorePermit { released: true }");
  const shown = (closed: boolean) =>
    `PosixSemaphore { name: "${name}", closed: ${closed} }`;
  assertEquals(Deno.inspect(semaphore), shown(false));
  semaphore.close();
  assertEquals(Deno.inspect(semaphore), shown(true));
});
