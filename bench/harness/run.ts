// One run: two processes, one of which says how long it took.

import { fromFileUrl, join } from "@std/path";
import type { Case, Contender, Mechanism, Player, Way } from "./cases.ts";
import { Peer } from "./peer.ts";
import type { Plan, Result, Run } from "./results.ts";

/** Where and how a run takes place. */
export interface Setting extends Plan {
  /** Has the programs in C, and what the peers meet at. */
  readonly directory: string;
  /** The only processor of both; null for any. */
  readonly processor: number | null;
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
  const peer = import.meta.resolve(`../peers/${player.kind}/${name}.ts`);
  return [Deno.execPath(), "run", "--allow-all", ...FLAGS, fromFileUrl(peer)];
}

// The peers say nanoseconds, or the bytes themselves.
const PER: Record<Result["unit"], number> = { "µs": 1000, "B": 1 };

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
  const { warmup, duration, processor, directory } = setting;
  const limit = AbortSignal.timeout(warmup + duration + LIMIT);
  const signal = AbortSignal.any([setting.signal, limit]);
  using meeting = mechanism.meet(directory, way);
  const [timedPart, servingPart] = PARTS[way];
  const start = (player: Player, part: string) => {
    const numbers = [size, warmup, duration].map(String);
    const told = [...meeting.addresses, ...player.extra ?? []];
    const args = [part, player.mode, ...numbers, ...told];
    const command = [...program(player, mechanism.name, setting), ...args];
    return new Peer(command, processor, complaints);
  };
  await using serving = server === null ? null : start(server, servingPart);
  await serving?.line(signal); // it is ready
  await using peer = start(timed, timedPart);
  const said = (await peer.line(signal)).split(" ").map(Number);
  const per = PER[mechanism.unit ?? "µs"];
  const [middle, mean] = said.map((value) => value / per);
  return { middle: middle!, mean: mean! };
}
