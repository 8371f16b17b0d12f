// The C program receiver.c in TypeScript: receives a message, prints it, and removes the
// queue.

import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { commandLine, main } from "./_cli.ts";
import { human } from "./data.ts";

const HELP = `Usage: message_receiver.ts [--key KEY]

Waits for a message in a System V message queue, prints it, and removes the queue.

Options:
  --key KEY  the key of the queue (default 12345)
  --help     show this`;

await main(() => {
  const line = commandLine(HELP, { values: ["key"] });
  const key = line.integer("key") ?? 12345;
  using queue = SysvMessageQueue.openOrCreate(key, { mode: 0o666 });
  const { name, age } = human.decode(queue.receiveSync().data);
  console.log(`name : ${name}, age :${age}`);
  queue.remove();
});
