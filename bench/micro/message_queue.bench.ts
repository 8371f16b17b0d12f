// A message of 64 bytes into a queue, and out of it again.

import { PosixMessageQueue, SysvMessageQueue } from "@linux/ipc/message-queue";
import { removeAtEnd } from "./leftovers.ts";
import { libc } from "./libc.ts";

const SIZE = 64;
const message = new Uint8Array(SIZE);
const buffer = new Uint8Array(SIZE);
const { msgsnd, msgrcv, mq_send, mq_receive } = libc;

{
  const group = "System V queue: send and receive 64 bytes";
  const queue = SysvMessageQueue.create(null);
  removeAtEnd(queue);
  const { id } = queue;
  const raw = new Uint8Array(8 + SIZE); // struct msgbuf
  new BigInt64Array(raw.buffer, 0, 1)[0] = 1n;
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    msgsnd(id, raw, 64n, 0);
    msgrcv(id, raw, 64n, 0n, 0);
  });
  Deno.bench("sendSync, receiveSync", { group }, () => {
    queue.sendSync(message);
    queue.receiveSync();
  });
  Deno.bench("sendSync, receiveSync({ buffer })", { group }, () => {
    queue.sendSync(message);
    queue.receiveSync({ buffer });
  });
  Deno.bench("await send, await receive", { group }, async () => {
    await queue.send(message);
    await queue.receive();
  });
}

{
  const group = "POSIX queue: send and receive 64 bytes";
  const options = { maxMessages: 10, maxSize: SIZE };
  const queue = PosixMessageQueue.create(null, options);
  PosixMessageQueue.unlink(queue.name);
  const { fd } = queue;
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    mq_send(fd, message, 64n, 0);
    mq_receive(fd, buffer, 64n, null);
  });
  Deno.bench("sendSync, receiveSync", { group }, () => {
    queue.sendSync(message);
    queue.receiveSync();
  });
  Deno.bench("sendSync, receiveSync({ buffer })", { group }, () => {
    queue.sendSync(message);
    queue.receiveSync({ buffer });
  });
  Deno.bench("await send, await receive", { group }, async () => {
    await queue.send(message);
    await queue.receive();
  });
}
