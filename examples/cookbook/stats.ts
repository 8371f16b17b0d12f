// Counts requests in the struct of stats.c, under its mutex.

import process from "node:process";
import { PthreadMutex, pthreadMutex } from "@linux/ipc/pthread";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { cstring, f64, struct, u64 } from "@linux/ipc/struct";

const layout = struct({ // stats.h
  lock: pthreadMutex,
  requests: u64,
  load: f64,
  last: cstring(16),
});

const [name = "/stats"] = process.argv.slice(2);

using memory = PosixSharedMemory.open(name);
const stats = memory.view(0, layout); // live: no copy
const mutex = PthreadMutex.at(memory, layout.offsets.lock);

for (let count = 0; count < 1000; count++) {
  using guard = await mutex.lock({ timeout: 5000 });
  if (guard.ownerDied) guard.markConsistent(); // as stats.c does
  stats.requests++;
  stats.last = "TypeScript";
} // unlocks
console.log(`${stats.requests} requests`);
