// 64 bytes through a pair of sockets in one process.

import { UnixDatagram, UnixSeqpacket, UnixStream } from "@linux/ipc/socket";
import { libc } from "./libc.ts";

const message = new Uint8Array(64);
const buffer = new Uint8Array(64);
const { read, write } = libc;
const group = "socket: send and receive 64 bytes";

{
  const pair = UnixStream.pair();
  const [from, to] = [pair[0].fd, pair[1].fd];
  Deno.bench("bare FFI, stream", { group, baseline: true }, () => {
    write(to, message, 64);
    read(from, buffer, 64);
  });
  Deno.bench("UnixStream", { group }, () => {
    pair[1].writeSync(message);
    pair[0].readSync(buffer);
  });
}
for (const type of [UnixSeqpacket, UnixDatagram]) {
  const pair = type.pair();
  Deno.bench(type.name, { group }, () => {
    pair[1].sendSync(message);
    pair[0].receiveSync({ buffer });
  });
}
