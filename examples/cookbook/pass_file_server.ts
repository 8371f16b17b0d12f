// Opens a file for each client, and passes the descriptor: the client needs no permission
// for the path.

import process from "node:process";
import { File } from "@linux/ipc/descriptor";
import { UnixListener } from "@linux/ipc/socket";

const [path = "./file.socket", name = "/etc/passwd"] = process.argv.slice(2);
const encoder = new TextEncoder();

using listener = UnixListener.listen(path, { reclaim: true });
console.log(`listening at ${path}`);
for await (using client of listener) {
  using file = File.open(name); // for reading only: the client cannot write either
  await client.send(encoder.encode(name), { descriptors: [file] })
    .catch((error) => console.error(error.message)); // it has gone: to the next one
}
