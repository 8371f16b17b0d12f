// An echo server for many connections, of Node.js, which runs it.

import { createServer } from "node:net";
import process from "node:process";

const [path, kind] = process.argv.slice(7);
const echo = kind === "framed" ? echoFrames : echoBytes;
let clients = 0;
createServer((socket) => {
  clients++;
  socket.on("data", echo(socket));
  socket.on("close", () => --clients === 0 && process.exit());
}).listen(path, 4096, () => console.log("ready"));

function echoBytes(socket) {
  return (bytes) => socket.write(bytes);
}

/** Frames begin with their length: 4 bytes, in network byte order. */
function echoFrames(socket) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
      const end = 4 + rest.readUInt32BE();
      socket.write(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}
