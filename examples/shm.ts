// The C program shm.c in TypeScript: each run adds 1 to a number in shared memory.

import { commandLine, main } from "./_cli.ts";
import { countUp, openCounter } from "./_counter.ts";

const HELP = `Usage: shm.ts [--key KEY]

Adds 1 to a number in System V shared memory, which is made if need be.

Options:
  --key KEY  the segment's key (default 12345)
  --help     show this`;

await main(() => {
  const line = commandLine(HELP, { values: ["key"] });
  using memory = openCounter(line.integer("key") ?? 12345);
  countUp(memory);
});
