// The descriptors of one process: which of them are objects that processes share. Links
// of /proc are read. None is followed but those of memory files and of files without a
// name, which lead to no path.

import type { Mount } from "../kernel/mount_table.ts";
import {
  linkAt,
  modeAt,
  statusAt,
  statusBehind,
  textAt,
} from "../kernel/proc_files.ts";
import { AT_FDCWD, O_ACCMODE, O_RDONLY, O_WRONLY } from "../libc/fcntl.ts";
import { type FileStatus, S_IFIFO, S_IFMT } from "../libc/sys_stat.ts";
import { type Catalogue, CONTENT, type ContentReader } from "./catalogue.ts";
import {
  deviceOf,
  fileFields,
  fileKey,
  kindOfFile,
  nameOfFile,
  type PosixFiles,
} from "./file_fields.ts";
import { noteLocks } from "./file_locks.ts";
import type { QueueFiles } from "./posix_queues.ts";
import type { IpcRole } from "./types.ts";

const DELETED = / \(deleted\)$/;
// File systems whose servers may not answer: their files are left alone.
const REMOTE =
  /^(?:nfs|cifs|smb|9p|afs|ceph|fuse|autofs|virtiofs|lustre|gfs|ocfs)/;

/** What fdinfo tells of a descriptor. */
interface Info {
  readonly roles: readonly IpcRole[];
  readonly mount: number;
  readonly inode: number;
  readonly text: string;
}

/** What the process scan knows of one process. */
export interface Place {
  readonly pid: number;
  /** Its mounts. */
  readonly mounts: ReadonlyMap<number, Mount>;
  /** Whether they are those of this process, so that paths mean the same. */
  readonly isOwnTree: boolean;
  /** Whether it is in the IPC namespace of this process. */
  readonly isOwnIpc: boolean;
  /** Whether it is in another PID namespace. */
  readonly isForeign: boolean;
}

/** Finds objects behind descriptors, for all processes of a snapshot. */
export class Descriptors {
  readonly #catalogue: Catalogue;
  readonly #files: PosixFiles;
  readonly #queues: QueueFiles;
  readonly #shm: string | undefined; // the device of /dev/shm
  readonly #contents: ContentReader | undefined;
  // Whether a file is a FIFO, by device and inode.
  readonly #fifos = new Map<string, string | undefined>();
  readonly #wantsFiles: boolean;

