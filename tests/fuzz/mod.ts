/**
 * The fuzzer's command line: `deno task fuzz --seeds 1-200`. README.md tells more.
 */
import { parseArgs } from "@std/cli/parse-args";
import { type Outcome, runSeed } from "./run.ts";

const HELP = `deno task fuzz [options]

  --seeds 1-200    the seeds, also 3,7,10-20 (default: 1-50)
  --jobs N         how many run at once (default: 2)
  --steps N        calls of one run (default: 200)
  --limit SECONDS  the most for one run (default: 40)
  --recipe NAME    nothing but that recipe (recipes/mod.ts has the names)
  --verbose        the last calls of each run that has found something
  --replay SEED    one seed, with all its calls
`;

const LAST = 25; // lines that --verbose shows

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

function report({ seed, findings, lines, time }: Outcome, verbose: boolean) {
  if (findings.length === 0) return;
  console.log(`seed ${seed} (${(time / 1000).toFixed(1)} s)`);
  for (const finding of findings) console.log(`  ${finding}`);
  if (verbose) {
    console.log(lines.slice(-LAST).map((line) => `    ${line}`).join("\n"));
  }
}

/** How many seeds have found something of each kind. */
function summary(outcomes: Outcome[]): string {
  const kinds = new Map<string, number[]>();
  for (const { seed, findings } of outcomes) {
    for (const kind of new Set(findings.map((one) => one.split(":")[0]!))) {
      kinds.set(kind, [...kinds.get(kind) ?? [], seed]);
    }
  }
  const rows = [...kinds].sort((a, b) => b[1].length - a[1].length)
    .map(([kind, seeds]) =>
      `${kind.padEnd(14)}${`${seeds.length}`.padStart(5)}   ` +
      `${seeds.sort((a, b) => a - b).slice(0, 12).join(" ")}`
    );
  const found = outcomes.filter(({ findings }) => findings.length > 0).length;
  return [`${found} of ${outcomes.length} seeds found something`, ...rows]
    .join("\n");
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, {
    string: ["seeds", "replay", "jobs", "steps", "limit", "recipe"],
    boolean: ["verbose", "help"],
    default: { seeds: "1-50", jobs: "2", steps: "200", limit: "40" },
  });
  if (args.help) {
    console.log(HELP);
    return 0;
  }
  const options = {
    steps: Number(args.steps),
    limit: Number(args.limit) * 1000,
    recipe: args.recipe,
  };
  if (args.replay !== undefined) {
    const outcome = await runSeed(Number(args.replay), options);
    console.log(outcome.lines.join("\n"));
    console.log(outcome.stderr);
    report(outcome, false);
    return outcome.findings.length === 0 ? 0 : 1;
  }
  const outcomes: Outcome[] = [];
  const seeds = seedsOf(args.seeds);
  await Promise.all(Array.from({ length: Number(args.jobs) }, async () => {
    for (let seed; (seed = seeds.shift()) !== undefined;) {
      const outcome = await runSeed(seed, options);
      report(outcome, args.verbose);
      outcomes.push(outcome);
    }
  }));
  console.log(summary(outcomes));
  return outcomes.every(({ findings }) => findings.length === 0) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
