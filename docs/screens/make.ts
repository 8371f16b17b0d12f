/**
 * Makes the pictures of docs/inspect.md: `sudo deno run -A docs/screens/make.ts`.
 *
 * It starts a few programs that share things, in namespaces of their own, so that nothing
 * else of the machine is in the pictures. It needs root, unshare, script, Chromium and the
 * npm registry.
 */
import { startChromium } from "../../tests/support/chromium.ts";
import { run, spawn } from "../../tests/support/process.ts";
import { scratch } from "../../tests/support/names.ts";

const HERE = new URL(".", import.meta.url).pathname;
const CLI = new URL("../../cli/mod.ts", import.meta.url).pathname;
const FFI = new URL("../../ffi/", import.meta.url).href;
const INSIDE = "inside";

/** The programs: they print "up", and go on until they are killed. */
const PROGRAMS: Record<string, string> = {
  producer: `
    const queue = PosixMessageQueue.create("/jobs", { maxMessages: 8, maxSize: 64 });
    const prices = PosixSharedMemory.create("/prices", 65536);
    setInterval(() => queue.trySend(new Uint8Array(8)), 150);`,
  worker: `
    const queue = PosixMessageQueue.open("/jobs", { access: "receive" });
    const prices = PosixSharedMemory.open("/prices", { readonly: true });
    setInterval(() => queue.tryReceive(), 200);`,
  server: `
    const listener = UnixListener.listen("/tmp/server.sock");
    const all = [];
    (async () => { for await (const one of listener) all.push(one); })();`,
  client: `
    const stream = UnixStream.connectSync("/tmp/server.sock");
    stream.writeSync(new Uint8Array(100));
    const permit = PosixSemaphore.openOrCreate("/permits", 3);`,
  "account-a": `
    SharedMutex.openOrCreate(0xa).lockSync();
    setTimeout(() => SharedMutex.openOrCreate(0xb).lockSync(), 1500);`,
  "account-b": `
    SharedMutex.openOrCreate(0xb).lockSync();
    setTimeout(() => SharedMutex.openOrCreate(0xa).lockSync(), 1500);`,
  crashed: `
    const memory = SysvSharedMemory.create(0xdead, 8192);
    setTimeout(() => Deno.kill(Deno.pid, "SIGKILL"), 300);`,
};

const IMPORTS = `
  import { PosixMessageQueue } from "${FFI}message_queue.ts";
  import { PosixSharedMemory, SysvSharedMemory } from "${FFI}shared_memory.ts";
  import { PosixSemaphore } from "${FFI}semaphore.ts";
  import { SharedMutex } from "${FFI}lock.ts";
  import { UnixListener, UnixStream } from "${FFI}socket.ts";
`;

/** A terminal's text as a page, with its colours. */
function pageOf(text: string): string {
  const colors: Record<string, string> = {
    1: "font-weight:bold",
    2: "opacity:.6",
    31: "color:#ff8a80",
    32: "color:#a5d6a7",
    33: "color:#ffe082",
  };
  const body = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")
    .replace(
      // deno-lint-ignore no-control-regex
      /\x1b\[(\d+)m/g,
      (_, code) =>
        code === "0" ? "</span>" : `<span style="${colors[code] ?? ""}">`,
    )
    // deno-lint-ignore no-control-regex
    .replace(/\x1b\[[?\d;]*[A-Za-z]|\r/g, "");
  return `<!doctype html><meta charset="utf-8"><style>body{background:#202124;` +
    `color:#e8eaed;font:15px/1.35 monospace;margin:1rem;white-space:pre}</style>${body}`;
}

async function inside(): Promise<void> {
  using dir = scratch();
  for (const [name, text] of Object.entries(PROGRAMS)) {
    Deno.symlinkSync(Deno.execPath(), `${dir.path}/${name}`);
    const script = dir.file(
      `${name}.ts`,
      `${IMPORTS}${text}
      Object.assign(globalThis, { sleep: setInterval(() => {}, 1000) });
      console.log("up");`,
    );
    const args = ["run", "-A", "--no-check", script];
    await spawn(`${dir.path}/${name}`, { args, limit: 300_000 }).expect("up\n");
  }
  await new Promise((resolve) => setTimeout(resolve, 2500));

  const graph = ["run", "-A", CLI, "graph", "--output", `${HERE}graph.svg`];
  const kinds = ["sysv", "posix", "sockets", "memory-file"];
  await run(Deno.execPath(), { args: [...graph, ...kinds], limit: 60_000 });

  await using browser = await startChromium();
  const watch =
    `stty rows 10 cols 128; ${Deno.execPath()} run -A --quiet ${CLI} watch ` +
    `sysv posix --interval 0.7 --count 3`;
  const { stdout } = await run("script", {
    args: ["-qec", watch, "/dev/null"],
    env: { TERM: "xterm", NO_COLOR: "" },
    limit: 60_000,
  });
  const screen = stdout.split("\x1b[H").pop()!.split("\x1b[?25h")[0]!;
  const page = dir.file("watch.html", pageOf(screen));
  await browser.open(`file://${page}`);
  await browser.until("document.readyState === 'complete'");
  Deno.writeFileSync(`${HERE}watch.png`, await browser.screenshot(210));

  const args = [
    "run",
    "-A",
    CLI,
    "serve",
    "sysv",
    "posix",
    "--interval",
    "0.3",
  ];
  await using server = spawn(Deno.execPath(), { args, limit: 120_000 });
  const url = await server.line();
  await using second = await startChromium();
  await second.open(url);
  await second.until("document.getElementById('graph').naturalWidth > 100");
  await second.until(
    "document.querySelector('#charts polyline:not(.limit)').points.length > 25",
    90_000, // a snapshot takes as long as the machine is busy
  );
  Deno.writeFileSync(`${HERE}page.png`, await second.screenshot(1200));
}

if (Deno.args[0] === INSIDE) {
  await inside();
  Deno.exit(0);
}
const script =
  "mount -t tmpfs tmpfs /dev/shm && mount -t tmpfs tmpfs /tmp && " +
  `ip link set lo up && exec "$@"`;
const { code } = await new Deno.Command("unshare", {
  args: [
    ...["--ipc", "--pid", "--fork", "--net", "--mount", "--mount-proc"],
    ...["sh", "-c", script, "sh", Deno.execPath(), "run", "-A"],
    ...[import.meta.filename!, INSIDE],
  ],
  env: { TMPDIR: "/tmp" },
  stdout: "inherit",
  stderr: "inherit",
}).output();
Deno.exit(code);
