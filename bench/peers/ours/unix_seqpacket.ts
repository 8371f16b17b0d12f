// A Unix seqpacket socket, through this library.

import { play, playAsync, task } from "../task.ts";
import { seqpacket } from "./ends.ts";

const message = new Uint8Array(task.size);
const buffer = new Uint8Array(task.size); // as in C, of the one who receives
const socket = seqpacket();
if (task.mode === "sync") {
  play({
    send: () => socket.sendSync(message),
    receive: () => void (socket.receiveSync({ buffer }) ?? Deno.exit()),
  });
} else {
  await playAsync({
    send: () => socket.send(message),
    receive: async () => await socket.receive({ buffer }) ?? Deno.exit(),
  });
}
