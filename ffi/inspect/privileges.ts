// What this process may see of others: its capabilities, the options of /proc, and whether
// its PID namespace has all processes.

import type { Mount } from "../kernel/mount_table.ts";
import { linkAt, textAt } from "../kernel/proc_files.ts";
import { errno, ESRCH } from "../libc/errno.ts";
import { signal } from "../libc/signal.ts";

const CAP_SYS_PTRACE = 19n;
// PROC_PID_INIT_INO: the namespace that all others are in.
const ALL_PROCESSES = "pid:[4026531836]";

/** What a process may see of others. */
export interface Privileges {
  /** Whether it has CAP_SYS_PTRACE, so that no user is a reason to be hidden. */
  readonly traces: boolean;
  /** The option of /proc that hides processes of other users; undefined without one. */
  readonly hidepid: string | undefined;
  /** Whether there are processes outside of its PID namespace. */
  readonly isInside: boolean;
}

/** The privileges of the process whose directory in /proc is open. */
export function privilegesOf(
  process: number,
  mounts: ReadonlyMap<number, Mount>,
): Privileges {
  const status = textAt(process, "status") ?? "";
  const numbers = (field: string) => {
    const [, text = ""] =
      status.match(new RegExp(`^${field}:\\s*(.*)$`, "m")) ??
        [];
    return text.split(/\s+/);
  };
  const capabilities = BigInt(`0x${numbers("CapEff")[0] || "0"}`);
  const traces = ((capabilities >> CAP_SYS_PTRACE) & 1n) === 1n;
  const proc = [...mounts.values()].findLast(({ directory }) =>
    directory === "/proc"
  );
  const options = proc?.options.split(",") ?? [];
  const hidepid = options.find((option) =>
    /^hidepid=(?:[124]|noaccess|invisible|ptraceable)$/.test(option)
  );
  const gid = options.find((option) => option.startsWith("gid="))?.slice(4) ??
    "0";
  const groups = [...numbers("Gid"), ...numbers("Groups")];
  // A member of that group sees all, but for "ptraceable".
  const isExempt = traces ||
    (groups.includes(gid) && !/=(?:4|ptraceable)$/.test(hidepid ?? ""));
  return {
    traces,
    hidepid: isExempt ? undefined : hidepid,
    isInside: linkAt(process, "ns/pid") !== ALL_PROCESSES,
  };
}

/** Whether there is a process with this id that /proc may hide. */
export function exists(pid: number): boolean {
  return signal().kill(pid, 0) === 0 || errno() !== ESRCH;
}
