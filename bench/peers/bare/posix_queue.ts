// Two POSIX queues, with nothing but libc: the first goes to the one who serves, the
// second back.

import { play, ready, task } from "../task.ts";

const O_RDWR = 2;

const { mq_open, mq_send, mq_receive } = Deno.dlopen("librt.so.1", {
  // mqd_t mq_open(const char *name, int oflag)
  mq_open: { parameters: ["buffer", "i32"], result: "i32" },
  // int mq_send(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned msg_prio)
  mq_send: { parameters: ["i32", "buffer", "usize", "u32"], result: "i32" },
  // ssize_t mq_receive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned *prio)
  mq_receive: {
    parameters: ["i32", "buffer", "usize", "pointer"],
    result: "i32",
  },
}).symbols;
const MAX_SIZE = 1024; // of the queues that are made for this
const message = new Uint8Array(task.size);
const buffer = new Uint8Array(MAX_SIZE);
const [first, second] = task.addresses.map((name) =>
  mq_open(new TextEncoder().encode(`${name}\0`), O_RDWR)
);
const [incoming, outgoing] = task.serves
  ? [first!, second!]
  : [second!, first!];
const size = BigInt(task.size);
const longest = BigInt(MAX_SIZE);
if (task.serves) ready();
play({
  send: () => void mq_send(outgoing, message, size, 0),
  receive: () => void mq_receive(incoming, buffer, longest, null),
});
