// show: everything that is known of one object.

import { inspect, type IpcObject, type IpcSnapshot } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT } from "./failure.ts";
import { agoOf, modeOf, sizeOf, timeOf, userOf } from "./format.ts";
import { jsonPieces } from "./json.ts";
import { kindsOf, objectOf } from "./objects.ts";
import {
  type Output,
  standardOutput,
  warnOfUnseen,
  writeAll,
} from "./output.ts";
import { paintOf } from "./style.ts";
import { tableOf } from "./table.ts";

export const SHOW_USAGE = `Usage: ipc show OBJECT [--kind KIND] [--json]

Shows all that is known of one object.

  OBJECT       a name (/jobs), a path, a key (0x3039), an identifier or inode (5), or
               what "ls --json" calls "ref" (sysv-queue:5), which is never ambiguous
  --kind KIND  where a name is of several kinds
  --json       as JSON`;

/** Runs it. */
export function show(args: readonly string[]): number {
  const line = new CommandLine(args, SHOW_USAGE, {
    flags: ["json"],
    lists: ["kind"],
    words: ["OBJECT"],
  });
  const snapshot = inspect({ kinds: kindsOf(line.values("kind")) });
  const object = objectOf(snapshot, line.words[0]!);
  const output = standardOutput(true);
  if (line.has("json")) {
    for (const piece of jsonPieces(snapshot, [object])) {
      writeAll(Deno.stdout, piece);
    }
    return EXIT.done;
  }
  for (const text of linesOf(snapshot, object, output)) output.print(text);
  warnOfUnseen(output, snapshot.unseen);
  return EXIT.done;
}

// Those that are shown in another place, or in another way.
const ELSEWHERE = ["kind", "ref", "holders", "verdict", "library", "name"];

/** The lines that show an object. */
export function linesOf(
  snapshot: IpcSnapshot,
  object: IpcObject,
  output: Output,
): string[] {
  const { style } = output;
  const { ref, name, verdict, library, holders } = object;
  const certain = verdict.certain ? "" : " (as far as can be seen)";
  const facts: string[][] = [
    ["name", printable(name)],
    [
      "verdict",
      `${
        paintOf(style, verdict.state)(verdict.state)
      }${certain}: ${verdict.reason}`,
    ],
  ];
  if (library !== null) {
    const owner = library.ownerPid === null
      ? ""
      : `, owner ${library.ownerPid}`;
    facts.push(["is a", `${library.class}, ${library.state}${owner}`]);
  }
  for (const [field, value] of Object.entries(object)) {
    if (ELSEWHERE.includes(field)) continue;
    facts.push([field, valueOf(field, value, snapshot)]);
  }
  const width = Math.max(...facts.map(([field]) => field!.length));
  return [
    style.heading(printable(ref)),
    ...facts.map(([field, value]) => `  ${field!.padEnd(width)}  ${value}`),
    style.heading(holders.length === 0 ? "No holders" : "Holders"),
    ...(holders.length === 0 ? [] : holdersOf(snapshot, object, output)),
  ];
}

/** A value of a field, as one reads it. */
function valueOf(field: string, value: unknown, { time }: IpcSnapshot): string {
  if (value === null) return "unknown, or none";
  if (value instanceof Date) {
    return `${timeOf(value)} (${agoOf(value, time)} ago)`;
  }
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (/uid$/i.test(field)) return `${value} (${userOf(value as number)})`;
  if (field === "mode") return modeOf(value as number);
  if (field === "key") return `0x${(value as number).toString(16)}`;
  if (/^(?:size|resident|maxBytes)$/.test(field)) {
    return `${value} bytes (${sizeOf(value as number)})`;
  }
  if (Array.isArray(value)) {
    return value.map((entry, index) => `[${index}] ${detailsOf(entry)}`)
      .join("; ");
  }
  return printable(String(value));
}

/** The fields of a semaphore or a lock. */
function detailsOf(entry: Record<string, unknown>): string {
  return Object.entries(entry).map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

function holdersOf(
  { processes }: IpcSnapshot,
  { holders }: IpcObject,
  { width, style }: Output,
): string[] {
  const columns = ["PID", "USER", "ROLES", "FDS", "MAPS", "COMMAND"]
    .map((heading) => ({ heading }));
  const rows = holders.map((holder) => {
    const { pid, roles, fds, descriptors, mappings, waitsIn } = holder;
    const process = processes.get(pid);
    const calls = waitsIn.length > 0 ? ` in ${waitsIn.join(",")}` : "";
    const more = descriptors > fds.length ? `,… (${descriptors})` : "";
    return [
      String(pid),
      process === undefined ? "-" : userOf(process.uid),
      roles.join(",") + calls,
      fds.join(",") + more || "-",
      String(mappings),
      printable(process?.command ?? "-"),
    ];
  });
  return tableOf(columns, rows, width, style.dim).map((line) => `  ${line}`);
}
