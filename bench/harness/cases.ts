// What is measured: data, one file per mechanism in ../cases.

import type { RuntimeName } from "../../tests/support/runtimes.ts";
import { nodeVersion } from "./machine.ts";
import type { Placement, Result } from "./results.ts";

/** What the peers of a mechanism meet at, for one run. */
export interface Meeting extends Disposable {
  /** The last arguments of both peers. */
  readonly addresses: readonly string[];
}

/** A kind of peer: its programs are in ../peers/KIND, or in ../c. */
export interface Player {
  readonly name: string;
  readonly kind:
    | "c"
    | "ours"
    | "bare"
    | "deno"
    | "nodejs"
    | "stdio"
    | "node"
    | "worker";
  readonly mode: "sync" | "async";
  /** What runs it, if that is not Deno. */
  readonly runtime?: RuntimeName;
  /** What it is told besides: the very last arguments. */
  readonly extra?: readonly string[];
  /** Why it cannot take part here, or null. */
  readonly whyNot?: () => string | null;
}

/** A pair of peers: the one that is timed, and the one that serves it. */
export interface Contender {
  readonly name: string;
  readonly timed: Player;
  /** Null if the timed one starts it itself, or needs none. */
  readonly server: Player | null;
}

/** The direction of the messages; alone there is one process, which does not wait. */
export type Way = "one-way" | "round-trip" | "alone";

/** What several pairs do alike, so that they can be compared. */
export interface Case {
  readonly way: Way;
  /** The bytes of a message; 0 if there is no message. */
  readonly size: number;
  /** Who waits how. */
  readonly waiting: string;
  /** C comes first: it is what the others are compared with. */
  readonly contenders: readonly Contender[];
}

/** A mechanism and all that is measured of it. */
export interface Mechanism {
  readonly name: string;
  readonly cases: readonly Case[];
  /** Microseconds, unless it says something else. */
  readonly unit?: Result["unit"];
  /** Where its processes run; by default on one core, and then on any. */
  readonly placement?: Placement;
  /** How many times as long as others it runs. */
  readonly times?: number;
  /**
   * Makes what the peers meet at; disposing of it leaves nothing behind. `extra` is what
   * the timed one is told besides.
   */
  meet(directory: string, way: Way, extra: readonly string[]): Meeting;
}

/** Plain C. */
export const C: Player = { name: "C", kind: "c", mode: "sync" };
/** This library, blocking. */
export const OURS: Player = { name: "@linux/ipc", kind: "ours", mode: "sync" };
/** This library, waiting without blocking. */
export const OURS_ASYNC: Player = { ...OURS, mode: "async" };
/** What Deno has itself, blocking. */
export const DENO: Player = { name: "Deno", kind: "deno", mode: "sync" };
/** What Deno has itself, waiting without blocking. */
export const DENO_ASYNC: Player = { ...DENO, mode: "async" };
/** What Node.js has. */
export const NODEJS: Player = {
  name: "Node",
  kind: "nodejs",
  mode: "async",
  whyNot: () => nodeVersion() === null ? "there is no node in $PATH" : null,
};
/** The calls of libc with nothing around them. */
export const BARE: Player = { name: "bare FFI", kind: "bare", mode: "sync" };
/** The same, waiting with poll(2) on another thread. */
export const BARE_POLL: Player = { ...BARE, name: "bare poll", mode: "async" };
/** The pipes of a child's standard input and output. */
export const STDIO: Player = {
  name: "Deno stdio",
  kind: "stdio",
  mode: "async",
};
/** process.send() of node:child_process. */
export const NODE: Player = {
  name: "node:child_process",
  kind: "node",
  mode: "async",
};
/** postMessage() to and from a Worker: another thread, the same process. */
export const WORKER: Player = {
  name: "Worker",
  kind: "worker",
  mode: "async",
};

// They can only talk to whom they have started.
const PARENTS: readonly Player["kind"][] = ["stdio", "node", "worker"];

function pair(timed: Player, serving: Player): Contender {
  const server = PARENTS.includes(timed.kind) ? null : serving;
  return { name: timed.name, timed, server };
}

/** Each with its like, for all ways and sizes. */
export function alike(
  waiting: string,
  ways: readonly Way[],
  sizes: readonly number[],
  players: readonly Player[],
): Case[] {
  const contenders = players.map((player) => pair(player, player));
  return ways.flatMap((way) =>
    sizes.map((size) => ({ way, size, waiting, contenders }))
  );
}

/** Each by itself, without a wait. */
export function alone(
  waiting: string,
  size: number,
  players: readonly Player[],
): Case {
  const contenders = players.map((timed) => (
    { name: timed.name, timed, server: null }
  ));
  return { way: "alone", size, waiting, contenders };
}

/** Round trips of each with a server in C, which answers as soon as can be. */
export function withC(
  sizes: readonly number[],
  players: readonly Player[],
): Case[] {
  const contenders = players.map((player) => pair(player, C));
  const waiting = "async-with-c";
  return sizes.map((size) => ({
    way: "round-trip",
    size,
    waiting,
    contenders,
  }));
}
