// getsockopt(2) and setsockopt(2) of the socket level, mostly of options that are an int.

import { check, type Subject } from "../libc/errno.ts";
import { SOL_SOCKET, sysSocket } from "../libc/sys_socket.ts";

/** Returns the value of an int option. */
export function option(fd: number, name: number, subject: Subject): number {
  const value = new Int32Array(1);
  readOption(fd, name, new Uint8Array(value.buffer), subject);
  return value[0]!;
}

/** Reads the bytes of an option into `value`. */
export function readOption(
  fd: number,
  name: number,
  value: Uint8Array<ArrayBuffer>,
  subject: Subject,
): void {
  const length = Uint32Array.of(value.length);
  const { getsockopt } = sysSocket();
  check(getsockopt(fd, SOL_SOCKET, name, value, length), "getsockopt", subject);
}

/** Sets an int option. */
export function setOption(
  fd: number,
  name: number,
  value: number,
  subject: Subject,
): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  const { setsockopt } = sysSocket();
  check(
    setsockopt(fd, SOL_SOCKET, name, bytes, bytes.length),
    "setsockopt",
    subject,
  );
}
