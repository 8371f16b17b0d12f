// An echo server for many connections, of Deno's own.

import { drain, ready, task } from "../task.ts";

const [path, kind] = task.addresses as [string, string];
const listener = Deno.listen({ transport: "unix", path });
let clients = 0;
ready();
for await (const connection of listener) {
  clients++;
  serve(connection);
}

/** Serves a client; ends this process with the last one. */
async function serve(connection: Deno.Conn): Promise<void> {
  await (kind === "framed" ? echoFrames(connection) : echoBytes(connection));
  connection.close();
  if (--clients === 0) Deno.exit();
}

async function echoBytes(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(4096);
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) return;
    await send(connection, buffer.subarray(0, count));
  }
}

/** Frames begin with their length: 4 bytes, in network byte order. */
async function echoFrames(connection: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(4096);
  const view = new DataView(buffer.buffer);
  for (let filled = 0;;) {
    const count = await connection.read(buffer.subarray(filled));
    if (count === null) return;
    filled += count;
    while (filled >= 4 && filled >= 4 + view.getUint32(0)) {
      const end = 4 + view.getUint32(0);
      await send(connection, buffer.subarray(0, end));
      buffer.copyWithin(0, end, filled);
      filled -= end;
    }
  }
}

function send(
  connection: Deno.Conn,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  return drain(bytes, (from) => connection.write(from));
}
