// A broadcast, through this library: the timed one writes, and who serves has so many
// receivers, each of them in a Worker but one.

import { SharedBroadcast } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { play, ready, task } from "../task.ts";

const BATCH = 16;
const [name, receivers] = task.addresses;
const broadcast = SharedBroadcast.open(PosixSharedMemory.open(name!));
const message = new Uint8Array(task.size);

function transmit(): () => void {
  const producer = broadcast.producer();
  return () => producer.write(message);
}

function receive(): () => void {
  const receiver = broadcast.receiver({ spin: false });
  return () => {
    receiver.waitSync();
    receiver.tryRead(({ bytes }) => message.set(bytes), BATCH);
  };
}

const isWorker = typeof (globalThis as { name?: string }).name === "string" &&
  (globalThis as { name?: string }).name !== "";
if (task.serves && !isWorker) {
  for (let i = 1; i < Number(receivers); i++) {
    new Worker(import.meta.url, { type: "module", name: "give" });
  }
  await new Promise((resolve) => setTimeout(resolve, 200)); // they start
  ready();
}
const end = task.serves ? receive() : transmit();
play({ send: end, receive: end });
