// What each thread of semaphore.ts runs.

import { isMainThread, workerData } from "node:worker_threads";
import { PosixSemaphore } from "@linux/ipc/semaphore";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { print } from "./_cli.ts";

/** C's sleep(): blocks this thread. */
function sleep(seconds: number): void {
  const never = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(never, 0, 0, seconds * 1000);
}

function routine(id: number, thread: number): void {
  using memory = SysvSharedMemory.fromId(id);
  using semaphore = PosixSemaphore.at(memory.bytes);
  using _permit = semaphore.acquireSync();
  sleep(1);
  print(`Hello from thread ${thread}\n`);
}

/** The module of a thread. Who imports it gets it into a program of `deno compile`. */
export const THREAD = import.meta.url;

if (!isMainThread) routine(workerData.id, workerData.thread);
