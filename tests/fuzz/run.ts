/** Runs seeds in children, and looks at how these end. */
import { fromFileUrl } from "@std/path";
import type { Task } from "./child.ts";
import { cleanUp } from "./clean.ts";
import { MARK } from "./log.ts";
import type { Choice } from "./profile.ts";

/** How the runs are made. */
export interface RunOptions extends Choice {
  /** Calls of one run. */
  readonly steps: number;
  /** The most milliseconds of one run. */
  readonly limit: number;
  /** Ends the run early; what it has left is removed. */
  readonly signal?: AbortSignal | undefined;
}

/** What a run has found. */
export interface Outcome {
  /** Its seed. */
  readonly seed: number;
  /** The faults, each with its kind first: "SIGSEGV: ...". */
  readonly findings: string[];
  /** All that was logged. */
  readonly lines: string[];
  /** What the child said on stderr. */
  readonly stderr: string;
  /** How long it took, in milliseconds. */
  readonly time: number;
}

const CHILD = fromFileUrl(new URL("child.ts", import.meta.url));
const STALL = 4_500; // ms without a line in the log: the child is blocked
const LOOK_EVERY = 100; // ms

/** Runs a seed. */
export async function runSeed(
  seed: number,
  options: RunOptions,
): Promise<Outcome> {
  const { steps, limit, signal, ...choice } = options;
  const log = Deno.makeTempFileSync({ prefix: "ipc-fuzz-" });
  const begun = performance.now();
  try {
    const child = spawn({ log, seed, steps, choice });
    const watch = watchProgress(child, log, limit, signal);
    const { code, signal: by, stderr: said } = await child.output();
    const stopped = watch.stop();
    const lines = Deno.readTextFileSync(log).split("\n").slice(0, -1);
    const left = cleanUp(child.pid, lines);
    const stderr = new TextDecoder().decode(said);
    const ending = howItEnded({ code, signal: by, stopped, lines, stderr });
    const findings = [
      ...ending,
      // Of a child that has crashed nothing else is expected.
      ...ending.length > 0 ? [] : left.map((what) => `leak: ${what}`),
      ...lines.filter((line) => line.startsWith(MARK.finding))
        .map((line) => line.slice(MARK.finding.length)),
    ];
    const time = performance.now() - begun;
    return { seed, findings, lines, stderr, time };
  } finally {
    Deno.removeSync(log);
  }
}

function spawn(task: Task): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--quiet",
      "--no-prompt",
      "--no-check",
      "--v8-flags=--expose-gc",
      CHILD,
      JSON.stringify(task),
    ],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/** Ends a child that takes too long, that has stopped logging, or at a signal. */
function watchProgress(
  child: Deno.ChildProcess,
  log: string,
  limit: number,
  signal: AbortSignal | undefined,
) {
  const begun = performance.now();
  let size = 0;
  let moved = Infinity; // the start takes as long as the machine is busy
  let why: string | undefined;
  const timer = setInterval(() => {
    const now = performance.now();
    const present = Deno.statSync(log).size;
    if (present > size) [size, moved] = [present, now];
    if (now - moved > STALL) why ??= `nothing happens for ${STALL} ms`;
    if (now - begun > limit) why ??= `takes longer than ${limit} ms`;
    if (signal?.aborted) why ??= "interrupted";
    if (why !== undefined) kill(child);
  }, LOOK_EVERY);
  return {
    stop(): string | undefined {
      clearInterval(timer);
      return why;
    },
  };
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

interface End {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  /** Why it was killed, if it was. */
  readonly stopped: string | undefined;
  readonly lines: readonly string[];
  readonly stderr: string;
}

/** What is wrong with the end of a child, if anything is. */
function howItEnded(end: End): string[] {
  const { code, signal, stopped, lines, stderr } = end;
  const last = lines.at(-1) ?? "nothing";
  const reached = last === MARK.end;
  if (stopped !== undefined) {
    return [
      reached
        ? "no end: the process does not end by itself"
        : `blocked: ${stopped}, after: ${last}`,
    ];
  }
  if (signal !== null) return [`${signal}: after: ${last}`];
  if (code === 0 && reached) return [];
  if (code === 0) return [`ended early: after: ${last}`];
  const panic = stderr.match(/panicked at[^]*?\n[^]*?\n/)?.[0];
  const error = panic ?? stderr.match(/error:.*/)?.[0] ?? `code ${code}`;
  const kind = panic === undefined ? "uncaught" : "panic";
  return [`${kind}: ${error.replaceAll("\n", " ")}, after: ${last}`];
}
