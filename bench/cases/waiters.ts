// One waiter of many in a process: how soon it runs when another process wakes it, and
// what it costs that they wait. Each waits for an object of its own, or all stand in
// line for the same.

import { Fifo } from "@linux/ipc/fifo";
import { PosixMessageQueue, SysvMessageQueue } from "@linux/ipc/message-queue";
import { PosixSemaphore, SysvSemaphoreSet } from "@linux/ipc/semaphore";
import { join } from "@std/path";
import {
  C,
  type Case,
  type Mechanism,
  OURS_ASYNC,
  type Player,
  type Way,
} from "../harness/cases.ts";

/** Each makes an object, and returns its address. */
const KINDS: Record<string, (stack: DisposableStack) => string | number> = {
  "sysv-semaphore"(stack) {
    const set = stack.use(SysvSemaphoreSet.create(null, [0]));
    stack.defer(() => set.remove());
    return set.id;
  },
  "posix-semaphore"(stack) {
    const { name } = stack.use(PosixSemaphore.create(null, 0));
    stack.defer(() => PosixSemaphore.unlink(name!));
    return name!;
  },
  "sysv-queue"(stack) {
    const queue = stack.use(SysvMessageQueue.create(null));
    stack.defer(() => queue.remove());
    return queue.id;
  },
  "posix-queue"(stack) {
    const options = { maxMessages: 1, maxSize: 1 };
    const { name } = stack.use(PosixMessageQueue.create(null, options));
    stack.defer(() => PosixMessageQueue.unlink(name));
    return name;
  },
};

const CAP_SYS_RESOURCE = 1n << 24n;

/** More POSIX queues than a limit may be made with CAP_SYS_RESOURCE only. */
function whyNoQueues(count: number): string | null {
  const path = "/proc/sys/fs/mqueue/queues_max";
  const status = Deno.readTextFileSync("/proc/self/status");
  const capabilities = /^CapEff:\s*(\w+)$/m.exec(status)?.[1] ?? "0";
  const isFree = (BigInt(`0x${capabilities}`) & CAP_SYS_RESOURCE) !== 0n;
  if (isFree || count < Number(Deno.readTextFileSync(path))) return null;
  return `${path} does not allow ${count} POSIX queues`;
}

/** A process with so many waiters. */
function waiting(kind: string, objects: string, count: number): Player {
  const player = {
    ...OURS_ASYNC,
    name: `${count} waiting`,
    extra: [kind, objects, `${count}`],
  };
  if (kind !== "posix-queue" || objects !== "own") return player;
  return { ...player, whyNot: () => whyNoQueues(count) };
}

/** These numbers of waiters, of each kind, with objects of their own and in line. */
function casesOf(
  way: Way,
  counts: readonly number[],
  contend: (player: Player) => { timed: Player; server: Player | null },
): Case[] {
  return ["own", "line"].flatMap((objects) =>
    Object.keys(KINDS).map((kind) => ({
      way,
      size: 0,
      waiting: `${kind}-${objects}`,
      contenders: counts.map((count) => {
        const player = waiting(kind, objects, count);
        return { name: player.name, ...contend(player) };
      }),
    }))
  );
}

const meet: Mechanism["meet"] = (directory, _way, extra) => {
  const [kind, objects, count] = extra as [string, string, string];
  using stack = new DisposableStack();
  const path = join(directory, "answers");
  const fifo = stack.use(Fifo.create(path));
  stack.defer(() => fifo.unlink());
  const addresses = [path];
  const length = objects === "own" ? Number(count) : 1;
  while (addresses.length <= length) addresses.push(`${KINDS[kind]!(stack)}`);
  const made = stack.move();
  return { addresses, [Symbol.dispose]: () => made.dispose() };
};

/** From the post of a C program to the answer of the last waiter that began to wait. */
export const waiters: Mechanism = {
  name: "waiters",
  placement: "two-cores",
  times: 5,
  cases: casesOf("round-trip", [1, 100, 1000], (server) => ({
    timed: { ...C, extra: server.extra! },
    server,
  })),
  meet,
};

/** The part of a processor that pending waits take. */
export const waitersCpu: Mechanism = {
  name: "waiters-cpu",
  unit: "%",
  times: 5,
  cases: casesOf("alone", [0, 500], (timed) => ({ timed, server: null })),
  meet,
};
