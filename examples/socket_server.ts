// server.c of the socket: prints what clients say, and answers.
//
// What the C program does and this one does not: it serves one client at a time,
// it removes whatever has the path of its socket, and it never sends the "end" that
// the client waits for, so that the client hangs after its first message.

import { IpcError, UnixListener, type UnixStream } from "@linux/ipc/socket";
import { commandLine, interrupt, main, print } from "./_cli.ts";

const MAXBUF = 255;
const HELP = `Usage: socket_server.ts PATH

Listens on a Unix domain socket, prints what its clients send and answers each
message, until Ctrl-C. A client that sends "quit" is disconnected.

Options:
  --help  show this`;

const encode = (text: string) => new TextEncoder().encode(text);

async function converse(client: UnixStream): Promise<void> {
  const buffer = new Uint8Array(MAXBUF);
  for (let count; (count = await client.read(buffer)) !== null;) {
    const message = buffer.subarray(0, count);
    print(message);
    if (new TextDecoder().decode(message).startsWith("quit")) {
      await client.write(encode("Connection Closed\n"));
      return;
    }
    await client.write(encode("IPC SUCCESS"));
    // The C client looks for "end" at the beginning of what one read gave it, so
    // this must not be joined to the answer.
    await client.drained();
    await client.write(encode("end"));
  }
}

async function serve(client: UnixStream): Promise<void> {
  try {
    await converse(client);
  } catch (error) {
    // A client that leaves in the middle is no concern of the others.
    if (!(error instanceof IpcError)) throw error;
  } finally {
    client.close();
  }
}

await main(async () => {
  const path = commandLine(HELP, {}, "PATH").word[0]!;
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
