/**
 * Runs the test files, each in a process of its own: the leak counters of one see
 * nothing of another. Tests spend half of their time waiting for other processes, so
 * twice as many run at once as there are processors.
 *
 * ```sh
 * deno task test                                  # everything, in few rounds
 * deno task test:soak                             # many rounds, and what takes long
 * deno task test tests/pipe_test.ts --filter EOF  # some files; flags of deno test
 * ```
 */
import { join } from "@std/path";
import { snapshot } from "./support/leaks.ts";
import { makeSharedDirectory, SHARED } from "./support/names.ts";
import { cpuTimeOfChildren, exists, run } from "./support/process.ts";
import { SOAK } from "./support/rounds.ts";

const TESTS = "tests";
const REAL = "real"; // with programs of others, if it is named
const JOBS = Number(
  Deno.env.get("DENO_JOBS") ?? 2 * navigator.hardwareConcurrency,
);
const LIMIT = 600_000; // ms, of one file
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed[^|\n]*(?:\| (\d+) ignored)?.*\n/m;

const sum = { passed: 0, failed: 0, ignored: 0 };

/** The test files in a directory; of a file, itself. */
function testsIn(path: string): string[] {
  if (!Deno.statSync(path).isDirectory) return [path];
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) =>
    name === REAL
      ? []
      : isDirectory || name.endsWith("_test.ts")
      ? testsIn(join(path, name))
      : []
  );
}

/** Whether a text of a test file has tests for the long run. */
const isForSoak = (text: string) =>
  /support\/rounds\.ts"|\bsoak: |\bpairTest\(/.test(text);

/** About how long a file takes: tests without a short form first, then by size. */
const weight = (path: string) => {
  const text = Deno.readTextFileSync(path);
  return text.length + (SOAK && text.includes("soak: true") ? 1e6 : 0);
};

/** Runs a file, and adds up what its last line says. */
async function runFile(path: string, flags: string[]): Promise<void> {
  const args = ["test", "-A", "--no-check", ...flags, path];
  const { code, signal, stdout, stderr } = await run(Deno.execPath(), {
    args,
    limit: LIMIT,
  }).catch((error) => ({
    code: 1,
    signal: "",
    stdout: "",
    stderr: `${error}`,
  }));
  const [line = "", ...counts] = stdout.match(SUMMARY) ?? [];
  const [passed, failed, ignored] = counts.map((count) => Number(count ?? 0));
  sum.passed += passed ?? 0;
  sum.failed += failed || Number(code !== 0);
  sum.ignored += ignored ?? 0;
  console.log(`${stdout.replace(line, "").trim()}\n`);
  if (code !== 0) {
    console.log(
      `${stderr}\nFAILED: ${path} (${signal ?? `exit code ${code}`})\n`,
    );
  }
}

/** Runs all the files; the longest first, so that none is left alone at the end. */
async function runAll(files: string[], flags: string[]): Promise<void> {
  const weights = new Map(files.map((path) => [path, weight(path)]));
  const waiting = files.toSorted((one, other) =>
    weights.get(other)! - weights.get(one)!
  );
  const work = async () => {
    for (let path; (path = waiting.shift()) !== undefined;) {
      await runFile(path, flags);
    }
  };
  await Promise.all(Array.from({ length: JOBS }, work));
}

const begun = performance.now();
const named = Deno.args.filter((arg) => exists(arg));
const flags = Deno.args.filter((arg) => !exists(arg));
const files = (named.length > 0 ? named : [TESTS]).flatMap(testsIn)
  .filter((path) => !SOAK || isForSoak(Deno.readTextFileSync(path)));
const shared = makeSharedDirectory();
Deno.env.set(SHARED, shared);
try {
  await runAll(files, flags);
} finally {
  Deno.removeSync(shared, { recursive: true });
}

// Of unused private objects no test can tell whose they are.
for (const object of snapshot().sysv.keys()) {
  console.log(`left behind: System V object ${object}`);
  sum.failed++;
}
const seconds = Math.round((performance.now() - begun) / 1000);
const cpuSeconds = Math.round(cpuTimeOfChildren() / 1000);
console.log(
  `${sum.failed === 0 ? "ok" : "FAILED"} | ${sum.passed} passed | ` +
    `${sum.failed} failed | ${sum.ignored} ignored ` +
    `(${seconds}s, processor time ${cpuSeconds}s)`,
);
Deno.exit(sum.failed === 0 ? 0 : 1);