  constructor(
    catalogue: Catalogue,
    files: PosixFiles,
    queues: QueueFiles,
    shm: string | undefined,
    contents: ContentReader | undefined,
  ) {
    this.#catalogue = catalogue;
    this.#contents = contents;
    this.#files = files;
    this.#queues = queues;
    this.#shm = shm;
    this.#wantsFiles = catalogue.wants(
      "posix-queue",
      "posix-memory",
      "posix-semaphore",
      "fifo",
      "file-lock",
    );
  }

  /** Notes one descriptor; returns its object. */
  note(
    place: Place,
    links: number,
    infos: number,
    fd: string,
  ): string | undefined {
    const target = linkAt(links, fd);
    if (target === undefined) return undefined;
    if (target.startsWith("socket:[")) return this.#socket(place, fd, target);
    if (target.startsWith("pipe:[")) {
      return this.#pipe(place, links, fd, target);
    }
    if (target === "anon_inode:[eventfd]") {
      return this.#eventfd(place, infos, fd);
    }
    if (target.startsWith("/memfd:")) {
      return this.#memoryFile(place, links, infos, fd, target);
    }
    if (!target.startsWith("/") || !this.#wantsFiles) return undefined;
    if (
      target.startsWith("/dev/") && !/^\/dev\/(?:shm|mqueue)\//.test(target)
    ) return undefined;
    return this.#file(place, links, infos, fd, target);
  }

  /** Adds POSIX memory or a semaphore whose name is unlinked. */
  addUnlinked(device: string, inode: number, path: string): string {
    const file = path.replace(DELETED, "").split("/").pop()!;
    const more = kindOfFile(file) === "posix-semaphore"
      ? { value: null, waiters: null }
      : {};
    const ref = this.#catalogue.add(kindOfFile(file), `inode ${inode}`, {
      name: nameOfFile(file),
      unlinked: true,
      inode,
      ...more,
    });
    this.#files.set(fileKey(device, inode), ref);
    return ref;
  }

  #socket({ pid }: Place, fd: string, target: string): string | undefined {
    const ref = `unix-socket:${target.slice(8, -1)}`;
    if (!this.#catalogue.has(ref)) return undefined;
    const { state } = this.#catalogue.drafts.get(ref)!.fields;
    const role = state === "listening" ? "listens" : "open";
    this.#catalogue.noteDescriptor(ref, pid, Number(fd), [role]);
    return ref;
  }

  #pipe(
    { pid }: Place,
    links: number,
    fd: string,
    target: string,
  ): string | undefined {
    if (!this.#catalogue.wants("pipe")) return undefined;
    const inode = Number(target.slice(6, -1));
    const ref = this.#catalogue.add("pipe", inode, { name: target, inode });
    // The permissions of the link itself are those of the descriptor.
    const mode = modeAt(links, fd);
    const roles: IpcRole[] = [];
    if ((mode & 0o400) !== 0) roles.push("reads");
    if ((mode & 0o200) !== 0) roles.push("writes");
    this.#catalogue.noteDescriptor(ref, pid, Number(fd), roles);
    return ref;
  }

  #eventfd({ pid }: Place, infos: number, fd: string): string | undefined {
    if (!this.#catalogue.wants("eventfd")) return undefined;
    const text = textAt(infos, fd);
    if (text === undefined) return undefined;
    const field = (name: string) =>
      text.match(new RegExp(`^eventfd-${name}: *(\\w+)`, "m"))?.[1];
    const id = field("id") ?? `${pid} ${fd}`; // before Linux 5.2
    const count = field("count");
    const ref = this.#catalogue.add("eventfd", id, {
      name: `eventfd:[${id}]`,
      value: count === undefined ? null : countOf(count),
      semaphore: field("semaphore") === undefined
        ? null
        : field("semaphore") === "1",
    });
    this.#catalogue.noteDescriptor(ref, pid, Number(fd), ["open"]);
    return ref;
  }

  #memoryFile(
    { pid }: Place,
    links: number,
    infos: number,
    fd: string,
    target: string,
  ): string | undefined {
    if (!this.#catalogue.wants("memory-file")) return undefined;
    const info = infoOf(infos, fd);
    if (info === undefined) return undefined;
    const ref = this.#addMemoryFile(info.inode, target, links, fd);
    this.#catalogue.noteDescriptor(ref, pid, Number(fd), info.roles);
    return ref;
  }

  #addMemoryFile(
    inode: number,
    target: string,
    links: number,
    fd: string,
  ): string {
    const ref = `memory-file:${inode}`;
    if (this.#catalogue.has(ref)) return ref;
    const status = statusBehind(links, fd);
    // Another file may have taken the number of the descriptor.
    const isSame = Number(status?.stx_ino) === inode;
    return this.#catalogue.add("memory-file", inode, {
      ...(isSame ? fileFields(status!) : { inode }),
      name: target.slice(1).replace(DELETED, ""),
      [CONTENT]: this.#contents?.ofDescriptor(links, fd, inode),
    });
  }

  /** A descriptor of something with a path. */
  #file(
    place: Place,
    links: number,
    infos: number,
    fd: string,
    target: string,
  ): string | undefined {
    const info = infoOf(infos, fd);
    if (info === undefined) return undefined;
    const mount = place.mounts.get(info.mount);
    const ref = mount === undefined || mount.type === "mqueue"
      ? this.#queue(place, info, target)
      : this.#posixFile(mount, info, target) ??
        this.#fifo(place, mount, info, target, () => statusBehind(links, fd));
    if (ref !== undefined) {
      this.#catalogue.noteDescriptor(ref, place.pid, Number(fd), info.roles);
    }
    return mount === undefined
      ? ref
      : this.#locks(place, mount, info, target, Number(fd)) ?? ref;
  }

  #queue(
    { isOwnIpc }: Place,
    { inode }: Info,
    target: string,
  ): string | undefined {
    if (!isOwnIpc || !this.#catalogue.wants("posix-queue")) return undefined;
    const known = this.#queues.get(inode);
    if (known !== undefined) return known;
    const name = target.slice(target.lastIndexOf("/"));
    // A queue without a name, or one that this process could not list.
    if (target.lastIndexOf("/") !== 0) return undefined;
    const ref = this.#catalogue.add("posix-queue", `inode ${inode}`, {
      name: name.replace(DELETED, ""),
      inode,
      messages: null,
      maxMessages: null,
      maxSize: null,
      notifyPid: null,
      unlinked: DELETED.test(target),
    });
    this.#queues.set(inode, ref);
    return ref;
  }

  #posixFile(
    { device }: Mount,
    { inode }: Info,
    target: string,
  ): string | undefined {
    if (device !== this.#shm) return undefined;
    const known = this.#files.get(fileKey(device, inode));
    if (known !== undefined) return known;
    const isInRoot = target.lastIndexOf("/") === "/dev/shm".length;
    if (!isInRoot || !DELETED.test(target)) return undefined;
    return this.#catalogue.wants("posix-memory", "posix-semaphore")
      ? this.addUnlinked(device, inode, target)
      : undefined;
  }

  #fifo(
    { isOwnTree }: Place,
    { device, type }: Mount,
    { inode }: Info,
    target: string,
    behind: () => FileStatus | undefined,
  ): string | undefined {
    if (!this.#catalogue.wants("fifo")) return undefined;
    const key = fileKey(device, inode);
    if (this.#fifos.has(key)) return this.#fifos.get(key);
    if (REMOTE.test(type)) return undefined;
    const isDeleted = DELETED.test(target); // its link names no path any more
    if (!isOwnTree && !isDeleted) return undefined;
    const status = isDeleted ? behind() : statusAt(AT_FDCWD, target);
    // Another file may have the path by now, or in that process.
    if (status === undefined || Number(status.stx_ino) !== inode) {
      return undefined;
    }
    const ref = (status.stx_mode & S_IFMT) === S_IFIFO
      ? this.#catalogue.add("fifo", `${deviceOf(status)}:${inode}`, {
        ...fileFields(status),
        name: target.replace(DELETED, ""),
        unlinked: isDeleted,
      })
      : undefined;
    this.#fifos.set(key, ref);
    return ref;
  }

  /** Notes that a descriptor has the locks that its fdinfo shows; returns their object. */
  #locks(
    { pid }: Place,
    { device }: Mount,
    { inode, text }: Info,
    target: string,
    fd: number,
  ): string | undefined {
    const draft = this.#catalogue.drafts.get(`file-lock:${device}:${inode}`);
    if (draft === undefined) return undefined;
    draft.fields.path ??= target;
    draft.fields.name = draft.fields.path;
    if (noteLocks(draft, pid, text)) {
      this.#catalogue.noteDescriptor(draft.ref, pid, fd, ["owns"]);
    }
    return draft.ref;
  }
}

function countOf(hexadecimal: string): number | bigint {
  const count = BigInt(`0x${hexadecimal}`);
  const number = Number(count);
  return Number.isSafeInteger(number) ? number : count;
}

const INFO = /^flags:\t(\d+)\nmnt_id:\t(\d+)\n(?:ino:\t(\d+)\n)?/m;

/** What fdinfo tells; undefined if the descriptor is gone. */
function infoOf(infos: number, fd: string): Info | undefined {
  const text = textAt(infos, fd);
  const [, flags, mount, inode] = text?.match(INFO) ?? [];
  if (text === undefined || flags === undefined || inode === undefined) {
    return undefined;
  }
  const access = parseInt(flags, 8) & O_ACCMODE;
  return {
    roles: access === O_RDONLY
      ? ["reads"]
      : access === O_WRONLY
      ? ["writes"]
      : ["reads", "writes"],
    mount: Number(mount),
    inode: Number(inode),
    text,
  };
}
