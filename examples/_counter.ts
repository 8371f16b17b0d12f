// The counter of shm.ts and remove_shm.ts.

import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { i32, struct } from "@linux/ipc/struct";

const counter = struct({ num: i32 });

/** Opens the shared memory of the counter, or creates it. */
export function openCounter(key: number): SysvSharedMemory {
  return SysvSharedMemory.openOrCreate(key, counter.size, { mode: 0o666 });
}

/** Adds 1 to the counter, and prints it. */
export function countUp(memory: SysvSharedMemory): void {
  const view = memory.view(0, counter);
  view.num = (view.num + 1) | 0; // a C int wraps
  console.log(`shared memory value :${view.num}`);
}
