/** The command: its output, its exit codes, and what it removes and does not remove. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { inspect, type IpcKind } from "../ffi/inspect.ts";
import { type Removable, removeOrphan } from "../ffi/inspect/removal.ts";
import { printable } from "../ffi/inspect/text.ts";
import { PosixMessageQueue, SysvMessageQueue } from "../ffi/message_queue.ts";
import { PosixSemaphore, SysvSemaphoreSet } from "../ffi/semaphore.ts";
import { PosixSharedMemory, SysvSharedMemory } from "../ffi/shared_memory.ts";
import { jsonOf, jsonPieces } from "../cli/json.ts";
import { widthOf } from "../cli/table.ts";
import { agoOf, modeOf, sizeOf } from "../cli/format.ts";
import { peerProgram } from "./interop/peers.ts";
import { noCompiler } from "./support/c.ts";
import { runCall, spawnCall } from "./support/child.ts";
import { kill } from "./support/kills.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueKey, uniqueName } from "./support/names.ts";
import { exists, run, spawn, succeeds } from "./support/process.ts";
import { noQueueList } from "./support/queue_list.ts";
import { rounds, SOAK } from "./support/rounds.ts";

const LONG = 240_000; // ms

interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs commands one after another, in one process. */
async function ipc(...commands: string[][]): Promise<Result[]> {
  const ended = await runCall(async (commands: string[][]) => {
    const { main } = await import("../cli/mod.ts");
    for (const command of commands) {
      const code = await main(command);
      console.log(`\0${code}`);
      console.error("\0");
    }
  }, { argument: commands });
  assertEquals(ended.code, 0, ended.transcript);
  const errors = ended.stderr.split("\0\n");
  const codes = [...ended.stdout.matchAll(/\0(\d+)\n/g)];
  const outputs = ended.stdout.split(/\0\d+\n/);
  return codes.map(([, code], index) => ({
    code: Number(code),
    stdout: outputs[index]!,
    stderr: errors[index]!,
  }));
}

/** A process id that was used, and is not any more. */
async function deadPid(): Promise<number> {
  await using child = spawn("true");
  await child.ended();
  return child.pid;
}

leakTest("ls lists objects, and show tells all of one", async () => {
  const key = uniqueKey();
  using queue = SysvMessageQueue.create(key);
  using memory = PosixSharedMemory.create(null, 5000);
  const hexadecimal = `0x${key.toString(16).padStart(8, "0")}`;
  try {
    queue.sendSync(new Uint8Array(7), { type: 2 });
    const [list, tables, json, wide, byName, byKey, byId, who] = await ipc(
      ["ls", "sysv", "posix"],
      ["ls", "queues", "--state", "in-use", "--state", "idle"],
      ["ls", "posix-memory", "--json"],
      ["ls", "--wide"],
      ["show", memory.name],
      ["show", hexadecimal, "--kind", "queues"],
      ["show", `sysv-queue:${queue.id}`, "--json"],
      ["who", String(Deno.pid)],
    ) as Result[] as [
      Result,
      Result,
      Result,
      Result,
      Result,
      Result,
      Result,
      Result,
    ];
    const all = [list, tables, json, wide, byName, byKey, byId, who];
    assertEquals(all.map(({ code }) => code), all.map(() => 0));
    assert(all.every(({ stdout }) => !stdout.includes("\x1b")));
    assertMatch(
      list.stdout,
      /KEY +ID +PERMS +OWNER +USEDBYTES +MSGS +LSPID +LRPID/,
    );
    assertMatch(
      list.stdout,
      /KEY +ID +PERMS +OWNER +SIZE +NATTCH +STATUS +CTIME/,
    );
    assertMatch(list.stdout, new RegExp(`${memory.name} +rw-{7} .*4.9K`));
    assertMatch(
      tables.stdout,
      new RegExp(
        `${hexadecimal} +${queue.id} +rw-{7} \\S+ +7B +1 +${Deno.pid}`,
      ),
    );
    const { objects, processes } = JSON.parse(json.stdout);
    const one = objects.find(({ name }: { name: string }) =>
      name === memory.name
    );
    assertEquals([one.size, one.holders[0].pid], [5000, Deno.pid]);
    assert(processes.some(({ pid }: { pid: number }) => pid === Deno.pid));
    assert(wide.stdout.includes(` ${memory.name} `));
    assertMatch(byName.stdout, /size +5000 bytes \(4.9K\)/);
    assertMatch(
      byName.stdout,
      new RegExp(`\n  ${Deno.pid} .*maps,reads,writes`),
    );
    assertMatch(byKey.stdout, new RegExp(`^sysv-queue:${queue.id}\n`));
    assertEquals(JSON.parse(byId.stdout).objects[0].messages, 1);
    assert(who.stdout.includes(memory.name));
  } finally {
    queue.remove();
    PosixSharedMemory.unlink(memory.name);
  }
});

