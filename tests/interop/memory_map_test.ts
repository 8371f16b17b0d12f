import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { assertNames } from "../support/asserts.ts";
import { scratch } from "../support/names.ts";
import { denoArgs, type Ended, run, succeeds } from "../support/process.ts";
import {
  exampleTest,
  exampleUrl,
  peerTest,
  runExample,
  runPeer,
  type Side,
  startPeer,
} from "./peers.ts";

const PROGRAMS = { TypeScript: "mmap.ts", C: "the C program" };

function map(side: Side, path: string): Promise<Ended> {
  return side === "TypeScript"
    ? runExample("mmap.ts", [path])
    : runPeer("map_clear", [path]);
}

/** The program prints this, as bytes, and a line's end. */
function assertPrints(ended: Ended, expected: string | Uint8Array): void {
  const bytes = typeof expected === "string"
    ? new TextEncoder().encode(expected)
    : expected;
  assertEquals(ended.code, 0, ended.transcript);
  assertEquals(ended.bytes, new Uint8Array([...bytes, 10]));
  assertEquals(ended.stderr, "");
}

const LONG = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ";

for (const side of ["TypeScript", "C"] as const) {
  peerTest(
    `${PROGRAMS[side]} prints the first 40 bytes and zeroes them`,
    async () => {
      using dir = scratch();
      const path = dir.file("data", LONG + "\nand more\n");
      assertPrints(await map(side, path), LONG.slice(0, 40));
      assertEquals(
        Deno.readTextFileSync(path),
        "\0".repeat(40) + LONG.slice(40) + "\nand more\n",
      );
      for (const again of ["C", "TypeScript"] as const) {
        assertPrints(await map(again, path), "");
      }
    },
  );

  peerTest(`${PROGRAMS[side]} takes a file of 40 bytes`, async () => {
    using dir = scratch();
    const path = dir.file("data", LONG.slice(0, 40));
    assertPrints(await map(side, path), LONG.slice(0, 40));
    assertEquals(Deno.readTextFileSync(path), "\0".repeat(40));
  });

  peerTest(`${PROGRAMS[side]} prints what a shorter file has`, async () => {
    using dir = scratch();
    for (const content of ["x", "short\n", LONG.slice(0, 39)]) {
      const path = dir.file("data", content);
      assertPrints(await map(side, path), content);
      assertEquals(Deno.readTextFileSync(path), "\0".repeat(content.length));
    }
  });

  peerTest(
    `${PROGRAMS[side]} prints a C string, and bytes as they are`,
    async () => {
      using dir = scratch();
      const path = dir.file("data", "one\0two");
      assertPrints(await map(side, path), "one");
      assertEquals(Deno.readTextFileSync(path), "\0".repeat(7));
      // The fortieth byte is in the middle of a character.
      const korean = new TextEncoder().encode("가".repeat(20));
      dir.file("data", korean);
      assertPrints(await map(side, path), korean.slice(0, 40));
      const invalid = new Uint8Array([0xff, 0xfe, 0x80, 65]);
      dir.file("data", invalid);
      assertPrints(await map(side, path), invalid);
    },
  );
}

peerTest("mmap.ts changes the bytes that a C program has mapped", async () => {
  using dir = scratch();
  const path = dir.file("data", LONG);
  await using watcher = await startPeer("map_clear", [path, "watch"]);
  assertEquals(await watcher.line(), "mapped");
  assertPrints(await map("TypeScript", path), LONG.slice(0, 40));
  await watcher.send("");
  assertEquals(await watcher.line(), "0 left");
});

exampleTest("mmap.ts handles a large file", async () => {
  using dir = scratch();
  const path = dir.file("data", "y".repeat(1_000_003));
  assertPrints(await map("TypeScript", path), "y".repeat(40));
  assertEquals(
    Deno.readTextFileSync(path),
    "\0".repeat(40) + "y".repeat(999_963),
  );
});

exampleTest("mmap.ts names an empty file, and leaves it empty", async () => {
  using dir = scratch();
  const path = dir.file("data", "");
  for (let round = 0; round < 2; round++) {
    assertNames(path, await map("TypeScript", path));
    assertEquals(Deno.statSync(path).size, 0);
  }
});

exampleTest("mmap.ts names what is not a regular file", async () => {
  using dir = scratch();
  const fifo = dir.file("fifo");
  assert(succeeds("mkfifo", fifo));
  for (const path of [fifo, "/dev/null"]) {
    const ended = await map("TypeScript", path);
    assertNames(path, ended);
    assert(ended.stderr.includes("not a regular file"), ended.transcript);
  }
});

exampleTest(
  "mmap.ts makes a file that is missing, with mode 0o644 less the umask",
  async () => {
    using dir = scratch();
    for (const umask of [0o022, 0o027, 0o000, 0o077]) {
      const path = dir.file(`new${umask}`);
      const ended = await run("/bin/sh", {
        args: [
          "-c",
          'umask "$0"; exec "$@"',
          umask.toString(8).padStart(4, "0"),
          Deno.execPath(),
          ...denoArgs(exampleUrl("mmap.ts"), [path]),
        ],
      });
      assertNames(path, ended);
      const { mode, size } = Deno.statSync(path);
      assertEquals([mode! & 0o7777, size], [0o644 & ~umask, 0]);
    }
  },
);

exampleTest(
  "mmap.ts takes a path relative to the working directory",
  async () => {
    using dir = scratch();
    dir.file("data", "here");
    assertPrints(
      await runExample("mmap.ts", ["data"], { cwd: dir.path }),
      "here",
    );
  },
);

exampleTest(
  "mmap.ts without an argument prints the usage and fails",
  async () => {
    const ended = await runExample("mmap.ts");
    assertNotEquals(ended.code, 0, ended.transcript);
    assertEquals([ended.signal, ended.stdout], [null, ""]);
    assert(/usage/i.test(ended.stderr), ended.transcript);
  },
);

exampleTest(
  "mmap.ts names a directory, and a directory that is missing",
  async () => {
    using dir = scratch();
    assertNames(dir.path, await map("TypeScript", dir.path));
    const path = dir.file("missing/data");
    assertNames(path, await map("TypeScript", path));
    assertEquals(dir.list(), []);
  },
);
