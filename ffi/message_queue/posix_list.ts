// The POSIX message queues of the system: the files of the mqueue file system.

import { notMounted } from "../kernel/not_mounted.ts";
import { readProc } from "../kernel/proc.ts";
import { encodeName, namesIn } from "../libc/dirent.ts";
import { ENOENT, unless } from "../libc/errno.ts";
import { permissionsOf, statusOfPath } from "../libc/sys_stat.ts";

const MOUNTS = "/proc/self/mounts";
const LIST = "list message queues";

/** An entry of `list()` of {@linkcode PosixMessageQueue}. */
export interface PosixMessageQueueEntry {
  /** The name, with its slash. */
  readonly name: string;
  /** The permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
  /** The number of bytes in the queue; null without read permission. */
  readonly bytes: number | null;
}

/** All queues of this IPC namespace. */
export function listQueues(): PosixMessageQueueEntry[] {
  const directory = mountPoint();
  return namesIn(directory).map((file) => entryOf(directory, file))
    .filter((entry) => entry !== undefined);
}

/** The mount point of the mqueue file system. */
function mountPoint(): string {
  const text = readProc(MOUNTS);
  if (text === undefined) throw notMounted(LIST, "/proc");
  const rows = text.split("\n").map((row) => row.split(" "));
  const path = rows.find(([, , type]) => type === "mqueue")?.[1];
  if (path !== undefined) {
    return path.replace(
      /\\(\d{3})/g,
      (_, code) => String.fromCharCode(parseInt(code, 8)),
    );
  }
  throw notMounted(LIST, "/dev/mqueue");
}

/** The list entry of a file in the mqueue file system; undefined if it is gone. */
function entryOf(
  directory: string,
  file: string,
): PosixMessageQueueEntry | undefined {
  const path = `${directory}/${file}`;
  const cpath = encodeName(path);
  const status = unless(ENOENT, () => statusOfPath(cpath, path));
  if (status === undefined) return undefined;
  const bytes = readProc(path)?.match(/^QSIZE:(\d+)/)?.[1];
  return {
    name: `/${file}`,
    ...permissionsOf(status),
    bytes: bytes === undefined ? null : Number(bytes),
  };
}
