/**
 * One run, in a process of its own. Its argument is a {@linkcode Task} as JSON. What
 * it finds, and all that it does, is in the log.
 */
import { compare, snapshot } from "../support/leaks.ts";
import { Fuzz, getTruly } from "./fuzz.ts";
import { clearNonblocking } from "./libc.ts";
import { Log } from "./log.ts";
import { type Choice, profileOf } from "./profile.ts";
import { type Recipe, RECIPES } from "./recipes/mod.ts";
import { MECHANISMS } from "./tables/mod.ts";

/** What a child is to do. */
export interface Task {
  /** The path of the log. */
  readonly log: string;
  /** The seed. */
  readonly seed: number;
  /** How many calls. */
  readonly steps: number;
  /** What is decided instead of the seed. */
  readonly choice: Choice;
}

// Of --expose-gc.
const { gc } = globalThis as { gc?: () => void };
const MOST_PENDING = 30;
const LEAK_GRACE = 3_000; // ms

/** Lets other things happen, or not. */
async function pause({ random }: Fuzz): Promise<void> {
  switch (random.int(0, 7)) {
    case 0:
      return await Promise.resolve();
    case 1:
      return await new Promise((resolve) => setImmediate(resolve));
    case 2:
      return await new Promise((resolve) => setTimeout(resolve, 0));
    case 3:
      return await new Promise((resolve) =>
        setTimeout(resolve, random.int(1, 10))
      );
  }
}

/** What a process may do to a description that it shares. */
function clearFlags(fuzz: Fuzz): void {
  const item = fuzz.existing();
  const fd = item && getTruly(item.value, "fd"); // nothing if it is closed
  if (typeof fd !== "number" || !(fd > 2)) return;
  fuzz.log.note(`clear O_NONBLOCK of ${item!.text}`);
  clearNonblocking(fd);
}

/** Follows a recipe, which expects that ordinary calls succeed. */
async function cook(fuzz: Fuzz, recipe: Recipe): Promise<void> {
  const { hostility } = fuzz;
  try {
    await recipe(fuzz);
  } catch (error) {
    const text = error instanceof Error ? error.stack : error;
    if (hostility === 0) fuzz.log.finding("error", `recipe failed: ${text}`);
    else fuzz.log.note(`recipe failed: ${text}`); // what it uses may be replaced
  }
}

async function steps(
  fuzz: Fuzz,
  { steps, seed, choice }: Task,
): Promise<void> {
  const { recipes, cooking } = profileOf(seed, choice);
  for (let step = 1; step <= steps; step++) {
    fuzz.step(step);
    if (fuzz.random.chance(cooking)) {
      const name = fuzz.random.pick(recipes);
      fuzz.log.call(step, `recipe ${name}`);
      await cook(fuzz, RECIPES[name]!);
    } else {
      if (fuzz.hostile("flags")) clearFlags(fuzz);
      if (fuzz.random.chance(0.01)) gc?.();
      fuzz.act();
    }
    fuzz.checkOwners();
    await pause(fuzz);
    if (fuzz.pending > MOST_PENDING) fuzz.abortAll();
  }
}

/** Without the two sockets that the runtime opens when it is half a second old. */
function withoutRuntimes(leaks: string[]): string[] {
  const sockets = leaks.filter((leak) => leak.includes(" socket:["));
  const [one = 0, other = 0] = sockets.map((leak) =>
    Number(leak.match(/\[(\d+)\]/)![1])
  );
  const isPair = sockets.length === 2 && Math.abs(one - other) === 1;
  return isPair ? leaks.filter((leak) => !sockets.includes(leak)) : leaks;
}

async function main(): Promise<void> {
  const task: Task = JSON.parse(Deno.args[0]!);
  const { seed, choice } = task;
  const log = new Log(task.log);
  const { mechanisms, hostility, traits } = profileOf(seed, choice);
  log.note(`seed ${seed}: ${mechanisms}; hostile at ${hostility}: ${traits}`);
  const before = snapshot();
  const fuzz = new Fuzz(seed, log, MECHANISMS, mechanisms, hostility, traits);
  await steps(fuzz, task);
  fuzz.step(task.steps + 1);
  await fuzz.finish();
  log.note("look for leaks");
  const end = performance.now() + LEAK_GRACE;
  let leaks: string[];
  do {
    await new Promise((resolve) => setTimeout(resolve, 20));
    gc?.();
    leaks = withoutRuntimes(compare(before, snapshot()));
  } while (leaks.length > 0 && performance.now() < end);
  for (const leak of leaks) {
    if (fuzz.left.some((part) => leak.includes(part))) continue;
    log.finding("leak", leak);
  }
  log.end();
}

if (import.meta.main) await main();
