// Files of /proc, read through libc: Deno guards them with a permission of its own.

import {
  EINTR,
  EMFILE,
  ENFILE,
  ENOENT,
  ENOMEM,
  errno,
  ipcError,
  unless,
} from "../libc/errno.ts";
import { encodeName } from "../libc/dirent.ts";
import { fcntl, O_CLOEXEC, O_RDONLY } from "../libc/fcntl.ts";
import { linkedTo, unistd } from "../libc/unistd.ts";
import { notMounted } from "./not_mounted.ts";

const CHUNK = 4096;

/**
 * The text of a file; undefined if it does not exist, or this process may not read it.
 * A lack of descriptors or memory says nothing about the file, and is thrown.
 */
export function readProc(path: string): string | undefined {
  const cpath = encodeName(path);
  const { open } = fcntl();
  const flags = O_RDONLY | O_CLOEXEC;
  const fd = retried(() => open(cpath, flags, 0), "open", path);
  if (fd === undefined) return undefined;
  const { read, close } = unistd();
  const chunk = new Uint8Array(CHUNK);
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const count = retried(() => read(fd, chunk, CHUNK), "read", path);
      if (count === undefined) return undefined;
      if (count === 0) return text + decoder.decode();
      text += decoder.decode(chunk.subarray(0, count), { stream: true });
    }
  } finally {
    close(fd);
  }
}

/** What a link of /proc names, which an action needs. */
export function linkInProc(path: string, action: string): string {
  const target = unless(ENOENT, () => linkedTo(path));
  if (target === undefined) throw notMounted(action, "/proc");
  return target;
}

/** The result of a C call on a file; undefined if the file is the reason of a failure. */
function retried(
  call: () => number,
  syscall: string,
  path: string,
): number | undefined {
  for (;;) {
    const result = call();
    if (result !== -1) return result;
    const error = errno();
    if (error === EINTR) continue;
    if (error === EMFILE || error === ENFILE || error === ENOMEM) {
      throw ipcError(error, syscall, path);
    }
    return undefined;
  }
}
