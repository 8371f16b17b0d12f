/** The programs of README.md run as they are, and print what their comments say. */
import { assert, assertEquals } from "@std/assert";
import { fromFileUrl } from "@std/path";
import { leakTest } from "./support/leaks.ts";
import { scratch, uniqueKey, uniqueName } from "./support/names.ts";
import { run } from "./support/process.ts";

const README = new URL("../README.md", import.meta.url);
const EXAMPLES = fromFileUrl(new URL("../examples/", import.meta.url));

const programs = [
  ...Deno.readTextFileSync(README).matchAll(
    /^\*\*(.+?)\*\*[^]*?^```ts\n([^]*?)^```$/gm,
  ),
];

/** What a program prints, by the comments behind its calls of console.log. */
const OUTPUT: Record<string, string> = {
  "Pipe": "message from parent",
  "FIFO": "6",
  "Message queue": '{ age: 80, name: "ghkim" }',
  "Shared memory": "1",
  "Memory map": "",
  "Semaphore": "alone",
  "Ring": "7",
  "Socket": "5",
};

Deno.test("README.md has a program for each mechanism", () => {
  assertEquals(programs.map(([, name]) => name), Object.keys(OUTPUT));
});

for (const [, name, text] of programs) {
  leakTest(`README.md: ${name}`, async () => {
    using dir = scratch();
    // Where the names of the project lead to it: beside the examples.
    const file = `${EXAMPLES}_readme_${Deno.pid}.ts`;
    const program = text!
      .replaceAll("0x1234", String(uniqueKey()))
      .replaceAll(/\/my-service|\/ticks/g, uniqueName());
    try {
      Deno.writeTextFileSync(file, program);
      const args = ["run", "-A", "--quiet", file];
      const ended = await run(Deno.execPath(), { args, cwd: dir.path });
      assertEquals([ended.code, ended.stderr], [0, ""], ended.transcript);
      const printed = ended.stdout.trim().replaceAll(/\s+/g, " ");
      const wanted = OUTPUT[name!]!;
      // Each runtime has its own quotes and commas.
      const same = printed.replaceAll("'", '"').replaceAll(", }", " }");
      const isThere = same === wanted;
      assert(isThere, `${wanted} in ${ended.transcript}`);
      assertEquals(dir.list(), []);
    } finally {
      Deno.removeSync(file);
    }
  });
}
