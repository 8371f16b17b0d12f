// Many waits of one kind that are pending at once, each for an object of its own or all
// for the same.

import { PosixMessageQueue, SysvMessageQueue } from "@linux/ipc/message-queue";
import { PosixSemaphore, SysvSemaphoreSet } from "@linux/ipc/semaphore";
import { task } from "../task.ts";

type Wait = () => Promise<unknown>;

const OPEN: Record<string, (address: string) => Wait> = {
  "sysv-semaphore"(id) {
    const set = SysvSemaphoreSet.fromId(Number(id));
    const semaphore = set.semaphore(0, { undo: false });
    return () => semaphore.acquire();
  },
  "posix-semaphore"(name) {
    const semaphore = PosixSemaphore.open(name);
    return () => semaphore.acquire();
  },
  "sysv-queue"(id) {
    const queue = SysvMessageQueue.fromId(Number(id));
    return () => queue.receive();
  },
  "posix-queue"(name) {
    const queue = PosixMessageQueue.open(name);
    return () => queue.receive();
  },
};

/** Starts the waits that this peer is told to; each that has ended, once more. */
export function startWaits(ended: () => void): void {
  const [kind, _objects, count] = task.addresses.slice(-3);
  const waits = task.addresses.slice(1, -3).map(OPEN[kind!]!);
  for (let index = 0; index < Number(count); index++) {
    repeat(waits[Math.min(index, waits.length - 1)]!, ended);
  }
}

async function repeat(wait: Wait, ended: () => void): Promise<never> {
  for (;;) {
    await wait();
    ended();
  }
}
