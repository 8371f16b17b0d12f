// Paths that are too long for a sockaddr_un. Each descriptor has a link in /proc/PID/fd,
// whose path is short.

import { Descriptor } from "../kernel/descriptor.ts";
import { linkInProc } from "../kernel/proc.ts";
import {
  checkRetrying,
  EADDRINUSE,
  EEXIST,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { fcntl, O_CLOEXEC, O_DIRECTORY, O_PATH } from "../libc/fcntl.ts";
import { statusOfPath } from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";
import { encodePath, isTooLong, pathOf } from "./address.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const SLASH = "/".charCodeAt(0);
const HERE = new TextEncoder().encode("./");

/** A descriptor that stands for a file without opening it. */
function openPath(path: Bytes, flags: number, subject: string): Descriptor {
  const { open } = fcntl();
  const call = () => open(path, O_PATH | O_CLOEXEC | flags, 0);
  return new Descriptor(checkRetrying(call, "open", subject), subject);
}

/** The bytes of paths, contiguous. */
function joined(...parts: (string | Bytes)[]): Bytes {
  const encoder = new TextEncoder();
  const all = parts.map((part) =>
    typeof part === "string" ? encoder.encode(part) : part
  );
  return Uint8Array.from(all.flatMap((bytes) => [...bytes]));
}

/** The path of a descriptor, for the processes of this user. */
function linkTo({ fd, subject }: Descriptor): string {
  const pid = linkInProc("/proc/self", `use the long path ${subject}`);
  return `/proc/${pid}/fd/${fd}`;
}

/** Calls `call` with an address that the kernel takes for this one. */
export function reach<T>(
  address: Bytes,
  subject: string,
  call: (address: Bytes) => T,
): T {
  if (!isTooLong(address)) return call(address);
  const target = openPath(pathOf(address)!, 0, subject);
  try {
    return call(encodePath(joined(linkTo(target))));
  } finally {
    target[Symbol.dispose]();
  }
}

/**
 * Binds to a long path with `bind`. Returns its directory, which must stay open as long as
 * the address is in use; undefined if the path exists.
 */
export function bindLong(
  path: Bytes,
  subject: string,
  bind: (address: Bytes) => boolean,
): Descriptor | undefined {
  const end = path.lastIndexOf(SLASH) + 1;
  const parent = end === 0 ? HERE : path.subarray(0, end);
  const directory = openPath(joined(parent, "\0"), O_DIRECTORY, subject);
  try {
    const link = `${linkTo(directory)}/`;
    const address = encodePath(joined(link, path.subarray(end, -1)));
    const isBound = isTooLong(address)
      ? bindAndLink(path, joined(link, temporaryName()), subject, bind)
      : bind(address);
    if (isBound) return directory;
  } catch (error) {
    directory.close();
    throw error;
  }
  directory.close();
  return undefined;
}

function temporaryName(): string {
  return `.${crypto.randomUUID()}`;
}

/** Binds to a temporary path, because not even the name in the directory fits. */
function bindAndLink(
  path: Bytes,
  temporary: Bytes,
  subject: string,
  bind: (address: Bytes) => boolean,
): boolean {
  const { link, unlink } = unistd();
  if (exists(path)) return false; // first: a socket can be bound once only
  if (!bind(encodePath(temporary))) return false;
  const from = joined(temporary, "\0");
  const error = link(from, path) === -1 ? errno() : 0;
  unlink(from);
  if (error === 0) return true;
  throw ipcError(error === EEXIST ? EADDRINUSE : error, "link", subject);
}

function exists(path: Bytes): boolean {
  try {
    statusOfPath(path, "");
    return true;
  } catch {
    return false; // or bind(2) and link(2) tell why not
  }
}
