// limits: every limit of the system for IPC, its use, and where it is set.

import { statfsSync } from "node:fs";
import { type IpcLimits, ipcLimits } from "../ffi/limits.ts";
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
function setting(limit: string, name: string): Limit {
  const max = numberIn(`/proc/sys/${name.replaceAll(".", "/")}`);
  return row(limit, null, max, `sysctl ${name}`);
}

function row(
  limit: string,
  use: Limit["use"],
  max: Limit["max"],
  raise: string,
): Limit {
  return { limit, use, max, raise };
}

/** The limits of System V objects. */
function sysvLimits(all: IpcLimits): Limit[] {
  const queues = all.sysvMessageQueues;
  const memory = all.sysvSharedMemory;
  const sets = all.sysvSemaphoreSets;
  const sem = "sysctl kernel.sem (SEMMSL SEMMNS SEMOPM SEMMNI)";
  const sysctl = (name: string) => `sysctl kernel.${name}`;
  return [
    row("System V queues", queues.queues, queues.maxQueues, sysctl("msgmni")),
    row("bytes of a message", null, queues.maxSize, sysctl("msgmax")),
    row("bytes of a queue", null, queues.maxBytes, sysctl("msgmnb")),
    row(
      "System V segments",
      memory.segments,
      memory.maxSegments,
      sysctl("shmmni"),
    ),
    row("bytes of a segment", null, memory.maxSize, sysctl("shmmax")),
    row(
      "pages of all segments",
      memory.pages,
      memory.maxPages,
      sysctl("shmall"),
    ),
    row("semaphore sets", sets.sets, sets.maxSets, sem),
    row("semaphores of all sets", sets.semaphores, sets.maxSemaphores, sem),
    row("semaphores of a set", null, sets.maxSize, sem),
    row("operations of a semop", null, sets.maxOperations, sem),
  ];
}

/** The limits of POSIX message queues. */
function posixLimits({ posixMessageQueues: posix }: IpcLimits): Limit[] {
  const { objects } = inspect({ kinds: ["posix-queue"] });
  const sysctl = (name: string) => `sysctl fs.mqueue.${name}`;
  return [
    row("POSIX queues", objects.length, posix.maxQueues, sysctl("queues_max")),
    row(
      "messages of a POSIX queue",
      null,
      posix.maxMessages,
      sysctl("msg_max"),
    ),
    row(
      "bytes of a POSIX message",
      null,
      posix.maxSize,
      sysctl("msgsize_max"),
    ),
    row(
      "bytes of a user's POSIX queues",
      null,
      posix.maxBytes,
      "ulimit -q, or LimitMSGQUEUE= of systemd",
    ),
  ];
}

/** All limits. */
function allLimits(): Limit[] {
  const all = ipcLimits();
  const files = "/proc/sys/fs/file-nr";
  return [
    ...sysvLimits(all),
    ...posixLimits(all),
    shmSpace(),
    setting("bytes of a pipe", "fs.pipe-max-size"),
    setting("pages of a user's pipes (soft)", "fs.pipe-user-pages-soft"),
    setting("backlog of a listener", "net.core.somaxconn"),
    setting("datagrams that wait for a socket", "net.unix.max_dgram_qlen"),
    row(
      "open files of the system",
      numberIn(files),
      numberIn(files, 2),
      "sysctl fs.file-max",
    ),
    row(
      "descriptors of a process",
      null,
      softLimit("Max open files"),
      "ulimit -n, or LimitNOFILE= of systemd",
    ),
    setting("mappings of a process", "vm.max_map_count"),
  ];
}

/** The space of /dev/shm. */
function shmSpace(): Limit {
  const limit = "bytes of /dev/shm";
  const raise = "mount -o remount,size=... /dev/shm; docker run --shm-size";
  try {
    const { bsize, blocks, bfree } = statfsSync("/dev/shm");
    return row(limit, (blocks - bfree) * bsize, blocks * bsize, raise);
  } catch {
    return row(limit, null, null, raise);
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
