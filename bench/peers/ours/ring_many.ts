// A ring with four producers, through this library: who serves has three Workers.

import { type RingMessage, SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { play, ready, task } from "../task.ts";

const PRODUCERS = 4;
const BATCH = 16;
const ring = SharedRing.open(PosixSharedMemory.open(task.addresses[0]!));
const message = new Uint8Array(task.size);

function take(): () => void {
  const consumer = ring.consumer();
  const copy = (received: RingMessage) => message.set(received.bytes);
  let got = 0;
  return () => {
    while (got === 0) got = consumer.tryRead(copy, BATCH);
    got--;
  };
}

function give(): () => void {
  const producer = ring.producer();
  return () => producer.writeSync(message);
}

const isWorker = typeof (globalThis as { name?: string }).name === "string" &&
  (globalThis as { name?: string }).name !== "";
if (task.serves && !isWorker) {
  for (let i = 1; i < PRODUCERS; i++) {
    new Worker(import.meta.url, { type: "module", name: "give" });
  }
  await new Promise((resolve) => setTimeout(resolve, 200)); // they start
  ready();
}
const end = task.serves ? give() : take();
play({ send: end, receive: end });
