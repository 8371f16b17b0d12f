// The pages of a mapping: loading and locking them, advice, and which are in memory.

import { choose } from "../arguments.ts";
import { checkMemory, shortage } from "../kernel/cgroup.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { check, ENOMEM, EPERM, errno, ipcError } from "../libc/errno.ts";
import {
  MADV_COLD,
  MADV_DODUMP,
  MADV_DONTDUMP,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  sysMman,
} from "../libc/sys_mman.ts";
import { resourceLimit, RLIMIT_MEMLOCK } from "../libc/sys_resource.ts";
import { pageSize } from "../libc/unistd.ts";
import { rangeIn, type RangeOptions } from "./range.ts";

/**
 * How memory will be used, for {@linkcode Memory.prototype.advise | Memory.advise}: `MADV_...`.
 */
export type MemoryAdvice =
  | "normal"
  | "random"
  | "sequential"
  | "willneed"
  | "cold"
  | "pageout"
  | "hugepage"
  | "nohugepage"
  | "dontdump"
  | "dodump";

// Without the advice that discards the contents.
const ADVICE: Record<MemoryAdvice, number> = {
  normal: MADV_NORMAL,
  random: MADV_RANDOM,
  sequential: MADV_SEQUENTIAL,
  willneed: MADV_WILLNEED,
  cold: MADV_COLD,
  pageout: MADV_PAGEOUT,
  hugepage: MADV_HUGEPAGE,
  nohugepage: MADV_NOHUGEPAGE,
  dontdump: MADV_DONTDUMP,
  dodump: MADV_DODUMP,
};

/** Whole pages of a mapping. */
export interface Pages {
  readonly mapping: Mapping;
  readonly start: bigint;
  readonly span: bigint;
}

/** The pages that a range of a mapping lies in. */
export function pagesOf(mapping: Mapping, range: RangeOptions): Pages {
  mapping.checkOwn();
  const { offset, length } = rangeIn(mapping.length, mapping.subject, range);
  const address = mapping.address + BigInt(offset);
  const skip = address % BigInt(pageSize());
  return { mapping, start: address - skip, span: BigInt(length) + skip };
}

/** The number of an advice. Throws a TypeError if there is no such advice. */
export function adviceOf(advice: unknown): number {
  return choose("advice", advice, ADVICE);
}

/** `madvise` */
export function madvise(
  { mapping, start, span }: Pages,
  advice: number,
): void {
  check(sysMman().madvise(start, span, advice), "madvise", mapping.subject);
}

/** `MADV_POPULATE_WRITE`, or `MADV_POPULATE_READ` for read-only memory. */
export function populate(pages: Pages): void {
  checkLoadable(pages, "madvise");
  const readonly = pages.mapping.access === "readonly";
  madvise(pages, readonly ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
}

/** `mlock` */
export function lock(pages: Pages): void {
  checkLoadable(pages, "mlock");
  const { mapping, start, span } = pages;
  if (sysMman().mlock(start, span) !== -1) return;
  const error = errno();
  // mlock says ENOMEM also of pages that cannot be loaded, such as those beyond the end
  // of a file.
  if (error === ENOMEM) madvise(pages, MADV_POPULATE_READ);
  const limit = error === ENOMEM || error === EPERM
    ? resourceLimit("RLIMIT_MEMLOCK", RLIMIT_MEMLOCK)
    : undefined;
  throw ipcError(error, "mlock", mapping.subject, limit);
}

/** `munlock` */
export function unlock({ mapping, start, span }: Pages): void {
  check(sysMman().munlock(start, span), "munlock", mapping.subject);
}

/** `mincore`: for each page 1 if it is in memory, 0 if not. */
export function residency(
  { mapping, start, span }: Pages,
): Uint8Array<ArrayBuffer> {
  const pages = new Uint8Array(Math.ceil(Number(span) / pageSize()));
  check(sysMman().mincore(start, span, pages), "mincore", mapping.subject);
  return pages.map((page) => page & 1); // the other bits are reserved
}

const CHUNK = 1n << 30n; // bytes per call of mincore

/** Throws ENOMEM if a cgroup has no memory for the pages that are not loaded yet. */
function checkLoadable({ mapping, start, span }: Pages, syscall: string): void {
  if (!mapping.takesMemory || shortage(Number(span)) === undefined) return;
  let missing = 0;
  for (let at = start; at < start + span; at += CHUNK) {
    const left = start + span - at;
    const part = { mapping, start: at, span: left < CHUNK ? left : CHUNK };
    for (const page of residency(part)) missing += 1 - page;
  }
  checkMemory(missing * pageSize(), syscall, mapping.subject);
}
