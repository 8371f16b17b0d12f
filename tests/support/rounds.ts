/**
 * How much a test does in this run: little in `deno task test`, and in
 * `deno task test:soak` what is left. The long run runs the test files that import
 * this one, and of these the tests that say `soak` (see `leaks.ts`).
 */

/** Whether this is the long run. */
export const SOAK: boolean = Deno.env.get("SOAK") === "1";

/** How many rounds this run makes: few, or in the long run many. */
export function rounds(few: number, many: number): number {
  return SOAK ? many : few;
}

/** Which cases this run has: the first ones, or in the long run the others. */
export function share<T>(cases: readonly T[], few: number): readonly T[] {
  return SOAK ? cases.slice(few) : cases.slice(0, few);
}
