// The files of /dev/shm: POSIX shared memory, and POSIX semaphores with a name.

import { filesOfShm, SHM_DIRECTORY } from "../kernel/file_system.ts";
import { encodeName } from "../libc/dirent.ts";
import { ENOENT, unless } from "../libc/errno.ts";
import {
  fcntl,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
} from "../libc/fcntl.ts";
import { SIZEOF_SEM_T } from "../libc/semaphore.ts";
import {
  type FileStatus,
  isSameFile,
  S_IFMT,
  S_IFREG,
  statusOfFd,
  statusOfPath,
} from "../libc/sys_stat.ts";
import { SEEK_SET, unistd } from "../libc/unistd.ts";
import { type RingSketch, sketchOf } from "../ring/region.ts";
import { semaphoreIn } from "../semaphore/sem_words.ts";
import type { Catalogue } from "./catalogue.ts";
import {
  deviceOf,
  fileFields,
  fileKey,
  kindOfFile,
  nameOfFile,
  type PosixFiles,
} from "./file_fields.ts";
import type { Unseeables } from "./unseeables.ts";

/** The field of a draft that has the ring in its memory. It is not of the object. */
export const RING: unique symbol = Symbol("ring");

/** Adds the objects of /dev/shm. */
export function addPosixFiles(
  catalogue: Catalogue,
  unseen: Unseeables,
): PosixFiles {
  const files: PosixFiles = new Map();
  if (!catalogue.wants("posix-memory", "posix-semaphore")) return files;
  let names: string[];
  try {
    names = filesOfShm("list shared memory");
  } catch (error) {
    unseen.add("POSIX shared memory and semaphores", null, String(error));
    return files;
  }
  for (const name of names) addFile(catalogue, files, name, unseen);
  return files;
}

function addFile(
  catalogue: Catalogue,
  files: PosixFiles,
  file: string,
  unseen: Unseeables,
): void {
  const path = `${SHM_DIRECTORY}/${file}`;
  const cpath = encodeName(path);
  const status = unless(ENOENT, () => statusOfPath(cpath, path));
  if (status === undefined || (status.stx_mode & S_IFMT) !== S_IFREG) return;
  const kind = kindOfFile(file);
  const name = nameOfFile(file);
  const fields = { ...fileFields(status), name, unlinked: false };
  const more = kind === "posix-semaphore"
    ? semaphoreFields(path, status, unseen)
    : { [RING]: ringIn(path, status) };
  const ref = catalogue.add(kind, name, { ...fields, ...more });
  files.set(fileKey(deviceOf(status), status.stx_ino), ref);
}

const NO_VALUE = { value: null, waiters: null };

function semaphoreFields(
  path: string,
  status: FileStatus,
  unseen: Unseeables,
) {
  const bytes = bytesOf(path, status);
  if (bytes === undefined) {
    unseen.add("values of semaphores", 1, "no permission to read them");
  }
  return (bytes && semaphoreIn(bytes)) ?? NO_VALUE;
}

/** The ring in a file; undefined if there is none. */
function ringIn(path: string, status: FileStatus): RingSketch | undefined {
  return sketchOf(Number(status.stx_size), (offset, length) => {
    const bytes = bytesOf(path, status, offset, length);
    return bytes?.length === length ? new DataView(bytes.buffer) : undefined;
  });
}

/** Bytes of a regular file that has this status; undefined if it is another. */
function bytesOf(
  path: string,
  status: FileStatus,
  offset = 0,
  length = SIZEOF_SEM_T,
): Uint8Array<ArrayBuffer> | undefined {
  const { open } = fcntl();
  const { read, close, lseek } = unistd();
  // O_PATH opens nothing: no FIFO or device that has taken the place of the file.
  const place = open(encodeName(path), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (place === -1) return undefined;
  try {
    if (!isSameFile(statusOfFd(place, path), status)) return undefined;
    // Without waiting for a process that has a lease on the file.
    const again = encodeName(`/proc/self/fd/${place}`);
    const fd = open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd === -1) return undefined;
    const bytes = new Uint8Array(length);
    const isThere = lseek(fd, BigInt(offset), SEEK_SET) !== -1n;
    const size = isThere ? read(fd, bytes, length) : -1;
    close(fd);
    return size === -1 ? undefined : bytes.slice(0, size);
  } finally {
    close(place);
  }
}