leakTest(
  "names that are ambiguous or missing, wrong lines; limits",
  async () => {
    const name = uniqueName();
    using memory = PosixSharedMemory.create(name, 10);
    using semaphore = PosixSemaphore.create(name, 0);
    try {
      const results = await ipc(
        ["show", name],
        ["show", name, "--kind", "posix-semaphore"],
        ["show", `${name}-none`],
        ["who", "999999999"],
        ["who", "x"],
        ["rm", name, "--kind", "memory"],
        ["ls", "pipes", "none"],
        ["ls", "--state", "dead"],
        ["ls", "--none"],
        ["show"],
        ["none"],
        [],
        ["--help"],
        ["rm", "--help"],
        ["wait", name, "--timeout", "0"],
        ["wait", name, "--timeout", "soon"],
        ["wait", `${name}-none`],
        ["post", "what"],
        ["clean", "--yes", "--dry-run"],
        ["limits"],
        ["limits", "--json"],
      );
      const [text, json] = results.splice(-2);
      assertEquals([text!.code, json!.code], [0, 0]);
      assertMatch(
        text!.stdout,
        /semaphore sets +\d+ +\d+ +\d+ sysctl kernel\.sem/,
      );
      const limits = JSON.parse(json!.stdout) as { limit: string }[];
      assert(limits.length > 15 && limits.every(({ limit }) => limit !== ""));
      assertEquals(
        results.map(({ code }) => code),
        [4, 0, 3, 3, 2, 6, 2, 2, 2, 2, 2, 2, 0, 0, 5, 2, 3, 2, 2],
      );
      assertMatch(
        results[0]!.stderr,
        new RegExp(
          `names 2 objects.*posix-memory:${name}\n +posix-semaphore:`,
          "s",
        ),
      );
      assertMatch(results[5]!.stdout, /stays: it is in use/);
      void memory;
      void semaphore;
    } finally {
      PosixSharedMemory.unlink(name);
      PosixSemaphore.unlink(name);
    }
  },
);

/** Wrong command lines, and what is said of each. */
const WRONG: readonly (readonly [line: string, message: string])[] = [
  ["ls --nope", "There is no option --nope"],
  ["ls -x", "There is no option -x"],
  ["ls --state", "--state needs a value"],
  ["ls --state --json", "--state needs a value"],
  ["ls --json=yes", '--json takes no value: "yes"'],
  ["show", "OBJECT is missing"],
  ["show one two", 'There is an argument too many: "two"'],
  ["who", "PID is missing"],
  ["who abc", 'PID must be an integer from 1 to 2147483647: "abc"'],
  [
    "watch --count abc",
    '--count must be an integer from 1 to 1000000000: "abc"',
  ],
  [
    "watch --count 1.5",
    '--count must be an integer from 1 to 1000000000: "1.5"',
  ],
  ["watch --interval", "--interval needs a value"],
  ["watch --interval 0", '--interval must be a number from 0.1 to 86400: "0"'],
  ["watch --count 1 --count 2", "--count is given twice"],
  ["graph --format gif", '--format must be one of svg, dot, mermaid: "gif"'],
  ["graph --pid=", "--pid needs a value"],
  ["serve --port 99999", '--port must be an integer from 0 to 65535: "99999"'],
  ["limits all", 'There is an argument too many: "all"'],
  ["rm --yes", "OBJECT is missing"],
  ["clean --yes --dry-run", "--yes and --dry-run exclude each other"],
  ["send", "QUEUE is missing"],
  ["send /q text more", 'There is an argument too many: "more"'],
  ["send q text", '"q" is neither /name, key (0x3039) nor identifier (5)'],
  ["receive 5 --type", "--type needs a value"],
  ["receive", "QUEUE is missing"],
  [
    "peek 5 --index -1",
    '--index must be an integer from 0 to 2147483647: "-1"',
  ],
  ["post", "SEMAPHORE is missing"],
  ["post 5 --index \x1b", '--index must be an integer from 0 to 65535: "\\e"'],
  ["wait /x --timeout --index", "--timeout needs a value"],
];

