/** `Deno.test` on Node and Bun: one test after the other, and lines as Deno prints. */
import process from "node:process";
import { reasonToSkip } from "./skipped.ts";

type Body = (t: Context) => unknown;

interface Definition {
  name: string;
  fn: Body;
  ignore?: boolean;
  only?: boolean;
}

interface Context {
  name: string;
  step(name: string | Definition, fn?: Body): Promise<boolean>;
}

const tests: Definition[] = [];
const counts = { passed: 0, failed: 0, ignored: 0 };
let begun = false;

/** Registers a test. */
export function test(...args: unknown[]): void {
  const definition = definitionOf(args);
  tests.push(definition);
  if (begun) return;
  begun = true;
  process.once("beforeExit", runAll);
}

test.ignore = (...args: unknown[]) => {
  test({ ...definitionOf(args), ignore: true });
};

function definitionOf(args: unknown[]): Definition {
  const fn = args.find((arg) => typeof arg === "function") as Body | undefined;
  const options = args.find((arg) => typeof arg === "object") ?? {};
  const name = args.find((arg) => typeof arg === "string") as string;
  const all = { ...options as Definition };
  if (fn !== undefined) all.fn = fn;
  all.name ??= name ?? fn!.name;
  return all;
}

async function runOne(
  { name, fn, ignore }: Definition,
  indent = "",
): Promise<boolean> {
  const reason = reasonToSkip(name);
  if (ignore || reason !== undefined) {
    counts.ignored++;
    console.log(`${indent}${name} ... ignored ${reason ?? ""}`.trimEnd());
    return true;
  }
  const start = performance.now();
  const took = () => `(${Math.round(performance.now() - start)}ms)`;
  let steps = true;
  const context: Context = {
    name,
    async step(first, second) {
      const all = definitionOf([first, second]);
      const { ignored, passed } = counts;
      const ok = await runOne(all, `${indent}  `);
      Object.assign(counts, { ignored, passed }); // steps are no tests
      steps &&= ok;
      return ok;
    },
  };
  try {
    await fn(context);
    if (!steps) throw new Error("a step failed");
    counts.passed++;
    console.log(`${indent}${name} ... ok ${took()}`);
    return true;
  } catch (error) {
    counts.failed++;
    console.log(`${indent}${name} ... FAILED ${took()}`);
    console.error(`${name} => ${(error as Error)?.stack ?? error}`);
    return false;
  }
}

/** Starts the threads that the library keeps: they count as no leak then. */
async function warmUp(): Promise<void> {
  const { sysEpoll } = await import("../../ffi/libc/sys_epoll.ts");
  const nothing = new Uint8Array(8);
  const { epoll_wait_nonblocking: wait } = sysEpoll();
  await Promise.all([wait(-1, nothing, 1, 0), wait(-1, nothing, 1, 0)]);
}

async function runAll(): Promise<void> {
  const alive = setInterval(() => {}, 60_000); // a test that hangs is a failure
  await warmUp();
  const start = performance.now();
  const at = process.argv.indexOf("--filter");
  const filter = at < 0 ? "" : process.argv[at + 1]!;
  for (const one of tests) {
    if (one.name.includes(filter)) await runOne(one);
  }
  const { passed, failed, ignored } = counts;
  const tail = ignored > 0 ? ` | ${ignored} ignored` : "";
  const time = Math.round((performance.now() - start) / 1000);
  const verdict = failed > 0 ? "FAILED" : "ok";
  console.log(
    `\n${verdict} | ${passed} passed | ${failed} failed${tail} (${time}s)`,
  );
  clearInterval(alive);
  process.exit(failed > 0 ? 1 : 0);
}
