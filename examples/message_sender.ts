// The C program sender.c in TypeScript: sends the age and the name of a person to a
// message queue.

import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { commandLine, main } from "./_cli.ts";
import { human } from "./data.ts";

const HELP = `Usage: message_sender.ts [--key KEY]

Sends a message to a System V message queue, which is created if it does not exist.

Options:
  --key KEY  the key of the queue (default 12345)
  --help     show this`;

await main(() => {
  const line = commandLine(HELP, { values: ["key"] });
  const key = line.integer("key") ?? 12345;
  using queue = SysvMessageQueue.openOrCreate(key, { mode: 0o666 });
  queue.sendSync(human.encode({ age: 80, name: "ghkim" }), { type: 1 });
  console.log("message sent");
});
