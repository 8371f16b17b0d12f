// What shm.ts and remove_shm.ts have in common.

import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { i32, struct } from "@linux/ipc/struct";

const counter = struct({ num: i32 });

/** The shared memory with the counter in it, which is made if need be. */
export function openCounter(key: number): SysvSharedMemory {
  return SysvSharedMemory.openOrCreate(key, counter.size, { mode: 0o666 });
}

/** Counts, and says how far. */
export function countUp(memory: SysvSharedMemory): void {
  const view = memory.view(0, counter);
  view.num = (view.num + 1) | 0; // an int of C wraps
  console.log(`shared memory value :${view.num}`);
}
