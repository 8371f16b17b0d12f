// One run: two processes, one of which says how long it took.

import { fromFileUrl, join } from "@std/path";
import type { Case, Contender, Mechanism, Player, Way } from "./cases.ts";
import { Peer } from "./peer.ts";

/** How long a run is. */
export interface Times {
  /** Milliseconds that are not counted: the compiler of V8 is at work. */
  readonly warmup: number;
  /** Milliseconds that are counted. */
  readonly duration: number;
}

/** Where and how a run takes place. */
export interface Setting extends Times {
  /** Has the programs in C, and what the peers meet at. */
  readonly directory: string;
  /** The only processor of both; null for any. */
  readonly processor: number | null;
  readonly signal: AbortSignal;
}

const LIMIT = 20_000; // ms that peers may take besides

// Who is timed does the first, who serves the second.
const PARTS: Record<Way, readonly [string, string]> = {
  "round-trip": ["ping", "echo"],
  "one-way": ["take", "give"],
};

function program(player: Player, mechanism: string, setting: Setting) {
  const name = mechanism.replaceAll("-", "_");
  if (player.kind === "c") return [join(setting.directory, name)];
  const peer = import.meta.resolve(`../peers/${player.kind}/${name}.ts`);
  return [Deno.execPath(), "run", "--quiet", "--allow-all", fromFileUrl(peer)];
}

/** How many microseconds one message, or one round trip, took. */
export interface Run {
  /** In the middle one of all slices of 10 milliseconds. */
  readonly middle: number;
  /** On average, with what other processes did in between. */
  readonly mean: number;
}

/** Lets two peers do their parts. */
export async function run(
  mechanism: Mechanism,
  one: Case,
  contender: Contender,
  setting: Setting,
): Promise<Run> {
  const complaints: string[] = [];
  try {
    return await runPair(mechanism, one, contender, setting, complaints);
  } catch (error) {
    setting.signal.throwIfAborted();
    const { message } = error as Error;
    const why = [message, ...complaints].join("\n");
    throw new Error(`${contender.name} failed: ${why}`, { cause: error });
  }
}

async function runPair(
  mechanism: Mechanism,
  { way, size }: Case,
  { timed, server }: Contender,
  setting: Setting,
  complaints: string[],
): Promise<Run> {
  const { warmup, duration, processor, directory } = setting;
  const limit = AbortSignal.timeout(warmup + duration + LIMIT);
  const signal = AbortSignal.any([setting.signal, limit]);
  using meeting = mechanism.meet(directory);
  const [timedPart, servingPart] = PARTS[way];
  const start = (player: Player, part: string) => {
    const numbers = [size, warmup, duration].map(String);
    const args = [part, player.mode, ...numbers, ...meeting.addresses];
    const command = [...program(player, mechanism.name, setting), ...args];
    return new Peer(command, processor, complaints);
  };
  await using serving = server === null ? null : start(server, servingPart);
  await serving?.line(signal); // it is ready
  await using peer = start(timed, timedPart);
  const nanoseconds = (await peer.line(signal)).split(" ").map(Number);
  const [middle, mean] = nanoseconds.map((value) => value / 1000);
  return { middle: middle!, mean: mean! };
}
