// Files, links and directories below an open directory, read in bulk: thousands of files
// of /proc, with little memory. What cannot be read is told by its error number, because
// a process may end, or belong to another user, at any time.

import { decodeName, encodeName, entriesOf } from "../libc/dirent.ts";
import {
  EACCES,
  EINTR,
  EMFILE,
  ENFILE,
  ENOMEM,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  fcntl,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
} from "../libc/fcntl.ts";
import {
  callStatx,
  type FileStatus,
  statx,
  STATX_BASIC_STATS,
  STATX_MODE,
} from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";

const SIZE = 1 << 16;
const bytes = new Uint8Array(SIZE);
const name = new Uint8Array(4097);
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A C string, which is valid until the next one. */
function cText(text: string): Uint8Array<ArrayBuffer> {
  if (!text.isWellFormed()) return encodeName(text);
  const { written } = encoder.encodeInto(text, name.subarray(0, -1));
  name[written] = 0;
  return name;
}

/** The result of a call, or its negative error number. */
function result(call: () => number, syscall: string, path: string): number {
  for (;;) {
    const value = call();
    if (value !== -1) return value;
    const error = errno();
    if (error === EINTR) continue;
    if (error === EMFILE || error === ENFILE || error === ENOMEM) {
      throw ipcError(error, syscall, path);
    }
    return -error;
  }
}

/**
 * Opens a file or a directory: its descriptor, or the negative error number. A symbolic
 * link is followed only if that is asked for.
 */
export function openAt(
  directory: number,
  path: string,
  flags: number,
  follows = false,
): number {
  const text = cText(path);
  const { openat } = fcntl();
  const all = flags | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW);
  return result(() => openat(directory, text, all, 0), "openat", path);
}

/** The target of a symbolic link; undefined if it cannot be read. */
export function linkAt(directory: number, path: string): string | undefined {
  const size = unistd().readlinkat(directory, cText(path), bytes, SIZE);
  return size === -1 ? undefined : decodeName(bytes.subarray(0, size));
}

/**
 * The text of a file that the kernel writes in one piece, up to 64 KiB; undefined if it
 * cannot be read.
 */
export function textAt(directory: number, path: string): string | undefined {
  const fd = openAt(directory, path, O_RDONLY);
  if (fd < 0) return undefined;
  const { read, close } = unistd();
  try {
    const size = result(() => read(fd, bytes, SIZE), "read", path);
    return size < 0 ? undefined : decoder.decode(bytes.subarray(0, size));
  } finally {
    close(fd);
  }
}

/** The lines of a file, of any length; none if it cannot be read. */
export function* linesAt(
  directory: number,
  path: string,
): Generator<string> {
  const fd = openAt(directory, path, O_RDONLY);
  if (fd < 0) return;
  const { read, close } = unistd();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const size = result(() => read(fd, bytes, SIZE), "read", path);
      if (size <= 0) break;
      const chunk = decoder.decode(bytes.subarray(0, size), { stream: true });
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      yield* lines;
    }
    if (rest !== "") yield rest;
  } finally {
    close(fd);
  }
}

/** The lines of a file with an absolute path. */
export function linesOf(path: string): Generator<string> {
  return linesAt(AT_FDCWD, path);
}

/**
 * Calls `use` with an open directory: its result, or the negative error number if the
 * directory cannot be opened.
 */
export function inDirectory<T>(
  parent: number,
  path: string,
  use: (fd: number) => T,
): T | number {
  const fd = openAt(parent, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  try {
    return use(fd);
  } finally {
    unistd().close(fd);
  }
}

/** Whether a file may not be opened, as opposed to one that is gone. */
export function isRefused(directory: number, path: string): boolean {
  const fd = openAt(directory, path, O_RDONLY);
  if (fd >= 0) unistd().close(fd);
  return isRefusal(fd);
}

/** Whether a negative error number says that a permission is missing. */
export function isRefusal(result: number): boolean {
  return result === -EACCES || result === -EPERM;
}

/** The names in an open directory; it ends early if the directory goes away. */
export function* namesAt(fd: number, path: string): Generator<string> {
  try {
    for (const entry of entriesOf(fd, path)) {
      if (entry !== "." && entry !== "..") yield entry;
    }
  } catch (error) {
    // The directory of a process that ends: ENOENT, ESRCH.
    if (!(error instanceof Error) || error.name !== "IpcError") throw error;
  }
}

// What is known of a file without asking the server of its file system, so that a server
// that does not answer is not waited for.
const QUICK = AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;

/** The status of what a name names, a link itself included; undefined on failure. */
export function statusAt(
  directory: number,
  path: string,
  follow = 0,
): FileStatus | undefined {
  const bytes = new Uint8Array(statx.size);
  const flags = QUICK | (AT_SYMLINK_NOFOLLOW & ~follow);
  const text = cText(path);
  return callStatx(directory, text, flags, STATX_BASIC_STATS, bytes) === -1
    ? undefined
    : statx.view(bytes);
}

/** The status of an open file; undefined on failure. */
export function statusOfOpen(fd: number): FileStatus | undefined {
  const bytes = new Uint8Array(statx.size);
  const flags = QUICK | AT_EMPTY_PATH;
  const nothing = cText("");
  return callStatx(fd, nothing, flags, STATX_BASIC_STATS, bytes) === -1
    ? undefined
    : statx.view(bytes);
}

const status = new Uint8Array(statx.size);
const modeIn = new DataView(status.buffer, statx.offsets.stx_mode, 2);

/** The mode of what a name names, a link itself included; 0 on failure. */
export function modeAt(directory: number, path: string): number {
  const flags = QUICK | AT_SYMLINK_NOFOLLOW;
  const text = cText(path);
  return callStatx(directory, text, flags, STATX_MODE, status) === -1
    ? 0
    : modeIn.getUint16(0, true);
}

/**
 * The status of the memory file that a link of /proc leads to. Only such links may be
 * given: they name nothing in the tree of files.
 */
export function statusBehind(
  directory: number,
  link: string,
): FileStatus | undefined {
  return statusAt(directory, link, AT_SYMLINK_NOFOLLOW);
}
