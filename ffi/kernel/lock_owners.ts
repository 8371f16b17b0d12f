// The processes that hold a lock of an open file. The kernel says -1 for the process of such
// a lock, but the files of /proc/PID/fdinfo list the locks of each open file.

import { cPath } from "../arguments.ts";
import { namesIn } from "../libc/dirent.ts";
import { EMFILE, ENFILE } from "../libc/errno.ts";
import { isSameFile, statusOfFd, statusOfPath } from "../libc/sys_stat.ts";
import { readProc } from "./proc.ts";

/** A lock as F_OFD_GETLK tells it. */
export interface FoundLock {
  readonly shared: boolean;
  readonly start: number;
  /** 0 for all up to the end. */
  readonly length: number;
}

const FOLLOW = 0; // flags of statx: the file that the link is of
const OUT_OF_DESCRIPTORS = new Set<unknown>([EMFILE, ENFILE]);

/** The result of a call; undefined where the process has ended, or must not be inspected. */
function unlessHidden<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (OUT_OF_DESCRIPTORS.has((error as { errno?: number }).errno)) {
      throw error;
    }
    return undefined;
  }
}

/** The line of fdinfo for a lock, behind its number. */
function lineOf({ shared, start, length }: FoundLock): RegExp {
  const type = shared ? "READ" : "WRITE";
  const end = length === 0 ? "EOF" : start + length - 1;
  return new RegExp(
    `^lock:\\s+\\d+: OFDLCK\\s+ADVISORY\\s+${type} .* ${start} ${end}$`,
    "m",
  );
}

/** The ids of the processes that have an open file with that lock of the same file. */
export function ownersOf(
  fd: number,
  subject: string,
  lock: FoundLock,
): number[] {
  const status = statusOfFd(fd, subject);
  const line = lineOf(lock);
  const holds = (process: string, number: string) => {
    const info = readProc(`${process}/fdinfo/${number}`);
    if (info === undefined || !line.test(info)) return false;
    const path = `${process}/fd/${number}`;
    const other = unlessHidden(() => statusOfPath(cPath(path), path, FOLLOW));
    return other !== undefined && isSameFile(status, other);
  };
  const names = unlessHidden(() => namesIn("/proc")) ?? [];
  return names.filter((name) => /^\d+$/.test(name)).filter((name) => {
    const process = `/proc/${name}`;
    const numbers = unlessHidden(() => namesIn(`${process}/fdinfo`)) ?? [];
    return numbers.some((number) => holds(process, number));
  }).map(Number).sort((a, b) => a - b);
}
