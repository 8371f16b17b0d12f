// Two POSIX queues, through this library: the first goes to the one who serves, the
// second back.

import { PosixMessageQueue } from "@linux/ipc/message-queue";
import { ready, task } from "../task.ts";
import { playMessages } from "./messages.ts";

const [first, second] = task.addresses.map((name) =>
  PosixMessageQueue.open(name)
);
const [incoming, outgoing] = task.serves
  ? [first!, second!]
  : [second!, first!];
if (task.serves) ready();
await playMessages(outgoing, incoming, incoming.maxSize);
