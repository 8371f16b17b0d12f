// Two Unix datagram sockets, with nothing but libc once they are open.

import { datagrams } from "../ours/ends.ts";
import { play, task } from "../task.ts";

const { send, recv } = Deno.dlopen("libc.so.6", {
  // ssize_t send(int sockfd, const void *buf, size_t len, int flags), and recv
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
}).symbols;
const MSG_NOSIGNAL = 0x4000;
const message = new Uint8Array(task.size);
const size = BigInt(task.size);
const { incoming, outgoing } = datagrams();
using from = incoming; // forgotten, they would be closed
using to = outgoing;
const [fromFd, toFd] = [from.fd, to.fd];
play({
  send: () => void send(toFd, message, size, MSG_NOSIGNAL),
  receive: () => void recv(fromFd, message, size, 0),
});