leakTest(
  "a wrong line is told what is wrong with it, and the usage",
  async () => {
    const results = await ipc(...WRONG.map(([line]) => line.split(" ")));
    assertEquals(
      results.map(({ code, stdout, stderr }) => [
        code,
        stdout,
        ...stderr.split("\n").slice(0, 2),
      ]),
      WRONG.map(([line, message], index) => [
        2,
        "",
        message,
        results[index]!.stderr.match(
          new RegExp(`Usage: ipc ${line.split(" ")[0]} .*`),
        )?.[0],
      ]),
    );
  },
);

leakTest("send, receive, peek, post and wait", async () => {
  const name = uniqueName();
  using posix = PosixMessageQueue.create(name, { maxMessages: 2, maxSize: 64 });
  using sysv = SysvMessageQueue.create(uniqueKey());
  using semaphore = PosixSemaphore.create(name, 0);
  using set = SysvSemaphoreSet.create(null, [0, 5]);
  const id = String(sysv.id);
  const key = `0x${SysvMessageQueue.stat({ id: sysv.id }).key.toString(16)}`;
  try {
    const results = await ipc(
      ["send", name, "first", "--priority", "3"],
      ["send", name, "second"],
      ["send", name, "no room", "--timeout", "0"],
      ["receive", name],
      ["receive", name, "--json"],
      ["receive", name, "--timeout", "0"],
      ["peek", name],
      ["send", id, "six", "--type", "6"],
      ["send", key, "seven\x1b[31m", "--type", "7"],
      ["peek", id, "--index", "1", "--json"],
      ["peek", id, "--index", "2"],
      ["receive", key, "--type", "7"],
      ["receive", id],
      ["receive", id, "--timeout", "0"],
      ["send", id, "x", "--priority", "1"],
      ["post", name],
      ["wait", name],
      ["wait", name, "--timeout", "1"],
      ["post", String(set.id), "--index", "0"],
      ["wait", String(set.id), "--index", "1"],
    );
    assertEquals(
      results.map(({ code }) => code),
      [0, 0, 5, 0, 0, 5, 1, 0, 0, 0, 5, 0, 0, 5, 2, 0, 0, 5, 0, 0],
    );
    assertEquals(results[3]!.stdout, "first\n");
    assertEquals(JSON.parse(results[4]!.stdout), {
      priority: 0,
      size: 6,
      text: "second",
      base64: btoa("second"),
    });
    assertEquals(JSON.parse(results[9]!.stdout).type, "7");
    // Not a terminal: the bytes as they are.
    assertEquals(results[11]!.stdout, "seven\x1b[31m\n");
    assertEquals(results[12]!.stdout, "six\n");
    assertEquals(semaphore.value, 0);
    assertEquals(set.getAll(), [1, 4]); // and nothing was undone
    void posix;
  } finally {
    PosixMessageQueue.unlink(name);
    PosixSemaphore.unlink(name);
    sysv.remove();
    set.remove();
  }
});

