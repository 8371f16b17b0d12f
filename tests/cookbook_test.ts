/**
 * The programs of docs/cookbook.md, each run by the command of the page, with the
 * permissions that it states. They print what the page shows.
 */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { File, FileLock } from "@linux/ipc/descriptor";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { UnixDatagram, UnixListener, UnixStream } from "@linux/ipc/socket";
import { compile, noCompiler } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueName } from "./support/names.ts";
import {
  type Child,
  exists,
  spawn,
  type SpawnOptions,
  until,
} from "./support/process.ts";
import { noPython } from "./support/python.ts";

const PAGE = Deno.readTextFileSync(
  new URL("../docs/cookbook.md", import.meta.url),
);
const FOLDER = new URL("../examples/cookbook/", import.meta.url);
const WAIT = { timeout: 20_000 };

/** The blocks of the page: their languages, and their texts. */
const blocks = [...PAGE.matchAll(/^```(\w+)\n([^]*?)^```$/gm)]
  .map(([, language, text]) => ({ language: language!, text: text! }));

/** The command of the page that runs a script, and what it prints there. */
function shown(script: string): { command: string[]; output: string } {
  const path = `examples/cookbook/${script}`;
  for (const { language, text } of blocks) {
    if (language !== "console") continue;
    const lines = text.split("\n");
    const line = lines.find((line) => /^\$ .*\bdeno run /.test(line));
    if (!line?.includes(path)) continue;
    const words = line.slice(2).replace(/ ".*/, "").split(" ");
    const command = words.map((word) =>
      word === path ? fromFileUrl(new URL(script, FOLDER)) : word
    );
    const output = lines.filter((line) => !line.startsWith("$ ")).join("\n");
    return { command, output };
  }
  throw new Error(`The page has no command for ${script}`);
}

/** Starts a program by the command of the page, with more arguments. */
function start(
  script: string,
  args: string[] = [],
  options: SpawnOptions = {},
): Child {
  const [deno, ...words] = shown(script).command;
  assertEquals(deno, "deno");
  const env = { DENO_NO_PROMPT: "1" };
  const all = { env, ...options, args: [...words, ...args] };
  return spawn(Deno.execPath(), all);
}

/** Waits for the end of a program; returns what it has printed. */
async function output(child: Child): Promise<string> {
  const { code, stdout, stderr, transcript } = await child.ended();
  assertEquals([code, stderr], [0, ""], transcript);
  return stdout;
}

const sorted = (text: string) => text.trim().split("\n").sort();

Deno.test("the page shows the files of examples/cookbook/ as they are", () => {
  const files = [...Deno.readDirSync(FOLDER)].map(({ name }) => name);
  for (const name of files) {
    const text = Deno.readTextFileSync(new URL(name, FOLDER));
    const isShown = blocks.some((block) => block.text === text);
    assert(isShown, `${name} is not in docs/cookbook.md as it is`);
    assert(PAGE.includes(`[\`${name}\`](../examples/cookbook/${name}):`), name);
  }
  const programs = blocks.filter(({ language }) =>
    ["ts", "c", "python"].includes(language)
  );
  assertEquals(programs.length, files.length);
});

Deno.test("the table of the page leads to each section", () => {
  const anchors = [...PAGE.matchAll(/^## (.+)$/gm)].map(([, title]) =>
    title!.toLowerCase().replaceAll(/[^\w\- ]/g, "").replaceAll(" ", "-")
  );
  const links = [...PAGE.matchAll(/^\| \[[^\]]+\]\(#([^)]+)\)/gm)];
  assertEquals(links.map(([, anchor]) => anchor), anchors);
});

// --- A job queue with workers ------------------------------------------------

/** What workers have done, without who has. */
const jobsOf = (text: string) =>
  sorted(text.replaceAll(/^worker [12] has done /gm, ""));

leakTest("job_queue.ts has all jobs done once", async () => {
  await using queue = start("job_queue.ts");
  const all = jobsOf(shown("job_queue.ts").output);
  assertEquals(jobsOf(await output(queue)), all);
});

leakTest(
  "job_queue.ts finishes what is in the queue after SIGTERM",
  async () => {
    await using queue = start("job_queue.ts", ["1000000"]);
    await queue.expect("job 3\n");
    queue.kill("SIGTERM");
    const [ended, ...done] = jobsOf(await output(queue));
    assertEquals(ended, "all workers have ended");
    const numbers = done.map((line) => Number(line.slice(4)));
    const each = numbers.map((_, index) => index + 1);
    assertEquals(numbers.sort((one, other) => one - other), each);
  },
);

// --- 1 MiB frames at 60 per second -------------------------------------------

leakTest(
  "frame_producer.ts and frame_consumer.ts move 1 MiB each",
  async () => {
    const name = uniqueName();
    await using producer = start("frame_producer.ts", [name, "5"]);
    await producer.expect("waiting for a consumer\n");
    await using consumer = start("frame_consumer.ts", [name]);
    const [, frames, dropped] = /^(\d+) frames, (\d+) of them dropped$/m
      .exec(await output(producer))!;
    const read = Number(frames) - Number(dropped);
    assertEquals([frames, read > 0], ["5", true]);
    const last = await output(consumer);
    assertEquals(last, `${read} frames, ${read << 20} bytes\n`);
    assert(!exists(`/dev/shm${name}`));
  },
);

// --- A C program's struct behind its lock ------------------------------------

leakTest("stats.ts counts in the struct of stats.c", {
  needs: [noCompiler],
}, async () => {
  const name = uniqueName();
  const program = await compile(new URL("stats.c", FOLDER), "-lrt");
  await using c = spawn(program, { args: [name] });
  await c.expect("ready\n");
  await using script = start("stats.ts", [name]);
  await c.write("xx");
  const counted = Number(/^(\d+) requests\n$/.exec(await output(script))?.[1]);
  assert(counted >= 1000 && counted <= 1002, script.transcript);
  await c.closeStdin();
  const last = /^1002 requests, the last one of (C|TypeScript)$/m;
  assert(last.test(await output(c)), c.transcript);
  assert(PAGE.includes("1002 requests, the last one of C"));
});

leakTest("stats.ts goes on where a holder was killed", {
  needs: [noCompiler],
}, async () => {
  const name = uniqueName();
  const program = await compile(new URL("stats.c", FOLDER), "-lrt");
  await using c = spawn(program, { args: [name] });
  await c.expect("ready\n");
  const { PthreadMutex } = await import("@linux/ipc/pthread");
  using memory = PosixSharedMemory.open(name);
  const code = `
    const { PosixSharedMemory } = await import("@linux/ipc/shared-memory");
    const { PthreadMutex } = await import("@linux/ipc/pthread");
    const memory = PosixSharedMemory.open(${JSON.stringify(name)});
    globalThis.guard = PthreadMutex.at(memory, 0).lockSync();
    console.log("locked");
    setInterval(() => {}, 1000);`;
  await using holder = spawn(Deno.execPath(), {
    args: ["eval", "--quiet", code],
    cwd: fromFileUrl(FOLDER),
  });
  await holder.expect("locked\n");
  await using script = start("stats.ts", [name]);
  const mutex = PthreadMutex.at(memory, 0);
  assertEquals(mutex.ownerTid, holder.pid);
  holder.kill("SIGKILL");
  assertEquals(await output(script), "1000 requests\n");
  await c.closeStdin();
  await output(c);
});

// --- Passing an open file ----------------------------------------------------

leakTest("pass_file_server.ts passes an open file", async () => {
  using dir = scratch();
  const path = dir.file("socket");
  const file = dir.file("secret", "the first line\nthe second\n");
  await using server = start("pass_file_server.ts", [path, file]);
  await server.expect(`listening at ${path}\n`);
  { // one that goes at once
    using rude = await UnixStream.connect(path);
    rude.close();
  }
  for (let count = 0; count < 2; count++) {
    await using client = start("pass_file_client.ts", [path]);
    assertEquals(await output(client), `${file}: the first line\n`);
  }
  assert(server.alive);
});

// --- A service of systemd ----------------------------------------------------

leakTest(
  "service.ts takes the socket of a service manager, and notifies it",
  async () => {
    using dir = scratch();
    const path = dir.file("socket");
    using notices = UnixDatagram.create(dir.file("notify"));
    using listener = UnixListener.listen(path);
    const { command } = shown("service.ts");
    assertEquals(command[0], "systemd-socket-activate"); // whose part this plays
    const args = command.slice(command.indexOf("deno") + 1);
    await using service = listener.inherit((fd) =>
      spawn("bash", {
        args: [
          "-c",
          `exec 3<&${fd} ${fd}<&-; LISTEN_PID=$$ exec "$@"`,
          "bash",
          Deno.execPath(),
          ...args,
        ],
        env: {
          LISTEN_FDS: "1",
          NOTIFY_SOCKET: dir.file("notify"),
          WATCHDOG_USEC: "100000",
        },
      })
    );
    const state = async () =>
      new TextDecoder().decode((await notices.receive(WAIT)).data);
    assertEquals(await state(), "READY=1\nSTATUS=Accepting connections");
    assertEquals(await state(), "WATCHDOG=1");
    using client = await UnixStream.connect(path, WAIT);
    assertEquals(await new Response(client.readable).text(), "hello\n");
    service.kill("SIGTERM");
    let last;
    do last = await state(); while (last === "WATCHDOG=1");
    assertEquals(last, "STOPPING=1");
    assertEquals(await output(service), "");
  },
);

// --- Writing to syslog -------------------------------------------------------

leakTest("syslog.ts sends what syslogd reads", async () => {
  using dir = scratch();
  const path = dir.file("log");
  using log = UnixDatagram.create(path);
  await using script = start("syslog.ts", ["hello, syslog", path]);
  const { data } = await log.receive(WAIT);
  const form = /^<14>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d example\[(\d+)\]: /;
  const text = new TextDecoder().decode(data);
  assertEquals(text.replace(form, ""), "hello, syslog");
  assertEquals(Number(form.exec(text)?.[1]), script.pid);
  await output(script);
});

// --- A child with descriptor 3 -----------------------------------------------

leakTest(
  "descriptor_3.ts speaks with a child over its descriptor 3",
  async () => {
    await using script = start("descriptor_3.ts");
    assertEquals(await output(script), shown("descriptor_3.ts").output);
  },
);

// --- A lock file across languages --------------------------------------------

leakTest("counter.ts, counter.py and counter.c count together", {
  needs: [noCompiler, noPython],
}, async () => {
  using dir = scratch();
  const path = dir.file("counter");
  const c = await compile(new URL("counter.c", FOLDER));
  const python = fromFileUrl(new URL("counter.py", FOLDER));
  using file = File.create(path);
  const guard = FileLock.of(file).lockSync();
  await using all = new AsyncDisposableStack();
  const children = [
    all.use(start("counter.ts", [path])),
    all.use(spawn("python3", { args: [python, path] })),
    all.use(spawn(c, { args: [path] })),
  ];
  // Each waits for the lock.
  const { ino } = Deno.statSync(path);
  const waiters = () =>
    Deno.readTextFileSync("/proc/locks").split("\n")
      .filter((line) => line.includes("->") && line.includes(`:${ino} `));
  await until(() => waiters().length === 3, "three waiters");
  assertEquals(file.size, 0);
  guard.release();
  const texts = await Promise.all(children.map(output));
  assertEquals(texts, [
    "TypeScript has counted\n",
    "Python has counted\n",
    "C has counted\n",
  ]);
  assertEquals(Deno.readTextFileSync(path), "3000");
  assert(PAGE.includes("\n$ cat counter\n3000\n"));
});
