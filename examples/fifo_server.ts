// The C program server.c in TypeScript: makes a FIFO, and prints every record that comes
// through it.
//
// The C program removes any file that has the name of its FIFO, such as a file with
// data or the FIFO of another server; this one does not. The C program never ends,
// and leaves the FIFO behind when it is killed.

import process from "node:process";
import { Fifo, IpcError } from "@linux/ipc/fifo";
import { commandLine, interrupt, main } from "./_cli.ts";
import { NAME, record } from "./_record.ts";

const HELP = `Usage: fifo_server.ts [--path PATH]

Makes a FIFO and prints every record that a client writes to it, until Ctrl-C.

Options:
  --path PATH  the FIFO (default ${NAME})
  --help       show this`;

/** Removes the FIFO that a server left which was killed. */
function removeAbandoned(path: string): void {
  let found: Fifo;
  try {
    found = Fifo.open(path);
  } catch (error) {
    if (error instanceof IpcError && error.code === "ENOENT") return;
    throw error;
  }
  using fifo = found;
  using writer = fifo.tryOpenWriter();
  if (writer !== undefined) {
    throw new Error(`${path}: another server reads this FIFO`);
  }
  fifo.unlink();
}

await main(async () => {
  const line = commandLine(HELP, { values: ["path"] });
  const path = line.value("path") ?? NAME;
  const signal = interrupt();
  removeAbandoned(path);
  using fifo = Fifo.create(path, { mode: 0o666 & ~process.umask() });
  try {
    // With a write end of its own, the server never sees the end of the stream:
    // it goes on when a client leaves and before the next one comes.
    using ends = fifo.openBoth();
    const buffer = new Uint8Array(record.size);
    while (!signal.aborted) {
      buffer.fill(0);
      await ends.reader.read(buffer, { signal });
      console.log(`recv: ${record.decode(buffer).text}`);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    fifo.unlink();
  }
});
