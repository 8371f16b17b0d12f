// The C program server.c in TypeScript: serves a socket, prints what clients send, and
// answers.
//
// What the C program does and this one does not: it serves one client at a time,
// it removes whatever has the path of its socket, and it never sends the "end" that
// the client waits for, so that the client hangs after its first message.

import {
  ClosedError,
  IpcError,
  UnixListener,
  type UnixStream,
} from "@linux/ipc/socket";
import { commandLine, interrupt, main, print } from "./_cli.ts";

const MAXBUF = 255;
const HELP = `Usage: socket_server.ts PATH

Listens on a Unix domain socket, prints what its clients send and answers each
message, until Ctrl-C. A client that sends "quit" is disconnected.

Options:
  --help  show this`;

/** Sends a text; false if the client is gone, whose last words may still be read. */
async function say(client: UnixStream, text: string): Promise<boolean> {
  try {
    await client.write(new TextEncoder().encode(text));
    return true;
  } catch (error) {
    if (error instanceof IpcError && error.code === "EPIPE") return false;
    throw error;
  }
}

async function converse(client: UnixStream): Promise<void> {
  const buffer = new Uint8Array(MAXBUF);
  for (let count; (count = await client.read(buffer)) !== null;) {
    const message = buffer.subarray(0, count);
    print(message);
    if (new TextDecoder().decode(message).startsWith("quit")) {
      await say(client, "Connection Closed\n");
      return;
    }
    if (!await say(client, "IPC SUCCESS")) continue;
    // The C client looks for "end" at the beginning of what one read gave it, so
    // this must not be joined to the answer.
    await client.drained();
    await say(client, "end");
  }
}

async function serve(client: UnixStream): Promise<void> {
  try {
    await converse(client);
  } catch (error) {
    // A client that leaves without reading all, or the end of the server.
    const expected = error instanceof ClosedError ||
      error instanceof IpcError && error.code === "ECONNRESET";
    if (!expected) throw error;
  } finally {
    client.close();
  }
}

await main(async () => {
  const path = commandLine(HELP, { words: ["PATH"] }).words[0]!;
  const signal = interrupt();
  using listener = UnixListener.listen(path, { mode: 0o666, reclaim: true });
  signal.addEventListener("abort", () => listener.close());
  const clients = new Set<UnixStream>();
  for await (const client of listener) {
    clients.add(client);
    serve(client).finally(() => clients.delete(client));
  }
  for (const client of clients) client.close();
});
