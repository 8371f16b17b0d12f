// Memory cgroups: a process that takes more than its cgroup has is killed, without an
// error. So what a large request would need is compared with the limits first.

import type { SystemLimit } from "../errors.ts";
import { ENOMEM, ipcError } from "../libc/errno.ts";
import { readProc } from "./proc.ts";

const LARGE = 1 << 24; // bytes: to compare takes half a millisecond

/** Smaller requests are like any other allocation of the process: not checked. */
export function isLarge(size: number): boolean {
  return size >= LARGE;
}

/** A version of the interface: how it is found, and what its files are called. */
interface Version {
  /** The line of /proc/self/cgroup; the group is the path in the hierarchy. */
  readonly line: RegExp;
  /** What mountinfo(5) says of its mount, behind the dash. */
  readonly mount: RegExp;
  readonly limit: string;
  /** What of memory.stat can only be swapped out. */
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
  return Number(readProc(path)?.trim() || NaN); // "max" is none
}

/** The directories of this process's cgroup and of those around it. */
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

/** As mountinfo(5) writes a space. */
function unescape(text: string): string {
  return text.replace(
    /\\([0-7]{3})/g,
    (_, digits) => String.fromCharCode(parseInt(digits, 8)),
  );
}

/** The bytes that could be swapped out. */
function swapRoom(directory: string): number {
  const [, kilobytes] =
    readProc("/proc/meminfo")?.match(/^SwapFree: *(\d+) kB/m) ?? [];
  const free = Number(kilobytes ?? 0) * 1024;
  const max = number(`${directory}/memory.swap.max`);
  if (Number.isNaN(max)) return free;
  return Math.min(free, max - number(`${directory}/memory.swap.current`));
}

/**
 * Refuses to take so many bytes of memory at once if a cgroup of this process does
 * not have them now: its limit, less what it could only swap out, is below them. What
 * others of the cgroup take meanwhile is not known.
 */
export function checkMemory(
  size: number,
  syscall: string,
  subject: string,
): void {
  const limit = shortage(size);
  if (limit !== undefined) throw ipcError(ENOMEM, syscall, subject, limit);
}

/** The limit that does not allow so many bytes more. */
export function shortage(size: number): SystemLimit | undefined {
  if (!isLarge(size)) return undefined;
  for (const version of VERSIONS) {
    for (const directory of directories(version)) {
      const value = number(`${directory}/${version.limit}`);
      if (!Number.isSafeInteger(value)) continue; // there is no limit here
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
