// Two rings in shared memory, through this library: one to who serves, one back.

import { type RingMessage, SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { play, playAsync, ready, task } from "../task.ts";

const BATCH = 16;
const [there, back, waiting] = task.addresses;
const ringIn = (name: string) => SharedRing.open(PosixSharedMemory.open(name));
const spin = waiting !== "sleep";
const polls = waiting === "spin" || waiting === "batch";
const options = { spin };
const producer = ringIn(task.serves ? back! : there!).producer(options);
const consumer = ringIn(task.serves ? there! : back!).consumer(options);
const message = new Uint8Array(task.size);
const list = Array.from({ length: BATCH }, () => message);
const buffer = new Uint8Array(task.size);
let got = 0; // messages that were read, and not counted yet
const take = (received: RingMessage) => buffer.set(received.bytes);

if (task.serves) ready();
if (task.mode === "sync") {
  play({
    send: waiting === "batch"
      ? () => {
        for (let sent = 0; sent < BATCH;) {
          sent += producer.tryWriteAll(sent === 0 ? list : list.slice(sent));
        }
      }
      : polls
      ? () => {
        while (!producer.tryWrite(message));
      }
      : () => producer.writeSync(message),
    receive: () => {
      while (got === 0) {
        if (!polls) consumer.waitSync();
        got = consumer.tryRead(take, BATCH);
      }
      got--;
    },
  });
} else {
  await playAsync({
    send: () => producer.write(message),
    receive: async () => {
      while (got === 0) {
        await consumer.wait();
        got = consumer.tryRead(take, BATCH);
      }
      got--;
    },
  });
}