// Where the objects are missing: what would be looked at first would exit with 3.
const REFUSED = [
  "ls constructor",
  "ls --state mad",
  "show /none --kind nothing",
  "who 0",
  "graph --format dot --output /none/1 --output /none/2",
  "graph --pid 1.5 --format dot",
  "rm /none --yes --dry-run",
  "rm /none --yes=1",
  "rm /none --kind nothing",
  "clean --kind memory",
  "send /none text --type 1",
  "send /none --type 1",
  "send 7 --priority 1",
  "send 7 text --type 0",
  "receive /none --type 1",
  "receive 7 --timeout -1",
  "post /none --index 0",
  "wait /none --timeout 1 --timeout 1",
  "--version",
  "toString",
];

leakTest(
  "a wrong command line is refused before anything is looked at",
  async () => {
    const results = await ipc(...REFUSED.map((line) => line.split(" ")));
    for (const [index, { code, stdout, stderr }] of results.entries()) {
      assertEquals([code, stdout], [2, ""], `${REFUSED[index]}: ${stderr}`);
    }
    const [help, sent] = await ipc(
      ["send", "/none", "--help"],
      ["send", "/none", "--", "--help"],
    );
    assertEquals([help?.code, sent?.code], [0, 3]);
  },
);

Deno.test("JSON that is written in pieces is the same", () => {
  for (const kinds of [[], ["pipe"], undefined] as (IpcKind[] | undefined)[]) {
    const snapshot = inspect({ kinds });
    const pieces = [...jsonPieces(snapshot, snapshot.objects)];
    assertEquals(pieces.join(""), `${jsonOf(snapshot)}\n`);
  }
});

leakTest("rm and clean remove what is orphaned, and say so", {
  needs: [noQueueList],
}, async () => {
  const child = spawnCall(async () => {
    const { PosixSharedMemory, SysvSharedMemory } = await import(
      "../ffi/shared_memory.ts"
    );
    const { SysvMessageQueue } = await import("../ffi/message_queue.ts");
    const { PosixMessageQueue } = await import("../ffi/message_queue.ts");
    const segment = SysvSharedMemory.create(null, 100);
    const queue = SysvMessageQueue.create(null);
    queue.sendSync(new Uint8Array(1));
    const memory = PosixSharedMemory.create(null, 1);
    const messages = PosixMessageQueue.create(null);
    console.log(segment.id, queue.id, memory.name, messages.name);
    // An object that nothing refers to is closed.
    Object.assign(globalThis, { objects: [segment, queue, memory, messages] });
    setInterval(() => {}, 1000);
  });
  await using _ = child;
  const line = await child.line();
  const [segment, queue, memory, messages] = line.split(" ") as [
    string,
    string,
    string,
    string,
  ];
  const refs = [
    `sysv-memory:${segment}`,
    `sysv-queue:${queue}`,
    `posix-memory:${memory}`,
    `posix-queue:${messages}`,
  ];
  const held = await ipc(["rm", ...refs, "--yes"], ["rm", refs[0]!]);
  assertEquals(held.map(({ code }) => code), [6, 6]);
  assertEquals(
    held[0]!.stdout.match(/ stays: it is in use/g)?.length,
    4,
    held[0]!.stdout,
  );
  await kill(child);

  const [dry, cleaned, again, removed, gone] = await ipc(
    ["rm", ...refs],
    ["clean", "sysv-memory"], // of others, too: so without --yes
    ["rm", refs[1]!],
    ["rm", ...refs, "--yes"],
    ["rm", ...refs],
  ) as [Result, Result, Result, Result, Result];
  const codes = [dry, cleaned, again, removed].map(({ code }) => code);
  assertEquals(codes, [0, 0, 0, 0], removed.stdout);
  assertEquals(dry.stdout.match(/ would be removed: /g)?.length, 4);
  assert(cleaned.stdout.includes(`${refs[0]} (private ${segment}) would be`));
  assert(cleaned.stdout.includes("Nothing was removed: --yes does it"));
  assertEquals(again.stdout.match(/ would be removed: /g)?.length, 1);
  assertEquals(removed.stdout.match(/ is removed: /g)?.length, 4);
  assert(!exists(`/dev/shm${memory}`));
  assertEquals(gone.code, 3);
});

