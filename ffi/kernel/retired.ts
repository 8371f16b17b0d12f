// Addresses that are no mapping's any more, and that a call of the runtime on another
// thread may still use.
//
// An ArrayBuffer that is detached keeps its address in the calls that were given it:
// Deno offers no way to be told when the last of them is over. If the pages were
// unmapped, such a call would end the process with SIGSEGV; if something else was
// mapped there by then, it would read and write that. So empty pages take the place:
// they cost addresses, and memory only where such a call writes to them, until so much
// has followed that they are given back.

import { isNoAddress } from "../libc/errno.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "../libc/sys_mman.ts";
import { resourceLimit, RLIMIT_AS } from "../libc/sys_resource.ts";

// Of each thread. A process has 128 TiB of addresses, and 65530 mappings, of which
// the kernel makes one where they are contiguous.
const MAX_SPAN = 1n << 34n;
const MAX_COUNT = 512;

interface Range {
  readonly start: bigint;
  readonly span: bigint;
}

const ranges: Range[] = []; // the oldest first
let total = 0n;

/** Puts empty pages there; false if nothing was changed. */
function replace({ start, span }: Range, fixed: number): boolean {
  const { mmap, munmap } = sysMman();
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed;
  const address = mmap(start, span, PROT_READ | PROT_WRITE, flags, -1, 0n);
  if (isNoAddress(address)) return false;
  if (address === start) return true;
  munmap(address, span); // before Linux 4.17 it was a hint
  return false;
}

/**
 * Replaces whole pages by empty ones. False if they are to be unmapped instead:
 * there are too many, or addresses are limited (`ulimit -v`).
 */
export function retire(
  start: bigint,
  span: bigint,
  fixed: number = MAP_FIXED,
): boolean {
  const range = { start, span };
  if (span > MAX_SPAN) return false;
  if (resourceLimit("RLIMIT_AS", RLIMIT_AS).value < 2n ** 63n) return false;
  if (!replace(range, fixed)) return false;
  ranges.push(range);
  total += span;
  while (total > MAX_SPAN || ranges.length > MAX_COUNT) {
    const oldest = ranges.shift()!;
    total -= oldest.span;
    sysMman().munmap(oldest.start, oldest.span);
  }
  return true;
}

/** The same where the kernel has left a hole, unless something is there already. */
export function retireHole(start: bigint, span: bigint): void {
  if (span > 0n) retire(start, span, MAP_FIXED_NOREPLACE);
}
