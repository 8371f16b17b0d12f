// The files of /dev/shm: POSIX shared memory, and POSIX semaphores with a name.

import { filesOfShm, SHM_DIRECTORY } from "../kernel/file_system.ts";
import { openAt } from "../kernel/proc_files.ts";
import { encodeName } from "../libc/dirent.ts";
import { ENOENT, unless } from "../libc/errno.ts";
import { AT_FDCWD, O_PATH } from "../libc/fcntl.ts";
import { SIZEOF_SEM_T } from "../libc/semaphore.ts";
import {
  type FileStatus,
  S_IFMT,
  S_IFREG,
  statusOfPath,
} from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";
import { semaphoreIn } from "../semaphore/sem_words.ts";
import { type Catalogue, CONTENT, type Content } from "./catalogue.ts";
import { contentOfFile, inFile } from "./contents.ts";
import {
  deviceOf,
  fileFields,
  fileKey,
  kindOfFile,
  nameOfFile,
  type PosixFiles,
} from "./file_fields.ts";
import type { Unseeables } from "./unseeables.ts";

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
    : { [CONTENT]: contentOf(path, Number(status.stx_ino)) };
  const ref = catalogue.add(kind, name, { ...fields, ...more });
  files.set(fileKey(deviceOf(status), status.stx_ino), ref);
}

const NO_VALUE = { value: null, waiters: null };

function semaphoreFields(
  path: string,
  status: FileStatus,
  unseen: Unseeables,
) {
  const place = openAt(AT_FDCWD, path, O_PATH);
  const bytes = inFile(place, Number(status.stx_ino), (fd) => {
    const bytes = new Uint8Array(SIZEOF_SEM_T);
    const size = unistd().pread(fd, bytes, bytes.length, 0n);
    return size === -1 ? undefined : bytes.slice(0, size);
  });
  if (bytes === undefined) {
    unseen.add("values of semaphores", 1, "no permission to read them");
  }
  return (bytes && semaphoreIn(bytes)) ?? NO_VALUE;
}

/** What is in a file; it can be looked at again. */
function contentOf(path: string, inode: number): Content {
  const look = () => contentOfFile(openAt(AT_FDCWD, path, O_PATH), inode) ?? {};
  return { ...look(), again: look };
}
