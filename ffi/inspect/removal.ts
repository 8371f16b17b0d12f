// The removal of an orphaned object, unless a process has taken it in the meantime.
//
// A file (POSIX memory, a semaphore, a queue) is removed under a lease of its owner,
// F_SETLEASE with F_WRLCK. The kernel grants one only if no other process has the file
// open or mapped, in any namespace; and who opens it from then on waits for the lease, and
// is noticed. The name is taken away first, by renaming, so that no process
// comes later; and if one has come, it is given back. (A queue cannot be renamed.)
//
// A System V object is checked in the call before its removal. The kernel has no call
// that does both.

import { SHM_DIRECTORY } from "../kernel/file_system.ts";
import { SysvObject } from "../kernel/sysv_object.ts";
import { encodeName } from "../libc/dirent.ts";
import { check, EAGAIN, EINVAL, errno, ipcError } from "../libc/errno.ts";
import {
  AT_FDCWD,
  F_GETLEASE,
  F_SETLEASE,
  F_SETSIG,
  F_UNLCK,
  F_WRLCK,
  fcntl,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
} from "../libc/fcntl.ts";
import { mqueue } from "../libc/mqueue.ts";
import { SIGURG } from "../libc/signal.ts";
import { RENAME_NOREPLACE, stdio } from "../libc/stdio.ts";
import { SYS_renameat2 } from "../libc/sys_syscall.ts";
import { statusOfFd } from "../libc/sys_stat.ts";
import { sleepMicroseconds } from "../libc/time.ts";
import { unistd } from "../libc/unistd.ts";
import { MESSAGE_QUEUES } from "../message_queue/sysv_handle.ts";
import { SEMAPHORE_SETS } from "../semaphore/sysv_stat.ts";
import { shmidDs } from "../libc/sys_shm.ts";
import { SEGMENTS } from "../shared_memory/sysv.ts";
import { takeSnapshot } from "./snapshot.ts";
import { semaphoresOf } from "./sysv.ts";
import type {
  InspectedPosixMemory,
  InspectedPosixQueue,
  InspectedPosixSemaphore,
  IpcObject,
} from "./types.ts";

/** Objects that have a name which can be removed. */
export type Removable = Extract<IpcObject, {
  kind:
    | "sysv-queue"
    | "sysv-memory"
    | "sysv-semaphores"
    | "posix-queue"
    | "posix-memory"
    | "posix-semaphore";
}>;

type PosixFile = InspectedPosixMemory | InspectedPosixSemaphore;

// How long a file that has no name any more is watched for processes that had looked its
// name up before, and had not opened it yet.
const WATCH = 20_000; // us
const STEP = 1000; // us

/** Whether an object can be removed at all: it has a name or an identifier. */
export function isRemovable(object: IpcObject): object is Removable {
  return /^(?:sysv|posix)-/.test(object.kind) &&
    (object as { unlinked?: boolean }).unlinked !== true;
}

/** How the answer begins where an object was removed nevertheless. */
export const REMOVED = "it is removed";

/**
 * Removes an orphaned object: undefined when it is gone, else why it stays. An object that
 * is taken meanwhile stays.
 */
export function removeOrphan(object: Removable): string | undefined {
  const isSysv = object.kind.startsWith("sysv-");
  const target = isSysv ? targetOf(object as SysvRemovable) : undefined;
  const before = target && stateOf(object as SysvRemovable, target);
  const now = takeSnapshot(new Set([object.kind])).objects
    .find(({ ref }) => ref === object.ref) as Removable | undefined;
  if (now === undefined) return "it is gone already";
  if (!isSame(now, object)) return "it was removed, and made again";
  const { state, reason } = now.verdict;
  if (state !== "orphaned") return `it is ${state} now: ${reason}`;
  switch (now.kind) {
    case "posix-memory":
      return removeFile(now, now.name.slice(1));
    case "posix-semaphore":
      return removeFile(now, `sem.${now.name.slice(1)}`);
    case "posix-queue":
      return removeQueue(now);
    default:
      return removeSysv(now, target!, () => stateOf(now, target!) === before);
  }
}

function targetOf({ kind, id, ref }: SysvRemovable): SysvObject {
  return new SysvObject(FAMILIES[kind], id, ref);
}

/** Whether two objects with one ref are the same object. */
function isSame(one: Removable, other: Removable): boolean {
  return "inode" in one && "inode" in other
    ? one.inode === other.inode
    : Number(one.changed) === Number(other.changed);
}

/** Opens the file of an object, if it is still that file; undefined if not. */
function openFile(path: string, inode: number): number | undefined {
  const { open } = fcntl();
  const { close } = unistd();
  const place = open(encodeName(path), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (place === -1) return undefined;
  try {
    if (Number(statusOfFd(place, path).stx_ino) !== inode) return undefined;
    const again = encodeName(`/proc/self/fd/${place}`);
    return check(
      open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0),
      "open",
      path,
    );
  } finally {
    close(place);
  }
}

