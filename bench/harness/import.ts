// How long it takes to import this library: whole programs that do nothing else,
// over one that does nothing at all. What Deno keeps from earlier runs (JavaScript
// of TypeScript, and V8's code) is there, as it is from the second start on.

import { fromFileUrl, join } from "@std/path";
import config from "../../deno.json" with { type: "json" };
import type { Run } from "./results.ts";
import type { Setting } from "./run.ts";
import { median } from "./statistics.ts";
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
    run: (setting) => Promise.resolve(run(name, source, setting)),
  };
}

function run(name: string, source: string, setting: Setting): Run {
  const file = join(setting.directory, `import_${name}.ts`);
  Deno.writeTextFileSync(file, source);
  startsIn(setting.warmup, file);
  const times = startsIn(setting.duration, file);
  const mean = times.reduce((sum, time) => sum + time) / times.length;
  return { middle: median(times), mean };
}

/** How many microseconds each start takes, in so many milliseconds. */
function startsIn(milliseconds: number, file: string): number[] {
  const config = fromFileUrl(import.meta.resolve("../../deno.json"));
  const args = ["run", "--quiet", "--allow-ffi", "--config", config, file];
  const command = new Deno.Command(Deno.execPath(), {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "inherit",
  });
  const times: number[] = [];
  const end = performance.now() + milliseconds;
  do {
    const start = performance.now();
    const { success } = command.outputSync();
    times.push((performance.now() - start) * 1000);
    if (!success) throw new Error(`${file} failed`);
  } while (performance.now() < end);
  return times;
}
