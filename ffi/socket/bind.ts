// bind(2), and the file that it makes.

import { checkMode, cString } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { Descriptor } from "../libc/descriptor.ts";
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
import { fcntl, O_CLOEXEC, O_DIRECTORY } from "../libc/fcntl.ts";
import { LOCK_EX, LOCK_NB, sysFile } from "../libc/sys_file.ts";
import { SOCK_DGRAM, sysSocket } from "../libc/sys_socket.ts";
import {
  type FileStatus,
  isSameFile,
  S_IFMT,
  S_IFSOCK,
  statusOfPath,
  sysStat,
} from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";
import { AUTOBIND, encodeAddress, type UnixAddress } from "./address.ts";
import { untilSync } from "./attempt.ts";
import { openSocket, type SocketDescriptor } from "./socket.ts";

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
   * and EADDRINUSE tells the others. (They lock the directory for that moment,
   * which takes the right to read it.)
   *
   * @default {false}
   */
  reclaim?: boolean | undefined;
}

/** The file of a bound socket, which goes with the socket. */
export class SocketFile {
  readonly #path: Uint8Array<ArrayBuffer>;
  readonly #status: FileStatus;

  constructor(path: string) {
    this.#path = cString("address", path);
    this.#status = statusOfPath(this.#path, path);
  }

  /** Removes it, if the path still names it. */
  remove(): void {
    try {
      const found = statusOfPath(this.#path, "");
      if (isSameFile(found, this.#status)) unistd().unlink(this.#path);
    } catch {
      // Somebody removed the file or its directory, or may not: its own affair.
    }
  }
}

/** An address to bind to, checked. */
export interface Binding {
  readonly name: Uint8Array<ArrayBuffer>;
  /** Undefined for an abstract name, which has no file. */
  readonly path: string | undefined;
  readonly mode: number;
  readonly reclaim: boolean;
}

/** Checks an address and its options, before anything is made. */
export function bindingOf(
  address: UnixAddress | null,
  options: UnixBindOptions | undefined,
): Binding {
  const name = address === null ? AUTOBIND : encodeAddress(address);
  const path = typeof address === "string" ? address : undefined;
  if (path === undefined && options?.mode !== undefined) {
    throw new TypeError(
      'Argument "mode" must be left out: an abstract name has no permissions',
    );
  }
  const mode = options?.mode ?? 0o600;
  checkMode(mode);
  return { name, path, mode: mode | 0, reclaim: options?.reclaim ?? false };
}

/** Binds to an address; returns the file that this makes, if it makes one. */
export function bind(
  descriptor: SocketDescriptor,
  { name, path, mode, reclaim }: Binding,
): SocketFile | undefined {
  if (path === undefined) {
    if (!bindOnce(descriptor, name)) throw inUse(descriptor);
    return undefined;
  }
  // bind gives the file the mode of the socket, without the umask's bits, so that
  // it has its final permissions from the first moment.
  check(sysStat().fchmod(descriptor.fd, mode), "fchmod", descriptor.subject);
  if (!bindOnce(descriptor, name)) {
    if (!reclaim) throw inUse(descriptor);
    bindInstead(descriptor, path, name);
  }
  return new SocketFile(path);
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
 * look and the removal here. That takes the same lock.
 */
function bindInstead(
  descriptor: SocketDescriptor,
  path: string,
  name: Uint8Array<ArrayBuffer>,
): void {
  using _lock = lockDirectory(path);
  const cpath = cString("address", path);
  while (!bindOnce(descriptor, name)) {
    try {
      if (!isDead(cpath, name, path)) throw inUse(descriptor);
      check(unistd().unlink(cpath), "unlink", path);
    } catch (error) {
      // Whoever had it has left meanwhile, and taken its file along.
      if (!(error instanceof IpcError && error.errno === ENOENT)) throw error;
    }
  }
}

const PATIENCE = 5_000; // ms: a lock is held for less than one

/** Locks the directory of a path, until it is closed. */
function lockDirectory(path: string): Descriptor {
  const slash = path.lastIndexOf("/");
  const directory = slash === -1 ? "." : path.slice(0, slash) || "/";
  const cdirectory = cString("address", directory);
  const { open } = fcntl();
  const flags = O_DIRECTORY | O_CLOEXEC;
  const lock = new Descriptor(
    checkRetrying(() => open(cdirectory, flags, 0), "open", directory),
    directory,
  );
  try {
    const deadline = performance.now() + PATIENCE;
    untilSync(() => tryLock(lock), `the lock of ${directory}`, deadline);
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}

function tryLock({ fd, subject }: Descriptor): boolean {
  if (sysFile().flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const number = errno();
  if (number === EAGAIN || number === EINTR) return false;
  throw ipcError(number, "flock", subject);
}

/**
 * Whether a path is a socket file with no socket bound to it.
 *
 * A datagram socket finds that out without disturbing anybody: to one that is
 * bound and not of its type (EPROTOTYPE) it does not connect, even if that one does
 * not listen yet. Only where there is none at all, it is refused.
 */
function isDead(
  cpath: Uint8Array<ArrayBuffer>,
  name: Uint8Array<ArrayBuffer>,
  path: string,
): boolean {
  const { stx_mode } = statusOfPath(cpath, path);
  if ((stx_mode & S_IFMT) !== S_IFSOCK) return false;
  using probe = openSocket(SOCK_DGRAM, path);
  const { connect } = sysSocket();
  return connect(probe.fd, name, name.length) === -1 &&
    errno() === ECONNREFUSED;
}
