// The C program client.c in TypeScript: sends lines to the server of a socket, and prints
// the answers.
//
// What the C program does and this one does not: it waits for an "end" after each
// answer, which its own server never sends; and it spins for ever when the server
// is gone or its input ends.

import { UnixStream } from "@linux/ipc/socket";
import { commandLine, inputLines, main, print } from "./_cli.ts";

const MAXBUF = 255;
const HELP = `Usage: socket_client.ts PATH

Sends each line of the standard input to the server behind a Unix domain socket,
and prints its answer. "quit" ends the connection.

Options:
  --help  show this`;

/** A line as C's fgets() gives it to the program: in pieces, if it is long. */
function* pieces(line: string): Generator<Uint8Array<ArrayBuffer>> {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let at = 0; at < bytes.length; at += MAXBUF - 1) {
    yield bytes.slice(at, at + MAXBUF - 1);
  }
}

/** The server's next answer; null when it has closed the connection. */
async function answer(server: UnixStream): Promise<string | null> {
  const buffer = new Uint8Array(MAXBUF);
  for (;;) {
    const count = await server.read(buffer);
    if (count === null) return null;
    const text = new TextDecoder().decode(buffer.subarray(0, count));
    // The "end" of this answer, or of the one before, if this server sends one. To wait
    // for it would be to hang with the C server.
    const rest = text.replace(/^end|end$/g, "");
    if (rest !== "") return rest;
  }
}

await main(async () => {
  const path = commandLine(HELP, { words: ["PATH"] }).words[0]!;
  using server = await UnixStream.connect(path);
  print("입력 : ");
  for await (const line of inputLines()) {
    for (const piece of pieces(line)) {
      await server.write(piece);
      if (line.startsWith("quit")) return;
      const text = await answer(server);
      if (text === null) throw new Error(`${path}: the server is gone`);
      print(`${text}\n`);
      print("입력 : ");
    }
  }
  print("\n");
});