/** Memory that a process with this id would have made, and that is orphaned. */
function makeOrphan(pid: number): Removable {
  const name = `/ipc-${pid}-${crypto.randomUUID()}`;
  PosixSharedMemory.create(name, 64).close();
  const object = inspect({ kinds: ["posix-memory"] }).objects
    .find((object) => object.name === name)!;
  assertEquals(object.verdict.state, "orphaned");
  return object as Removable;
}

leakTest("what is opened after the first look stays, under its name", {
  needs: [noCompiler],
}, async () => {
  const pid = await deadPid();
  const orphan = makeOrphan(pid);
  using memory = PosixSharedMemory.open(orphan.name);
  assertMatch(removeOrphan(orphan)!, /^it is in use now: /);
  memory.close();
  // Another object with the same name.
  PosixSharedMemory.unlink(orphan.name);
  PosixSharedMemory.create(orphan.name, 64).close();
  assertEquals(removeOrphan(orphan), "it was removed, and made again");
  PosixSharedMemory.unlink(orphan.name);
  assertEquals(removeOrphan(orphan), "it is gone already");

  using segment = SysvSharedMemory.create(null, 8);
  const { objects } = inspect({ kinds: ["sysv-memory"] });
  const object = objects.find(({ ref }) => ref === `sysv-memory:${segment.id}`);
  assertMatch(removeOrphan(object as Removable)!, /^it is in use now/);
  segment.remove();
});

leakTest("a process that opens memory while it is cleaned away keeps it", {
  needs: [noCompiler],
  soak: "also",
  limit: LONG,
}, async () => {
  const pid = await deadPid();
  await using opener = spawn(await peerProgram("shm_opener"), { limit: LONG });
  await opener.expect("up\n");
  const outcomes = { removed: 0, kept: 0 };
  for (let round = 0; round < rounds(5, 100); round++) {
    const orphan = makeOrphan(pid);
    // About as long as the removal takes: 20 ms of it are the watch at its end.
    const delay = Math.floor(Math.random() * 80_000);
    await opener.send(`${orphan.name} ${delay}`);
    const refusal = removeOrphan(orphan);
    const opened = await opener.line();
    await opener.send("check");
    const checked = await opener.line();
    if (refusal === undefined) {
      assertEquals([opened, checked], ["ENOENT", "nothing"]);
      outcomes.removed++;
    } else {
      // It came before the removal, or in the middle of it.
      if (opened === "open") assertEquals(checked, "named", refusal);
      outcomes.kept++;
      PosixSharedMemory.unlink(orphan.name);
    }
  }
  assertEquals(outcomes.removed + outcomes.kept, rounds(5, 100));
});

