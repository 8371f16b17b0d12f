// One of the processes of lost_update.ts: it adds 1 to a number in shared memory,
// in two steps, and waits for an order before each of them.

import process from "node:process";
import { type LockGuard, SharedMutex } from "@linux/ipc/lock";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { i32, struct } from "@linux/ipc/struct";
import { inputLines } from "./_cli.ts";

const [memoryId, mutexId] = process.argv.slice(2).map(Number);
const orders = inputLines()[Symbol.asyncIterator]();

/** Waits for the next order; ends when the program that gives them has ended. */
async function ordered(): Promise<void> {
  if ((await orders.next()).done) process.exit(1);
}

/** Locks the mutex; returns the guard and what to print about it. */
async function lock(mutex: SharedMutex): Promise<[LockGuard, string]> {
  let guard = mutex.tryLock();
  if (guard === undefined) {
    console.log("finds it locked, and waits");
    guard = await mutex.lock({ timeout: 10_000 });
  }
  if (!guard.ownerDied) return [guard, "locks it and "];
  guard.markConsistent(); // a number is written in one step
  return [guard, "locks it, is told that its owner died, and "];
}

using memory = SysvSharedMemory.fromId(memoryId!);
const counter = memory.view(0, struct({ num: i32 }));

await ordered();
const [guard, how] = mutexId === undefined
  ? [undefined, ""]
  : await lock(SharedMutex.fromId(mutexId));
const { num } = counter;
console.log(`${how}reads ${num}`);

await ordered();
counter.num = num + 1;
guard?.release();
console.log(`writes ${num + 1}${guard === undefined ? "" : " and unlocks it"}`);
