// graph: processes and what they share as a picture.

import { inspect } from "../ffi/inspect.ts";
import { CommandLine, MAX_PID } from "./command_line.ts";
import { EXIT, Failure } from "./failure.ts";
import { type Graph, graphOf } from "./graph_model.ts";
import { dotOf, mermaidOf } from "./graph_text.ts";
import { KIND_NAMES, kindsOf } from "./objects.ts";
import { standardOutput, warnOfUnseen, writeAll } from "./output.ts";

export const GRAPH_USAGE =
  `Usage: ipc graph [KIND ...] [--format FORMAT] [--pid PID] [--all] [--output FILE]

Draws processes (ellipses) and the objects that they share (boxes). An arrow goes where the
data goes; it is dashed where a process waits. Stuck objects are red, orphaned ones amber.

  KIND             ${Object.keys(KIND_NAMES).slice(0, 8).join(", ")}, ...
  --format FORMAT  svg (the default), dot or mermaid. SVG is drawn by Graphviz, the npm
                   package @viz-js/viz, which is downloaded then
  --pid PID        only what this process holds
  --all            also objects that one process alone holds
  --output FILE    writes into a file`;

/** The most nodes that a picture has room for. */
const MOST = 1000;
const MOST_OF_MERMAID = 500; // arrows, unless it is configured
const FORMATS = ["svg", "dot", "mermaid"];

/** Runs it. */
export async function graph(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, GRAPH_USAGE, {
    flags: ["all"],
    values: ["format", "pid", "output"],
    words: ["[KIND ...]"],
  });
  const format = line.oneOf("format", FORMATS) ?? "svg";
  const pid = line.integer("pid", 1, MAX_PID);
  const snapshot = inspect({ kinds: kindsOf(line.words) });
  if (pid !== undefined && !snapshot.processes.has(pid)) {
    throw new Failure(
      EXIT.missing,
      `Process ${pid} holds nothing that can be seen`,
    );
  }
  const picture = graphOf(snapshot, { isAll: line.has("all"), pid });
  if (picture.nodes.length > MOST) {
    throw new Failure(
      EXIT.failed,
      `${picture.nodes.length} nodes are too many for a picture: choose kinds, or --pid`,
    );
  }
  if (format === "mermaid" && picture.edges.length >= MOST_OF_MERMAID) {
    throw new Failure(
      EXIT.failed,
      `${picture.edges.length} arrows are too many for Mermaid: choose kinds, or --pid`,
    );
  }
  const text = await textOf(picture, format);
  const file = line.value("output");
  if (file === undefined) writeAll(Deno.stdout, text);
  else Deno.writeTextFileSync(file, text);
  warnOfUnseen(standardOutput(true), snapshot.unseen);
  return EXIT.done;
}

async function textOf(picture: Graph, format: string): Promise<string> {
  if (format === "mermaid") return mermaidOf(picture);
  return format === "dot" ? dotOf(picture) : await svgOf(picture);
}

/** The graph as SVG, drawn by a program of its own that loads the library. */
export async function svgOf(picture: Graph): Promise<string> {
  const program = import.meta.resolve("./graph/draw.ts");
  const isLocal = program.startsWith("file:");
  const config = import.meta.resolve("./graph/deno.json");
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...(isLocal
        ? ["--frozen", "--config", decodeURIComponent(new URL(config).pathname)]
        : ["--no-config", "--no-lock"]),
      program,
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(dotOf(picture)));
  await writer.close();
  const { success, stdout } = await child.output();
  if (!success) {
    throw new Failure(
      EXIT.failed,
      "The picture could not be drawn; --format dot and --format mermaid need nothing else",
    );
  }
  return new TextDecoder().decode(stdout);
}
