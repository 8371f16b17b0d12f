// Memory for a process that does not trust its peers. It receives a descriptor, and
// accepts the memory only if it is sealed: then no peer can change the contents after
// they were checked, or truncate the memory, which would end the process with SIGBUS.

import { IpcError, MemoryFile } from "@linux/ipc/shared-memory";
import { commandLine, main } from "./_cli.ts";
import { ended, startWith } from "./_process.ts";

const HELP = `Usage: memory_file.ts [--fd NUMBER]

A parent process hands memory to its child, first as it is, then sealed.

Options:
  --fd NUMBER  be the child, which gets the memory as this descriptor
  --help       show this`;

/** Prints whether a call is permitted. */
function attempt(what: string, call: () => void): void {
  try {
    call();
    console.log(`${what}: done`);
  } catch (error) {
    if (!(error instanceof IpcError)) throw error;
    console.log(`${what}: ${error.code}`);
  }
}

function child(fd: number): void {
  let taken;
  try {
    taken = MemoryFile.fromFd(fd, { seals: ["shrink", "write"] });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.log("child refuses the memory: it is not sealed");
    return;
  }
  using file = taken;
  using map = file.map({ readonly: true });
  const text = new TextDecoder().decode(map.read(0, map.byteLength));
  console.log(`child reads: ${text}`);
  attempt("child changes it", () => file.map().close());
}

async function handOver(file: MemoryFile): Promise<void> {
  const process = file.inherit((fd) =>
    startWith(fd, import.meta.url, ["--fd", "3"])
  );
  if (!await ended(process)) throw new Error("The child failed");
}

async function parent(): Promise<void> {
  const text = new TextEncoder().encode("message from parent");
  using file = MemoryFile.create("message", text.length);
  {
    using map = file.map(); // closed before sealing, which a writable mapping would prevent
    map.bytes.set(text);
  }
  await handOver(file);
  file.seal(["shrink", "grow", "write", "seal"]);
  await handOver(file);
  attempt("parent makes it smaller", () => file.resize(0, { shrink: true }));
}

await main(async () => {
  const line = commandLine(HELP, { values: ["fd"] });
  const fd = line.integer("fd");
  if (fd === undefined) await parent();
  else child(fd);
});
