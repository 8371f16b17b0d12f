// POSIX message queues: the files of the mqueue file system. Where it is not mounted, a
// privileged process makes a mount of its own that nothing else sees.

import {
  inDirectory,
  namesAt,
  openAt,
  statusAt,
} from "../kernel/proc_files.ts";
import { mountsOf } from "../kernel/mount_table.ts";
import { AT_FDCWD, O_NONBLOCK, O_RDONLY } from "../libc/fcntl.ts";
import { mqAttr, mqueue } from "../libc/mqueue.ts";
import {
  fsconfigCreate,
  fsmount,
  fsopen,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
} from "../libc/sys_mount.ts";
import { unistd } from "../libc/unistd.ts";
import type { Catalogue } from "./catalogue.ts";
import { dateIn, fileFields } from "./file_fields.ts";
import type { Unseeables } from "./unseeables.ts";

const QUIET = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/** The refs of the queues, by their inodes. */
export type QueueFiles = Map<number, string>;

/** Adds the queues of this IPC namespace. */
export function addPosixQueues(
  catalogue: Catalogue,
  unseen: Unseeables,
): QueueFiles {
  const files: QueueFiles = new Map();
  if (!catalogue.wants("posix-queue")) return files;
  const found = inOwnMount((fd) => addAll(catalogue, files, fd)) ??
    inMount((fd) => addAll(catalogue, files, fd));
  if (found === undefined) {
    unseen.add(
      "POSIX message queues that no process has open",
      null,
      "/dev/mqueue is not mounted, and this process may not mount it; root does with: " +
        "mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue",
    );
  }
  return files;
}

/** Calls `use` with the root of a mount of its own; undefined without the privilege. */
function inOwnMount(use: (fd: number) => void): true | undefined {
  const { close } = unistd();
  const context = fsopen(new TextEncoder().encode("mqueue\0"));
  if (context === -1) return undefined;
  try {
    if (fsconfigCreate(context) === -1) return undefined;
    const mount = fsmount(context, QUIET);
    if (mount === -1) return undefined;
    try {
      return inDirectory(mount, ".", use) === undefined ? true : undefined;
    } finally {
      close(mount);
    }
  } finally {
    close(context);
  }
}

/** Calls `use` with the place where it is mounted; undefined if it is not. */
function inMount(use: (fd: number) => void): true | undefined {
  const mounts = inDirectory(AT_FDCWD, "/proc/self/", mountsOf);
  if (typeof mounts === "number") return undefined;
  for (const { type, directory } of mounts.values()) {
    if (type !== "mqueue") continue;
    if (inDirectory(AT_FDCWD, directory, use) === undefined) return true;
  }
  return undefined;
}

function addAll(
  catalogue: Catalogue,
  files: QueueFiles,
  directory: number,
): void {
  for (const file of namesAt(directory, "/dev/mqueue")) {
    const status = statusAt(directory, file);
    if (status === undefined) continue;
    const ref = catalogue.add("posix-queue", `/${file}`, {
      ...fileFields(status),
      name: `/${file}`,
      // Reading it sets the other times.
      changed: dateIn(status.stx_mtime),
      unlinked: false,
      ...contentOf(directory, file),
    });
    files.set(Number(status.stx_ino), ref);
  }
}

const UNREADABLE = {
  size: null,
  messages: null,
  maxMessages: null,
  maxSize: null,
  notifyPid: null,
};

/** What reading a queue tells; opening one has no effect on others. */
function contentOf(directory: number, file: string) {
  const fd = openAt(directory, file, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return UNREADABLE;
  const { read, close } = unistd();
  try {
    const attributes = new Uint8Array(mqAttr.size);
    if (mqueue().mq_getattr(fd, attributes) === -1) return UNREADABLE;
    const { mq_maxmsg, mq_msgsize, mq_curmsgs } = mqAttr.decode(attributes);
    const text = new Uint8Array(256);
    const size = Math.max(read(fd, text, text.length), 0);
    const status = new TextDecoder().decode(text.subarray(0, size));
    const [, bytes] = status.match(/QSIZE:(\d+)/) ?? [];
    const [, pid] = status.match(/NOTIFY_PID:(\d+)/) ?? [];
    return {
      size: bytes === undefined ? null : Number(bytes),
      messages: Number(mq_curmsgs),
      maxMessages: Number(mq_maxmsg),
      maxSize: Number(mq_msgsize),
      notifyPid: pid === undefined || pid === "0" ? null : Number(pid),
    };
  } finally {
    close(fd);
  }
}
