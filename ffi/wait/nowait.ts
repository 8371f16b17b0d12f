// read(2) and write(2) that never wait. O_NONBLOCK would not do: it belongs to the open
// file description, which other processes may share, so each of them can change it, and
// the others see it.

import { isExclusive } from "../kernel/descriptor.ts";
import { ENOSYS, EOPNOTSUPP, errno } from "../libc/errno.ts";
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from "../libc/fcntl.ts";
import { pointerTo } from "../libc/string.ts";
import { SYS_preadv2, SYS_pwritev2 } from "../libc/sys_syscall.ts";
import { RWF_NOWAIT, sysUio } from "../libc/sys_uio.ts";
import { unistd } from "../libc/unistd.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const vector = new BigUint64Array(2); // struct iovec
const HERE = -1n; // the offset that makes preadv2 and pwritev2 read and write
const READ = BigInt(SYS_preadv2);
const WRITE = BigInt(SYS_pwritev2);

/** Whether the kernel has no such flag for that file, or no such call at all. */
function isUnsupported(): boolean {
  const code = errno();
  return code === EOPNOTSUPP || code === ENOSYS;
}

/** The address of bytes; NULL of none, which may be those of a detached buffer. */
function addressOf(bytes: Bytes, length: number): bigint {
  return length === 0 ? 0n : pointerTo(bytes);
}

/** read(2) of up to `length` bytes; -1 and EAGAIN when there are none. */
export function readNow(fd: number, buffer: Bytes, length: number): number {
  vector[0] = addressOf(buffer, length);
  vector[1] = BigInt(length);
  const count = sysUio().preadv2(READ, fd, vector, 1, HERE, 0, RWF_NOWAIT);
  if (count !== -1 || !isUnsupported()) return count;
  const target = length === 0 ? null : buffer;
  return withoutBlocking(fd, () => unistd().read(fd, target, length));
}

/** write(2) of up to `length` bytes; -1 and EAGAIN when there is no room. */
export function writeNow(fd: number, bytes: Bytes, length: number): number {
  vector[0] = addressOf(bytes, length);
  vector[1] = BigInt(length);
  const count = sysUio().pwritev2(WRITE, fd, vector, 1, HERE, 0, RWF_NOWAIT);
  if (count !== -1 || !isUnsupported()) return count;
  const source = length === 0 ? null : bytes;
  return withoutBlocking(fd, () => unistd().write(fd, source, length));
}

/**
 * Calls with O_NONBLOCK, where there is no flag of a single call: FIFOs, sockets in
 * splice(2), accept4(2), pipes of old kernels. Afterwards the flag is as it was, unless no other
 * process has the open file. Another process can change it meanwhile: best effort.
 */
export function withoutBlocking<T>(fd: number, call: () => T): T {
  const { fcntl: control } = fcntl();
  const flags = control(fd, F_GETFL, 0); // -1: the call itself says why
  if (flags === -1 || (flags & O_NONBLOCK) !== 0) return call();
  control(fd, F_SETFL, flags | O_NONBLOCK);
  if (isExclusive(fd)) return call();
  try {
    return call();
  } finally {
    control(fd, F_SETFL, flags);
  }
}
