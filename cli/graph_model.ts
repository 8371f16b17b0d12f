// Processes and the objects that they share as a graph: nodes, and arrows along which data
// goes.

import type { IpcHolder, IpcObject, IpcSnapshot } from "../ffi/inspect.ts";
import { printable } from "../ffi/inspect/text.ts";
import { sizeOf } from "./format.ts";

/** A process or an object. */
export interface Node {
  readonly id: string;
  readonly isProcess: boolean;
  /** One line or several. */
  readonly lines: readonly string[];
  /** The state of an object's verdict, or "process". */
  readonly state: string;
}

/** What a process does with an object. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  readonly label: string;
  /** Whether a thread is blocked there. */
  readonly waits: boolean;
  /** Whether data goes in both directions, or in none. */
  readonly directions: "one" | "both" | "none";
}

/** A graph. */
export interface Graph {
  readonly nodes: readonly Node[];
  readonly edges: readonly Edge[];
}

/** Whether an object is worth a node: it is shared, or something is wrong with it. */
function isShared({ holders, verdict }: IpcObject): boolean {
  return holders.length > 1 || verdict.state === "stuck" ||
    verdict.state === "orphaned";
}

/** The two ends of a connection are one node: the one with the smaller inode. */
function nodeOf(object: IpcObject): string {
  if (object.kind !== "unix-socket" || object.peer === null) return object.ref;
  const peer = Number(object.peer.split(":")[1]);
  return peer < object.inode ? object.peer : object.ref;
}

/** The graph of a snapshot: of shared objects, or of all, and of one process. */
export function graphOf(
  snapshot: IpcSnapshot,
  { isAll, pid }: { isAll: boolean; pid: number | undefined },
): Graph {
  const groups = Map.groupBy(snapshot.objects, nodeOf);
  const shown = [...groups].filter(([, objects]) => {
    const holders = new Set(
      objects.flatMap(({ holders }) => holders.map(({ pid }) => pid)),
    );
    if (pid !== undefined && !holders.has(pid)) return false;
    return isAll || objects.some(isShared) || holders.size > 1;
  });
  const edges = shown.flatMap(([id, objects]) =>
    objects.flatMap((object) =>
      object.holders.map((holder) => edgeOf(id, object, holder))
    )
  );
  const pids = new Set(
    shown.flatMap(([, objects]) =>
      objects.flatMap(({ holders }) => holders.map(({ pid }) => pid))
    ),
  );
  const nodes = [
    ...[...pids].sort((a, b) => a - b).map((pid) => processNode(snapshot, pid)),
    ...shown.map(([id, objects]) => objectNode(id, objects)),
  ];
  return { nodes, edges };
}

function processNode({ processes }: IpcSnapshot, pid: number): Node {
  const process = processes.get(pid);
  const stopped = /[Tt]/.test(process?.state ?? "") ? ["stopped"] : [];
  return {
    id: `process:${pid}`,
    isProcess: true,
    lines: [`${pid} ${printable(process?.name ?? "?")}`, ...stopped],
    state: "process",
  };
}

function objectNode(id: string, objects: readonly IpcObject[]): Node {
  const [first] = objects as [IpcObject];
  const named = objects.find(({ name }) => !name.startsWith("socket:")) ??
    first;
  const worst = objects.find(({ verdict }) => verdict.state !== "in use") ??
    first;
  return {
    id,
    isProcess: false,
    lines: [
      first.kind,
      printable(named.name),
      ...factsOf(named),
      ...(worst.verdict.state === "in use" ? [] : [worst.verdict.state]),
    ],
    state: worst.verdict.state,
  };
}

/** A line of what is in an object. */
function factsOf(object: IpcObject): string[] {
  if (object.library !== null) {
    return [`${object.library.class}: ${object.library.state}`];
  }
  switch (object.kind) {
    case "sysv-queue":
      return [`${object.messages} messages`];
    case "posix-queue":
      return object.messages === null
        ? []
        : [`${object.messages} of ${object.maxMessages} messages`];
    case "posix-semaphore":
      return object.value === null ? [] : [`value ${object.value}`];
    case "sysv-semaphores":
      return [`${object.count} semaphores`];
    case "unix-socket":
      return [`${object.type}, ${object.state}`];
    case "file-lock":
      return [`${object.locks.filter(({ waits }) => !waits).length} locks`];
    default:
      return object.size === null ? [] : [sizeOf(object.size)];
  }
}

// Roles that the direction of an arrow tells.
const DIRECTIONS = ["reads", "writes"];

function edgeOf(id: string, { kind }: IpcObject, holder: IpcHolder): Edge {
  const { pid, roles, waitsIn } = holder;
  const process = `process:${pid}`;
  const isSocket = kind === "unix-socket";
  const reads = roles.includes("reads") || isSocket;
  const writes = roles.includes("writes") || isSocket;
  const said = roles.filter((role) =>
    !DIRECTIONS.includes(role) && role !== "open" && role !== "waits"
  );
  const waits = roles.includes("waits");
  const label = [
    ...said,
    ...(waits
      ? [`waits${waitsIn.length > 0 ? `: ${waitsIn.join()}` : ""}`]
      : []),
  ].join(", ");
  const isFromObject = reads && !writes;
  return {
    from: isFromObject ? id : process,
    to: isFromObject ? process : id,
    label,
    waits,
    directions: reads && writes ? "both" : reads || writes ? "one" : "none",
  };
}
