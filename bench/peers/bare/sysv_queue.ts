// A System V queue, with nothing but libc: messages of type 1 go to the one who
// serves, 2 come back.

import { play, ready, task } from "../task.ts";

const { msgsnd, msgrcv } = Deno.dlopen("libc.so.6", {
  // int msgsnd(int msqid, const void *msgp, size_t msgsz, int msgflg)
  msgsnd: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  // ssize_t msgrcv(int msqid, void *msgp, size_t msgsz, long msgtyp, int msgflg)
  msgrcv: {
    parameters: ["i32", "buffer", "usize", "i64", "i32"],
    result: "i32",
  },
}).symbols;
const id = Number(task.addresses[0]);
const [outgoing, incoming] = task.serves ? [2n, 1n] : [1n, 2n];
const sent = new Uint8Array(8 + task.size); // struct msgbuf
const received = new Uint8Array(8 + task.size);
new BigInt64Array(sent.buffer, 0, 1)[0] = outgoing;
const size = BigInt(task.size);
if (task.serves) ready();
play({
  send: () => void msgsnd(id, sent, size, 0),
  receive: () => void msgrcv(id, received, size, incoming, 0),
});
