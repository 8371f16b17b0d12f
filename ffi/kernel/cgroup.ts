// Memory cgroups: the kernel kills a process that exceeds the limit of its cgroup, and
// no call returns an error. So large requests are compared with the limits first.

import type { SystemLimit } from "../errors.ts";
import { ENOMEM, ipcError } from "../libc/errno.ts";
import { unescape } from "./mount_table.ts";
import { readProc } from "./proc.ts";

const LARGE = 1 << 24; // bytes: reading the limits takes half a millisecond

/** Whether a request is checked. Smaller ones are like any other allocation. */
export function isLarge(size: number): boolean {
  return size >= LARGE;
}

/** A version of the cgroup interface, and the names of its files. */
interface Version {
  /** The line of /proc/self/cgroup; its group is the path in the hierarchy. */
  readonly line: RegExp;
  /** The fields after the dash in its line of mountinfo(5). */
  readonly mount: RegExp;
  readonly limit: string;
  /** The lines of memory.stat that count memory which can only be swapped out. */
  readonly kept: RegExp;
}

const VERSIONS: readonly Version[] = [
  {
    line: /^0::(.*)$/m,
    mount: /^cgroup2 /,
    limit: "memory.max",
    kept: /^(?:anon|shmem) (\d+)$/gm,
  },
  {
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    mount: /^cgroup \S+ (?:\S*,)?memory(?:,|$)/,
    limit: "memory.limit_in_bytes",
    kept: /^total_(?:rss|shmem) (\d+)$/gm,
  },
];

function number(path: string): number {
  return Number(readProc(path)?.trim() || NaN); // NaN for "max"
}

/** The directories of this process's cgroup and of its ancestors. */
function* directories({ line, mount }: Version): Generator<string> {
  const path = readProc("/proc/self/cgroup")?.match(line)?.[1];
  if (path === undefined) return;
  for (const row of readProc("/proc/self/mountinfo")?.split("\n") ?? []) {
    const [place = "", kind = ""] = row.split(" - ");
    if (!mount.test(kind)) continue;
    const [, , , root, directory] = place.split(" ").map(unescape);
    const prefix = root === "/" ? "" : `${root}/`;
    const below = `${path}/`.startsWith(prefix)
      ? path.slice(prefix.length).split("/").filter(Boolean)
      : [];
    for (let depth = below.length; depth >= 0; depth--) {
      yield [directory, ...below.slice(0, depth)].join("/");
    }
    return;
  }
}

/** The number of bytes that can still be swapped out. */
function swapRoom(directory: string): number {
  const [, kilobytes] =
    readProc("/proc/meminfo")?.match(/^SwapFree: *(\d+) kB/m) ?? [];
  const free = Number(kilobytes ?? 0) * 1024;
  const max = number(`${directory}/memory.swap.max`);
  if (Number.isNaN(max)) return free;
  return Math.min(free, max - number(`${directory}/memory.swap.current`));
}

/**
 * Throws ENOMEM if a cgroup of this process does not have `size` bytes of memory now:
 * the limit, less the memory that can only be swapped out, plus the free swap space.
 * Memory that other processes of the cgroup take meanwhile is not foreseen.
 */
export function checkMemory(
  size: number,
  syscall: string,
  subject: string,
): void {
  const limit = shortage(size);
  if (limit !== undefined) throw ipcError(ENOMEM, syscall, subject, limit);
}

/** The limit that `size` more bytes would exceed; undefined if there is none. */
export function shortage(size: number): SystemLimit | undefined {
  if (!isLarge(size)) return undefined;
  for (const version of VERSIONS) {
    for (const directory of directories(version)) {
      const value = number(`${directory}/${version.limit}`);
      if (!Number.isSafeInteger(value)) continue; // no limit
      const kept = readProc(`${directory}/memory.stat`)?.matchAll(version.kept);
      const used = [...kept ?? []].reduce(
        (sum, [, part]) => sum + Number(part),
        0,
      );
      if (size <= value - used + swapRoom(directory)) continue;
      return { name: `${directory}/${version.limit}`, value };
    }
  }
  return undefined;
}
