// Charts and tables of what `deno task bench --json` has measured.

import { parseArgs } from "@std/cli";
import { join } from "@std/path";
import type { Report } from "../harness/results.ts";
import { chartsOf } from "./charts.ts";
import { draw } from "./draw.ts";
import { markdownOf } from "./markdown.ts";

const BEGIN = "<!-- figures: made by deno task bench:report -->";
const END = "<!-- end of figures -->";

const HELP = `Usage: deno task bench:report FILE.json [options]

Makes charts and tables of what deno task bench --json FILE.json has measured.
Prints the tables, unless told otherwise.

Options:
  --charts DIR     draw the charts: an SVG file each
  --markdown FILE  put the tables in this file, in place of what is between
                   ${BEGIN}
                   and ${END}
  --help           show this`;

/** A command line that nothing can be done with. */
class UsageError extends Error {}

async function writeCharts(report: Report, directory: string): Promise<void> {
  Deno.mkdirSync(directory, { recursive: true });
  for (const [name, svg] of Object.entries(await draw(chartsOf(report)))) {
    const file = join(directory, `${name}.svg`);
    Deno.writeTextFileSync(file, svg + "\n");
    console.log(file);
  }
}

function replaceFigures(file: string, figures: string): void {
  const text = Deno.readTextFileSync(file);
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin === -1 || end < begin) {
    throw new UsageError(`${file} has no ${BEGIN} before ${END}`);
  }
  const before = text.slice(0, begin + BEGIN.length);
  const after = text.slice(end);
  Deno.writeTextFileSync(file, `${before}\n\n${figures}\n${after}`);
  console.log(file);
}

async function main(): Promise<void> {
  const args = parseArgs(Deno.args, {
    boolean: ["help"],
    string: ["charts", "markdown"],
    unknown(argument) {
      if (argument.startsWith("-")) {
        throw new UsageError(`Unknown argument ${argument}\n${HELP}`);
      }
    },
  });
  if (args.help) return console.log(HELP);
  const [input, ...rest] = args._;
  if (input === undefined || rest.length > 0) throw new UsageError(HELP);
  const report: Report = JSON.parse(Deno.readTextFileSync(`${input}`));
  const { charts, markdown } = args;
  if (charts !== undefined) await writeCharts(report, charts);
  if (markdown !== undefined) replaceFigures(markdown, markdownOf(report));
  if (charts ?? markdown) return;
  console.log(markdownOf(report).trimEnd());
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