leakTest("graph draws who shares what, in DOT and in Mermaid", async () => {
  const name = `${uniqueName()}"<\\`;
  using memory = PosixSharedMemory.create(name, 3);
  try {
    const args = ["graph", "posix-memory", "--all", "--pid", `${Deno.pid}`];
    const [dot, mermaid, none, wrong] = await ipc(
      [...args, "--format", "dot"],
      [...args, "--format", "mermaid"],
      ["graph", "--pid", "4000000"],
      ["graph", "--format", "png"],
    );
    assertEquals([dot, mermaid, none, wrong].map((one) => one!.code), [
      0,
      0,
      3,
      2,
    ]);
    const ref = `posix-memory:${name}`.replaceAll(/["\\]/g, "\\$&");
    assert(
      dot!.stdout.includes(`"process:${Deno.pid}" -> "${ref}"`),
      dot!.stdout,
    );
    assert(dot!.stdout.startsWith("digraph ipc {\n"));
    assert(mermaid!.stdout.startsWith("flowchart LR\n"));
    assertMatch(mermaid!.stdout, /n0 <-->\|"maps"\| n1/);
    assert(!/["<\\]{2}/.test(mermaid!.stdout.replaceAll("<br/>", "")));
    void memory;
  } finally {
    PosixSharedMemory.unlink(name);
  }
});

const viz = fromFileUrl(new URL("../cli/graph/", import.meta.url));
const draws = `${Deno.execPath()} run --frozen --config ${viz}deno.json`;
const noViz =
  !SOAK || succeeds("sh", "-c", `echo "graph {}" | ${draws} ${viz}draw.ts`)
    ? null
    : "no @viz-js/viz: npm is out of reach";

leakTest("graph draws SVG", { needs: [noViz], soak: true }, async () => {
  using queue = PosixMessageQueue.create(null);
  using dir = scratch();
  const file = `${dir.path}/graph.svg`;
  try {
    const args = ["graph", "posix-queue", "--all", "--output", file];
    const [result] = await ipc(args);
    assertEquals(result!.code, 0, result!.stderr);
    const svg = Deno.readTextFileSync(file);
    assert(
      svg.includes("<svg ") &&
        svg.includes(queue.name.replaceAll("-", "&#45;")),
      svg,
    );
  } finally {
    PosixMessageQueue.unlink(queue.name);
  }
});

leakTest("watch tells each change, and ends at a signal", async () => {
  const module = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));
  await using child = spawn(Deno.execPath(), {
    args: ["run", "-A", module, "watch", "posix-memory", "--interval", "0.1"],
  });
  await child.expect("REASON\n");
  using memory = PosixSharedMemory.create(null, 10);
  const { name } = memory;
  await child.expect(`+ posix-memory:${name} in use: ${Deno.pid} (`);
  memory.close();
  await child.expect(`~ posix-memory:${name} state in use -> `);
  PosixSharedMemory.unlink(name);
  await child.expect(`- posix-memory:${name} gone\n`);
  child.kill("SIGINT");
  const { code, stdout } = await child.ended();
  assertEquals([code, stdout.includes("\x1b")], [0, false]);
});

const noScript = succeeds("script", "--version")
  ? null
  : "no script (util-linux)";

leakTest("watch is drawn again when the terminal is resized", {
  needs: [noScript],
}, async () => {
  const module = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));
  const command = `stty rows 10 cols 70; '${Deno.execPath()}' run -A ` +
    `'${module}' watch --interval 1000 & read go; stty rows 6; read go; ` +
    // One after the other: stty sets them in two steps, and each is a change.
    "stty cols 50; read go; kill -TERM $!; wait $!";
  await using child = spawn("script", {
    args: ["-qec", command, "/dev/null"],
    env: { TERM: "xterm", SHELL: "/bin/sh" },
  });
  const end = "\x1b[K\x1b[J"; // of a screen
  for (let screen = 0; screen < 3; screen++) {
    await child.expect(end);
    await child.send("go");
  }
  const { stdout } = await child.ended();
  const [first, second, third] = stdout.split("\x1b[H").slice(1)
    .map((screen) => screen.split("\x1b[J")[0]!.split("\r\n"));
  assert(first!.length > 6, stdout);
  assert(second!.length <= 6, stdout);
  // deno-lint-ignore no-control-regex
  const plain = third!.map((line) => line.replace(/\x1b\[\d*[mK]/g, ""));
  assert(plain.every((line) => widthOf(line) <= 50), stdout);
});

leakTest("watch on a dumb terminal writes lines", {
  needs: [noScript],
}, async () => {
  const module = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));
  const command = `'${Deno.execPath()}' run -A '${module}' watch --count 1`;
  await using child = spawn("script", {
    args: ["-qec", command, "/dev/null"],
    env: { TERM: "dumb", SHELL: "/bin/sh" },
  });
  const { stdout, code } = await child.ended();
  assertEquals([code, stdout.includes("\x1b")], [0, false]);
});

