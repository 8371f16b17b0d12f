// Reads the messages of ring_producer.ts, in place.

import { SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";
import { commandLine, main } from "./_cli.ts";

const HELP = `Usage: ring_consumer.ts [--name NAME] [--wait]

Reads ticks and frames from the ring of ring_producer.ts, until that has ended.

Options:
  --name NAME  the name of the shared memory (default /ring)
  --wait       wait for the producer
  --help       show this`;

const TICK_TYPE = 1;

/** The ring, as soon as there is one. */
async function openRing(name: string, waits: boolean) {
  for (;;) {
    let memory: PosixSharedMemory | undefined;
    try {
      memory = PosixSharedMemory.open(name);
      return { memory, ring: SharedRing.open(memory) };
    } catch (error) {
      memory?.close();
      if (!waits) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

await main(async () => {
  const line = commandLine(HELP, {
    values: ["name"],
    flags: ["wait"],
  });
  const { memory, ring } = await openRing(
    line.value("name") ?? "/ring",
    line.has("wait"),
  );
  using _memory = memory;
  using consumer = ring.consumer();
  const view = new DataView(memory.bytes.buffer);
  let ticks = 0;
  let frames = 0;
  let wrong = 0;
  while (await consumer.wait()) {
    consumer.tryRead((message) => {
      const { type, byteOffset, byteLength } = message;
      if (type === TICK_TYPE) {
        const number = view.getUint32(byteOffset, true);
        if (number !== ticks++) wrong++;
      } else {
        const last = view.getUint8(byteOffset + byteLength - 1);
        if (last !== (frames++ & 255)) wrong++;
      }
    });
  }
  console.log(
    `received ${ticks} ticks and ${frames} frames, ${wrong} of them wrong`,
  );
});
