/** The benchmarks: that they measure, tell and clean up. No figure is looked at. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { compile, compiler, noCompiler } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch } from "./support/names.ts";
import {
  type Child,
  type Ended,
  run,
  runDeno,
  spawnDeno,
  type SpawnOptions,
} from "./support/process.ts";

const BENCH = new URL("../bench/mod.ts", import.meta.url);
const REPORT = new URL("../bench/report/mod.ts", import.meta.url);

/** What a run in that directory needs. */
function options(directory: string, args: string[]): SpawnOptions {
  const CC = compiler?.join(" ") ?? "cc";
  return { args, env: { TMPDIR: directory, CC } };
}

async function bench(...args: string[]): Promise<Ended> {
  return await runDeno(BENCH, { args });
}

leakTest("bench --list names each case once, and --only selects", async () => {
  const all = (await bench("--list")).stdout.trim().split("\n");
  assertEquals(new Set(all).size, all.length);
  for (const name of ["fifo/one-way/sync/64/one-core", "import"]) {
    assert(all.includes(name), name);
  }
  const prefix = "unix-stream/round-trip/";
  const some = (await bench("--list", "--only", prefix)).stdout.trim();
  assertEquals(
    some.split("\n"),
    all.filter((name) => name.startsWith(prefix)),
  );
});

leakTest("bench says what is wrong with its arguments", async () => {
  assertMatch((await bench("--help")).stdout, /^Usage: deno task bench /);
  for (
    const [args, complaint] of [
      [["--only", "pigeon"], /Nothing begins with pigeon/],
      [["--rounds", "0"], /--rounds must be a number from 1: 0/],
      [["--quicker"], /Unknown argument --quicker/],
    ] as const
  ) {
    const { code, stderr } = await bench(...args);
    assertEquals(code, 2, stderr);
    assertMatch(stderr, complaint);
  }
});

leakTest(
  "bench measures, and its report tells so in a file",
  { needs: [noCompiler] },
  async () => {
    using directory = scratch();
    using temporary = scratch();
    const json = directory.file("bench.json");
    const ids = [
      "fifo/round-trip/sync/64/unpinned",
      "posix-semaphore/round-trip/async/0/unpinned",
    ];
    const only = ids.flatMap((id) => ["--only", id]);
    const short = ["--rounds", "1", "--duration", "10"];
    const ended = await runDeno(
      BENCH,
      options(temporary.path, [...only, ...short, "--json", json]),
    );
    assertEquals(ended.code, 0, ended.transcript);
    assertEquals(temporary.list(), []);

    const { results, skipped } = JSON.parse(Deno.readTextFileSync(json));
    assertEquals(skipped, []);
    const names = (
      result: { id: string; figures: { contender: string }[] },
    ) => [result.id, ...result.figures.map(({ contender }) => contender)];
    assertEquals(results.map(names), [
      [ids[0], "C", "@linux/ipc", "bare FFI", "Deno"],
      [ids[1], "C", "@linux/ipc"],
    ]);

    const begin = "<!-- figures: made by deno task bench:report -->";
    const end = "<!-- end of figures -->";
    const text = `before\n\n${begin}\nold\n${end}\n\nafter\n`;
    const page = directory.file("page.md", text);
    const report = await runDeno(REPORT, { args: [json, "--markdown", page] });
    assertEquals(report.code, 0, report.transcript);
    const after = Deno.readTextFileSync(page);
    assert(after.startsWith(`before\n\n${begin}\n`), after);
    assert(after.endsWith(`${end}\n\nafter\n`), after);
    assert(!after.includes("old"), after);
    assertMatch(after, /\| FIFO, round trip *\| 64 B /);
    assertMatch(after, /\| POSIX semaphore, round trip *\| /);
  },
);

const oneProcessor = navigator.hardwareConcurrency > 1
  ? null
  : "one processor only";

leakTest(
  "bench measures servers of many connections, and tells of each of them",
  { needs: [noCompiler, oneProcessor] },
  async () => {
    using directory = scratch();
    using temporary = scratch();
    const json = directory.file("bench.json");
    const kinds = ["stream-100", "seqpacket-10", "framed-10"];
    const only = kinds.flatMap((
      kind,
    ) => ["--only", `many/round-trip/${kind}/64/two-cores`]);
    const short = ["--rounds", "1", "--duration", "10"];
    const ended = await runDeno(
      BENCH,
      options(temporary.path, [...only, ...short, "--json", json]),
    );
    assertEquals(ended.code, 0, ended.transcript);
    assertEquals(temporary.list(), []);

    const { machine, results, skipped } = JSON.parse(
      Deno.readTextFileSync(json),
    );
    const node = machine.node === null ? [] : ["Node"];
    assertEquals(skipped.length, machine.node === null ? 2 : 0);
    assertEquals(
      results.map((
        { waiting, figures }: {
          waiting: string;
          figures: { contender: string }[];
        },
      ) => [waiting, ...figures.map(({ contender }) => contender)]),
      [
        ["stream-100", "C", "@linux/ipc", "Deno", ...node],
        ["seqpacket-10", "C", "@linux/ipc"],
        ["framed-10", "C", "@linux/ipc", "Deno", ...node],
      ],
    );
    const report = await runDeno(REPORT, { args: [json] });
    assertEquals(report.code, 0, report.transcript);
    assertMatch(report.stdout, /### Many connections: Unix streams\n/);
    assertMatch(report.stdout, /\| 10 +\| @linux\/ipc \| /);
  },
);

leakTest(
  "the load of the benchmarks ends if a server ends, or answers wrongly",
  { needs: [noCompiler] },
  async () => {
    using directory = scratch();
    const load = await compile(new URL("../bench/c/many.c", import.meta.url));
    const servers: [string, (connection: Deno.Conn) => unknown, RegExp][] = [
      ["closes", (connection) => connection.close(), /closed a connection/],
      [
        "answers",
        (connection) => connection.write(new Uint8Array(64)),
        /The answer is not the message/,
      ],
    ];
    for (const [name, serve, complaint] of servers) {
      const path = directory.file(name);
      using listener = Deno.listen({ transport: "unix", path });
      const args = ["ping", "sync", "64", "10", "10", path, "stream", "1"];
      const ended = run(load, { args });
      using connection = await listener.accept();
      await connection.read(new Uint8Array(64));
      await serve(connection);
      const { code, stderr } = await ended;
      assertEquals(code, 1);
      assertMatch(stderr, complaint);
    }
  },
);

leakTest(
  "an interrupted bench leaves nothing behind",
  { needs: [noCompiler] },
  async () => {
    using temporary = scratch();
    const args = ["--only", "posix-queue/round-trip/sync/64/unpinned"];
    await using child: Child = spawnDeno(
      BENCH,
      options(temporary.path, args),
    );
    const peers = () => runningFrom(temporary.path);
    await child.until(() => peers() > 0, "a process to measure");
    child.kill("SIGINT");
    const { code, stderr } = await child.ended();
    assertEquals(code, 1);
    assertMatch(stderr, /Interrupted/);
    assertEquals(temporary.list(), []);
    assertEquals(peers(), 0);
  },
);

/** How many programs of a directory are running. */
function runningFrom(directory: string): number {
  let count = 0;
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const program = Deno.readLinkSync(`/proc/${name}/exe`);
      if (program.startsWith(`${directory}/`)) count++;
    } catch {
      // It has ended, or has no program.
    }
  }
  return count;
}
