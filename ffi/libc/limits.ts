// The limits that the system sets for IPC, as the kernel shows them in /proc.

import type { SystemLimit } from "../errors.ts";
import { fcntl, O_CLOEXEC } from "./fcntl.ts";
import { unistd } from "./unistd.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The limit of that name; `field` picks one of several numbers. Undefined where
 * /proc does not show it. Read through libc, because Deno guards /proc with a
 * permission of its own.
 */
export function systemLimit(name: string, field = 0): SystemLimit | undefined {
  const fd = fcntl().open(encoder.encode(`${name}\0`), O_CLOEXEC, 0);
  if (fd === -1) return undefined;
  const text = new Uint8Array(256);
  const count = unistd().read(fd, text, text.length);
  unistd().close(fd);
  if (count <= 0) return undefined;
  const number = decoder.decode(text.subarray(0, count)).split(/\s+/)[field];
  if (!number) return undefined;
  const exact = Number(number);
  const value = Number.isSafeInteger(exact) ? exact : BigInt(number);
  return { name, value };
}
