// watch: the list, refreshed in place, with its changes marked. Where the output is no
// terminal: a line for each change.

import { inspect, type IpcObject } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { type Change, changesOf } from "./changes.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT } from "./failure.ts";
import { timeOf } from "./format.ts";
import { inStates, listOf } from "./ls.ts";
import { kindsOf } from "./objects.ts";
import {
  type Output,
  standardOutput,
  terminalSize,
  writeAll,
} from "./output.ts";
import { listenFor } from "./signals.ts";
import { cut, widthOf } from "./table.ts";

export const WATCH_USAGE =
  `Usage: ipc watch [KIND ...] [--interval SECONDS] [--count N] [--state STATE]

Lists what processes share again and again, what is stuck first. In a terminal the list is
refreshed in place: "+" marks what is new, "~" what has changed, "-" what is gone. Elsewhere
there is a line for each change. Ctrl-C ends it.

  --interval SECONDS  2 by default, from 0.1
  --count N           ends after N snapshots
  --state STATE       only those that are in-use, idle, orphaned or stuck; several times`;

const MARKS = { new: "+", changed: "~", gone: "-" };
const ORDER = ["stuck", "orphaned", "in use", "idle"];

const HOME = "\x1b[H";
const END_OF_LINE = "\x1b[K";
const END_OF_SCREEN = "\x1b[J";
const ENTER = "\x1b[?1049h\x1b[?25l"; // another screen, and no cursor
const LEAVE = "\x1b[?25h\x1b[?1049l";

/** Runs it. */
export async function watch(args: readonly string[]): Promise<number> {
  const line = new CommandLine(args, WATCH_USAGE, {
    values: ["interval", "count"],
    lists: ["state"],
    words: ["[KIND ...]"],
  });
  const kinds = kindsOf(line.words);
  const states = line.values("state");
  inStates([], states);
  const interval = (line.number("interval", 0.1, 86400) ?? 2) * 1000;
  const count = line.integer("count", 1, 1e9) ?? Infinity;
  // A dumb terminal cannot be written to in place.
  const isTerminal = Deno.stdout.isTerminal() &&
    Deno.env.get("TERM") !== "dumb";
  const interrupted = new AbortController();
  const stop = () => interrupted.abort();
  let draw = () => {};
  using _listeners = listenFor({
    SIGINT: stop,
    SIGTERM: stop,
    SIGWINCH: () => draw(), // resized
  });
  if (isTerminal) writeAll(Deno.stdout, ENTER);
  try {
    let before: readonly IpcObject[] | undefined;
    for (let look = 0; look < count; look++) {
      if (look > 0) await pause(interval, interrupted.signal);
      if (interrupted.signal.aborted) break;
      const snapshot = inspect({ kinds });
      const objects = inStates(snapshot.objects, states);
      const changes = changesOf(before ?? objects, objects);
      if (isTerminal) {
        const shown = { ...snapshot, objects };
        draw = () =>
          writeAll(
            Deno.stdout,
            screenOf(shown, changes, standardOutput(false)),
          );
        draw();
      } else {
        const output = standardOutput(true);
        const lines = before === undefined
          ? listOf(snapshot, byState(objects), output, false)
          : [...changes.values()].map((change) =>
            changeLine(change, snapshot.time)
          );
        for (const text of lines) output.print(text);
      }
      before = objects;
    }
  } finally {
    if (isTerminal) writeAll(Deno.stdout, LEAVE);
  }
  return EXIT.done;
}

/** Waits so long, or until the signal. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}

/** What is stuck first. */
function byState(objects: readonly IpcObject[]): IpcObject[] {
  const place = ({ verdict }: IpcObject) => ORDER.indexOf(verdict.state);
  return [...objects].sort((a, b) => place(a) - place(b));
}

function changeLine({ kind, object, facts }: Change, time: Date): string {
  const { ref, verdict } = object;
  const what = kind === "changed"
    ? facts.join(", ")
    : kind === "new"
    ? `${verdict.state}: ${verdict.reason}`
    : "gone";
  return `${timeOf(time)} ${MARKS[kind]} ${printable(ref)} ${what}`;
}

/** A whole screen. */
function screenOf(
  snapshot: ReturnType<typeof inspect>,
  changes: ReadonlyMap<string, Change>,
  output: Output,
): string {
  const { style } = output;
  const { rows } = terminalSize();
  const gone = [...changes.values()].filter(({ kind }) => kind === "gone")
    .map(({ object }) => object);
  const objects = byState([...snapshot.objects, ...gone]);
  const width = output.width - 2;
  const [heading = "", ...lines] = listOf(
    snapshot,
    objects,
    { ...output, width },
    false,
  );
  const paints = { new: style.good, changed: style.warning, gone: style.dim };
  const marked = lines.map((line, index) => {
    const change = changes.get(objects[index]!.ref);
    if (widthOf(line) > width) line = cut(line, width); // or it would wrap
    if (change === undefined) return `  ${line}`;
    return paints[change.kind](`${MARKS[change.kind]} `) +
      (change.kind === "gone" ? style.dim(line) : line);
  });
  const stuck =
    snapshot.objects.filter(({ verdict }) => verdict.state === "stuck").length;
  const title =
    `${timeOf(snapshot.time)}  ${snapshot.objects.length} objects, ` +
    `${snapshot.processes.size} processes, ${stuck} stuck` +
    (snapshot.unseen.length > 0 ? ", some unseen" : "");
  const room = Math.max(rows - 2, 1);
  const shown = marked.slice(0, room - 1);
  const rest = marked.length - shown.length;
  return HOME +
    [
      style.heading(cut(title, output.width)),
      `  ${cut(heading, width)}`,
      ...shown,
      ...(rest > 0 ? [style.dim(`  and ${rest} more`)] : []),
    ].map((line) => `${line}${END_OF_LINE}`).join("\n") + END_OF_SCREEN;
}
