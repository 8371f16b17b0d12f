// Files of /proc, read through libc: Deno guards them with a permission of its own.

import { cString } from "../arguments.ts";
import { fcntl, O_CLOEXEC, O_RDONLY } from "./fcntl.ts";
import { unistd } from "./unistd.ts";

const CHUNK = 4096;
const decoder = new TextDecoder();

/** The text of a file; undefined where it cannot be read. */
export function readProc(path: string): string | undefined {
  const fd = fcntl().open(cString("path", path), O_RDONLY | O_CLOEXEC, 0);
  if (fd === -1) return undefined;
  const chunk = new Uint8Array(CHUNK);
  let text = "";
  try {
    for (;;) {
      const count = unistd().read(fd, chunk, CHUNK);
      if (count <= 0) return count === 0 ? text : undefined;
      text += decoder.decode(chunk.subarray(0, count)); // these files are ASCII
    }
  } finally {
    unistd().close(fd);
  }
}
