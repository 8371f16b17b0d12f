// The objects of one kind and their holders, without a verdict: what the list() of classes
// whose objects have no directory is built on.

import { notMounted } from "../kernel/not_mounted.ts";
import { Catalogue, holdersOf } from "./catalogue.ts";
import { addFileLocks, finishFileLocks } from "./file_locks.ts";
import { ProcessScan } from "./process_scan.ts";
import { ProcDirectory } from "./processes.ts";
import { addSockets } from "./sockets.ts";
import type { IpcKind, IpcObject } from "./types.ts";
import { Unseeables } from "./unseeables.ts";

/** An object as `list()` needs it. */
export type Held<K extends IpcKind> = Omit<
  Extract<IpcObject, { kind: K }>,
  "verdict" | "library"
>;

/** The kinds that need nothing but processes, and what the kernel lists besides. */
export type HeldKind =
  | "memory-file"
  | "fifo"
  | "eventfd"
  | "unix-socket"
  | "file-lock";

/**
 * All objects of a kind that this process may see; `action` is what an error says that it
 * was needed for.
 */
export function heldObjects<K extends HeldKind>(
  kind: K,
  action: string,
): Held<K>[] {
  const proc = ProcDirectory.open();
  if (proc === undefined) throw notMounted(action, "/proc");
  try {
    const catalogue = new Catalogue(new Set<IpcKind>([kind]));
    const unseen = new Unseeables();
    addSockets(catalogue, unseen);
    addFileLocks(catalogue);
    new ProcessScan(catalogue, proc, new Map(), new Map()).run(unseen);
    finishFileLocks(catalogue);
    const isAlive = (pid: number) => proc.process(pid) !== undefined;
    return [...catalogue.drafts.values()].map((draft) =>
      Object.assign(draft.fields, { holders: holdersOf(draft, isAlive) })
    ) as unknown as Held<K>[];
  } finally {
    proc[Symbol.dispose]();
  }
}
