// Serves the clients of a socket that systemd has opened, and tells systemd how it is.

import process from "node:process";
import {
  listenFds,
  sdNotify,
  UnixListener,
  watchdogTimeout,
} from "@linux/ipc/socket";

const [passed] = listenFds();
if (passed === undefined) throw new Error("systemd has passed no socket");
using listener = UnixListener.fromFd(passed.fd);

process.on("SIGTERM", () => listener.close()); // ends the loop below

const timeout = watchdogTimeout(); // of WatchdogSec=
const beat = () => void sdNotify("WATCHDOG=1").catch(console.error);
const timer = timeout && setInterval(beat, timeout / 2);

await sdNotify("READY=1\nSTATUS=Accepting connections");
const hello = new TextEncoder().encode("hello\n");
for await (using client of listener) {
  await client.write(hello).catch((error) => console.error(error.message));
}
await sdNotify("STOPPING=1");
clearInterval(timer);
