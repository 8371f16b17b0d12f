// Files of /proc, read through libc: Deno guards them with a permission of its own.

import { cString } from "../arguments.ts";
import { fcntl, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./fcntl.ts";
import { unistd } from "./unistd.ts";

const CHUNK = 4096;
const decoder = new TextDecoder();

/** Calls `use` with the opened file; undefined where it cannot be opened. */
function withFile<T>(
  path: string,
  flags: number,
  use: (fd: number) => T,
): T | undefined {
  const fd = fcntl().open(cString("path", path), flags | O_CLOEXEC, 0);
  if (fd === -1) return undefined;
  try {
    return use(fd);
  } finally {
    unistd().close(fd);
  }
}

/** The text of a file; undefined where it cannot be read. */
export function readProc(path: string): string | undefined {
  return withFile(path, O_RDONLY, (fd) => {
    const chunk = new Uint8Array(CHUNK);
    let text = "";
    for (;;) {
      const count = unistd().read(fd, chunk, CHUNK);
      if (count <= 0) return count === 0 ? text : undefined;
      text += decoder.decode(chunk.subarray(0, count)); // these files are ASCII
    }
  });
}

/** The numbers among the names in a directory, which are ids of threads. */
export function numbersIn(path: string): number[] {
  return withFile(path, O_DIRECTORY, (fd) => {
    const numbers: number[] = [];
    const chunk = new Uint8Array(CHUNK);
    for (;;) {
      const count = unistd().getdents64(fd, chunk, CHUNK);
      if (count <= 0) return numbers;
      numbers.push(
        ...namesIn(chunk.subarray(0, count)).map(Number)
          .filter(Number.isInteger),
      );
    }
  }) ?? [];
}

// struct dirent64 as the kernel fills it: each as long as its name needs.
const D_RECLEN = 16;
const D_NAME = 19;

function namesIn(entries: Uint8Array): string[] {
  const names: string[] = [];
  const view = new DataView(entries.buffer, entries.byteOffset);
  for (let at = 0; at < entries.length;) {
    const end = entries.indexOf(0, at + D_NAME);
    names.push(decoder.decode(entries.subarray(at + D_NAME, end)));
    at += view.getUint16(at + D_RECLEN, true);
  }
  return names;
}
