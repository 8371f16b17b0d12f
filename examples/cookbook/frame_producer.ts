// Writes frames of 1 MiB into shared memory, 60 a second, as a camera does. A frame for
// which there is no space is dropped: a camera cannot wait.

import process from "node:process";
import { setTimeout } from "node:timers/promises";
import { SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";

const FRAME = 1 << 20; // bytes
const CAPACITY = 1 << 24; // a message has at most an eighth of that
const [name = "/frames", count = "60"] = process.argv.slice(2);

using memory = PosixSharedMemory.create(name, SharedRing.size(CAPACITY));
try {
  const options = { producers: "one", capacity: CAPACITY } as const;
  using producer = SharedRing.create(memory, options).producer();
  console.log("waiting for a consumer");
  while (producer.consumer === "none") await setTimeout(10);

  let dropped = 0;
  const start = performance.now();
  for (let frame = 0; frame < Number(count); frame++) {
    const next = start + frame * 1000 / 60;
    await setTimeout(Math.max(next - performance.now(), 0));
    using claim = producer.tryClaim(FRAME);
    if (claim === undefined) {
      dropped++;
    } else {
      claim.bytes.fill(frame); // in place: nothing is copied
      claim.commit();
    }
  }
  console.log(`${count} frames, ${dropped} of them dropped`);
} finally {
  PosixSharedMemory.unlink(name); // the consumer has it mapped
}
