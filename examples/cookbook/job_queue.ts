// Creates a queue, starts two workers and gives them jobs. After SIGTERM or Ctrl-C it sends
// no more; the workers do what is in the queue, and end.

import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { PosixMessageQueue } from "@linux/ipc/message-queue";

const name = `/jobs-${process.pid}`;
const jobs = Number(process.argv[2] ?? 6);
const script = fileURLToPath(import.meta.resolve("./job_worker.ts"));
const encoder = new TextEncoder();
const TIMEOUT = 30_000; // ms: no worker has taken a job for so long

let stopped = false;
process.on("SIGTERM", () => stopped = true);
process.on("SIGINT", () => stopped = true);

using queue = PosixMessageQueue.create(name, { maxSize: 512 });
try {
  const workers = [1, 2].map((number) => {
    const args = ["run", "--quiet", "--allow-ffi", script, name, `${number}`];
    const options = { stdio: "inherit", detached: true } as const; // not for Ctrl-C
    return once(spawn("deno", args, options), "exit");
  });

  for (let job = 1; job <= jobs && !stopped; job++) {
    const data = encoder.encode(JSON.stringify({ job }));
    // While the queue is full this waits: jobs do not pile up in memory.
    await queue.send(data, { priority: 1, timeout: TIMEOUT });
  }

  // An empty message of a lower priority comes after all jobs, one for each worker.
  for (const _ of workers) await queue.send(new Uint8Array(), { priority: 0 });
  await Promise.all(workers);
  console.log("all workers have ended");
} finally {
  PosixMessageQueue.unlink(name); // it is freed when the last process has closed it
}
