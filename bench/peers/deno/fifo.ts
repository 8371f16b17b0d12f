// A FIFO in each direction, as files of Deno's own.

import {
  drain,
  fill,
  fillAsync,
  play,
  playAsync,
  ready,
  task,
} from "../task.ts";

const message = new Uint8Array(task.size);
const [to, from] = task.addresses as [string, string];
if (task.serves) ready();
// To open one waits for the other side, who opens them in the same order.
const first = Deno.openSync(to, { read: task.serves, write: !task.serves });
const second = Deno.openSync(from, { read: !task.serves, write: task.serves });
const [reader, writer] = task.serves ? [first, second] : [second, first];
if (task.mode === "sync") {
  play({
    send: () => void writer.writeSync(message), // of a pipe, never in part
    receive: () => fill(message, (into) => reader.readSync(into)),
  });
} else {
  await playAsync({
    send: () => drain(message, (bytes) => writer.write(bytes)),
    receive: () => fillAsync(message, (into) => reader.read(into)),
  });
}
