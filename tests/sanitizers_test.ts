/**
 * The test runner of Deno reports resources and operations that a test leaves behind:
 * the tests of a program that uses this module must not be reported for its sake.
 */
import { assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { leakTest } from "./support/leaks.ts";
import { run } from "./support/process.ts";

const CASES = fromFileUrl(new URL("./sanitized/waits.ts", import.meta.url));

leakTest("tests of a user pass with sanitizers", async () => {
  const { code, stdout, stderr } = await run(Deno.execPath(), {
    args: ["test", "--quiet", "--no-check", "-A", CASES],
  });
  assertEquals(code, 0, stdout + stderr);
});
