// Writes a million small messages into a ring in shared memory, and then large ones, in
// place, as a camera does. ring_consumer.ts reads them, and so does ring_consumer.c.

import { SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { f64, struct, u32 } from "@linux/ipc/struct";
import { commandLine, main } from "./_cli.ts";

const HELP =
  `Usage: ring_producer.ts [--name NAME] [--ticks NUMBER] [--frames NUMBER]

Writes ticks, and frames of 1 MiB, 60 per second, into a ring. When the ring is full, it
waits for the consumer.

Options:
  --name NAME      the name of the shared memory (default /ring)
  --ticks NUMBER   how many ticks (default 1000000)
  --frames NUMBER  how many frames (default 60)
  --help           show this`;

const CAPACITY = 1 << 24; // bytes: a message has at most an eighth of that
const FRAME = 1 << 20; // bytes
const BATCH = 64; // ticks that are published together
const PERIOD = 1000 / 60; // ms
const [TICK_TYPE, FRAME_TYPE] = [1, 2];
const tick = struct({ number: u32, price: f64 });

await main(async () => {
  const line = commandLine(HELP, {
    values: ["name", "ticks", "frames"],
  });
  const name = line.value("name") ?? "/ring";
  const ticks = line.integer("ticks") ?? 1_000_000;
  const frames = line.integer("frames") ?? 60;
  using memory = PosixSharedMemory.create(name, SharedRing.size(CAPACITY));
  try {
    const ring = SharedRing.create(memory, {
      producers: "one",
      capacity: CAPACITY,
    });
    using producer = ring.producer();

    const batch = Array.from(
      { length: BATCH },
      () => new Uint8Array(tick.size),
    );
    for (let number = 0; number < ticks;) {
      const rest = batch.slice(0, ticks - number);
      for (const message of rest) {
        tick.write(message, { number, price: number / 100 });
        number++;
      }
      await producer.writeAll(rest, { type: TICK_TYPE });
    }

    const start = performance.now();
    for (let number = 0; number < frames; number++) {
      using claim = await producer.claim(FRAME, { type: FRAME_TYPE });
      claim.bytes.fill(number); // the camera writes here
      claim.commit();
      const next = start + (number + 1) * PERIOD;
      const pause = Math.max(next - performance.now(), 0);
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
    console.log(`sent ${ticks} ticks and ${frames} frames`);
    while (producer.consumer === "none") {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  } finally {
    PosixSharedMemory.unlink(name); // the consumer has it mapped
  }
});
