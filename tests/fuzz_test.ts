/** A few seeds of the fuzzer; `deno task fuzz` runs as many as one likes. */
import { assert } from "@std/assert";
import { type Outcome, runSeed } from "./fuzz/run.ts";
import { share } from "./support/rounds.ts";

// All mechanisms, ordinary code and each way of being hostile; short runs.
const SEEDS = [2, 4, 6, 8, 13, 18, 21, 31, 41, 43, 47, 49];
const JOBS = 2;
const STEPS = 100;
const LIMIT = 40_000; // ms
const LAST = 20; // lines of a log that are shown

function told({ seed, findings, lines }: Outcome): string {
  return [
    `deno task fuzz --replay ${seed} --steps ${STEPS}:`,
    ...findings,
    ...lines.slice(-LAST),
  ].join("\n  ");
}

Deno.test("fuzz: random calls neither crash, hang, lose nor leak", async () => {
  const seeds = [...share(SEEDS, 2)];
  const faults: string[] = [];
  const work = async () => {
    for (let seed; (seed = seeds.shift()) !== undefined;) {
      const outcome = await runSeed(seed, { steps: STEPS, limit: LIMIT });
      if (outcome.findings.length > 0) faults.push(told(outcome));
    }
  };
  await Promise.all(Array.from({ length: JOBS }, work));
  assert(faults.length === 0, faults.join("\n"));
});
