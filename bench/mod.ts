// How close each mechanism is to plain C, and how far ahead of what else there is:
// pairs of real processes, the same loop for all, in one run.

import { parseArgs } from "@std/cli";
import { fifo } from "./cases/fifo.ts";
import { posixSemaphore } from "./cases/posix_semaphore.ts";
import { posixQueue } from "./cases/posix_queue.ts";
import { sysvQueue } from "./cases/sysv_queue.ts";
import { unixSeqpacket } from "./cases/unix_seqpacket.ts";
import { unixStream } from "./cases/unix_stream.ts";
import { lastProcessor, whyNotPinned } from "./harness/affinity.ts";
import { compile } from "./harness/compile.ts";
import { type Machine, thisMachine } from "./harness/machine.ts";
import type { Times } from "./harness/run.ts";
import { type Job, jobsOf, measure, type Result } from "./harness/suite.ts";
import { heading, lines, Progress } from "./harness/table.ts";

const MECHANISMS = [
  fifo,
  unixStream,
  unixSeqpacket,
  sysvQueue,
  posixQueue,
  posixSemaphore,
];

const HELP = `Usage: deno task bench [options]

Measures pairs of processes: this library, the same loop in C, and what Deno has
itself. Needs a C compiler (cc) and takes a while; --quick takes less.

Options:
  --quick      shorter runs, three of each instead of five, no large messages
  --rounds N   runs of each instead of five: more where the machine is busy
  --only NAME  only what begins with this, such as fifo or
               unix-stream/round-trip/sync/64; may be given more than once
  --list       say what there is, and measure nothing
  --json FILE  write all figures to a file as well
  --help       show this

The table has, for each case,
  µs      microseconds per message or round trip: the median of all runs, each of
          which is the median of slices of 10 ms
  spread  how far the runs are apart, from the least to the most
  mean    the same as µs, but with what other processes did in between
  x C     how many times as long as C it took, in the same round
  ours    how many times as long as this one our library took: below 1, it is ahead

Cases: MECHANISM/WAY/WAITING/SIZE/PLACEMENT, where WAITING is
  sync          both processes block
  async         both wait without blocking their threads (C always blocks)
  async-with-c  one of them does, and a C program answers it
and PLACEMENT is
  one-core      both processes are pinned to the same processor
  unpinned      the kernel places them`;

/** A command line that nothing can be done with. */
class UsageError extends Error {}

/** How thorough the figures are. */
interface Plan extends Times {
  readonly rounds: number;
  /** The largest message in bytes. */
  readonly largest: number;
}

const FULL: Plan = { rounds: 5, warmup: 300, duration: 400, largest: Infinity };
const QUICK: Plan = { rounds: 3, warmup: 200, duration: 200, largest: 1024 };

function planOf(quick: boolean, rounds: string | undefined): Plan {
  const plan = quick ? QUICK : FULL;
  if (rounds === undefined) return plan;
  if (!/^[1-9]\d{0,3}$/.test(rounds)) {
    throw new UsageError(`--rounds must be a number from 1: ${rounds}`);
  }
  return { ...plan, rounds: Number(rounds) };
}

/** A signal that is aborted by Ctrl-C, or by a polite kill. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(new Error("Interrupted"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(name, abort);
  }
  return controller.signal;
}

function selected(only: readonly string[], plan: Plan): Job[] {
  const all = jobsOf(MECHANISMS);
  for (const name of only) {
    if (all.some(({ id }) => id.startsWith(name))) continue;
    throw new UsageError(`Nothing begins with ${name}; see --list`);
  }
  return all.filter(({ id, one }) =>
    one.size <= plan.largest &&
    (only.length === 0 || only.some((name) => id.startsWith(name)))
  );
}

/** Measures all that can be measured, and prints the table as it grows. */
async function measureAll(
  jobs: readonly Job[],
  plan: Plan,
  signal: AbortSignal,
): Promise<Result[]> {
  const directory = Deno.makeTempDirSync({ prefix: "ipc-bench-" });
  const progress = new Progress();
  const results: Result[] = [];
  try {
    const names = new Set(jobs.map(({ mechanism }) => mechanism.name));
    for (const name of names) compile(directory, name.replaceAll("-", "_"));
    console.log(heading());
    for (const [index, job] of jobs.entries()) {
      const processor = job.placement === "unpinned" ? null : lastProcessor();
      const at = `[${index + 1}/${jobs.length}] ${job.id}`;
      progress.job(at);
      const result = await measure(
        job,
        plan.rounds,
        { ...plan, directory, processor, signal },
        ({ name }, round) =>
          progress.run(`${at}: ${name}, ${round + 1}/${plan.rounds}`),
      );
      progress.clear();
      console.log(lines(result));
      results.push(result);
    }
  } finally {
    progress.clear();
    Deno.removeSync(directory, { recursive: true });
  }
  return results;
}

function describe(machine: Machine): string {
  const { cpu, cores, kernel, libc, compiler, deno, v8, date, load } = machine;
  return `${cpu}, ${cores} cores; ${kernel}; ${libc}; ${compiler}; ` +
    `Deno ${deno}, V8 ${v8}; ${date}; load before ${load.toFixed(2)}`;
}

async function main(): Promise<void> {
  const args = parseArgs(Deno.args, {
    boolean: ["quick", "list", "help"],
    string: ["json", "only", "rounds"],
    collect: ["only"],
    unknown(argument) {
      throw new UsageError(`Unknown argument ${argument}\n${HELP}`);
    },
  });
  if (args.help) return console.log(HELP);
  const plan = planOf(args.quick, args.rounds);
  const wanted = selected(args.only, plan);
  if (args.list) return wanted.forEach(({ id }) => console.log(id));

  const signal = interruption();
  const machine = thisMachine();
  console.log(describe(machine) + "\n");
  const reason = whyNotPinned();
  const jobs = wanted.filter((job) =>
    reason === null || job.placement === "unpinned"
  );
  const results = await measureAll(jobs, plan, signal);
  const skipped = wanted.filter((job) => !jobs.includes(job))
    .map(({ id }) => ({ id, reason }));
  for (const { id } of skipped) console.log(`${id}: left out, ${reason}`);
  if (args.json === undefined) return;
  const all = { machine, plan, results, skipped };
  Deno.writeTextFileSync(args.json, JSON.stringify(all, null, 2) + "\n");
}

if (import.meta.main) {
  try {
    await main();
    Deno.exit();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(error instanceof UsageError ? 2 : 1);
  }
}
