/**
 * Leak counters around tests: descriptors, mappings, System V objects, /dev/shm
 * and /dev/mqueue names, scratch directories, children, working directory and
 * umask must be after a test as they were before it.
 *
 * A process has these counters once, so only one test of a process may run at a time:
 * `deno task test` gives each test file a process of its own. (`deno test --parallel`
 * would run the files as threads of one process.)
 */
import { issuedKeys, PREFIX, scratchDirectories } from "./names.ts";
import { links, running, spawnedPids } from "./process.ts";
import { SOAK } from "./rounds.ts";

// Tests make files for other users, and compare modes: not with the umask of who runs them.
Deno.umask(0o022);

/** The longest that a test may take, unless told otherwise. */
export const TEST_LIMIT = 120_000;

/** How long things may take to go away, unless told otherwise. */
const GRACE = 2_000;

/** What a leak check looks at. */
export interface LeakOptions {
  /** Parts of the paths of files whose private mappings count as well. */
  files?: string[];
  /** How long things may take to go away (children's pipes), in milliseconds. */
  grace?: number;
}

/** How a {@linkcode leakTest} is run. */
export interface LeakTestOptions extends LeakOptions {
  /** What the test needs: null, or the reason why that is missing here. */
  needs?: (string | null)[];
  /**
   * What the long run does with the test: `true`, only the long run runs it; "also",
   * the long run runs it, too, with more rounds or other cases. By default, only
   * `deno task test` runs it, if another test of its file says `soak`.
   */
  soak?: true | "also";
  /** The time limit in milliseconds. */
  limit?: number;
  /** As of `Deno.test`. */
  only?: boolean;
  /** As of `Deno.test`. */
  sanitizeOps?: boolean;
  /** As of `Deno.test`. */
  sanitizeResources?: boolean;
}

/** What this process and its children have of the system at a moment. */
export interface Snapshot {
  /** How many descriptors lead to each target. */
  descriptors: Map<string, number>;
  /** The bytes of each mapping that others can see. */
  mappings: Map<string, number>;
  /** System V objects that are ours, such as "shm 5 (key 77)". */
  sysv: Map<string, number>;
  /** POSIX names that are ours, such as "/dev/shm/sem.x". */
  names: Map<string, number>;
  /** The process ids of children. */
  children: Map<string, number>;
  /** The working directory, the umask and such. */
  state: Map<string, number>;
}

/** Takes a {@linkcode Snapshot}. */
export function snapshot(options: LeakOptions = {}): Snapshot {
  return {
    descriptors: descriptors(),
    mappings: mappings(options),
    sysv: sysvObjects(),
    names: posixNames(),
    children: children(),
    state: state(),
  };
}

/** What the second snapshot has more than the first, one line per thing. */
export function compare(before: Snapshot, after: Snapshot): string[] {
  const leaks: string[] = [];
  const more = (
    kind: keyof Snapshot,
    report: (key: string, extra: number) => string,
  ) => {
    for (const [key, count] of after[kind]) {
      const extra = count - (before[kind].get(key) ?? 0);
      if (extra > 0) leaks.push(report(key, extra));
    }
  };
  const runtime = new Map<string, number>();
  more("descriptors", (target, extra) => {
    if (RUNTIME_KINDS.has(target)) runtime.set(target, extra);
    return `descriptor of ${target} (${extra} more)`;
  });
  more("mappings", (mapping, extra) => `mapping ${mapping} (${extra} bytes)`);
  more("sysv", (object) => `System V object ${object}`);
  more("names", (name) => name);
  more("children", (child) => `child process ${child}`);
  more("state", (change) => `changed: ${change}`);
  return leaks.filter((leak) =>
    !(HAS_WORKERS && OF_WORKERS.test(leak)) &&
    ![...runtime].some(([target, extra]) =>
      extra <= ALLOWANCE && leak.startsWith(`descriptor of ${target} `)
    )
  );
}

// On Node and Bun waits go to Workers, of which some stay for the next wait.
const HAS_WORKERS = Deno.env.has("PORTABLE_DENO");
const OF_WORKERS =
  /^(?:descriptor of (?:pipe:|anon_inode:)|mapping .*anon_inode:\[io_uring\])/;

