/** Descriptors that this library has not made, and what the kernel tells of one. */
import { assertEquals, assertNotEquals } from "@std/assert";
import {
  F_DUPFD_CLOEXEC,
  F_SETFD,
  F_SETFL,
  fcntl,
  O_CLOEXEC,
  O_NONBLOCK,
} from "../../ffi/libc/fcntl.ts";
import {
  AF_UNIX,
  SOCK_CLOEXEC,
  SOCK_STREAM,
  sysSocket,
} from "../../ffi/libc/sys_socket.ts";
import { unistd } from "../../ffi/libc/unistd.ts";
import { UnixListener } from "../../ffi/socket.ts";

/** A raw descriptor, closed at the end of the block. */
export class Raw implements Disposable {
  readonly fd: number;

  /** The descriptor, or -1, which is an error. */
  constructor(fd: number) {
    this.fd = fd;
    assertNotEquals(fd, -1);
  }
  [Symbol.dispose](): void {
    unistd().close(this.fd);
  }
}

/** open(2), with close-on-exec. */
export function openRaw(path: string, flags: number): Raw {
  const name = new TextEncoder().encode(`${path}\0`);
  return new Raw(fcntl().open(name, flags | O_CLOEXEC, 0o600));
}

/** Both ends of a nonblocking Unix stream socket. */
export function socketPair(): [Raw, Raw] {
  const fds = new Int32Array(2);
  const type = SOCK_STREAM | SOCK_CLOEXEC | O_NONBLOCK;
  assertEquals(sysSocket().socketpair(AF_UNIX, type, 0, fds), 0);
  return [new Raw(fds[0]!), new Raw(fds[1]!)];
}

/** The flags of a descriptor, as open(2) has them. */
export function flagsOf(fd: number): number {
  const info = Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`);
  return parseInt(info.match(/^flags:\s*(\d+)/m)![1]!, 8);
}

/** Sets O_NONBLOCK of an open file, or clears it, as another process may. */
export function setNonblocking(fd: number, on: boolean): void {
  const flags = flagsOf(fd);
  const changed = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  assertEquals(fcntl().fcntl(fd, F_SETFL, changed), 0);
}

/** Whether programs that are started do not get it. */
export function isCloseOnExec(fd: number): boolean {
  return (flagsOf(fd) & O_CLOEXEC) !== 0;
}

/** Another descriptor of the same open file; the caller's to close. */
export function duplicate(fd: number, closeOnExec = true): number {
  const { fcntl: call } = fcntl();
  const copy = call(fd, F_DUPFD_CLOEXEC, 0);
  assertNotEquals(copy, -1);
  if (!closeOnExec) call(copy, F_SETFD, 0);
  return copy;
}

/** Why this process may not have so many descriptors, or null. */
export function noRoomFor(descriptors: number): string | null {
  const limit = Deno.readTextFileSync("/proc/self/limits")
    .match(/^Max open files +(\d+)/m);
  return limit === null || Number(limit[1]) >= descriptors
    ? null
    : `RLIMIT_NOFILE is ${limit[1]}`;
}

/** How many descriptors this process has open. */
export const descriptorCount = (): number =>
  [...Deno.readDirSync("/proc/self/fd")].length;

/** Leaves a socket file that has no server. */
export function stale(path: string): void {
  UnixListener.fromFd(UnixListener.listen(path).detach()).close();
}