/** Takes the lease; why not, if it is not granted. */
function takeLease(fd: number, path: string): string | undefined {
  const { fcntl: call } = fcntl();
  // The signal of a lease that is to be broken ends a process, unless it is another one.
  check(call(fd, F_SETSIG, SIGURG), "fcntl", path);
  if (call(fd, F_SETLEASE, F_WRLCK) !== -1) return undefined;
  const error = errno();
  if (error === EAGAIN) return "a process has opened it meanwhile";
  if (error === EINVAL) {
    return "its file system has no leases to make that safe";
  }
  throw ipcError(error, "fcntl", path);
}

/** Whether the lease is unbroken: no process opens the file. */
function hasLease(fd: number): boolean {
  return fcntl().fcntl(fd, F_GETLEASE, 0) === F_WRLCK;
}

function releaseLease(fd: number): void {
  fcntl().fcntl(fd, F_SETLEASE, F_UNLCK);
}

function removeFile(object: PosixFile, file: string): string | undefined {
  const path = `${SHM_DIRECTORY}/${file}`;
  const fd = openFile(path, object.inode);
  if (fd === undefined) return "it is gone already";
  try {
    return withLease(fd, path, () => {
      const hidden = `${SHM_DIRECTORY}/.ipc-removed-${crypto.randomUUID()}`;
      rename(path, hidden);
      if (isTakenLater(fd)) {
        return giveBack(hidden, path);
      }
      check(unistd().unlink(encodeName(hidden)), "unlink", path);
      return undefined;
    });
  } finally {
    unistd().close(fd);
  }
}

/** Calls `use` with the lease of a file. */
function withLease(
  fd: number,
  path: string,
  use: () => string | undefined,
): string | undefined {
  const refusal = takeLease(fd, path);
  if (refusal !== undefined) return refusal;
  try {
    return use();
  } finally {
    releaseLease(fd);
  }
}

/** Watches a file without a name for a while: whether a process opens it nevertheless. */
function isTakenLater(fd: number): boolean {
  for (let waited = 0; waited < WATCH; waited += STEP) {
    if (!hasLease(fd)) return true;
    sleepMicroseconds(STEP);
  }
  return !hasLease(fd);
}

function rename(from: string, to: string): void {
  const { renameat2 } = stdio();
  check(
    renameat2(
      BigInt(SYS_renameat2),
      AT_FDCWD,
      encodeName(from),
      AT_FDCWD,
      encodeName(to),
      RENAME_NOREPLACE,
    ),
    "renameat2",
    from,
  );
}

/** Gives a file its name back. */
function giveBack(hidden: string, path: string): string {
  try {
    rename(hidden, path);
    return "a process has opened it meanwhile";
  } catch {
    return `a process has opened it meanwhile, and its name is taken by another ` +
      `object: it is ${hidden} now`;
  }
}

function removeQueue(object: InspectedPosixQueue): string | undefined {
  const { name } = object;
  const cname = encodeName(name);
  const { mq_open, mq_unlink } = mqueue();
  const fd = check(
    mq_open(cname, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, null),
    "mq_open",
    name,
  );
  try {
    if (Number(statusOfFd(fd, name).stx_ino) !== object.inode) {
      return "it was removed, and made again";
    }
    return withLease(fd, name, () => {
      if (!hasLease(fd)) return "a process has opened it meanwhile";
      check(mq_unlink(cname), "mq_unlink", name);
      return undefined;
    });
  } finally {
    unistd().close(fd);
  }
}

const FAMILIES = {
  "sysv-queue": MESSAGE_QUEUES,
  "sysv-memory": SEGMENTS,
  "sysv-semaphores": SEMAPHORE_SETS,
};

type SysvRemovable = Extract<Removable, { kind: keyof typeof FAMILIES }>;

/** What the kernel tells of a System V object, all together. */
function stateOf(set: SysvRemovable, object: SysvObject): string {
  const bytes = object.statAny();
  const semaphores = set.kind === "sysv-semaphores"
    ? semaphoresOf(set.id, set.count)
    : [];
  return JSON.stringify([Array.from(bytes), semaphores]);
}

/** Removes a System V object that was in a state before, if it still is. */
function removeSysv(
  { kind }: SysvRemovable,
  target: SysvObject,
  isAsBefore: () => boolean,
): string | undefined {
  if (!isAsBefore()) return "a process has used it meanwhile";
  target.remove();
  // What was attached in that instant keeps its memory. Only its key is gone.
  return kind === "sysv-memory" && isAttached(target)
    ? `${REMOVED}, but a process has attached it in that instant, and keeps the memory`
    : undefined;
}

function isAttached(target: SysvObject): boolean {
  try {
    return shmidDs.decode(target.statAny()).shm_nattch > 0n;
  } catch {
    return false; // gone, as it should be
  }
}
