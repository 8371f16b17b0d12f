// ls: the objects as a table, one of all kinds or one for each kind.

import {
  inspect,
  type IpcKind,
  type IpcObject,
  type IpcSnapshot,
} from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT, Failure } from "./failure.ts";
import { agoOf, modeOf, sizeOf, timeOf, userOf } from "./format.ts";
import { jsonPieces } from "./json.ts";
import { idOf, KIND_NAMES, kindsOf } from "./objects.ts";
import {
  type Output,
  standardOutput,
  warnOfUnseen,
  writeAll,
} from "./output.ts";
import { paintOf } from "./style.ts";
import { type Column, cut, tableOf } from "./table.ts";

export const LS_USAGE =
  `Usage: ipc ls [KIND ...] [--state STATE] [--json] [--wide]

Lists what processes share. Without a kind the list has one line for each object; with
one or more kinds there is a table for each, with the columns of lsipc(1) and more.

  KIND           ${Object.keys(KIND_NAMES).slice(0, 8).join(", ")},
                 ${Object.keys(KIND_NAMES).slice(8, 14).join(", ")},
                 ${Object.keys(KIND_NAMES).slice(14).join(", ")}
  --state STATE  only those that are in-use, idle, orphaned or stuck; several times
  --json         everything that is known, as JSON
  --wide         whole lines, with exact sizes and times`;

const STATES = ["in-use", "idle", "orphaned", "stuck"];

/** The objects of a snapshot that are in one of these states; all without a state. */
export function inStates(
  objects: readonly IpcObject[],
  states: readonly string[],
): readonly IpcObject[] {
  for (const state of states) {
    if (!STATES.includes(state)) {
      throw new Failure(
        EXIT.usage,
        `There is no state "${printable(state)}". The states are: ${
          STATES.join(", ")
        }`,
      );
    }
  }
  return states.length === 0
    ? objects
    : objects.filter(({ verdict }) =>
      states.includes(verdict.state.replace(" ", "-"))
    );
}

/** Runs it. */
export function ls(args: readonly string[]): number {
  const line = new CommandLine(args, LS_USAGE, {
    flags: ["json", "wide"],
    lists: ["state"],
    words: ["[KIND ...]"],
  });
  const kinds = kindsOf(line.words);
  const states = line.values("state");
  inStates([], states);
  const snapshot = inspect({ kinds });
  const objects = inStates(snapshot.objects, states);
  const output = standardOutput(line.has("wide"));
  if (line.has("json")) {
    for (const piece of jsonPieces(snapshot, objects)) {
      writeAll(Deno.stdout, piece);
    }
    return EXIT.done;
  }
  const isWide = line.has("wide");
  const lines = kinds === undefined
    ? listOf(snapshot, objects, output, isWide)
    : kinds.flatMap((kind) => [
      ...tableOfKind(kind, snapshot, objects, output, isWide),
      "",
    ]).slice(0, -1);
  for (const line of lines) output.print(line);
  warnOfUnseen(output, snapshot.unseen);
  return EXIT.done;
}

/** A cell of an object. */
type Cell = (object: IpcObject, how: How) => string;

/** What cells depend on besides their object. */
interface How {
  readonly snapshot: IpcSnapshot;
  readonly output: Output;
  readonly isWide: boolean;
}

/** A column with its cells. */
interface Field extends Column {
  readonly cell: Cell;
}

function field(heading: string, cell: Cell, align?: "right"): Field {
  return { heading, cell, ...(align === undefined ? {} : { align }) };
}

const KIND = field("KIND", ({ kind }) => kind);
const NAME = field("NAME", ({ name }, { output }) =>
  // A long path would leave no room for the rest of a line of a terminal.
  output.width === Infinity ? printable(name) : cut(printable(name), 36));
const ID = field("ID", idOf, "right");
const PERMS = field("PERMS", ({ mode }) => mode === null ? "-" : modeOf(mode));
const OWNER = field("OWNER", ({ uid }) => uid === null ? "-" : userOf(uid));
const SIZE = field(
  "SIZE",
  ({ size }, { isWide }) =>
    size === null ? "-" : isWide ? String(size) : sizeOf(size),
  "right",
);
const CTIME = field(
  "CTIME",
  ({ changed }, { snapshot, isWide }) =>
    changed === null
      ? "-"
      : isWide
      ? timeOf(changed)
      : agoOf(changed, snapshot.time),
  "right",
);
const STATE = field(
  "STATE",
  ({ verdict: { state, certain } }, { output }) =>
    paintOf(output.style, state)(
      certain || state !== "orphaned" ? state : `${state}?`,
    ),
);
const HOLDERS = field("HOLDERS", ({ holders }, { isWide }) => {
  const shown = isWide ? holders : holders.slice(0, 3);
  const more = holders.length > shown.length ? "+" : "";
  return shown.map(({ pid }) => pid).join(",") + more || "-";
});
const REASON = field(
  "REASON",
  ({ verdict, library }) =>
    library === null
      ? verdict.reason
      : `${library.class} ${library.state}: ${verdict.reason}`,
);

