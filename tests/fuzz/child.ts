/**
 * One run, in a process of its own: `child.ts LOG SEED STEPS RECIPE`. What it finds,
 * and all that it does, is in the log. With a recipe, it does nothing else.
 */
import { compare, snapshot } from "../support/leaks.ts";
import { Fuzz } from "./fuzz.ts";
import { clearNonblocking } from "./libc.ts";
import { Log } from "./log.ts";
import { profileOf } from "./profile.ts";
import { type Recipe, RECIPES } from "./recipes/mod.ts";
import { MECHANISMS } from "./tables/mod.ts";

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

/** What somebody who shares a description may do to it. */
function clearFlags(fuzz: Fuzz): void {
  const item = fuzz.existing();
  if (item === undefined) return;
  try {
    const { fd } = item.value as { fd: unknown };
    if (typeof fd !== "number" || fd < 3) return;
    fuzz.log.note(`clear O_NONBLOCK of ${item.text}`);
    clearNonblocking(fd);
  } catch {
    // Closed.
  }
}

/** Follows a recipe, which expects that ordinary calls succeed. */
async function cook(fuzz: Fuzz, recipe: Recipe): Promise<void> {
  const { hostility } = fuzz;
  try {
    await recipe(fuzz);
  } catch (error) {
    const text = `recipe failed: ${
      error instanceof Error ? error.stack : error
    }`;
    if (hostility === 0) fuzz.log.finding("error", text);
    else fuzz.log.note(text); // something that it uses has been replaced
  }
}

async function steps(
  fuzz: Fuzz,
  seed: number,
  count: number,
  only: string,
): Promise<void> {
  const recipes = only === "" ? profileOf(seed).recipes : 1;
  const names = only === "" ? Object.keys(RECIPES) : [only];
  for (let step = 1; step <= count; step++) {
    fuzz.step(step);
    if (fuzz.random.chance(recipes)) {
      const name = fuzz.random.pick(names);
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
  const [path, seed, count, only = ""] = Deno.args;
  const log = new Log(path!);
  const { mechanisms, hostility, traits } = only === ""
    ? profileOf(Number(seed))
    : { mechanisms: [], hostility: 0, traits: [] };
  log.note(
    `seed ${seed}: ${mechanisms}; hostility ${hostility}: ${traits.join(", ")}`,
  );
  const before = snapshot();
  const fuzz = new Fuzz(
    Number(seed),
    log,
    MECHANISMS,
    mechanisms,
    hostility,
    traits,
  );
  await steps(fuzz, Number(seed), Number(count), only);
  fuzz.step(Number(count) + 1);
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

await main();
