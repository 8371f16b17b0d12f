/** The benchmarks: that they measure, tell and clean up. No figure is looked at. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Report } from "../bench/harness/results.ts";
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

/** What a short run of these cases writes into a file. */
async function measured(json: string, ids: readonly string[]): Promise<Report> {
  using temporary = scratch();
  const only = ids.flatMap((id) => ["--only", id]);
  const short = ["--rounds", "1", "--duration", "10"];
  const ended = await runDeno(
    BENCH,
    options(temporary.path, [...only, ...short, "--json", json]),
  );
  assertEquals(ended.code, 0, ended.transcript);
  assertEquals(temporary.list(), []);
  return JSON.parse(Deno.readTextFileSync(json));
}

/** The cases of a report, and who took part. */
function contenders({ results }: Report): string[][] {
  return results.map(({ id, figures }) => [
    id,
    ...figures.map(({ contender }) => contender),
  ]);
}

leakTest(
  "bench measures, and its report tells so in a file",
  { soak: true, needs: [noCompiler] },
  async () => {
    using directory = scratch();
    const json = directory.file("bench.json");
    const ids = [
      "fifo/round-trip/sync/64/unpinned",
      "posix-semaphore/round-trip/async/0/unpinned",
    ];
    const figures = await measured(json, ids);
    assertEquals(figures.skipped, []);
    assertEquals(contenders(figures), [
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
  "bench measures servers of many connections, and one of many waiters",
  { needs: [noCompiler, oneProcessor], soak: true },
  async () => {
    using directory = scratch();
    const json = directory.file("bench.json");
    const ids = [
      "many/round-trip/stream-100/64/two-cores",
      "many/round-trip/seqpacket-10/64/two-cores",
      "many/round-trip/framed-10/64/two-cores",
      "waiters/round-trip/sysv-semaphore-own/0/two-cores",
      "waiters-cpu/alone/posix-queue-line/0/one-core",
    ];
    const figures = await measured(json, ids);
    const { machine, skipped } = figures;
    const node = machine.node === null ? [] : ["Node"];
    assertEquals(skipped.length, machine.node === null ? 2 : 0);
    assertEquals(contenders(figures), [
      [ids[0], "C", "@linux/ipc", "Deno", ...node],
      [ids[1], "C", "@linux/ipc"],
      [ids[2], "C", "@linux/ipc", "Deno", ...node],
      [ids[3], "1 waiting", "100 waiting", "1000 waiting"],
      [ids[4], "0 waiting", "500 waiting"],
    ]);
    const report = await runDeno(REPORT, { args: [json] });
    assertEquals(report.code, 0, report.transcript);
    for (
      const row of [
        /### Many connections: Unix streams\n\n.*\n.*\n\| 100 +\| C +\| /,
        /\n\| 10 +\| @linux\/ipc \| /,
        /\n\| System V semaphore, one for each +\| 1000 +\| /,
        /\n\| 500 waiting \(POSIX queue, one for all\) +\| /,
      ]
    ) {
      assertMatch(report.stdout, row);
    }
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
