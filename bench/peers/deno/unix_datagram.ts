// Two Unix datagram sockets of Deno's own: the first is bound by the one who serves,
// the second by the other, who says that it is there with an empty message.

import { playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const buffer = new Uint8Array(task.size);
const transport = "unixpacket";
const [to, from] = task.addresses as [string, string];
const socket = Deno.listenDatagram({
  transport,
  path: task.serves ? to : from,
});
const peer = { transport, path: task.serves ? from : to } as const;
if (task.serves) {
  ready();
  await socket.receive();
} else {
  await socket.send(new Uint8Array(), peer);
}
await playAsync({
  send: () => socket.send(message, peer),
  receive: () => socket.receive(buffer),
});
