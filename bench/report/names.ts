// The names of mechanisms and contenders in tables and charts.

import type { Figure, Machine, Result } from "../harness/results.ts";

const MECHANISMS: Record<string, string> = {
  "fifo": "FIFO",
  "unix-stream": "Unix stream",
  "unix-seqpacket": "Unix seqpacket",
  "unix-datagram": "Unix datagram",
  "sysv-queue": "System V queue",
  "posix-queue": "POSIX queue",
  "posix-semaphore": "POSIX semaphore",
  "sysv-semaphore": "System V semaphore",
  "shared-mutex": "SharedMutex",
  "ring": "Ring",
  "ring-many": "Ring, four producers",
  "broadcast": "Broadcast",
  "memory-attach": "System V memory: attach, detach",
  "map-attach": "Memory map: open, close",
  "map-scan": "Memory map: find a byte",
  "map-sum": "Memory map: add doubles up",
  "map-copy": "Memory map: copy out",
};

/** A mechanism. */
export function mechanismName({ mechanism }: Result): string {
  return MECHANISMS[mechanism] ?? mechanism;
}

const RING_WAYS: Record<string, string> = {
  "spin": "polling",
  "batch": "polling, in batches",
  "sync": "sleeping",
  "async": "not blocking",
};

/** A mechanism, and of a ring how its users wait: "Ring, polling". */
export function ringName(result: Result): string {
  const { mechanism, waiting } = result;
  const name = mechanismName(result);
  return mechanism.startsWith("ring") ? `${name}, ${RING_WAYS[waiting]}` : name;
}

/** In which direction messages go. */
export function wayName({ way }: Result): string {
  return way.replace("-", " ");
}

/** What waiters wait for: "System V queue". */
export function objectName({ waiting }: Result): string {
  return MECHANISMS[waiting.replace(/-(own|line)$/, "")]!;
}

/** The same, and whether each has its own. */
export function objectsName(result: Result): string {
  const isOwn = result.waiting.endsWith("-own");
  return `${objectName(result)}, ${isOwn ? "one for each" : "one for all"}`;
}

/** What was measured with many connections of a kind. */
export function crowdsOf(results: readonly Result[], kind: string): Result[] {
  return results.filter(({ mechanism, waiting }) =>
    mechanism === "many" && waiting.startsWith(`${kind}-`)
  );
}

/** Thousand messages in a second. */
export function thousands({ median }: Figure): number {
  return 1000 / median;
}

/** The size of a message. */
export function sizeName(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10);
  return `${bytes / 1024 ** power} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

/** The version of what calls itself something with a longer one. */
function short(version: string): string {
  return /^\D*\d+\.\d+/.exec(version)?.[0] ?? version;
}

/** The machine, and when it was measured. */
export function machineName(machine: Machine): string {
  const { cpu, cores, kernel, libc, deno, node, date } = machine;
  const software = [short(kernel), libc, `Deno ${deno}`];
  if (node) software.push(`Node ${node}`);
  return `${cpu}, ${cores} cores; ${software.join(", ")}; ${date.slice(0, 10)}`;
}
