// The addresses of closed mappings, kept from reuse for a while.
//
// A detached ArrayBuffer leaves its address with the calls that received it, and Deno
// does not tell when the last of them ends. If the pages were unmapped, such a call
// would end the process with SIGSEGV, or read and write whatever was mapped there next.
// So empty pages take their place. They cost addresses, and memory only where such a
// call writes; the oldest are unmapped when there are too many.

import { isNoAddress } from "../libc/errno.ts";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "../libc/sys_mman.ts";
import { resourceLimit, RLIMIT_AS } from "../libc/sys_resource.ts";

// The limits of each thread. A process has 128 TiB of addresses and 65530 mappings, and
// the kernel merges contiguous ones.
const MAX_SPAN = 1n << 34n;
const MAX_COUNT = 512;

interface Range {
  readonly start: bigint;
  readonly span: bigint;
}

const ranges: Range[] = []; // the oldest first
let total = 0n;

/** Maps empty pages over a range. Returns false if that changed nothing. */
function replace({ start, span }: Range): boolean {
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  const protection = PROT_READ | PROT_WRITE;
  return !isNoAddress(
    sysMman().mmap(start, span, protection, flags, -1, 0n),
  );
}

/**
 * Replaces whole pages with empty ones. Returns false if the caller must unmap them
 * instead: there are too many, or RLIMIT_AS (`ulimit -v`) limits the addresses.
 */
export function retire(start: bigint, span: bigint): boolean {
  const range = { start, span };
  if (span > MAX_SPAN) return false;
  if (resourceLimit("RLIMIT_AS", RLIMIT_AS).value < 2n ** 63n) return false;
  if (!replace(range)) return false;
  ranges.push(range);
  total += span;
  while (total > MAX_SPAN || ranges.length > MAX_COUNT) {
    const oldest = ranges.shift()!;
    total -= oldest.span;
    sysMman().munmap(oldest.start, oldest.span);
  }
  return true;
}
