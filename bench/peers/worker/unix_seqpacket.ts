// The messages of a Worker, which are copied. The timed peer starts the one who
// serves.

import { channelOf, Inbox } from "../messages.ts";
import { playAsync, serving } from "../task.ts";

const inbox = new Inbox();
const worker = new Worker(import.meta.resolve("./worker.ts"), {
  type: "module",
  name: serving()[0]!,
});
worker.onmessage = ({ data }) => inbox.put(data);
await playAsync(channelOf(inbox, (message) => worker.postMessage(message)));
