// A FIFO in each direction, through this library.

import { fill, fillAsync, play, playAsync, task } from "../task.ts";
import { fifoEnds } from "./ends.ts";

const message = new Uint8Array(task.size);
const { reader, writer } = fifoEnds();
if (task.mode === "sync") {
  play({
    send: () => void writer.writeSync(message),
    receive: () => fill(message, (into) => reader.readSync(into)),
  });
} else {
  await playAsync({
    send: () => writer.write(message),
    receive: () => fillAsync(message, (into) => reader.read(into)),
  });
}
