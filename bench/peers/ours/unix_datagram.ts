// Two Unix datagram sockets, through this library: the first is bound by the one who
// serves, the second by the other, who says that it is there with an empty message.

import { UnixDatagram } from "@linux/ipc/socket";
import { play, playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const buffer = new Uint8Array(task.size); // as in C, of the one who receives
const [to, from] = task.addresses as [string, string];
const incoming = UnixDatagram.create(task.serves ? to : from);
if (task.serves) {
  ready();
  incoming.receiveSync();
}
const outgoing = UnixDatagram.connect(task.serves ? from : to);
if (!task.serves) outgoing.sendSync(new Uint8Array());
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
