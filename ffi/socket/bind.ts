// bind(2), and the file that it makes.

import { checkMode } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { Descriptor } from "../kernel/descriptor.ts";
import {
  check,
  checkRetrying,
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  EINTR,
  ENOENT,
  errno,
  ipcError,
} from "../libc/errno.ts";
import {
  fcntl,
  O_CLOEXEC,
  O_CREAT,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
} from "../libc/fcntl.ts";
import { LOCK_EX, LOCK_NB, sysFile } from "../libc/sys_file.ts";
import { SOCK_DGRAM, sysSocket } from "../libc/sys_socket.ts";
import {
  isSameFile,
  S_IFMT,
  S_IFSOCK,
  statusOfFd,
  statusOfPath,
  sysStat,
} from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";
import {
  AUTOBIND,
  describeName,
  encodeAddress,
  pathOf,
  type UnixAddress,
} from "./address.ts";
import { openSocket, type SocketDescriptor } from "./socket.ts";
import { SocketFile } from "./socket_file.ts";

/** How a socket gets its address. */
export interface UnixBindOptions {
  /**
   * The permission bits of the socket file; the umask of the process takes its
   * bits away. Who connects or sends needs to write. An abstract name has none.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * Whether to remove a socket file of this path that nobody serves any more,
   * such as one whose server was killed. One that is alive is never removed, nor
   * is another kind of file. Of several that reclaim at once, one gets the path,
   * and EADDRINUSE tells the others. (For that moment there is a file to lock beside
   * it, of the same name and `.reclaim`.)
   *
   * @default {false}
   */
  reclaim?: boolean | undefined;
}

/** An address to bind to, checked. */
export interface Binding {
  readonly name: Uint8Array<ArrayBuffer>;
  /** What errors call it. */
  readonly subject: string;
  /** A C string; undefined for an abstract name, which has no file. */
  readonly path: Uint8Array<ArrayBuffer> | undefined;
  readonly mode: number;
  readonly reclaim: boolean;
}

/** Checks an address and its options, before anything is made. */
export function bindingOf(
  address: UnixAddress | null,
  options: UnixBindOptions | undefined,
): Binding {
  const name = address === null ? AUTOBIND : encodeAddress(address);
  const path = pathOf(name);
  const { mode: given, reclaim = false } = options ?? {};
  if (path === undefined && given !== undefined) {
    throw new TypeError(
      'Argument "mode" must be left out: an abstract name has no permissions',
    );
  }
  const mode = given ?? 0o600;
  checkMode(mode);
  return { name, subject: describeName(name), path, mode: mode | 0, reclaim };
}

/** Binds to an address; returns the file that this makes, if it makes one. */
export function bind(
  descriptor: SocketDescriptor,
  { name, path, mode, reclaim }: Binding,
): SocketFile | undefined {
  const { fd, subject } = descriptor;
  if (path === undefined) {
    if (!bindOnce(descriptor, name)) throw inUse(descriptor);
    return undefined;
  }
  // bind gives the file the mode of the socket, without the umask's bits, so that
  // it has its final permissions from the first moment.
  check(sysStat().fchmod(fd, mode), "fchmod", subject);
  if (!bindOnce(descriptor, name)) {
    if (!reclaim) throw inUse(descriptor);
    bindInstead(descriptor, path, name);
  }
  try {
    return new SocketFile(path, subject);
  } catch (error) {
    unistd().unlink(path); // it was made a moment ago
    throw error;
  }
}

function inUse({ subject }: Descriptor) {
  return ipcError(EADDRINUSE, "bind", subject);
}

/** bind(2); false if the address is in use, or the path exists. */
function bindOnce(
  { fd, subject }: SocketDescriptor,
  name: Uint8Array<ArrayBuffer>,
): boolean {
  if (sysSocket().bind(fd, name, name.length) === 0) return true;
  const number = errno();
  if (number === EADDRINUSE) return false;
  throw ipcError(number, "bind", subject);
}

/**
 * Binds to the path of a socket file that is dead, instead of it.
 *
 * A socket file that is dead stays dead: nothing can be bound to it again. So the
 * only danger is that another reclaimer removes it and binds its own between the
 * look and the removal here. Both take the same lock. To bind elsewhere and rename
 * would need none, but a socket keeps the name it was bound to, and tells it to peers.
 */
function bindInstead(
  descriptor: SocketDescriptor,
  path: Uint8Array<ArrayBuffer>,
  name: Uint8Array<ArrayBuffer>,
): void {
  const { subject } = descriptor;
  const checkDead = () => {
    if (!isDead(path, name, subject)) throw inUse(descriptor);
  };
  unlessGone(checkDead);
  using lock = lockBeside(path, subject);
  // Who has it is about to have the path.
  if (lock === undefined) throw inUse(descriptor);
  while (!bindOnce(descriptor, name)) {
    unlessGone(() => {
      checkDead();
      check(unistd().unlink(path), "unlink", subject);
    });
  }
}

/** Makes a call about a file, and lets it end if there is no such file any more. */
function unlessGone(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof IpcError && error.errno === ENOENT)) throw error;
  }
}

const SUFFIX = new TextEncoder().encode(".reclaim\0");

/**
 * Locks a file beside the path, and removes it when the lock is disposed of;
 * undefined if another has the lock. The directory itself is not locked: any program
 * that may read it could have, for as long as it likes.
 */
function lockBeside(
  path: Uint8Array<ArrayBuffer>,
  subject: string,
): Disposable | undefined {
  const beside = new Uint8Array(path.length - 1 + SUFFIX.length);
  beside.set(path);
  beside.set(SUFFIX, path.length - 1);
  const about = `${subject}.reclaim`;
  const { open } = fcntl();
  const flags = O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  for (;;) {
    const fd = checkRetrying(() => open(beside, flags, 0o600), "open", about);
    const lock = new Descriptor(fd, about);
    const remove = () => {
      unistd().unlink(beside); // before the lock ends
      lock.close();
    };
    try {
      if (!tryLock(lock)) {
        lock.close();
        return undefined;
      }
      // The one that had the lock before may have removed the file that was opened.
      if (isStillAt(beside, lock)) return { [Symbol.dispose]: remove };
    } catch (error) {
      remove();
      throw error;
    }
    lock.close();
  }
}

/** Whether a path names the file that is open. */
function isStillAt(
  path: Uint8Array<ArrayBuffer>,
  { fd, subject }: Descriptor,
): boolean {
  let same = false;
  unlessGone(() => {
    same = isSameFile(statusOfPath(path, subject), statusOfFd(fd, subject));
  });
  return same;
}

/** flock(2); false if another has the lock. */
function tryLock({ fd, subject }: Descriptor): boolean {
  const { flock } = sysFile();
  for (;;) {
    if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
    const number = errno();
    if (number === EAGAIN) return false;
    if (number !== EINTR) throw ipcError(number, "flock", subject);
  }
}

/**
 * Whether a path is a socket file with no socket bound to it.
 *
 * A datagram socket finds that out without disturbing anybody: to one that is
 * bound and not of its type (EPROTOTYPE) it does not connect, even if that one does
 * not listen yet. Only where there is none at all, it is refused.
 */
function isDead(
  path: Uint8Array<ArrayBuffer>,
  name: Uint8Array<ArrayBuffer>,
  subject: string,
): boolean {
  const { stx_mode } = statusOfPath(path, subject);
  if ((stx_mode & S_IFMT) !== S_IFSOCK) return false;
  using probe = openSocket(SOCK_DGRAM, subject);
  const { connect } = sysSocket();
  return connect(probe.fd, name, name.length) === -1 &&
    errno() === ECONNREFUSED;
}
