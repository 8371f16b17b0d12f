/**
 * The smoke test of every mechanism: on this system, on one that has no newer system
 * calls than Linux 3.17, and on one without /proc. `.ci/run` runs it on other machines.
 */
import { assertEquals } from "@std/assert";
import { noCompiler } from "./support/c.ts";
import { leakTest } from "./support/leaks.ts";
import { reasonAgainst, WITHOUT_PROC } from "./support/namespaces.ts";
import { denoArgs, type Ended, run } from "./support/process.ts";
import { upToCall } from "./support/seccomp.ts";

const SMOKE = new URL("./smoke/mod.ts", import.meta.url);

/** Runs the smoke test with a wrapper, and returns which checks have failed. */
async function failuresOf(...wrapper: string[]): Promise<string[]> {
  const [command, ...args] = [...wrapper, Deno.execPath()];
  const { stdout, transcript }: Ended = await run(command!, {
    args: [...args, ...denoArgs(SMOKE, [])],
  });
  const passed = stdout.match(/^ok (?!\|)/gm)?.length ?? 0;
  const failed = Array.from(
    stdout.matchAll(/^FAILED ([^|\n]+)$/gm),
    ([, name]) => name!,
  );
  assertEquals(passed + failed.length, 61, transcript);
  return failed;
}

leakTest("every mechanism works", async () => {
  assertEquals(await failuresOf(), []);
});

leakTest(
  "every mechanism works with the system calls of Linux 3.17",
  { needs: [noCompiler] },
  async () => {
    assertEquals(await failuresOf(...await upToCall("memfd_create")), []);
  },
);

leakTest(
  "what needs /proc says so, and everything else works without it",
  {
    needs: [
      reasonAgainst("mount over /proc", [...WITHOUT_PROC, "/bin/true"]),
    ],
  },
  async () => {
    assertEquals(await failuresOf(...WITHOUT_PROC), [
      "fifo: bytes",
      "fifo: waiting for a writer",
      "sysv queue: status and list",
      "sysv memory: two attachments",
      "memory map: another size", // only to shrink it
      "socket: long path",
    ]);
  },
);
