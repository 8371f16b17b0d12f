// Locks on files: /proc/locks, which proc_locks(5) describes.

import { linesOf } from "../kernel/proc_files.ts";
import type { Catalogue } from "./catalogue.ts";
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

/** Adds the files with locks. */
export function addFileLocks(catalogue: Catalogue): void {
  if (!catalogue.wants("file-lock")) return;
  for (const line of linesOf("/proc/locks")) {
    const cells = line.match(LINE);
    if (cells === null) continue;
    const [, number, waits, type, access, pid, device, inode, start, end] =
      cells;
    const ref = catalogue.add("file-lock", `${device}:${inode}`, {
      name: `${device}:${inode}`,
      path: null,
      device,
      inode: Number(inode),
      locks: [],
    });
    const { locks } = catalogue.drafts.get(ref)!.fields as {
      locks: InspectedLock[];
    };
    locks.push({
      number: Number(number),
      type: TYPES[type!] ?? "posix",
      access: access === "READ" ? "read" : "write",
      pid: Number(pid) > 0 ? Number(pid) : null,
      start: Number(start),
      end: end === "EOF" ? Infinity : Number(end),
      waits: waits !== undefined,
    });
    if (Number(pid) > 0) {
      const role = waits === undefined ? "owns" : "waits";
      catalogue.note(ref, Number(pid), role);
    }
  }
}
