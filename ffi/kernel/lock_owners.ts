// The processes that hold a lock of an open file. The kernel says -1 for the process of
// such a lock, but the files of /proc/PID/fdinfo list the locks of each open file.

import { namesIn } from "../libc/dirent.ts";
import { EMFILE, ENFILE } from "../libc/errno.ts";
import { callStatx, statusOfFd, statx, STATX_INO } from "../libc/sys_stat.ts";
import { AT_FDCWD, AT_STATX_DONT_SYNC } from "../libc/fcntl.ts";
import { readProc } from "./proc.ts";

/** A lock as F_OFD_GETLK tells it. */
export interface FoundLock {
  readonly shared: boolean;
  readonly start: number;
  /** 0 for all up to the end. */
  readonly length: number;
}

const OUT_OF_DESCRIPTORS = new Set<unknown>([EMFILE, ENFILE]);

/** The names in a directory; none where the process has ended, or must not be inspected. */
function namesUnlessHidden(directory: string): string[] {
  try {
    return namesIn(directory);
  } catch (error) {
    const { errno } = error as { errno?: number };
    if (OUT_OF_DESCRIPTORS.has(errno)) throw error;
    return [];
  }
}

/** Tells whether links of /proc are to the file of a descriptor: there may be thousands. */
function fileTest(fd: number, subject: string): (link: string) => boolean {
  const { stx_ino, stx_dev_major, stx_dev_minor } = statusOfFd(fd, subject);
  const status = new Uint8Array(statx.size);
  const view = statx.view(status);
  const encoder = new TextEncoder();
  return (link) => {
    const path = encoder.encode(`${link}\0`);
    const flags = AT_STATX_DONT_SYNC;
    return callStatx(AT_FDCWD, path, flags, STATX_INO, status) === 0 &&
      view.stx_ino === stx_ino && view.stx_dev_major === stx_dev_major &&
      view.stx_dev_minor === stx_dev_minor;
  };
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
  const isSame = fileTest(fd, subject);
  const line = lineOf(lock);
  return namesUnlessHidden("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const process = `/proc/${name}`;
      return namesUnlessHidden(`${process}/fd`).some((number) =>
        isSame(`${process}/fd/${number}`) &&
        line.test(readProc(`${process}/fdinfo/${number}`) ?? "")
      );
    })
    .map(Number)
    .sort((a, b) => a - b);
}
