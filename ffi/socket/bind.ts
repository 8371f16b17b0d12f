// bind(2): the address of a socket, the mode of its file, and the reclaim of a file
// whose server has crashed.

import { checkMode } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { Descriptor } from "../kernel/descriptor.ts";
import {
  check,
  checkRetrying,
  EADDRINUSE,
  EAGAIN,
  ECONNREFUSED,
  ENOENT,
  errno,
  ipcError,
  isInterruption,
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
  isTooLong,
  pathOf,
  type UnixAddress,
} from "./address.ts";
import { bindLong, reach } from "./long_path.ts";
import {
  openSocket,
  type SocketDescriptor,
  type UnixPassOptions,
} from "./socket.ts";
import { SocketFile } from "./socket_file.ts";

/** Options of a socket that is bound to an address. */
export interface UnixBindOptions extends UnixPassOptions {
  /**
   * The permission bits of the socket file.
   *
   * The umask does not apply; the file never has more permissions. To connect or send
   * requires write permission. An abstract name has no permissions.
   *
   * @default {0o600}
   */
  mode?: number | undefined;
  /**
   * Whether to replace a stale socket file at this path, such as one whose server was
   * killed.
   *
   * A socket that is still bound is never replaced, nor is a file of another type. If
   * several processes reclaim a path at once, one succeeds and the others fail with
   * EADDRINUSE. (A lock file, named as the path with `.reclaim` appended, exists for that
   * time.)
   *
   * @default {false}
   */
  reclaim?: boolean | undefined;
}

/** An address to bind to, checked. */
export interface Binding {
  readonly name: Uint8Array<ArrayBuffer>;
  /** Name used in error messages. */
  readonly subject: string;
  /** A C string; undefined for an abstract name, which has no file. */
  readonly path: Uint8Array<ArrayBuffer> | undefined;
  readonly mode: number;
  readonly reclaim: boolean;
}

/** Checks an address and its options, before a socket is opened. */
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

/** Binds a socket; returns its file, if the address is a path. */
export function bind(
  descriptor: SocketDescriptor,
  { name, path, mode, reclaim }: Binding,
): SocketFile | undefined {
  const { fd, subject } = descriptor;
  if (path === undefined) {
    if (!bindOnce(descriptor, name)) throw inUse(descriptor);
    return undefined;
  }
  // bind(2) creates the file with the mode of the socket, less the umask. So the file
  // never has more permissions.
  check(sysStat().fchmod(fd, mode), "fchmod", subject);
  if (!bindOnce(descriptor, name)) {
    if (!reclaim) throw inUse(descriptor);
    replaceStale(descriptor, path, name);
  }
  try {
    const file = new SocketFile(path, subject);
    if (file.mode !== mode) file.chmod(mode); // the umask has cleared some bits
    return file;
  } catch (error) {
    unistd().unlink(path); // bind(2) has just created it
    throw error;
  }
}

function inUse({ subject }: Descriptor) {
  return ipcError(EADDRINUSE, "bind", subject);
}

/** bind(2); false if the address is in use, or the path exists. */
function bindOnce(
  descriptor: SocketDescriptor,
  name: Uint8Array<ArrayBuffer>,
): boolean {
  const { fd, subject } = descriptor;
  const bindTo = (address: Uint8Array<ArrayBuffer>) => {
    if (sysSocket().bind(fd, address, address.length) === 0) return true;
    const error = errno();
    if (error === EADDRINUSE) return false;
    throw ipcError(error, "bind", subject);
  };
  if (!isTooLong(name)) return bindTo(name);
  const directory = bindLong(pathOf(name)!, subject, bindTo);
  if (directory === undefined) return false;
  descriptor.attached.add(directory);
  descriptor.longName = name;
  return true;
}

/**
 * Replaces a stale socket file, and binds to its path.
 *
 * A stale socket file stays stale: no socket can be bound to it again. So the only race
 * is with another process that replaces the file between the check and the unlink here;
 * a lock prevents it. (Binding to another path and renaming would need no lock, but
 * getsockname(2) would return the other path.)
 */
function replaceStale(
  descriptor: SocketDescriptor,
  path: Uint8Array<ArrayBuffer>,
  name: Uint8Array<ArrayBuffer>,
): void {
  const { subject } = descriptor;
  const checkStale = () => {
    if (!isStale(path, name, subject)) throw inUse(descriptor);
  };
  ignoreMissing(checkStale);
  const lock = lockBeside(path, subject);
  try {
    // The process that holds the lock is about to bind to the path.
    if (lock === undefined) throw inUse(descriptor);
    while (!bindOnce(descriptor, name)) {
      ignoreMissing(() => {
        checkStale();
        check(unistd().unlink(path), "unlink", subject);
      });
    }
  } finally {
    lock?.[Symbol.dispose]();
  }
}

/** Calls `call`, and ignores ENOENT. */
function ignoreMissing(call: () => void): void {
  try {
    call();
  } catch (error) {
    if (!(error instanceof IpcError && error.errno === ENOENT)) throw error;
  }
}

const SUFFIX = new TextEncoder().encode(".reclaim\0");

/**
 * Locks a lock file next to the path; disposing of the lock removes the file. Undefined
 * if another process holds the lock. The directory itself would not do: every process
 * that can read it could hold that lock for ever.
 */
function lockBeside(
  path: Uint8Array<ArrayBuffer>,
  subject: string,
): Disposable | undefined {
  const beside = new Uint8Array(path.length - 1 + SUFFIX.length);
  beside.set(path);
  beside.set(SUFFIX, path.length - 1);
  const lockSubject = `${subject}.reclaim`;
  const { open } = fcntl();
  const flags = O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const call = () => open(beside, flags, 0o600);
  for (;;) {
    const fd = checkRetrying(call, "open", lockSubject);
    const lock = new Descriptor(fd, lockSubject);
    const remove = () => {
      unistd().unlink(beside); // while the lock is held
      lock.close();
    };
    try {
      if (!tryLock(lock)) {
        lock.close();
        return undefined;
      }
      // The previous holder may have removed the file after it was opened here.
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
  ignoreMissing(() => {
    same = isSameFile(statusOfPath(path, subject), statusOfFd(fd, subject));
  });
  return same;
}

/** flock(2); false if another process holds the lock. */
function tryLock({ fd, subject }: Descriptor): boolean {
  const { flock } = sysFile();
  for (;;) {
    if (flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
    const error = errno();
    if (error === EAGAIN) return false;
    if (!isInterruption(error)) throw ipcError(error, "flock", subject);
  }
}

/**
 * Whether a path names a socket file that no socket is bound to.
 *
 * connect(2) of a datagram socket tells without an effect on the server: it fails with
 * ECONNREFUSED only if no socket is bound to the file. A bound socket of another type
 * is EPROTOTYPE, even if it does not listen yet.
 */
function isStale(
  path: Uint8Array<ArrayBuffer>,
  name: Uint8Array<ArrayBuffer>,
  subject: string,
): boolean {
  const { stx_mode } = statusOfPath(path, subject);
  if ((stx_mode & S_IFMT) !== S_IFSOCK) return false;
  const probe = openSocket(SOCK_DGRAM, subject);
  try {
    const { connect } = sysSocket();
    return reach(
      name,
      subject,
      (address) =>
        connect(probe.fd, address, address.length) === -1 &&
        errno() === ECONNREFUSED,
    );
  } finally {
    probe[Symbol.dispose]();
  }
}