leakTest("output that is not read, or cannot be written", async () => {
  const module = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));
  const ipc = `'${Deno.execPath()}' run -A '${module}'`;
  using queue = SysvMessageQueue.create(null);
  using directory = scratch();
  const orphans = [makeOrphan(await deadPid()), makeOrphan(await deadPid())];
  /** The exit code of a command, and what it has said, with such a standard output. */
  const codeWith = async (output: string, command: string) => {
    const script = `${output}; ${ipc} ${command} >&5; echo $?`;
    const args = ["-c", script, `${directory.path}/fifo`];
    const { stdout, stderr } = await run("bash", { args });
    return [Number(stdout), stderr] as const;
  };
  const full = "exec 5>/dev/full";
  // A FIFO whose only reader has gone.
  const gone = 'mkfifo "$0"; exec 4<>"$0" 5>"$0" 4<&-; rm "$0"';
  try {
    for (const command of ["ls pipe", "--help"]) {
      const [code, message] = await codeWith(full, command);
      assertEquals(code, 1);
      assert(message.startsWith("Cannot write the output: "), message);
    }
    assertEquals((await codeWith(gone, "ls pipe"))[0], 0);
    // A message is taken, and lost; what was to be removed is removed.
    queue.sendSync(Uint8Array.of(1));
    assertEquals((await codeWith(gone, `receive ${queue.id}`))[0], 1);
    const refs = orphans.map(({ ref }) => ref).join(" ");
    assertEquals((await codeWith(gone, `rm --yes ${refs}`))[0], 0);
    for (const { name } of orphans) assert(!exists(`/dev/shm${name}`));
  } finally {
    queue.remove();
  }
});

leakTest("watch refreshes a terminal in place", {
  needs: [noScript],
}, async () => {
  const module = fromFileUrl(new URL("../cli/mod.ts", import.meta.url));
  const command = `stty rows 10 cols 70; '${Deno.execPath()}' run -A ` +
    `'${module}' watch --interval 0.1 --count 2`;
  await using child = spawn("script", {
    args: ["-qec", command, "/dev/null"],
    env: { TERM: "xterm", SHELL: "/bin/sh" },
  });
  const { stdout, code } = await child.ended();
  assertEquals(code, 0, stdout);
  assert(stdout.includes("\x1b[?1049h") && stdout.includes("\x1b[?1049l"));
  const screens = stdout.split("\x1b[H").slice(1);
  assertEquals(screens.length, 2);
  for (const screen of screens) {
    const lines = screen.split("\x1b[J")[0]!.split("\r\n");
    assert(lines.length <= 10, screen);
    // deno-lint-ignore no-control-regex
    const plain = lines.map((line) => line.replace(/\x1b\[\d*[mK]/g, ""));
    assert(plain.every((line) => widthOf(line) <= 70), plain.join("\n"));
    assertMatch(plain[0]!, /\d+ objects, \d+ processes, \d+ stuck/);
  }
});

leakTest("a name with escape sequences is shown escaped", async () => {
  const name = `${uniqueName()}\x1b[2J\n\u202e`;
  using memory = PosixSharedMemory.create(name, 3);
  try {
    const [list, shown] = await ipc(
      ["ls", "posix-memory"],
      ["show", printable(name)],
    );
    for (const { stdout, code } of [list!, shown!]) {
      assertEquals(code, 0);
      assert(!stdout.includes("\x1b") && !stdout.includes("\u202e"));
      assert(stdout.includes("\\e[2J\\n\\u202e"), stdout);
    }
    void memory;
  } finally {
    PosixSharedMemory.unlink(name);
  }
});

Deno.test("sizes, times, permissions and widths as people read them", () => {
  assertEquals(
    [0, 1023, 1024, 1536, 5 * 1024 ** 2, 123 * 1024 ** 3].map(sizeOf),
    ["0B", "1023B", "1K", "1.5K", "5M", "123G"],
  );
  assertEquals([0o640, 0o777, 0].map(modeOf), [
    "rw-r-----",
    "rwxrwxrwx",
    "---------",
  ]);
  const now = new Date(1e12);
  const ago = (seconds: number) => agoOf(new Date(1e12 - seconds * 1000), now);
  assertEquals([0, 59, 3601, 90061].map(ago), ["0s", "59s", "1h", "1d1h"]);
  assertEquals(["abc", "세마", "e\u0301", "\x1b[1mx\x1b[0m"].map(widthOf), [
    3,
    4,
    1,
    1,
  ]);
});
