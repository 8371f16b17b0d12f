/**
 * The fuzzer's command line: `deno task fuzz --seeds 1-200`. README.md tells more.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type Outcome, type RunOptions, runSeed } from "./run.ts";

const HELP = `deno task fuzz [options]

  --seeds 1-200      the seeds, also 3,7,10-20 (default: 1-50)
  --jobs N           how many run at once (default: 2)
  --steps N          calls of one run (default: 400)
  --limit SECONDS    the most for one run (default: 60)
  --verbose          the last calls of each run that has found something
  --replay SEED      one seed, with all its calls

Instead of what a seed decides, with commas in between:
  --mechanisms NAMES whose calls are made (tables/mod.ts)
  --traits NAMES     in which ways arguments are hostile; no recipes (fuzz.ts)
  --recipes NAMES    recipes to follow, and nothing else (recipes/mod.ts)
`;

const LAST = 25; // lines that --verbose shows
const EXAMPLES = 12; // seeds that the summary names for each kind

/** "3,7,10-12" as numbers. */
function seedsOf(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const [from, to = from] = part.split("-").map(Number);
    if (!Number.isInteger(from) || !Number.isInteger(to)) {
      throw new TypeError(`--seeds must be like 1-200 or 3,7: ${text}`);
    }
    return Array.from({ length: to! - from! + 1 }, (_, i) => from! + i);
  });
}

function report({ seed, findings, lines, time }: Outcome, last: number): void {
  if (findings.length === 0) return;
  console.log(`seed ${seed} (${(time / 1000).toFixed(1)} s)`);
  for (const finding of findings) console.log(`  ${finding}`);
  for (const line of lines.slice(lines.length - last)) {
    console.log(`    ${line}`);
  }
}

/** How many seeds have found something of each kind. */
function summary(outcomes: readonly Outcome[]): string {
  const kinds = new Map<string, number[]>();
  for (const { seed, findings } of outcomes) {
    for (const kind of new Set(findings.map((one) => one.split(":")[0]!))) {
      kinds.set(kind, [...kinds.get(kind) ?? [], seed]);
    }
  }
  const rows = [...kinds].sort((a, b) => b[1].length - a[1].length)
    .map(([kind, seeds]) => {
      const some = seeds.sort((a, b) => a - b).slice(0, EXAMPLES).join(" ");
      return `${kind.padEnd(14)}${String(seeds.length).padStart(5)}   ${some}`;
    });
  const found = outcomes.filter(({ findings }) => findings.length > 0).length;
  return [`${found} of ${outcomes.length} seeds found something`, ...rows]
    .join("\n");
}

/** Aborted when the fuzzer is told to end: what it has made is removed then. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => controller.abort());
  }
  return controller.signal;
}

async function runAll(
  seeds: number[],
  jobs: number,
  last: number,
  options: RunOptions,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const work = async () => {
    while (seeds.length > 0 && !options.signal?.aborted) {
      const outcome = await runSeed(seeds.shift()!, options);
      report(outcome, last);
      outcomes.push(outcome);
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  return outcomes;
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, {
    string: [
      "seeds",
      "replay",
      "jobs",
      "steps",
      "limit",
      "mechanisms",
      "traits",
      "recipes",
    ],
    boolean: ["verbose", "help"],
    default: { seeds: "1-50", jobs: "2", steps: "400", limit: "60" },
  });
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const { mechanisms, traits, recipes } = args;
  const options: RunOptions = {
    steps: Number(args.steps),
    limit: Number(args.limit) * 1000,
    signal: interruption(),
    mechanisms,
    traits,
    recipes,
  };
  if (args.replay !== undefined) {
    const outcome = await runSeed(Number(args.replay), options);
    console.log(outcome.lines.join("\n"));
    console.log(outcome.stderr);
    report(outcome, 0);
    return outcome.findings.length === 0 ? 0 : 1;
  }
  const seeds = seedsOf(args.seeds);
  const last = args.verbose ? LAST : 0;
  const outcomes = await runAll(seeds, Number(args.jobs), last, options);
  console.log(summary(outcomes));
  return outcomes.every(({ findings }) => findings.length === 0) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
