// A message of 64 bytes into a queue, and out of it again.

import { PosixMessageQueue, SysvMessageQueue } from "@linux/ipc/message-queue";
import { removeAtEnd } from "./leftovers.ts";
import { libc } from "./libc.ts";

const SIZE = 64;
const message = new Uint8Array(SIZE);
const buffer = new Uint8Array(SIZE);
const { msgsnd, msgrcv, mq_send, mq_receive } = libc;

function compare(
  family: string,
  queue: SysvMessageQueue | PosixMessageQueue,
  bare: () => void,
): void {
  const group = `${family} queue: send and receive 64 bytes`;
  Deno.bench("bare FFI", { group, baseline: true }, bare);
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

const sysv = SysvMessageQueue.create(null);
removeAtEnd(sysv);
const { id } = sysv;
const raw = new Uint8Array(8 + SIZE); // struct msgbuf
new BigInt64Array(raw.buffer, 0, 1)[0] = 1n;
compare("System V", sysv, () => {
  msgsnd(id, raw, 64n, 0);
  msgrcv(id, raw, 64n, 0n, 0);
});

const posix = PosixMessageQueue.create(null, {
  maxMessages: 10,
  maxSize: SIZE,
});
PosixMessageQueue.unlink(posix.name);
const { fd } = posix;
compare("POSIX", posix, () => {
  mq_send(fd, message, 64n, 0);
  mq_receive(fd, buffer, 64n, null);
});
