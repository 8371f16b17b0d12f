// A FIFO in each direction, while others wait in the same process: the last two
// arguments say what for, and how many.

import { MemoryMap } from "@linux/ipc/memory-map";
import { pipe } from "@linux/ipc/pipe";
import { PosixSemaphore } from "@linux/ipc/semaphore";
import { task } from "../task.ts";

const [kind, count] = task.addresses.slice(-2) as [string, string];
const kept: Disposable[] = []; // forgotten, they would be closed
for (let index = 0; index < Number(count); index++) {
  if (kind === "acquires") startToAcquire();
  else startToRead();
}
await import("./fifo.ts"); // which goes on until the end of this process

function startToRead(): void {
  const ends = pipe();
  kept.push(ends);
  ends.reader.read(new Uint8Array(64));
}

function startToAcquire(): void {
  const memory = MemoryMap.anonymous(PosixSemaphore.size);
  kept.push(memory);
  PosixSemaphore.init(memory.bytes, 0).acquire();
}
