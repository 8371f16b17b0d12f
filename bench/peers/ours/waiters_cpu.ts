// How much of a processor this process takes while waits are pending in it, and nothing
// else happens, in per cent. The arguments are those of ./waiters.ts.

import process from "node:process";
import { task } from "../task.ts";
import { startWaits } from "./waits.ts";

startWaits(() => Deno.exit(1));
const [warmup, duration] = task.times;
await pause(warmup);
const [usage, start] = [process.cpuUsage(), performance.now()];
await pause(duration);
const { user, system } = process.cpuUsage(usage); // getrusage(2), microseconds
const share = (user + system) / (performance.now() - start) / 10;
console.log(`${share} ${share}`);
Deno.exit();

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
