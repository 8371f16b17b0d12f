// The mappings of this process, whichever thread has made them: /proc/self/maps.

import { readProc } from "./proc.ts";

/** A line of /proc/self/maps. */
export interface MappedRange {
  readonly start: bigint;
  readonly end: bigint;
  /** Such as "rw-s"; the last letter is "s" for shared, "p" for private. */
  readonly permissions: string;
  /** The offset in the file, in bytes. */
  readonly offset: bigint;
  /** The file: its device and its inode. */
  readonly file: string;
}

const LINE = /^(\w+)-(\w+) (\S+) (\w+) (\S+ \d+)/gm;

/** All mappings, in the order of their addresses; undefined without /proc. */
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
