// Does the jobs of a queue until an empty message arrives. After SIGTERM it finishes the
// job that it has begun, and ends.

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { PosixMessageQueue } from "@linux/ipc/message-queue";

const [name = "/jobs", number = "1"] = process.argv.slice(2);

const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());

using queue = PosixMessageQueue.open(name, { access: "receive" });
try {
  while (true) {
    // The signal ends the wait only: no message is lost.
    const { data } = await queue.receive({ signal: stop.signal });
    if (data.length === 0) break;
    const { job } = JSON.parse(new TextDecoder().decode(data));
    await setTimeout(10); // the work
    console.log(`worker ${number} has done job ${job}`);
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
}