/** Runs a function; throws if it leaves anything behind. */
export async function assertNoLeaks<T>(
  fn: () => T | Promise<T>,
  options: LeakOptions = {},
): Promise<T> {
  const before = snapshot(options);
  let result: T;
  try {
    result = await fn();
  } catch (error) {
    cleanUp();
    throw error;
  }
  const end = performance.now() + (options.grace ?? GRACE);
  let leaks: string[];
  while ((leaks = compare(before, snapshot(options))).length > 0) {
    if (performance.now() > end) {
      cleanUp();
      throw new Error(`left behind:\n  ${leaks.join("\n  ")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return result;
}

/**
 * `Deno.test` with leak counters around it. If something that it needs is missing, it
 * is ignored, and its name says why.
 */
export function leakTest(
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void;
export function leakTest(
  name: string,
  options: LeakTestOptions,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void;
export function leakTest(
  name: string,
  ...rest:
    | [(t: Deno.TestContext) => void | Promise<void>]
    | [LeakTestOptions, (t: Deno.TestContext) => void | Promise<void>]
): void {
  const [options, fn] = rest.length === 2 ? rest : [{}, rest[0]];
  const {
    needs = [],
    soak,
    limit = TEST_LIMIT,
    files = [],
    grace = GRACE,
    ...definition
  } = options;
  if (SOAK ? soak === undefined && isDivided() : soak === true) return;
  const reason = needs.find((need) => need !== null);
  Deno.test({
    ...definition,
    name: reason === undefined ? name : `${name} (ignored: ${reason})`,
    ignore: reason !== undefined,
    fn: async (t) => {
      await assertNoLeaks(
        () => withLimit(Promise.resolve(fn(t)), limit),
        { files, grace },
      );
    },
  });
}

/** Whether this test file says which of its tests the long run runs. */
function isDivided(): boolean {
  const file = Deno.readTextFileSync(new URL(Deno.mainModule));
  return /\bsoak: |\bpairTest\(/.test(file);
}

async function withLimit(work: Promise<void>, limit: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`did not end within ${limit} ms`)),
      limit,
    );
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

// --- The counters -----------------------------------------------------------

/** What each test file's runtime has of its own, and the waiting engine too. */
const RUNTIME_KINDS = new Set([
  "anon_inode:[eventpoll]",
  "anon_inode:[eventfd]",
]);

/** How many of these may appear during a test. */
const ALLOWANCE = 4;

function count(map: Map<string, number>, key: string, by = 1): void {
  map.set(key, (map.get(key) ?? 0) + by);
}

/** Where the runtime keeps its caches. */
const CACHE = /\/(\.cache\/)?deno\/[\w-]+_v\d|_cache_v\d/;

function descriptors(): Map<string, number> {
  const all = new Map<string, number>();
  for (const target of links("/proc/self/fd")) count(all, target);
  for (const [target, number] of all) {
    const runtimes = CACHE.test(target) || target === "/dev/null" ||
      target.startsWith("/proc/") || /\.[jt]s(on)?$/.test(target) ||
      // The pipe in which the runner catches a test file's output has a handful.
      (target.startsWith("pipe:") && number > 2);
    if (runtimes) all.delete(target);
  }
  return all;
}

const NAMED_MEMORY = /\/(SYSV|dev\/shm\/|memfd:)/;

function mappings(options: LeakOptions): Map<string, number> {
  const all = new Map<string, number>();
  const parts = [PREFIX, ...options.files ?? []];
  for (const row of Deno.readTextFileSync("/proc/self/maps").split("\n")) {
    // Most rows are of the runtime's own memory: they are not taken apart.
    const isShared = row[row.indexOf(" ") + 4] === "s";
    const isNamed = NAMED_MEMORY.test(row) ||
      parts.some((part) => row.includes(part));
    if (!isShared && !isNamed) continue;
    const [range = "", mode = "", , , inode, ...path] = row.split(/ +/);
    const target = path.join(" ");
    const [from = "0", to = "0"] = range.split("-");
    const shared = mode.endsWith("s") ||
      /^\/(SYSV|dev\/shm\/|memfd:)/.test(target);
    const named = parts.some((part) => target.includes(part));
    if (!(shared || named) || CACHE.test(target)) continue;
    count(
      all,
      `${mode} ${target} (inode ${inode})`,
      parseInt(to, 16) - parseInt(from, 16),
    );
  }
  return all;
}

const SYSV = ["msg", "shm", "sem"] as const;

/** What the column of the ids is called. */
const ID = { msg: "msqid", shm: "shmid", sem: "semid" };

/** The rows of a table of /proc/sysvipc, by the names of the columns. */
export function sysvTable(
  kind: "msg" | "shm" | "sem",
): Record<string, number>[] {
  const [head = "", ...rows] = Deno.readTextFileSync(`/proc/sysvipc/${kind}`)
    .trimEnd().split("\n");
  const columns = head.trim().split(/\s+/);
  return rows.map((row) => {
    const cells = row.trim().split(/\s+/);
    return Object.fromEntries(columns.map((column, i) => [
      column,
      column === "perms" ? parseInt(cells[i]!, 8) : Number(cells[i]),
    ]));
  });
}

/** A process, its parent, the parent's parent ... */
function ancestry(pid: number): number[] {
  const pids: number[] = [];
  while (pid > 1) {
    pids.push(pid);
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      pid = Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2]);
    } catch {
      break; // it has ended
    }
  }
  return pids;
}

const RUNTIMES = /\/(deno|node|bun)[^/]*$/;

/** Whether a program is running that may be of other tests, and not of this one. */
function othersAtWork(): boolean {
  const family = new Set(ancestry(Deno.pid));
  return Array.from(Deno.readDirSync("/proc")).some(({ name }) => {
    const pid = Number(name);
    if (!(pid > 0) || family.has(pid)) return false;
    try {
      if (!RUNTIMES.test(Deno.readLinkSync(`/proc/${pid}/exe`))) return false;
    } catch {
      return false; // another user's, or a process that has ended
    }
    return !ancestry(pid).includes(Deno.pid);
  });
}

/** What was there before: process ids come round again, and would make it ours. */
const strangers = new Set(
  SYSV.flatMap((kind) =>
    sysvTable(kind).map((row) => `${kind} ${row[ID[kind]]}`)
  ),
);

function sysvObjects(): Map<string, number> {
  const all = new Map<string, number>();
  const uid = Deno.uid();
  for (const kind of SYSV) {
    for (const row of sysvTable(kind)) {
      if (strangers.has(`${kind} ${row[ID[kind]]}`)) continue;
      const pids = [row.cpid, row.lpid, row.lspid, row.lrpid].filter((pid) =>
        pid !== undefined && pid !== 0
      ) as number[];
      const ours = issuedKeys.has(row.key! | 0) ||
        pids.some((pid) => spawnedPids.has(pid)) ||
        pids.includes(Deno.pid) ||
        // A private object that was not used has no trace of its creator.
        (pids.length === 0 && row.key === 0 && row.cuid === uid &&
          !othersAtWork());
      if (ours) {
        count(all, `${kind} ${row[ID[kind]]} (key ${row.key})`);
      }
    }
  }
  return all;
}

function posixNames(): Map<string, number> {
  const all = new Map<string, number>();
  const mine = new RegExp(`${PREFIX}|(?<!\\d)${Deno.pid}(?!\\d)`);
  for (const directory of ["/dev/shm", "/dev/mqueue"]) {
    try {
      for (const { name } of Deno.readDirSync(directory)) {
        if (mine.test(name)) count(all, `${directory}/${name}`);
      }
    } catch {
      // Not mounted.
    }
  }
  for (const path of scratchDirectories) {
    count(all, `scratch directory ${path}`);
  }
  return all;
}

function children(): Map<string, number> {
  const all = new Map<string, number>();
  for (const { pid } of running) count(all, String(pid));
  for (const { name } of Deno.readDirSync("/proc/self/task")) {
    try {
      const pids = Deno.readTextFileSync(`/proc/self/task/${name}/children`);
      for (const pid of pids.split(" ")) {
        if (pid.trim() !== "" && !all.has(pid)) count(all, pid);
      }
    } catch {
      // The thread has ended, or this kernel does not tell.
    }
  }
  return all;
}

function state(): Map<string, number> {
  const umask = Deno.readTextFileSync("/proc/self/status")
    .match(/^Umask:\s*(\w+)/m)?.[1];
  return new Map([
    [`working directory is ${Deno.cwd()}`, 1],
    [`umask is ${umask}`, 1],
  ]);
}

/** Removes the objects of a test that failed, as far as they are known. */
function cleanUp(): void {
  // By a shell: a name may be no UTF-8.
  new Deno.Command("sh", {
    args: ["-c", `rm -f /dev/shm/*${PREFIX}* /dev/mqueue/*${PREFIX}*`],
  }).outputSync();
  for (
    const [kind, flag] of [["msg", "-q"], ["shm", "-m"], ["sem", "-s"]] as const
  ) {
    for (const row of sysvTable(kind)) {
      if (!issuedKeys.has(row.key! | 0)) continue;
      try {
        new Deno.Command("ipcrm", {
          args: [flag, String(row[ID[kind]])],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).outputSync();
      } catch {
        // No ipcrm here.
      }
    }
  }
}
