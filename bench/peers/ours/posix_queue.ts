// Two POSIX queues, through this library: the first goes to the one who serves, the
// second back.

import { PosixMessageQueue } from "@linux/ipc/message-queue";
import { play, playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const [first, second] = task.addresses.map((name) =>
  PosixMessageQueue.open(name)
);
const [incoming, outgoing] = task.serves
  ? [first!, second!]
  : [second!, first!];
const buffer = new Uint8Array(incoming.maxSize); // C does not make one each time
if (task.serves) ready();
if (task.mode === "sync") {
  play({
    send: () => outgoing.sendSync(message),
    receive: () => void incoming.receiveSync({ buffer }),
  });
} else {
  await playAsync({
    send: () => outgoing.send(message),
    receive: () => incoming.receive({ buffer }),
  });
}
