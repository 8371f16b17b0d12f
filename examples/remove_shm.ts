// The C program remove_shm.c in TypeScript: adds 1 to a number in shared memory, and
// removes the memory.

import { commandLine, main } from "./_cli.ts";
import { countUp, openCounter } from "./_counter.ts";

const HELP = `Usage: remove_shm.ts [--key KEY]

Adds 1 to a number in System V shared memory, and removes the memory.

Options:
  --key KEY  the segment's key (default 12345)
  --help     show this`;

await main(() => {
  const line = commandLine(HELP, { values: ["key"] });
  using memory = openCounter(line.integer("key") ?? 12345);
  countUp(memory);
  memory.remove();
});
