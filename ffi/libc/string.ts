// <string.h>

import { header } from "./library.ts";

const string = header({
  // void *memcpy(void *dest, const void *src, size_t n)
  memcpy: { parameters: ["buffer", "buffer", "usize"], result: "usize" },
});

/**
 * The address of bytes, for a C struct that points to them: what memcpy returns.
 * It is good as long as they are referred to, and not transferred. (A pointer
 * view costs more, and is not to be had under a path-scoped grant.)
 */
export function pointerTo(bytes: Uint8Array<ArrayBuffer>): bigint {
  return string().memcpy(bytes, bytes, 0n);
}