/** A column that some kinds have: a property of that name. */
function own(
  heading: string,
  name: string,
  show: (value: never) => string = String,
  align: "right" | undefined = "right",
): Field {
  return field(heading, (object) => {
    const value = (object as unknown as Record<string, unknown>)[name];
    return value === null || value === undefined ? "-" : show(value as never);
  }, align);
}

const KEY = own(
  "KEY",
  "key",
  (key: number) => `0x${key.toString(16).padStart(8, "0")}`,
);
const COMMON = [PERMS, OWNER];
const END = [STATE, HOLDERS, REASON];

/** The columns of each kind, those of lsipc first. */
const FIELDS: Record<IpcKind, readonly Field[]> = {
  "sysv-queue": [
    KEY,
    ID,
    ...COMMON,
    field("USEDBYTES", SIZE.cell, "right"),
    own("MSGS", "messages"),
    own("LSPID", "lastSenderPid"),
    own("LRPID", "lastReceiverPid"),
    own("QBYTES", "maxBytes"),
  ],
  "sysv-memory": [
    KEY,
    ID,
    ...COMMON,
    SIZE,
    own("NATTCH", "attachments"),
    field(
      "STATUS",
      (object) =>
        object.kind === "sysv-memory" && object.removed ? "dest" : "-",
    ),
    CTIME,
    own("CPID", "creatorPid"),
    own("LPID", "lastPid"),
  ],
  "sysv-semaphores": [
    KEY,
    ID,
    ...COMMON,
    own("NSEMS", "count"),
    field("VALUES", (object, { isWide }) => {
      if (object.kind !== "sysv-semaphores" || !object.semaphores) return "-";
      const { semaphores } = object;
      const shown = semaphores.slice(0, isWide ? Infinity : 8);
      return shown.map(({ value }) => value).join(",") +
        (semaphores.length > shown.length ? ",…" : "");
    }),
    field(
      "WAITERS",
      (object) =>
        object.kind !== "sysv-semaphores" || !object.semaphores ? "-" : String(
          object.semaphores.reduce(
            (sum, { waiters }) => sum + waiters.increase + waiters.zero,
            0,
          ),
        ),
      "right",
    ),
  ],
  "posix-queue": [
    NAME,
    ...COMMON,
    CTIME,
    field("USEDBYTES", SIZE.cell, "right"),
    own("MSGS", "messages"),
    own("MAXMSGS", "maxMessages"),
    own("MSGSIZE", "maxSize"),
  ],
  "posix-memory": [NAME, ...COMMON, CTIME, SIZE],
  "posix-semaphore": [
    NAME,
    ...COMMON,
    CTIME,
    own("VALUE", "value"),
    own("WAITERS", "waiters"),
  ],
  "memory-file": [NAME, ID, ...COMMON, CTIME, SIZE],
  fifo: [NAME, ID, ...COMMON, CTIME],
  pipe: [NAME],
  "unix-socket": [
    field("NAME", NAME.cell),
    ID,
    own("TYPE", "type", String, undefined),
    own("STATE", "state", String, undefined),
    own("RECV-Q", "receiveQueue"),
    own("SEND-Q", "sendQueue"),
    own("PEER", "peer", (peer: string) => peer.split(":")[1]!),
  ],
  "file-lock": [
    NAME,
    field(
      "LOCKS",
      (object) =>
        object.kind !== "file-lock" ? "-" : object.locks.map(
          ({ type, shared, pids, waits }) =>
            `${waits ? "wait " : ""}${type} ${shared ? "read" : "write"} ` +
            (pids.join() || "?"),
        ).join("; "),
    ),
  ],
  eventfd: [NAME, own("COUNT", "value"), own("SEMAPHORE", "semaphore")],
};

function rowsOf(
  fields: readonly Field[],
  objects: readonly IpcObject[],
  how: How,
): string[][] {
  return objects.map((object) => fields.map(({ cell }) => cell(object, how)));
}

/** The list of all kinds. */
export function listOf(
  snapshot: IpcSnapshot,
  objects: readonly IpcObject[],
  output: Output,
  isWide: boolean,
): string[] {
  const fields = [KIND, NAME, ID, ...COMMON, SIZE, CTIME, ...END];
  const how = { snapshot, output, isWide };
  const rows = rowsOf(fields, objects, how);
  return tableOf(fields, rows, output.width, output.style.heading);
}

function tableOfKind(
  kind: IpcKind,
  snapshot: IpcSnapshot,
  all: readonly IpcObject[],
  output: Output,
  isWide: boolean,
): string[] {
  const objects = all.filter((object) => object.kind === kind);
  // The state of a socket is a column of its own.
  const end = kind === "unix-socket"
    ? [{ ...STATE, heading: "VERDICT" }, HOLDERS, REASON]
    : END;
  const fields = [...FIELDS[kind], ...end];
  const rows = rowsOf(fields, objects, { snapshot, output, isWide });
  const title = `${kind}: ${objects.length}`;
  return [
    output.style.heading(title),
    ...tableOf(fields, rows, output.width, output.style.dim),
  ];
}
