/** A few seeds of the fuzzer; `deno task fuzz` runs as many as one likes. */
import { assertEquals } from "@std/assert";
import { runSeed } from "./fuzz/run.ts";

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

for (const seed of SEEDS) {
  Deno.test(`fuzz: seed ${seed} finds nothing`, async () => {
    const { findings, lines } = await runSeed(seed, {
      steps: 150,
      limit: 40_000,
    });
    assertEquals(findings, [], lines.slice(-25).join("\n"));
  });
}
