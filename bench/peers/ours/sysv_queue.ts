// A System V queue, through this library: messages of type 1 go to the one who
// serves, 2 come back.

import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { play, playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const buffer = new Uint8Array(task.size); // C does not make a new one, either
const [outgoing, incoming] = task.serves ? [2, 1] : [1, 2];
const queue = SysvMessageQueue.fromId(Number(task.addresses[0]));
if (task.serves) ready();
if (task.mode === "sync") {
  play({
    send: () => queue.sendSync(message, { type: outgoing }),
    receive: () => void queue.receiveSync({ type: incoming, buffer }),
  });
} else {
  await playAsync({
    send: () => queue.send(message, { type: outgoing }),
    receive: () => queue.receive({ type: incoming, buffer }),
  });
}
