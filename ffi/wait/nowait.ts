// read(2) and write(2) that never wait. O_NONBLOCK would not do: it belongs to the open
// file description, which other processes may share, so each of them can change it, and
// the others see it.

import { EOPNOTSUPP, errno } from "../libc/errno.ts";
import { F_GETFL, F_SETFL, fcntl, O_NONBLOCK } from "../libc/fcntl.ts";
import { pointerTo } from "../libc/string.ts";
import { RWF_NOWAIT, sysUio } from "../libc/sys_uio.ts";
import { unistd } from "../libc/unistd.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const vector = new BigUint64Array(2); // struct iovec
const HERE = -1n; // the offset that makes preadv2 and pwritev2 read and write

/** read(2) of up to `length` bytes; -1 and EAGAIN when there are none. */
export function readNow(fd: number, buffer: Bytes, length: number): number {
  vector[0] = pointerTo(buffer);
  vector[1] = BigInt(length);
  const count = sysUio().preadv2(fd, vector, 1, HERE, RWF_NOWAIT);
  if (count !== -1 || errno() !== EOPNOTSUPP) return count;
  makeNonblocking(fd);
  return unistd().read(fd, buffer, length);
}

/** write(2) of up to `length` bytes; -1 and EAGAIN when there is no room. */
export function writeNow(fd: number, bytes: Bytes, length: number): number {
  vector[0] = pointerTo(bytes);
  vector[1] = BigInt(length);
  const count = sysUio().pwritev2(fd, vector, 1, HERE, RWF_NOWAIT);
  if (count !== -1 || errno() !== EOPNOTSUPP) return count;
  makeNonblocking(fd);
  return unistd().write(fd, bytes, length);
}

/**
 * Sets O_NONBLOCK, for what knows no flag of a single call. Another process can undo it
 * at any moment, so this is to be done before each call, and is best effort.
 */
export function makeNonblocking(fd: number): void {
  const { fcntl: call } = fcntl();
  const flags = call(fd, F_GETFL, 0); // -1: the call itself will say why
  if (flags !== -1 && (flags & O_NONBLOCK) === 0) {
    call(fd, F_SETFL, flags | O_NONBLOCK);
  }
}
