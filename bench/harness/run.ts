// One run: two processes, one of which says how long it took.

import { fromFileUrl, join } from "@std/path";
import type { Case, Contender, Mechanism, Player, Way } from "./cases.ts";
import { Peer } from "./peer.ts";
import type { Processors } from "./affinity.ts";
import { commandOf } from "./runtimes.ts";
import type { Plan, Result, Run } from "./results.ts";

/** Where and how a run takes place. */
export interface Setting extends Plan {
  /** Has the programs in C, and what the peers meet at. */
  readonly directory: string;
  readonly processors: Processors;
  readonly signal: AbortSignal;
}

// For Deno.listenDatagram, and for what measures memory.
const FLAGS = ["--quiet", "--unstable-net", "--v8-flags=--expose-gc"];
const LIMIT = 20_000; // ms that peers may take besides

// Who is timed does the first, who serves the second.
const PARTS: Record<Way, readonly [string, string]> = {
  "round-trip": ["ping", "echo"],
  "one-way": ["take", "give"],
  "alone": ["alone", ""],
};

function program(player: Player, mechanism: string, setting: Setting) {
  const name = mechanism.replaceAll("-", "_");
  if (player.kind === "c") return [join(setting.directory, name)];
  if (player.kind === "nodejs") {
    return [
      "node",
      fromFileUrl(import.meta.resolve(`../peers/nodejs/${name}.mjs`)),
    ];
  }
  const peer = import.meta.resolve(`../peers/${player.kind}/${name}.ts`);
  if (player.runtime !== undefined) {
    return [...commandOf(player.runtime), fromFileUrl(peer)];
  }
  return [Deno.execPath(), "run", "--allow-all", ...FLAGS, fromFileUrl(peer)];
}

// The peers say nanoseconds, or the value itself.
const PER: Record<Result["unit"], number> = { "µs": 1000, "B": 1, "%": 1 };

/** Lets two peers do their parts. */
export async function runPair(
  mechanism: Mechanism,
  one: Case,
  contender: Contender,
  setting: Setting,
): Promise<Run> {
  const complaints: string[] = [];
  try {
    return await play(mechanism, one, contender, setting, complaints);
  } catch (error) {
    setting.signal.throwIfAborted();
    const { message } = error as Error;
    const why = [message, ...complaints].join("\n");
    throw new Error(`${contender.name} failed: ${why}`, { cause: error });
  }
}

async function play(
  mechanism: Mechanism,
  { way, size }: Case,
  { timed, server }: Contender,
  setting: Setting,
  complaints: string[],
): Promise<Run> {
  const { processors, directory } = setting;
  const times = mechanism.times ?? 1;
  const [warmup, duration] = [setting.warmup * times, setting.duration * times];
  const limit = AbortSignal.timeout(warmup + duration + LIMIT);
  const signal = AbortSignal.any([setting.signal, limit]);
  using meeting = mechanism.meet(directory, way, timed.extra ?? []);
  const [timedPart, servingPart] = PARTS[way];
  const start = (
    player: Player,
    part: string,
    processor: number | null,
  ) => {
    const numbers = [size, warmup, duration].map(String);
    const told = [...meeting.addresses, ...player.extra ?? []];
    const args = [part, player.mode, ...numbers, ...told];
    const command = [...program(player, mechanism.name, setting), ...args];
    return new Peer(command, processor, complaints);
  };
  await using serving = server === null
    ? null
    : start(server, servingPart, processors.server);
  await serving?.line(signal); // it is ready
  await using peer = start(timed, timedPart, processors.timed);
  return runOf(await peer.line(signal), PER[mechanism.unit ?? "µs"]);
}

/** What the line of a peer says; its counts of messages have no unit. */
function runOf(line: string, per: number): Run {
  const said = line.split(" ").map(Number);
  const [middle, mean, p50, p99, longest] = said.map((value) => value / per);
  const run = { middle: middle!, mean: mean! };
  if (p50 === undefined) return run;
  const uneven = said[6]! / Math.max(said[5]!, 1);
  return { ...run, answers: { p50, p99: p99!, longest: longest!, uneven } };
}
