// Reads the frames where they are, until the producer has ended.

import process from "node:process";
import { SharedRing } from "@linux/ipc/ring";
import { PosixSharedMemory } from "@linux/ipc/shared-memory";

const [name = "/frames"] = process.argv.slice(2);

using memory = await PosixSharedMemory.openWhenReady(name, { timeout: 10_000 });
using consumer = SharedRing.open(memory).consumer();

let frames = 0;
let bytes = 0;
while (await consumer.wait()) {
  consumer.tryRead((message) => {
    frames++;
    bytes += message.bytes.length; // of the memory itself, valid until this returns
  });
}
console.log(`${frames} frames, ${bytes} bytes`);
