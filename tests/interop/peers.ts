/**
 * The two sides of every test here: the examples, and C programs of our own that
 * do what the C programs do to which the examples correspond.
 */
import { assertEquals } from "@std/assert";
import { compile, noCompiler } from "../support/c.ts";
import { leakTest } from "../support/leaks.ts";
import {
  type Child,
  type Ended,
  run,
  runDeno,
  spawn,
  spawnDeno,
  type SpawnOptions,
} from "../support/process.ts";
import { share } from "../support/rounds.ts";

/** Who plays a part: the example, or its C peer. */
export type Side = "TypeScript" | "C";

/** Both mixed pairs of sides; in the long run the other two. */
export const PAIRS: readonly (readonly [Side, Side])[] = share([
  ["TypeScript", "C"],
  ["C", "TypeScript"],
  ["TypeScript", "TypeScript"],
  ["C", "C"],
], 2);

/** A test with C peers. */
export function peerTest(
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  leakTest(name, { needs: [noCompiler] }, fn);
}

/** A test with C peers, some of whose cases or rounds are left to the long run. */
export function pairTest(
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  leakTest(name, { needs: [noCompiler], soak: "also" }, fn);
}

/** A test of examples alone. */
export function exampleTest(
  name: string,
  fn: (t: Deno.TestContext) => void | Promise<void>,
): void {
  leakTest(name, fn);
}

/** Where an example is. */
export function exampleUrl(name: string): URL {
  return new URL(`../../examples/${name}`, import.meta.url);
}

/** Starts an example. */
export function startExample(
  name: string,
  args: string[] = [],
  options: SpawnOptions = {},
): Child {
  return spawnDeno(exampleUrl(name), { ...options, args });
}

/** Runs an example to its end. */
export function runExample(
  name: string,
  args: string[] = [],
  options: SpawnOptions = {},
): Promise<Ended> {
  return runDeno(exampleUrl(name), { ...options, args });
}

/** Starts a C peer. */
export async function startPeer(
  name: string,
  args: string[] = [],
  options: SpawnOptions = {},
): Promise<Child> {
  return spawn(await peerProgram(name), { ...options, args });
}

/** Runs a C peer to its end. */
export async function runPeer(
  name: string,
  args: string[] = [],
  options: SpawnOptions = {},
): Promise<Ended> {
  return run(await peerProgram(name), { ...options, args });
}

/** Tells a peer something, which has exactly this answer. */
export async function say(
  peer: Child,
  line: string,
  answer: string,
): Promise<void> {
  await peer.send(line);
  assertEquals(await peer.line(), answer);
}

/** Compiles a C peer; returns its path. */
export function peerProgram(name: string): Promise<string> {
  return compile(new URL(`./c/${name}.c`, import.meta.url));
}
