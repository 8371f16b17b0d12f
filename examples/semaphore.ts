// A C program in TypeScript: four threads take turns, a second each.
//
// The threads are Workers, which share no JavaScript objects. They share a segment of
// shared memory with a semaphore in it.

import { Worker } from "node:worker_threads";
import { PosixSemaphore } from "@linux/ipc/semaphore";
import { SysvSharedMemory } from "@linux/ipc/shared-memory";
import { commandLine, main } from "./_cli.ts";
import { THREAD } from "./_thread.ts";

const THREAD_NUM = 4;
const HELP = `Usage: semaphore.ts

Four threads share a semaphore. Each holds it for a second, says hello, and gives
it to the next.

Options:
  --help  show this`;

/** Starts a thread; resolves when it has ended. */
function createThread(id: number, thread: number): Promise<void> {
  const workerData = { id, thread };
  const worker = new Worker(new URL(THREAD), { workerData });
  return new Promise((resolve, reject) => {
    worker.on("exit", () => resolve());
    worker.on("error", reject);
  });
}

await main(async () => {
  commandLine(HELP);
  using memory = SysvSharedMemory.create(null, PosixSemaphore.size);
  // The threads open the memory by its id. The kernel frees it when the last of them
  // closes it, however this program ends.
  memory.remove();
  using _semaphore = PosixSemaphore.init(memory.bytes, 1);
  const threads = Array.from(
    { length: THREAD_NUM },
    (_, thread) => createThread(memory.id, thread),
  );
  await Promise.all(threads);
});
