// <string.h>

import { bufferOf, byteLengthOf } from "../arguments.ts";
import { header } from "./library.ts";
import { runtime } from "./runtime/mod.ts";

const string = header({
  // void *memcpy(void *dest, const void *src, size_t n)
  memcpy: { parameters: ["buffer", "buffer", "usize"], result: "usize" },
  // void *memmove(void *dest, const void *src, size_t n)
  memmove: { parameters: ["buffer", "usize", "usize"], result: "void" },
  // void *memmem(const void *haystack, size_t size, const void *needle, size_t length)
  memmem: {
    parameters: ["usize", "usize", "buffer", "usize"],
    result: "usize",
  },
});

const { movesBytes } = runtime;

/**
 * The address of bytes, for a C struct that points to them: what memcpy returns. It
 * is valid while the bytes are referenced and their buffer is not transferred. (A
 * pointer view costs more, and needs more than a path-scoped grant.)
 */
export function pointerTo(bytes: Uint8Array<ArrayBuffer>): bigint {
  if (movesBytes) bufferOf(bytes);
  return string().memcpy(bytes, bytes, 0n);
}

/** Fills `target` with the bytes at an address. The two may overlap. */
export function copyFrom(
  address: bigint,
  target: Uint8Array<ArrayBuffer>,
): void {
  string().memmove(target, address, BigInt(byteLengthOf(target)));
}

/** The address of the first occurrence of bytes in a memory; 0 if there is none. */
export function findIn(
  address: bigint,
  size: bigint,
  search: Uint8Array<ArrayBuffer>,
): bigint {
  const length = BigInt(byteLengthOf(search));
  return string().memmem(address, size, search, length);
}
