// Takes a snapshot: the objects first, then who holds them, then what that means.

import { notMounted } from "../kernel/not_mounted.ts";
import { Catalogue, type Draft, holdersOf } from "./catalogue.ts";
import { contentReader } from "./contents.ts";
import { deadlocksIn } from "./deadlocks.ts";
import { addFileLocks, finishFileLocks } from "./file_locks.ts";
import { MEMORY_KINDS, noteMutexes } from "./mutexes.ts";
import { libraryObjectOf } from "./library_objects.ts";
import { addPosixFiles } from "./posix_files.ts";
import { addPosixQueues } from "./posix_queues.ts";
import { type Hidden, ProcessScan } from "./process_scan.ts";
import { ProcDirectory } from "./processes.ts";
import { addSockets } from "./sockets.ts";
import { addSysvObjects } from "./sysv.ts";
import type {
  Deadlock,
  IpcKind,
  IpcObject,
  IpcProcess,
  IpcSnapshot,
  LibraryObject,
} from "./types.ts";
import { Unseeables } from "./unseeables.ts";
import type { Unjudged } from "./unjudged.ts";
import { creatorIn, verdictOn } from "./verdicts.ts";

/** All kinds, in the order in which they are shown. */
export const KINDS: readonly IpcKind[] = [
  "sysv-queue",
  "sysv-memory",
  "sysv-semaphores",
  "posix-queue",
  "posix-memory",
  "posix-semaphore",
  "memory-file",
  "fifo",
  "pipe",
  "unix-socket",
  "file-lock",
  "eventfd",
];

/** The kinds of objects that can be locks. */
const LOCK_KINDS: readonly IpcKind[] = [
  "sysv-semaphores",
  "file-lock",
  ...MEMORY_KINDS,
];

/** The fields of objects that are process ids. */
const PIDS = [
  "lastSenderPid",
  "lastReceiverPid",
  "creatorPid",
  "lastPid",
  "notifyPid",
];

/** Takes a snapshot of objects of some kinds. */
export function takeSnapshot(kinds: ReadonlySet<IpcKind>): IpcSnapshot {
  const proc = ProcDirectory.open();
  if (proc === undefined) throw notMounted("inspect", "/proc");
  try {
    return snapshotOf(kinds, proc);
  } finally {
    proc[Symbol.dispose]();
  }
}

function snapshotOf(
  kinds: ReadonlySet<IpcKind>,
  proc: ProcDirectory,
): IpcSnapshot {
  const time = new Date();
  const unseen = new Unseeables();
  const { objects, processes, concealed, hidden } = collect(
    kinds,
    proc,
    unseen,
  );
  const deadlocks = confirmed(deadlocksIn(objects), kinds, proc);
  const circumstances = { processes, concealed, deadlocks, hidden };
  for (const object of objects) {
    Object.assign(object, { verdict: verdictOn(object, circumstances) });
  }
  const judged = objects as readonly IpcObject[];
  return {
    time,
    objects: sorted(judged),
    processes,
    deadlocks,
    unseen: unseen.list,
  };
}

/** What is found at once, without verdicts. */
interface Collected {
  readonly objects: readonly Unjudged[];
  readonly processes: ReadonlyMap<number, IpcProcess>;
  /** Those that objects name, that live, and of which /proc shows nothing. */
  readonly concealed: ReadonlySet<number>;
  readonly hidden: Hidden;
}

