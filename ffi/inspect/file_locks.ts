// Locks on files: /proc/locks, which proc_locks(5) describes, and the same lines in
// /proc/PID/fdinfo, which tell which processes have a lock of an open file.

import { linesOf } from "../kernel/proc_files.ts";
import type { Catalogue, Draft } from "./catalogue.ts";
import type { InspectedLock } from "./types.ts";

const LINE =
  /^(\d+): *(->)? *(\S+) +\S+ +(\S+) +(-?\d+) +([0-9a-f]+:[0-9a-f]+):(\d+) +(\d+) +(\d+|EOF)/;

const TYPES: Record<string, InspectedLock["type"]> = {
  FLOCK: "flock",
  POSIX: "posix",
  OFDLCK: "ofd",
  LEASE: "lease",
  DELEG: "lease",
};

/** A lock while a snapshot is taken. */
interface LockDraft extends InspectedLock {
  readonly pids: number[];
  /** The process that the kernel has recorded: that of `flock` may have ended. */
  readonly recorded: number;
}

/** The lock of a line, and the id of its file; undefined if it is none. */
function parse(line: string): { id: string; lock: LockDraft } | undefined {
  const cells = line.match(LINE);
  if (cells === null) return undefined;
  const [, number, waits, type, access, pid, device, inode, start, end] = cells;
  return {
    id: `${device}:${inode}`,
    lock: {
      number: Number(number),
      type: TYPES[type!] ?? "posix",
      shared: access === "READ",
      pids: [],
      start: Number(start),
      length: end === "EOF" ? 0 : Number(end) - Number(start) + 1,
      waits: waits !== undefined,
      recorded: Number(pid),
    },
  };
}

function locksOf({ fields }: Draft): LockDraft[] {
  return fields.locks as LockDraft[];
}

/** Adds the files with locks. */
export function addFileLocks(catalogue: Catalogue): void {
  if (!catalogue.wants("file-lock")) return;
  for (const line of linesOf("/proc/locks")) {
    const found = parse(line);
    if (found === undefined) continue;
    const { id, lock } = found;
    const end = id.lastIndexOf(":");
    const ref = catalogue.add("file-lock", id, {
      name: id,
      path: null,
      device: id.slice(0, end),
      inode: Number(id.slice(end + 1)),
      locks: [],
    });
    locksOf(catalogue.drafts.get(ref)!).push(lock);
  }
}

/** Whether two lines are of one lock: their numbers differ. */
function isSame(one: LockDraft, other: LockDraft): boolean {
  return !one.waits && one.type === other.type &&
    one.shared === other.shared && one.recorded === other.recorded &&
    one.start === other.start && one.length === other.length;
}

/** Notes the locks in the fdinfo of a process; false if there are none. */
export function noteLocks(draft: Draft, pid: number, fdinfo: string): boolean {
  const lines = fdinfo.matchAll(/^lock:\s*(.+)$/gm);
  let isOwner = false;
  for (const [, line] of lines) {
    isOwner = true;
    const own = parse(line!)?.lock;
    for (const lock of locksOf(draft)) {
      const isMeant = own !== undefined && isSame(lock, own);
      if (isMeant && !lock.pids.includes(pid)) lock.pids.push(pid);
    }
  }
  return isOwner;
}

/** Adds the processes that the kernel has recorded, where fdinfo was not shown. */
export function finishFileLocks(catalogue: Catalogue): void {
  for (const draft of catalogue.drafts.values()) {
    if (draft.kind !== "file-lock") continue;
    for (const { recorded, pids, waits } of locksOf(draft)) {
      if (recorded <= 0 || pids.length > 0) continue;
      pids.push(recorded);
      catalogue.note(draft.ref, recorded, waits ? "waits" : "owns");
    }
    draft.fields.locks = locksOf(draft).map(({ recorded: _, ...lock }) => lock);
  }
}
