// The messages of node:child_process. The timed peer starts the one who serves.

import { type ChildProcess, fork } from "node:child_process";
import process from "node:process";
import { channelOf, Inbox } from "../messages.ts";
import { playAsync, serving, task } from "../task.ts";

const inbox = new Inbox();
const peer = task.serves ? process : start();
peer.on("message", inbox.put);
if (task.serves) {
  // The end of its parent does not always disconnect it.
  Deno.stdin.read(new Uint8Array(1)).then(() => Deno.exit());
}
await playAsync(channelOf(inbox, (message) => void peer.send!(message)));

function start(): ChildProcess {
  return fork(import.meta.filename!, serving(), {
    serialization: "advanced",
    stdio: ["pipe", "inherit", "inherit", "ipc"],
  });
}
