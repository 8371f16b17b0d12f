// A Unix stream socket, through this library.

import { fill, fillAsync, play, playAsync, task } from "../task.ts";
import { unixStream } from "./ends.ts";

const message = new Uint8Array(task.size);
const socket = unixStream();
if (task.mode === "sync") {
  play({
    send: () => void socket.writeSync(message),
    receive: () => fill(message, (into) => socket.readSync(into)),
  });
} else {
  await playAsync({
    send: () => socket.write(message),
    receive: () => fillAsync(message, (into) => socket.read(into)),
  });
}
