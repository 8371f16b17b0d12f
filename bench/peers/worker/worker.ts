/// <reference lib="deno.worker" />
// The Worker that serves.

import { channelOf, Inbox } from "../messages.ts";
import { playAsync } from "../task.ts";

const inbox = new Inbox();
self.onmessage = ({ data }) => inbox.put(data);
await playAsync(channelOf(inbox, (message) => self.postMessage(message)));
