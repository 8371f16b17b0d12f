// Two Unix datagram sockets, through this library: the first is bound by the one who
// serves, the second by the other, who says that it is there with an empty message.

import { UnixDatagram } from "@linux/ipc/socket";
import { ready, task } from "../task.ts";
import { playMessages } from "./messages.ts";

const [to, from] = task.addresses as [string, string];
const incoming = UnixDatagram.create(task.serves ? to : from);
if (task.serves) {
  ready();
  incoming.receiveSync();
}
const outgoing = UnixDatagram.connectSync(task.serves ? from : to);
if (!task.serves) outgoing.sendSync(new Uint8Array());
await playMessages(outgoing, incoming);