/** Collects the objects, and what all processes, or some, do with them. */
function collect(
  kinds: ReadonlySet<IpcKind>,
  proc: ProcDirectory,
  unseen: Unseeables,
  pids?: readonly number[],
): Collected {
  const catalogue = new Catalogue(kinds);
  addSysvObjects(catalogue);
  const files = addPosixFiles(catalogue, unseen);
  const queues = addPosixQueues(catalogue, unseen);
  addSockets(catalogue, unseen);
  addFileLocks(catalogue);
  const scan = new ProcessScan(
    catalogue,
    proc,
    files,
    queues,
    contentReader,
  );
  const hidden = scan.run(unseen, pids);
  finishFileLocks(catalogue);

  const drafts = [...catalogue.drafts.values()]
    .filter(({ kind }) => kinds.has(kind));
  for (const draft of drafts) noteMutexes(draft, catalogue);
  const libraries = new Map<string, LibraryObject | null>(
    drafts.map((draft) => [draft.ref, libraryObjectOf(draft, catalogue)]),
  );
  const named = pidsOf(drafts);
  const processes = processesOf(named, proc);
  const concealed = new Set(
    hidden.processes > 0 || hidden.others
      ? named.filter((pid) => !processes.has(pid) && proc.conceals(pid))
      : [],
  );
  const objects = drafts.map((draft) =>
    objectOf(draft, libraries.get(draft.ref)!, processes)
  ).filter((object) => object !== undefined);
  return { objects, processes, concealed, hidden };
}

/**
 * The deadlocks that are there on a second look, too. A snapshot is not one moment: what
 * looks like a cycle may be waits that came one after another.
 */
function confirmed(
  deadlocks: readonly Deadlock[],
  kinds: ReadonlySet<IpcKind>,
  proc: ProcDirectory,
): readonly Deadlock[] {
  if (deadlocks.length === 0) return deadlocks;
  const pids = deadlocks.flatMap(({ pids }) => pids);
  const locks = new Set(LOCK_KINDS.filter((kind) => kinds.has(kind)));
  const { objects } = collect(locks, proc, new Unseeables(), pids);
  const again = new Set(deadlocksIn(objects).map(nameOf));
  return deadlocks.filter((deadlock) => again.has(nameOf(deadlock)));
}

/** The same for a cycle wherever it begins. */
function nameOf({ pids, refs }: Deadlock): string {
  return pids.map((pid, index) => `${pid} ${refs[index]}`).sort().join();
}

/** The process ids that objects name, and those of their holders. */
function pidsOf(drafts: readonly Draft[]): number[] {
  const pids = new Set<number>();
  for (const { fields, holders, kind } of drafts) {
    for (const pid of holders.keys()) pids.add(pid);
    for (const field of PIDS) {
      if (typeof fields[field] === "number") pids.add(fields[field] as number);
    }
    const semaphores = fields.semaphores as { lastPid: number }[] | null;
    for (const { lastPid } of semaphores ?? []) pids.add(lastPid);
    if (kind.startsWith("posix-")) pids.add(creatorIn(String(fields.name)));
  }
  return [...pids].filter((pid) => pid > 0).sort((a, b) => a - b);
}

/** Those that live. */
function processesOf(
  pids: readonly number[],
  proc: ProcDirectory,
): Map<number, IpcProcess> {
  const processes = new Map<number, IpcProcess>();
  for (const pid of pids) {
    const process = proc.process(pid);
    if (process !== undefined) processes.set(pid, process);
  }
  return processes;
}

// They exist only while a process has them: without one they went away meanwhile.
const ONLY_HELD: readonly IpcKind[] = [
  "memory-file",
  "fifo",
  "pipe",
  "eventfd",
];

function objectOf(
  draft: Draft,
  library: LibraryObject | null,
  processes: ReadonlyMap<number, IpcProcess>,
): Unjudged | undefined {
  const { kind, fields } = draft;
  const holders = holdersOf(draft, (pid) => processes.has(pid));
  const isGone = holders.length === 0 &&
    (ONLY_HELD.includes(kind) || fields.unlinked === true);
  if (isGone) return undefined;
  return Object.assign(fields, { holders, library }) as unknown as Unjudged;
}

/** Sorts by kind, then by the number or the name in the ref. */
function sorted(objects: readonly IpcObject[]): IpcObject[] {
  const places = objects.map((object) => {
    const { kind, ref } = object;
    const id = Number(ref.slice(kind.length + 1)) || 0;
    return { object, ref, kind: KINDS.indexOf(kind), id };
  });
  places.sort((a, b) =>
    a.kind - b.kind || a.id - b.id || (a.ref < b.ref ? -1 : 1)
  );
  return places.map(({ object }) => object);
}
