/**
 * Tries every mechanism once, and prints a line for each check. For machines on which
 * the tests themselves cannot run: an older Debian, an emulator, a filter of system
 * calls, another runtime. It uses nothing but this library and the modules of Node.
 *
 * ```sh
 * deno run -A tests/smoke/mod.ts              # all checks
 * deno run -A tests/smoke/mod.ts pipe socket  # those whose names begin so
 * ```
 *
 * The last line counts, as that of `deno test` does. The exit code is 1 if a check fails.
 */
import process from "node:process";
import { checks, cleanUp } from "./checks.ts";

const LIMIT = 120_000; // ms that one check may take

/** Runs a check; returns what it failed with. */
async function failureOf(
  check: () => unknown,
): Promise<string | undefined> {
  let timer;
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`did not end within ${LIMIT} ms`);
    timer = setTimeout(() => reject(error), LIMIT);
  });
  try {
    await Promise.race([check(), late]);
  } catch (error) {
    return String(error).replaceAll(/\s*\n\s*/g, " ");
  } finally {
    clearTimeout(timer);
  }
  return undefined;
}

// A check that fails may leave waits behind, which fail later.
process.on("unhandledRejection", () => {});

const beginnings = process.argv.slice(2);
const counts = { passed: 0, failed: 0 };
for (const [name, check] of Object.entries(checks)) {
  const isWanted = beginnings.some((beginning) => name.startsWith(beginning));
  if (beginnings.length > 0 && !isWanted) continue;
  const failure = await failureOf(check);
  if (failure === undefined) counts.passed++;
  else counts.failed++;
  console.log(
    failure === undefined ? `ok ${name}` : `FAILED ${name}\n  ${failure}`,
  );
}
cleanUp();
const { passed, failed } = counts;
const verdict = failed === 0 ? "ok" : "FAILED";
console.log(`${verdict} | ${passed} passed | ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
