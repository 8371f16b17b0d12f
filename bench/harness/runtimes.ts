// This library on Node and Bun, beside itself on Deno.

import { programOf, type RuntimeName } from "../../tests/support/runtimes.ts";
import {
  C,
  type Case,
  type Contender,
  type Mechanism,
  OURS,
  OURS_ASYNC,
  type Player,
} from "./cases.ts";

const FLAGS = { node: ["--disable-warning=ExperimentalWarning"], bun: [] };
const TITLES = { node: "Node", bun: "Bun" };
const NAMES = ["node", "bun"] as const;
const SMALL = 64; // bytes: larger messages cost what copying them costs

const programs = new Map<RuntimeName, string>();

/** Finds the programs, which npx brings. */
export async function findRuntimes(): Promise<void> {
  for (const name of NAMES) programs.set(name, await programOf(name));
}

/** The command that runs scripts. */
export function commandOf(name: RuntimeName): string[] {
  return [programs.get(name)!, ...FLAGS[name]];
}

function on(runtime: RuntimeName, player: Player): Contender {
  const timed = {
    ...player,
    name: `${player.name} on ${TITLES[runtime]}`,
    runtime,
  };
  return { name: timed.name, timed, server: timed };
}

function withRuntimes({ contenders, ...what }: Case): Case[] {
  const names = contenders.map(({ timed }) => timed.kind);
  if (what.size > SMALL || what.way === "alone" || !names.includes("ours")) {
    return [];
  }
  const player = { sync: OURS, async: OURS_ASYNC }[what.waiting];
  if (player === undefined) return [];
  const both = contenders.filter(({ timed }) =>
    timed === C || timed === player
  );
  if (both.length < 2) return []; // it has players of its own
  return [{
    ...what,
    contenders: [...both, ...NAMES.map((name) => on(name, player))],
  }];
}

/** The cases of small messages, for C, and for this library on each runtime. */
export function onRuntimes(mechanisms: readonly Mechanism[]): Mechanism[] {
  return mechanisms
    .map((one) => ({ ...one, cases: one.cases.flatMap(withRuntimes) }))
    .filter(({ cases }) => cases.length > 0);
}
