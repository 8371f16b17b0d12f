// Compares each mechanism with C, and with what Deno has itself: pairs of real
// processes, the same loop for all, in one run.

import { parseArgs } from "@std/cli";
import { fifo } from "./cases/fifo.ts";
import {
  mapAttach,
  mapCopy,
  mapScan,
  mapSum,
  memoryAttach,
} from "./cases/memory.ts";
import { many } from "./cases/many.ts";
import { pending, pendingMemory } from "./cases/pending.ts";
import { posixSemaphore } from "./cases/posix_semaphore.ts";
import { posixQueue } from "./cases/posix_queue.ts";
import {
  broadcast,
  ringMany,
  ringPolling,
  ringSleeping,
} from "./cases/ring.ts";
import { sharedMutex } from "./cases/shared_mutex.ts";
import { sysvQueue } from "./cases/sysv_queue.ts";
import { sysvSemaphore } from "./cases/sysv_semaphore.ts";
import { unixDatagram } from "./cases/unix_datagram.ts";
import { unixSeqpacket } from "./cases/unix_seqpacket.ts";
import { unixStream } from "./cases/unix_stream.ts";
import { waiters, waitersCpu } from "./cases/waiters.ts";
import { processorsOf, whyNotPlaced } from "./harness/affinity.ts";
import { compile } from "./harness/compile.ts";
import { importing } from "./harness/import.ts";
import { thisMachine } from "./harness/machine.ts";
import type {
  Machine,
  Plan,
  Report,
  Result,
  Skipped,
} from "./harness/results.ts";
import { findRuntimes, onRuntimes } from "./harness/runtimes.ts";
import { type Job, jobsOf, measure } from "./harness/suite.ts";
import { heading, lines, Progress } from "./harness/table.ts";

const MECHANISMS = [
  fifo,
  unixStream,
  unixSeqpacket,
  unixDatagram,
  sysvQueue,
  posixQueue,
  posixSemaphore,
  sysvSemaphore,
  sharedMutex,
  ringPolling,
  ringSleeping,
  ringMany,
  broadcast,
  memoryAttach,
  mapAttach,
  mapScan,
  mapSum,
  mapCopy,
  pending,
  pendingMemory,
  many,
  waiters,
  waitersCpu,
];

const HELP = `Usage: deno task bench [options]

Measures pairs of processes: this library, the same loop in C, and what Deno has
itself. Needs a C compiler ($CC or cc) and takes a while; --quick takes less.

Options:
  --quick      three short runs of each instead of five, with messages of 64 bytes
               on one core, unless --only names others: about three minutes
  --rounds N   so many runs of each: more where the machine is busy
  --duration N so many milliseconds for each run, and as many before it counts
  --only NAME  only what begins with this, such as fifo or
               unix-stream/round-trip/sync/64; may be given more than once
  --runtimes   this library on Node and on Bun as well, which npx brings, and nothing
               else but C: messages of 64 bytes
  --list       say what there is, and measure nothing
  --json FILE  write all figures to a file as well
  --help       show this

The table has, for each case,
  µs      microseconds per message or round trip: the median of all runs, each of
          which is the median of slices of 10 ms
  spread  how far the runs are apart, from the least to the most
  mean    the same as µs, but with what other processes did in between
  x C     how many times as long as C it took, in the same round
  more    how much more than C, in microseconds
  ours    how many times as long as this one our library took: below 1, it is ahead
  p50, p99, longest
          microseconds that an answer took
  uneven  the most messages of a connection, divided by the fewest of another

Cases: MECHANISM/WAY/WAITING/SIZE/PLACEMENT, where WAY is
  one-way       messages in one direction
  round-trip    a message there, and one back
  alone         one process, which never has to wait
and WAITING is
  sync          both processes block
  async         both wait without blocking their threads (C always blocks)
  async-with-c  one of them does, and a C program answers it
and PLACEMENT is
  one-core      both processes are pinned to the same processor
  two-cores     the server is pinned to one, and its clients to another
  unpinned      the kernel places them
and many: an echo server with many connections, each with one message under way;
WAITING is KIND-CONNECTIONS, as in stream-100;
and waiters: from the post of a C program to the answer of the last of many waiters;
WAITING is KIND-own if each waits for an object of its own, or KIND-line;
and waiters-cpu: the processor time of such waiters while none is woken, in per cent;
and import: a program that imports an entry point, compared with one that does
nothing instead of with C.`;

/** A command line that nothing can be done with. */
class UsageError extends Error {}

const FULL: Plan = { rounds: 5, warmup: 250, duration: 300 };
const QUICK: Plan = { rounds: 3, warmup: 200, duration: 100 };
const START = 250; // ms that two processes take to start and to end, about

