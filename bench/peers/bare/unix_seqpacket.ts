// A Unix seqpacket socket, with nothing but libc.

import { seqpacket } from "../ours/ends.ts";
import { play, task } from "../task.ts";

const { send, recv } = Deno.dlopen("libc.so.6", {
  // ssize_t send(int sockfd, const void *buf, size_t len, int flags), and recv
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
}).symbols;
const MSG_NOSIGNAL = 0x4000;
const message = new Uint8Array(task.size);
const size = BigInt(task.size);
using socket = seqpacket(); // forgotten, it would be closed
const { fd } = socket;
play({
  send: () => void send(fd, message, size, MSG_NOSIGNAL),
  receive: () => void (recv(fd, message, size, 0) || Deno.exit()),
});
