// What the peers in TypeScript have in common: the command line and the loops.
//
// A peer is started as `peer PART MODE SIZE WARMUP DURATION ADDRESS...`, times in
// milliseconds. The parts "ping" and "take" are timed; "echo" and "give" serve
// them, and go on until they are killed. "alone" is "ping" with both ends in one
// process. The mode is "sync" or "async".
//
// The timed peer reports the nanoseconds of a round: the median of slices of 10 ms each,
// which other processes hardly disturb, and the mean.

import { args, exit } from "./process.ts";

/** What a peer is told to do. */
export interface Task {
  readonly part: string;
  readonly mode: string;
  /** Whether this is the one who serves. */
  readonly serves: boolean;
  /** The bytes of a message. */
  readonly size: number;
  /** Milliseconds that are not counted, and those that are. */
  readonly times: readonly [warmup: number, duration: number];
  readonly addresses: readonly string[];
}

/** Messages in both directions, blocking the thread. */
export interface Channel {
  send(): void;
  receive(): void;
}

/** Messages in both directions, not blocking it. */
export interface AsyncChannel {
  send(): Promise<unknown>;
  receive(): Promise<unknown>;
}

const SLICE = 10; // ms

function taskOf(given: readonly string[]): Task {
  const [first, mode, size, warmup, duration, ...addresses] = given;
  // A Worker has the arguments of its parent, but a name of its own.
  const part = (globalThis as { name?: string }).name || first!;
  return {
    part,
    mode: mode!,
    serves: part === "echo" || part === "give",
    size: Number(size),
    times: [Number(warmup), Number(duration)],
    addresses,
  };
}

/** What this peer is told to do. */
export const task: Task = taskOf(args);

const LARGE = 1024 * 1024; // bytes: such a round fills a slice

// Rounds between two looks at the clock.
const BATCH = task.size >= LARGE ? 1 : task.part === "alone" ? 64 : 16;

/** The arguments of the peer that serves this one. */
export function serving(): string[] {
  const [part, ...rest] = args;
  return [part === "take" ? "give" : "echo", ...rest];
}

/** Says that the other side may start. */
export function ready(): void {
  console.log("ready");
}

/** Says what the slices of time were like, and ends the process. */
function report(slices: readonly number[]): never {
  const middle = slices.toSorted((a, b) => a - b)[slices.length >> 1]!;
  const mean = slices.reduce((sum, value) => sum + value) / slices.length;
  console.log([middle, mean].map((ms) => (ms * 1e6).toFixed(2)).join(" "));
  exit();
}

/** Plays the part of this peer through the channel, and ends the process. */
export function play(channel: Channel): never {
  const { part } = task;
  if (part === "echo") {
    for (;;) {
      channel.receive();
      channel.send();
    }
  }
  if (part === "give") { for (;;) channel.send(); }
  const round = part === "take" ? channel.receive : () => {
    channel.send();
    channel.receive();
  };
  const [warmup, duration] = task.times;
  const isWarm = warmth(warmup);
  while (!isWarm(slice(round)));
  const slices = [];
  const end = performance.now() + duration;
  do slices.push(slice(round)); while (performance.now() < end);
  report(slices);
}

// V8 compiles what was called often enough, however long that took.
const ENOUGH = 60_000; // rounds
const MOST = 6; // times as long as the warm-up shall be, where rounds are long

/** Tells, after each slice, whether the peers are as fast as they get. */
function warmth(warmup: number): (each: number) => boolean {
  const start = performance.now();
  let rounds = 0;
  return (each) => {
    rounds += SLICE / each;
    const elapsed = performance.now() - start;
    return elapsed >= warmup && (rounds >= ENOUGH || elapsed >= warmup * MOST);
  };
}

/** How many milliseconds a round takes, in one slice of time. */
function slice(round: () => void): number {
  const start = performance.now();
  for (let count = BATCH;; count += BATCH) {
    for (let index = 0; index < BATCH; index++) round();
    const elapsed = performance.now() - start;
    if (elapsed >= SLICE) return elapsed / count;
  }
}

/** The same through one that waits without blocking. */
export async function playAsync(channel: AsyncChannel): Promise<never> {
  const { part } = task;
  if (part === "echo") {
    for (;;) {
      await channel.receive();
      await channel.send();
    }
  }
  if (part === "give") { for (;;) await channel.send(); }
  const round = part === "take" ? channel.receive : async () => {
    await channel.send();
    await channel.receive();
  };
  const [warmup, duration] = task.times;
  const isWarm = warmth(warmup);
  while (!isWarm(await sliceAsync(round)));
  const slices = [];
  const end = performance.now() + duration;
  do slices.push(await sliceAsync(round)); while (performance.now() < end);
  report(slices);
}

async function sliceAsync(round: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let count = BATCH;; count += BATCH) {
    for (let index = 0; index < BATCH; index++) await round();
    const elapsed = performance.now() - start;
    if (elapsed >= SLICE) return elapsed / count;
  }
}

/** Reads one whole message from a stream; ends the process at its end. */
export function fill(
  buffer: Uint8Array<ArrayBuffer>,
  read: (into: Uint8Array<ArrayBuffer>) => number | null,
): void {
  let count = read(buffer) ?? exit();
  while (count < buffer.length) {
    count += read(buffer.subarray(count)) ?? exit();
  }
}

/** The same, waiting without blocking. */
export async function fillAsync(
  buffer: Uint8Array<ArrayBuffer>,
  read: (into: Uint8Array<ArrayBuffer>) => Promise<number | null>,
): Promise<void> {
  let count = await read(buffer) ?? exit();
  while (count < buffer.length) {
    count += await read(buffer.subarray(count)) ?? exit();
  }
}

/** The same for a write that may be partial. */
export async function drain(
  bytes: Uint8Array<ArrayBuffer>,
  write: (from: Uint8Array<ArrayBuffer>) => Promise<number>,
): Promise<void> {
  let count = await write(bytes);
  while (count < bytes.length) count += await write(bytes.subarray(count));
}
