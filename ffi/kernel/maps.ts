// What is mapped in this process, whichever of its threads has mapped it.

import { readProc } from "./proc.ts";

/** A line of /proc/self/maps. */
export interface MappedRange {
  readonly start: bigint;
  readonly end: bigint;
  /** As "rw-s": the last one says whether others see what is written. */
  readonly permissions: string;
  /** Where it begins in its file, in bytes. */
  readonly offset: bigint;
  /** Which file: its device and its number there. */
  readonly file: string;
}

const LINE = /^(\w+)-(\w+) (\S+) (\w+) (\S+ \d+)/gm;

/** All that is mapped, in the order of the addresses; undefined without /proc. */
export function mappedRanges(): MappedRange[] | undefined {
  const lines = readProc("/proc/self/maps")?.matchAll(LINE);
  return lines &&
    Array.from(lines, ([, start, end, permissions, offset, file]) => ({
      start: BigInt(`0x${start}`),
      end: BigInt(`0x${end}`),
      permissions: permissions!,
      offset: BigInt(`0x${offset}`),
      file: file!,
    }));
}
