// Starts a shell with a socket as its descriptor 3, sends it a line, and reads its answer.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { BufferedReader } from "@linux/ipc/reader";
import { UnixStream } from "@linux/ipc/socket";

const SCRIPT = 'read -r name <&3; echo "hello, $name" >&3';

using sockets = UnixStream.pair();
const [ours, theirs] = sockets;
const child = spawn("sh", ["-c", SCRIPT], {
  stdio: ["inherit", "inherit", "inherit", theirs.fd], // by its place it is 3
});
const ended = once(child, "exit");
theirs.close(); // the child has its own: without this its end would not be seen

await ours.write(new TextEncoder().encode("world\n"));
using reader = new BufferedReader(ours);
console.log(await reader.readLine({ timeout: 5000 })); // hello, world
console.log(await reader.readLine({ timeout: 5000 })); // null: the child has ended
await ended;
