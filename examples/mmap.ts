// A C program in TypeScript: prints the first 40 bytes of a file, and zeroes them.
//
// Unlike this one, the C program ends with SIGBUS if the file is empty or new, gives a
// new file random permissions, and prints beyond the 40 bytes up to the next zero.

import { closeSync, constants, openSync, statSync } from "node:fs";
import { MemoryMap } from "@linux/ipc/memory-map";
import { commandLine, main, print } from "./_cli.ts";

const { O_CREAT, O_RDWR } = constants;
const LENGTH = 40;
const HELP = `Usage: mmap.ts FILE

Prints the first 40 bytes of a file and overwrites them with zeroes. The file is
made, and stays empty, if there is none.

Options:
  --help  show this`;

await main(() => {
  const path = commandLine(HELP, { words: ["FILE"] }).words[0]!;
  closeSync(openSync(path, O_RDWR | O_CREAT, 0o644));
  const info = statSync(path);
  const { size } = info;
  if (!info.isFile()) throw new Error(`${path}: not a regular file`);
  if (size === 0) throw new Error(`${path}: the file is empty`);
  using map = MemoryMap.open(path, { length: Math.min(LENGTH, size) });
  const end = map.bytes.indexOf(0);
  print(end === -1 ? map.bytes : map.bytes.subarray(0, end));
  print("\n");
  map.bytes.fill(0);
});
