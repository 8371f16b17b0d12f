// An echo server for many connections, through this library.

import { FramedStream } from "@linux/ipc/frames";
import {
  UnixListener,
  type UnixSeqpacket,
  type UnixStream,
} from "@linux/ipc/socket";
import { ready, task } from "../task.ts";

const [path, kind] = task.addresses as [string, string];
let clients = 0;
if (kind === "seqpacket") {
  const listener = UnixListener.listen(path, { type: "seqpacket" });
  await serve(listener, echoPackets);
} else {
  const listener = UnixListener.listen(path);
  await serve(listener, kind === "framed" ? echoFrames : echoBytes);
}

async function serve<Connection extends Disposable>(
  listener: AsyncIterable<Connection>,
  echo: (connection: Connection) => Promise<void>,
): Promise<void> {
  ready();
  for await (const connection of listener) {
    clients++;
    end(connection, echo(connection));
  }
}

/** Ends this process with its last client. */
async function end(connection: Disposable, all: Promise<void>): Promise<void> {
  await all;
  connection[Symbol.dispose]();
  if (--clients === 0) Deno.exit();
}

async function echoBytes(stream: UnixStream): Promise<void> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const count = await stream.read(buffer);
    if (count === null) return;
    await stream.write(buffer.subarray(0, count));
  }
}

async function echoPackets(socket: UnixSeqpacket): Promise<void> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const message = await socket.receive({ buffer });
    if (message === null) return;
    await socket.send(message.data);
  }
}

async function echoFrames(stream: UnixStream): Promise<void> {
  const frames = new FramedStream(stream);
  for await (const message of frames) await frames.send(message);
}
