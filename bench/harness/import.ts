// How long it takes to import this library: whole programs that do nothing else,
// over one that does nothing at all. What Deno keeps from earlier runs (JavaScript
// of TypeScript, and V8's code) is there, as it is from the second start on.

import { fromFileUrl, join } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import type { Run } from "./results.ts";
import type { Setting } from "./run.ts";
import type { Entrant, Job } from "./suite.ts";

/** The import of each entry point. */
export const importing: Job = {
  id: "import",
  mechanism: "import",
  way: "alone",
  waiting: "sync",
  size: 0,
  placement: "unpinned",
  unit: "µs",
  pace: { repeat: 6, milliseconds: 100 },
  entrants: [
    entrant("nothing", ""),
    ...Object.entries(config.exports).map(([name, path]) =>
      entrant(name === "." ? "mod.ts" : name.slice(2), sourceOf(path))
    ),
  ],
};

function sourceOf(path: string): string {
  return `import "${import.meta.resolve(`../../${path}`)}";\n`;
}

function entrant(name: string, source: string): Entrant {
  return {
    name,
    ours: false,
    whyNot: () => null,
    run: (setting) => Promise.resolve(run(name, source, setting)),
  };
}

function run(name: string, source: string, setting: Setting): Run {
  const file = join(setting.directory, `import_${name}.ts`);
  try {
    Deno.writeTextFileSync(file, source, { createNew: true });
    start(file); // the first start compiles, and does not count
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const time = start(file);
  return { middle: time, mean: time };
}

/** How many microseconds a program takes from its start to its end. */
function start(file: string): number {
  const config = fromFileUrl(import.meta.resolve("../../deno.json"));
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-ffi", "--config", config, file],
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  });
  const before = performance.now();
  const { success } = command.outputSync();
  const time = (performance.now() - before) * 1000;
  if (!success) throw new Error(`${file} failed`);
  return time;
}
