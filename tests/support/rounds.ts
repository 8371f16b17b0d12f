/**
 * How often a test repeats what depends on luck: seldom in `deno task test`, often in
 * `deno task test:soak`, which runs the test files that import this one.
 */

/** Whether this is the long run. */
export const SOAK: boolean = Deno.env.get("SOAK") === "1";

/** How many rounds this run makes: few, or in the long run many. */
export function rounds(few: number, many: number): number {
  return SOAK ? many : few;
}
