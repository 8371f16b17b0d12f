// The C program pipe.c in TypeScript: a parent sends a message to its child through a pipe.
//
// C forks: the child is a copy of the parent, with both ends of the pipe. A V8
// process cannot be forked, so this child is another run of this program, which
// inherits the read end and nothing else.
//
// What the C program does and this one does not: it prints what happens to be in
// memory behind the message, because read() does not terminate a string, and it
// ends without waiting for the child.

import { pipe, PipeReader } from "@linux/ipc/pipe";
import { commandLine, main, print } from "./_cli.ts";
import { ended, startWith } from "./_process.ts";

const MAXBUF = 1024;
const HELP = `Usage: pipe.ts [--read-fd NUMBER]

A parent process sends a message to its child through a pipe.

Options:
  --read-fd NUMBER  be the child, which reads from this descriptor
  --help            show this`;

function readAs(fd: number): void {
  using reader = PipeReader.fromFd(fd);
  const buffer = new Uint8Array(MAXBUF);
  const count = reader.readSync(buffer) ?? 0;
  const message = new TextDecoder().decode(buffer.subarray(0, count));
  print(`child got message : ${message}\n`);
}

async function parent(): Promise<void> {
  using ends = pipe();
  const child = ends.reader.inherit((fd) =>
    startWith(fd, import.meta.url, ["--read-fd", "3"])
  );
  ends.reader.close(); // the parent only writes
  ends.writer.writeSync(new TextEncoder().encode("message from parent\n"));
  ends.writer.close();
  if (!await ended(child)) throw new Error("The child failed");
}

await main(async () => {
  const line = commandLine(HELP, { values: ["read-fd"] });
  const fd = line.integer("read-fd");
  print("\n");
  if (fd === undefined) await parent();
  else readAs(fd);
});
