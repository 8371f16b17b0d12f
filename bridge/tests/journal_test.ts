/** What a journal keeps when its process is killed, and what it makes of a damaged file. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { leakTest } from "../../tests/support/leaks.ts";
import { scratch } from "../../tests/support/names.ts";
import { reasonAgainst } from "../../tests/support/namespaces.ts";
import { run, spawn } from "../../tests/support/process.ts";
import { BridgeError } from "../error.ts";
import { Delivered } from "../delivered.ts";
import { Journal } from "../journal.ts";

const OPTIONS = { slots: 4, maxSize: 100, identity: "queue 1" };
const text = (data: Uint8Array) => new TextDecoder().decode(data);
const bytes = (value: string) => new TextEncoder().encode(value);

/** Runs a script that imports modules of this package. */
function scriptCommand(path: string): [string, { args: string[] }] {
  const config = new URL("../deno.json", import.meta.url).pathname;
  const flags = ["-A", "--quiet", "--no-check", "--config", config];
  return [Deno.execPath(), { args: ["run", ...flags, path] }];
}

/** What a journal has, in short. */
function contents(journal: Journal): [string, string, number, boolean][] {
  return journal.entries.map((entry) => [
    journal.idOf(entry).split(".")[1]!,
    text(entry.data),
    Number(entry.type),
    entry.inQueue,
  ]);
}

leakTest("messages and their identifiers are there the next time", () => {
  using directory = scratch();
  const path = directory.file("journal");
  let ids: string[];
  {
    using journal = Journal.open(path, OPTIONS);
    journal.copy(5n, bytes("copied"));
    journal.copy(6n, bytes("taken"));
    journal.hold(-1n, bytes("held"));
    journal.copy(1n, bytes("done"));
    ids = journal.entries.map((entry) => journal.idOf(entry));
    journal.taking(journal.entries[1]!);
    journal.done([journal.entries[3]!]);
    assertEquals(journal.room, 1);
    assertThrows(() => Journal.open(path, OPTIONS), BridgeError, "Another");
  }
  {
    using journal = Journal.open(path, OPTIONS);
    assertEquals(contents(journal), [
      ["1", "copied", 5, true],
      // Whether it was taken is not known: what is in the queue is another message.
      ["2", "taken", 6, false],
      ["3", "held", -1, false],
    ]);
    assertEquals(
      journal.entries.map((entry) => journal.idOf(entry)),
      ids.slice(0, 3),
    );
    journal.done(journal.entries.slice(1));
    journal.hold(1n, bytes("next"));
    assertEquals(contents(journal).map(([number]) => number), ["1", "5"]);
  }
  // In another queue there is none of its copies; and no identifier comes again, though
  // after a loss of power numbers may.
  using journal = Journal.open(path, { ...OPTIONS, identity: "queue 2" });
  assertEquals(contents(journal)[0], ["1", "copied", 5, false]);
  assert(journal.idOf(journal.entries[0]!) !== ids[0]);
});

leakTest("a journal of another shape keeps its messages", () => {
  using directory = scratch();
  const path = directory.file("journal");
  let id: string;
  {
    using journal = Journal.open(path, OPTIONS);
    for (const value of ["a", "b", "c"]) journal.copy(1n, bytes(value));
    id = journal.idOf(journal.entries[0]!);
  }
  const larger = { ...OPTIONS, slots: 9, maxSize: 5000 };
  {
    using journal = Journal.open(path, larger);
    assertEquals(contents(journal).map(([, value]) => value), ["a", "b", "c"]);
    assertEquals(journal.idOf(journal.entries[0]!), id);
    assertEquals(journal.room, 6);
    journal.hold(1n, new Uint8Array(4000));
  }
  assertThrows(() => Journal.open(path, OPTIONS), BridgeError, "no room");
  using journal = Journal.open(path, larger);
  assertEquals(journal.entries.length, 4);
});

