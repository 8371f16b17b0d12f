// limits: every limit of the system for IPC, its use, and where it is set.

import { statfsSync } from "node:fs";
import { ipcLimits } from "../ffi/limits.ts";
import { inspect } from "../ffi/inspect.ts";
import { CommandLine } from "./command_line.ts";
import { EXIT } from "./failure.ts";
import { jsonOf } from "./json.ts";
import { standardOutput } from "./output.ts";
import { tableOf } from "./table.ts";

export const LIMITS_USAGE = `Usage: ipc limits [--json]

Lists the limits for IPC, how much of each is used, and where to raise it.`;

/** A limit. */
interface Limit {
  readonly limit: string;
  readonly use: number | bigint | null;
  readonly max: number | bigint | null;
  /** Where it is set, and how. */
  readonly raise: string;
}

function numberIn(path: string, field = 0): number | null {
  try {
    const cell = Deno.readTextFileSync(path).trim().split(/\s+/)[field];
    return cell === undefined ? null : Number(cell);
  } catch {
    return null;
  }
}

/** A limit that sysctl(8) sets, read from its file. */
function setting(
  limit: string,
  name: string,
  use: number | null = null,
): Limit {
  return {
    limit,
    use,
    max: numberIn(`/proc/sys/${name.replaceAll(".", "/")}`),
    raise: `sysctl ${name}`,
  };
}

/** All limits. */
function allLimits(): Limit[] {
  const all = ipcLimits();
  const {
    sysvMessageQueues: queues,
    sysvSharedMemory: memory,
    sysvSemaphoreSets: sets,
    posixMessageQueues: posix,
  } = all;
  const { objects } = inspect({ kinds: ["posix-queue"] });
  const sem = "sysctl kernel.sem (SEMMSL SEMMNS SEMOPM SEMMNI)";
  const shm = shmSpace();
  return [
    row("System V queues", queues.queues, queues.maxQueues, "kernel.msgmni"),
    row("bytes of a message", null, queues.maxSize, "kernel.msgmax"),
    row("bytes of a queue", null, queues.maxBytes, "kernel.msgmnb"),
    row(
      "System V segments",
      memory.segments,
      memory.maxSegments,
      "kernel.shmmni",
    ),
    row("bytes of a segment", null, memory.maxSize, "kernel.shmmax"),
    row(
      "pages of all segments",
      memory.pages,
      memory.maxPages,
      "kernel.shmall",
    ),
    { limit: "semaphore sets", use: sets.sets, max: sets.maxSets, raise: sem },
    {
      limit: "semaphores of all sets",
      use: sets.semaphores,
      max: sets.maxSemaphores,
      raise: sem,
    },
    { limit: "semaphores of a set", use: null, max: sets.maxSize, raise: sem },
    {
      limit: "operations of a semop",
      use: null,
      max: sets.maxOperations,
      raise: sem,
    },
    row(
      "POSIX queues",
      objects.length,
      posix.maxQueues,
      "fs.mqueue.queues_max",
    ),
    row(
      "messages of a POSIX queue",
      null,
      posix.maxMessages,
      "fs.mqueue.msg_max",
    ),
    row(
      "bytes of a POSIX message",
      null,
      posix.maxSize,
      "fs.mqueue.msgsize_max",
    ),
    {
      limit: "bytes of a user's POSIX queues",
      use: null,
      max: posix.maxBytes,
      raise: "ulimit -q, or LimitMSGQUEUE= of systemd",
    },
    shm,
    setting("bytes of a pipe", "fs.pipe-max-size"),
    setting("pages of a user's pipes (soft)", "fs.pipe-user-pages-soft"),
    setting("backlog of a listener", "net.core.somaxconn"),
    setting("datagrams that wait for a socket", "net.unix.max_dgram_qlen"),
    {
      limit: "open files of the system",
      use: numberIn("/proc/sys/fs/file-nr"),
      max: numberIn("/proc/sys/fs/file-nr", 2),
      raise: "sysctl fs.file-max",
    },
    {
      limit: "descriptors of a process",
      use: null,
      max: softLimit("Max open files"),
      raise: "ulimit -n, or LimitNOFILE= of systemd",
    },
    setting("mappings of a process", "vm.max_map_count"),
  ];
}

function row(
  limit: string,
  use: number | bigint | null,
  max: number | bigint | null,
  name: string,
): Limit {
  return { limit, use, max, raise: `sysctl ${name}` };
}

/** The space of /dev/shm. */
function shmSpace(): Limit {
  const limit = "bytes of /dev/shm";
  const raise = "mount -o remount,size=... /dev/shm; docker run --shm-size";
  try {
    const { bsize, blocks, bfree } = statfsSync("/dev/shm");
    return { limit, use: (blocks - bfree) * bsize, max: blocks * bsize, raise };
  } catch {
    return { limit, use: null, max: null, raise };
  }
}

/** A limit of this process. */
function softLimit(name: string): number | null {
  const text = Deno.readTextFileSync("/proc/self/limits");
  const [, value] = text.match(new RegExp(`^${name} +(\\S+)`, "m")) ?? [];
  return value === undefined || value === "unlimited" ? null : Number(value);
}

/** Runs it. */
export function limits(args: readonly string[]): number {
  const line = new CommandLine(args, LIMITS_USAGE, { flags: ["json"] });
  const output = standardOutput(false);
  const all = allLimits();
  if (line.has("json")) {
    output.print(jsonOf(all));
    return EXIT.done;
  }
  const columns = [
    { heading: "LIMIT" },
    { heading: "USE", align: "right" as const },
    { heading: "MAX", align: "right" as const },
    { heading: "%", align: "right" as const },
    { heading: "RAISE" },
  ];
  const rows = all.map(({ limit, use, max, raise }) => {
    const share = use === null || max === null || Number(max) === 0
      ? null
      : Math.round(100 * Number(use) / Number(max));
    const percent = share === null ? "-" : `${share}`;
    return [
      limit,
      use === null ? "-" : String(use),
      max === null ? "-" : max >= 2n ** 63n ? "unlimited" : String(max),
      (share ?? 0) >= 90 ? output.style.bad(percent) : percent,
      raise,
    ];
  });
  for (
    const text of tableOf(columns, rows, output.width, output.style.heading)
  ) output.print(text);
  return EXIT.done;
}