function planOf(
  quick: boolean,
  rounds: string | undefined,
  duration: string | undefined,
): Plan {
  const plan = quick ? QUICK : FULL;
  const time = countOf("duration", duration);
  return {
    rounds: countOf("rounds", rounds) ?? plan.rounds,
    warmup: time ?? plan.warmup,
    duration: time ?? plan.duration,
  };
}

function countOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9]\d{0,4}$/.test(text)) {
    return text === undefined ? undefined : Number(text);
  }
  throw new UsageError(`--${name} must be a number from 1: ${text}`);
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

/** What is to be measured: what is named, or else all that the plan has time for. */
function selected(
  only: readonly string[],
  quick: boolean,
  runtimes: boolean,
): Job[] {
  const all = runtimes
    ? jobsOf(onRuntimes(MECHANISMS))
    : [...jobsOf(MECHANISMS), importing];
  for (const name of only) {
    if (all.some(({ id }) => id.startsWith(name))) continue;
    throw new UsageError(`Nothing begins with ${name}; see --list`);
  }
  if (only.length > 0) {
    return all.filter(({ id }) => only.some((name) => id.startsWith(name)));
  }
  return quick ? all.filter(isQuick) : all;
}

function isQuick({ id, size, placement, times = 1 }: Job): boolean {
  return id === importing.id ||
    size <= 64 && placement === "one-core" && times === 1;
}

/** About how many minutes it will take. */
function minutesOf(jobs: readonly Job[], plan: Plan): number {
  const { rounds, warmup, duration } = plan;
  const all = jobs.map(({ entrants, times = 1, pace }) => {
    const { repeat, milliseconds } = pace ??
      { repeat: 1, milliseconds: (warmup + duration) * times + START };
    return entrants.length * rounds * repeat * milliseconds;
  });
  return all.reduce((sum, time) => sum + time, 0) / 60_000;
}

/** What can be measured here; what cannot is added to the others, with the reason. */
function possible(wanted: readonly Job[], skipped: Skipped[]): Job[] {
  const keep = (id: string, reason: string | null) => {
    if (reason !== null) skipped.push({ id, reason });
    return reason === null;
  };
  return wanted
    .filter(({ id, placement }) => keep(id, whyNotPlaced(placement)))
    .map((job) => ({
      ...job,
      entrants: job.entrants.filter((entrant) =>
        keep(`${job.id}: ${entrant.name}`, entrant.whyNot())
      ),
    }));
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
    const programs = new Set(jobs.map(({ program }) => program));
    for (const name of programs) {
      if (name !== undefined) compile(directory, name);
    }
    console.log(heading());
    for (const [index, job] of jobs.entries()) {
      const processors = processorsOf(job.placement);
      const at = `[${index + 1}/${jobs.length}] ${job.id}`;
      progress.job(at);
      const result = await measure(
        job,
        plan.rounds,
        { ...plan, directory, processors, signal },
        ({ name }, round) => progress.run(`${at}: ${name}, ${round + 1}`),
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
  const { cpu, cores, kernel, libc, compiler, deno, v8, node, date, load } =
    machine;
  return `${cpu}, ${cores} cores; ${kernel}; ${libc}; ${compiler}; ` +
    `Deno ${deno}, V8 ${v8}; Node ${node ?? "is missing"}; ${date}; ` +
    `load before ${load.toFixed(2)}`;
}

async function main(): Promise<void> {
  const args = parseArgs(Deno.args, {
    boolean: ["quick", "runtimes", "list", "help"],
    string: ["json", "only", "rounds", "duration"],
    collect: ["only"],
    unknown(argument) {
      throw new UsageError(`Unknown argument ${argument}\n${HELP}`);
    },
  });
  if (args.help) return console.log(HELP);
  const plan = planOf(args.quick, args.rounds, args.duration);
  const wanted = selected(args.only, args.quick, args.runtimes);
  if (args.runtimes) await findRuntimes();
  if (args.list) return wanted.forEach(({ id }) => console.log(id));

  const signal = interruption();
  const machine = thisMachine();
  console.log(describe(machine));
  const skipped: Skipped[] = [];
  const jobs = possible(wanted, skipped);
  const minutes = minutesOf(jobs, plan).toFixed(1);
  console.log(`${jobs.length} cases, about ${minutes} minutes\n`);
  const results = await measureAll(jobs, plan, signal);
  for (const { id, reason } of skipped) {
    console.log(`${id}: left out, ${reason}`);
  }
  if (args.json === undefined) return;
  const all: Report = { machine, plan, results, skipped };
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
