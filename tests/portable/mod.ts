/**
 * Runs test files on Node or Bun: the same files as `deno task test`, over the part of
 * `Deno` that they use.
 *
 * ```sh
 * deno task test:node                       # the files below
 * deno task test:bun tests/fifo_test.ts     # this one
 * ```
 */
import { dirname, fromFileUrl, join } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import { run } from "../support/process.ts";
import { programOf, type RuntimeName } from "../support/runtimes.ts";

const JOBS = Number(Deno.env.get("DENO_JOBS") ?? navigator.hardwareConcurrency);
const LIMIT = 200_000; // ms, of one file
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed \| (\d+) failed(?: \| (\d+) ignored)?.*\n/m;

const ROOT = fromFileUrl(new URL("../../", import.meta.url));
const HERE = fromFileUrl(new URL("./", import.meta.url));

/** Where Deno keeps the package that std/ re-exports. */
function standardLibrary(): string {
  const file = fromFileUrl(import.meta.resolve("deno-std/assert/mod.js"));
  return dirname(dirname(file));
}

/** What the names in `import` declarations stand for. */
function importsOf(standard: string): Record<string, string> {
  const own = Object.entries(config.exports).map(([entry, file]) =>
    [config.name + entry.slice(1), file] as const
  );
  return {
    ...config.imports,
    ...Object.fromEntries(own),
    "deno-std/": standard,
  };
}

/** A program that understands as much of Deno's command line as the tests use. */
function launcher(name: RuntimeName, program: string): string {
  const shim = `${HERE}deno.ts`;
  const [flags, run, script] = name === "node"
    ? [
      // Node 26 may crash if it ends while another thread of its compiler optimises a
      // function that calls node:ffi.
      "--no-concurrent-recompilation --disable-warning=ExperimentalWarning " +
      `--import ${HERE}hooks.ts --import ${shim}`,
      "",
      "--input-type=module-typescript",
    ]
    : [`--tsconfig-override="$PORTABLE_TSCONFIG" --preload ${shim}`, "run", ""];
  return `#!/bin/sh
command=$1
shift
v8=
while :; do
  case $1 in
  --v8-flags=*) [ ${name} = bun ] || v8="$v8 \${1#--v8-flags=}" ;;
  -[!-]* | --*) ;;
  *) break ;;
  esac
  shift
done
case $command in
run)
  file=\${1#file://}
  shift
  if [ "$file" = - ]; then set -- ${script} - "$@"; else set -- "$file" "$@"; fi
  exec ${program} $v8 ${run} ${flags} "$@"
  ;;
eval) exec ${program} $v8 ${flags} ${script} -e "$@" ;;
*) exec ${program} "$command" "$@" ;;
esac
`;
}

/** Runs a file, and adds up what its last line says. */
async function runFile(
  program: string,
  file: string,
  flags: string[],
): Promise<void> {
  const args = ["run", "-A", file, ...flags];
  const { code, stdout, stderr } = await run(program, { args, limit: LIMIT })
    .catch((error) => ({ code: 1, stdout: "", stderr: `${error}` }));
  const [line = "", ...counts] = stdout.match(SUMMARY) ?? [];
  const [passed = 0, failed = 0, ignored = 0] = counts.map((count) =>
    Number(count ?? 0)
  );
  sum.passed += passed;
  const isOver = code === 0 && line !== "";
  sum.failed += failed || Number(!isOver);
  sum.ignored += ignored;
  console.log(`${file}\n${stdout.replace(line, "").trim()}\n`);
  if (!isOver) console.log(`${stderr}\nFAILED: ${file}\n`);
}

/** A copy of the runtime that another user may start, too. */
async function accessible(
  name: RuntimeName,
  directory: string,
): Promise<string> {
  const copy = join(directory, `${name}-program`);
  Deno.copyFileSync(await programOf(name), copy);
  Deno.chmodSync(copy, 0o755);
  return copy;
}

async function prepare(name: RuntimeName, directory: string): Promise<string> {
  const program = await accessible(name, directory);
  const imports = importsOf(standardLibrary());
  const path = join(directory, name);
  Deno.writeTextFileSync(path, launcher(name, program), { mode: 0o755 });
  const paths = Object.entries(imports).map(([key, target]) =>
    key.endsWith("/")
      ? [`${key}*`, [`${target}/*`]]
      : [key, [join(ROOT, target)]]
  );
  const tsconfig = join(directory, "tsconfig.json");
  const options = { baseUrl: ROOT, paths: Object.fromEntries(paths) };
  Deno.writeTextFileSync(
    tsconfig,
    JSON.stringify({ compilerOptions: options }),
  );
  Deno.env.set("PORTABLE_IMPORTS", JSON.stringify(imports));
  Deno.env.set("PORTABLE_TSCONFIG", tsconfig);
  Deno.env.set("PORTABLE_DENO", path);
  // Without it each process strips the types of all sources: half a second.
  if (name === "node") {
    Deno.env.set("NODE_COMPILE_CACHE", join(directory, "cache"));
  }
  return path;
}

/** The test files of CI: each mechanism, how waits end, memory, kills, and examples. */
const FILES = [
  "tests/posix_semaphore_test.ts", // what takes longest comes first
  "tests/sysv_semaphore_test.ts",
  "tests/sysv_message_queue_test.ts",
  "tests/posix_message_queue_test.ts",
  "tests/pipe_test.ts",
  "tests/wait_ends_test.ts",
  "tests/memory_map_test.ts",
  "tests/memory_safety_test.ts",
  "tests/sysv_shared_memory_test.ts",
  "tests/fifo_test.ts",
  "tests/socket_stream_test.ts",
  "tests/socket_rights_test.ts",
  "tests/frames_test.ts",
  "tests/struct_test.ts",
  "tests/mixed_waits_test.ts",
  "tests/errno_test.ts",
  "tests/exit_test.ts",
  "tests/readme_test.ts",
  "tests/cookbook_test.ts",
  "tests/interop/pipe_test.ts",
  "tests/interop/fifo_test.ts",
  "tests/interop/sysv_message_queue_test.ts",
  "tests/interop/shared_memory_test.ts",
  "tests/interop/memory_map_test.ts",
  "tests/interop/semaphore_test.ts",
  "tests/interop/socket_test.ts",
];

const [name, ...rest] = Deno.args;
if (name !== "node" && name !== "bun") {
  throw new Error(
    "Usage: tests/portable/mod.ts node|bun [FILE]... [--filter TEXT]",
  );
}
const at = rest.findIndex((arg) => arg.startsWith("--"));
const flags = at < 0 ? [] : rest.splice(at);
const sum = { passed: 0, failed: 0, ignored: 0 };
const begun = performance.now();
const directory = Deno.makeTempDirSync({ prefix: "ipc-portable-" });
Deno.chmodSync(directory, 0o755); // for tests that become another user
try {
  const program = await prepare(name, directory);
  const files = rest.length > 0 ? rest : [...FILES];
  const work = async () => {
    for (let file; (file = files.shift()) !== undefined;) {
      await runFile(program, file, flags);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, work));
} finally {
  Deno.removeSync(directory, { recursive: true });
}
const seconds = Math.round((performance.now() - begun) / 1000);
console.log(
  `${sum.failed === 0 ? "ok" : "FAILED"} | ${sum.passed} passed | ` +
    `${sum.failed} failed | ${sum.ignored} ignored (${seconds}s)`,
);
Deno.exit(sum.failed === 0 ? 0 : 1);