leakTest("a damaged journal", () => {
  using directory = scratch();
  const path = directory.file("journal");
  {
    using journal = Journal.open(path, OPTIONS);
    for (const value of ["one", "two", "three"]) journal.hold(1n, bytes(value));
  }
  const file = Deno.readFileSync(path);
  const damaged = file.slice();
  damaged[
    damaged.findIndex((_, at) => text(damaged.slice(at, at + 3)) === "two")
  ]!++;
  Deno.writeFileSync(path, damaged);
  {
    using journal = Journal.open(path, OPTIONS);
    assertEquals(contents(journal).map(([, value]) => value), ["one", "three"]);
    assertEquals(journal.damaged.length, 1);
  }
  // Cut off in the middle of a slot: what is whole is kept.
  Deno.writeFileSync(path, file.slice(0, file.length - 10));
  {
    using journal = Journal.open(path, OPTIONS);
    const values = contents(journal).map(([, value]) => value);
    assert(values.length >= 2 && values.includes("two"), `${values}`);
  }
  for (const size of [0, 100, 4096]) {
    Deno.writeFileSync(path, new Uint8Array(size));
    assertThrows(() => Journal.open(path, OPTIONS), BridgeError, "no journal");
  }
});

leakTest("a message that the kernel has written is found", async () => {
  using directory = scratch();
  const path = directory.file("journal");
  for (const size of [1, 37, 100]) {
    // A child that is killed when the kernel has written, and nothing else is.
    const script = directory.file(
      "killed.ts",
      `import { Journal } from "${new URL("../journal.ts", import.meta.url)}";
       const journal = Journal.open(${JSON.stringify(path)}, ${
        JSON.stringify(OPTIONS)
      });
       journal.receive((buffer) => {
         // Bytes that differ from the pattern at the end.
         const last = buffer[${size - 1}];
         buffer.fill(7, 0, ${size});
         buffer[${size - 1}] = last ^ 0xff;
         Deno.kill(Deno.pid, "SIGKILL");
       });`,
    );
    await using child = spawn(...scriptCommand(script));
    assertEquals((await child.ended()).signal, "SIGKILL");
    using journal = Journal.open(path, OPTIONS);
    assertEquals(journal.entries.map(({ data }) => data.length), [size]);
    assertEquals(journal.entries[0]!.inQueue, false);
    journal.done(journal.entries);
    assertEquals(journal.room, OPTIONS.slots);
    assertEquals(journal.receive(() => undefined), false);
  }
  using journal = Journal.open(path, OPTIONS); // an armed slot without a message
  assertEquals([journal.entries.length, journal.room], [0, OPTIONS.slots]);
});

leakTest(
  "a full disk is an error at the start",
  { needs: [reasonAgainst("mount", ["unshare", "--mount", "true"])] },
  async () => {
    using directory = scratch();
    const script = directory.file(
      "full.ts",
      `import { Journal } from "${new URL("../journal.ts", import.meta.url)}";
       try {
         Journal.open("/mnt/journal", { slots: 64, maxSize: 8192, identity: "" });
       } catch (error) {
         console.log(error.code, [...Deno.readDirSync("/mnt")].length);
       }`,
    );
    const [program, { args: all }] = scriptCommand(script);
    const { stdout, transcript } = await run("unshare", {
      args: [
        ...["--mount", "sh", "-c"],
        'mount -t tmpfs -o size=64k none /mnt && exec "$@"',
        ...["sh", program, ...all],
      ],
    });
    assertEquals(stdout, "ENOSPC 1\n", transcript); // the lock
  },
);

leakTest("what was delivered is known the next time", () => {
  using directory = scratch();
  const path = directory.file("delivered");
  {
    using delivered = new Delivered(path);
    delivered.of(1n);
    for (let number = 1; number <= 70_000; number++) delivered.add(number);
    assert(
      delivered.has(70_000) && delivered.has(5000) && !delivered.has(4000),
    );
    assertThrows(() => new Delivered(path), BridgeError, "Another");
  }
  using delivered = new Delivered(path);
  delivered.of(1n);
  assert(delivered.has(70_000) && !delivered.has(70_001));
  delivered.of(2n); // another stream
  assert(!delivered.has(70_000));
});
