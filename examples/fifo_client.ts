// The C program client.c in TypeScript: writes three records to the FIFO of the server.
//
// What the C program does and this one does not: it hangs for ever when the FIFO
// is there and no server reads it, and it sends what happens to be in memory
// behind each text.

import { Fifo, IpcError, type PipeWriter } from "@linux/ipc/fifo";
import { commandLine, main } from "./_cli.ts";
import { NAME, record } from "./_record.ts";

const MESSAGES = 3;
const HELP = `Usage: fifo_client.ts [--path PATH] [--wait]

Sends three messages to the server behind a FIFO.

Options:
  --path PATH  the FIFO (default ${NAME})
  --wait       wait until there is a server
  --help       show this`;

function connect(path: string): PipeWriter {
  using fifo = Fifo.open(path);
  const writer = fifo.tryOpenWriter();
  if (writer === undefined) {
    throw new Error(`${path}: no server reads this FIFO`);
  }
  return writer;
}

async function connectWaiting(path: string): Promise<PipeWriter> {
  for (;;) {
    try {
      return connect(path);
    } catch (error) {
      // No FIFO yet, or one that no server reads.
      if (error instanceof IpcError && error.code !== "ENOENT") throw error;
      if (error instanceof TypeError) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

await main(async () => {
  const line = commandLine(HELP, {
    values: ["path"],
    flags: ["wait"],
  });
  const path = line.value("path") ?? NAME;
  using writer = line.has("wait") ? await connectWaiting(path) : connect(path);
  for (let i = 0; i < MESSAGES; i++) {
    await writer.write(record.encode({ text: `Send Message[${i}]` }));
  }
});
