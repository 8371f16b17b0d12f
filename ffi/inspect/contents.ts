// What is at the beginning of shared memory: a ring or a cell of this library.
//
// Nothing is attached or mapped for that. A file is read through its descriptor: one of
// /dev/shm by its path, others by a link of /proc, after a check that it is the file that
// was meant. Memory that has no file which can be opened is read in a process that has it
// mapped, and only pages that are there: a page fault could wait for that process.

import { bytesAt, ProcessMemory } from "../kernel/process_memory.ts";
import { openAt, statusOfOpen } from "../kernel/proc_files.ts";
import { AT_FDCWD, O_NONBLOCK, O_PATH, O_RDONLY } from "../libc/fcntl.ts";
import { S_IFMT, S_IFREG } from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";
import { HEAD as CELL_HEAD, MARK, MARK_AT } from "../memory/sequence.ts";
import { ringIn } from "../ring/summary.ts";
import type { Content, ContentReader } from "./catalogue.ts";

/** Reads bytes of memory: as many as are asked for, or undefined. */
export type ReadMemory = (
  offset: number,
  length: number,
) => DataView | undefined;

/** What is in memory of that size. */
export function contentOf(size: number, read: ReadMemory): Content {
  if (size <= CELL_HEAD) return {};
  const head = read(0, CELL_HEAD);
  if (head === undefined) return {};
  if (MARK.every((byte, at) => head.getUint8(MARK_AT + at) === byte)) {
    return { sequence: head.getUint32(0, true) };
  }
  return { ring: ringIn(size, read) };
}

/** The same of a file that is opened with O_PATH, as {@linkcode inFile} takes it. */
export function contentOfFile(
  place: number,
  inode: number,
): Content | undefined {
  return inFile(
    place,
    inode,
    (fd, size) =>
      contentOf(size, (offset, length) => bytesAt(fd, BigInt(offset), length)),
  );
}

/**
 * Opens a file again to read it, which was opened with O_PATH, and closes it. Undefined if
 * it is negative, or not the regular file with this inode: another file, a FIFO or a device
 * that has taken the place is not opened.
 */
export function inFile<T>(
  place: number,
  inode: number,
  use: (fd: number, size: number) => T,
): T | undefined {
  if (place < 0) return undefined;
  const { close } = unistd();
  try {
    const status = statusOfOpen(place);
    const isMeant = status !== undefined && Number(status.stx_ino) === inode &&
      (status.stx_mode & S_IFMT) === S_IFREG;
    if (!isMeant) return undefined;
    // Without waiting for a process that has a lease on the file.
    const link = `/proc/self/fd/${place}`;
    const fd = openAt(AT_FDCWD, link, O_RDONLY | O_NONBLOCK, true);
    if (fd < 0) return undefined;
    try {
      return use(fd, Number(status.stx_size));
    } finally {
      close(fd);
    }
  } finally {
    close(place);
  }
}

/** Opens the file itself that a link of /proc leads to, which has no effect on it. */
function openBehind(directory: number, link: string): number {
  return openAt(directory, link, O_PATH, true);
}

/** What is in memory that a process has mapped at an address. */
function contentOfMemory(
  process: number,
  address: bigint,
  size: number,
): Content {
  const memory = new ProcessMemory(process);
  try {
    return contentOf(
      size,
      (offset, length) => memory.read(address + BigInt(offset), length),
    );
  } finally {
    memory[Symbol.dispose]();
  }
}

/** Reads contents for a scan of all processes. */
export const contentReader: ContentReader = {
  ofDescriptor: (links, fd, inode) =>
    contentOfFile(openBehind(links, fd), inode),
  ofMemory: contentOfMemory,
};
