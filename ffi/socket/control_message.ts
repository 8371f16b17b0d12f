// Control messages, cmsg(3): the descriptors (SCM_RIGHTS) and the credentials
// (SCM_CREDENTIALS) that accompany the bytes of a message.

import { checkInteger } from "../arguments.ts";
import { makeBlocking } from "../kernel/descriptor.ts";
import { runtime } from "../libc/runtime/mod.ts";
import {
  CMSG_ALIGN,
  CMSG_LEN,
  CMSG_SPACE,
  cmsghdr,
  SCM_CREDENTIALS,
  SCM_MAX_FD,
  SCM_PIDFD,
  SCM_RIGHTS,
  SOL_SOCKET,
  ucred,
} from "../libc/sys_socket.ts";
import { unistd } from "../libc/unistd.ts";
import { type DescriptorLike, waitableOf } from "../wait/descriptors.ts";
import type { Credentials } from "./credentials.ts";
import { passed, PassedDescriptor } from "./passed_descriptor.ts";

const SIZEOF_INT = 4;
const CREDENTIALS_SPACE = CMSG_SPACE(ucred.size);
const MAX_ID = 0xffff_fffe; // -1 means "no change" to chown(2) and its siblings

/** The size of the longest control buffer, in bytes. */
export const MAX_CONTROL: number = CREDENTIALS_SPACE +
  CMSG_SPACE(SCM_MAX_FD * SIZEOF_INT);

/** Copies and checks the caller's array of descriptors to pass; null for none. */
export function descriptorsOf(
  descriptors: readonly DescriptorLike[],
): readonly DescriptorLike[] | null {
  const { length } = descriptors;
  const origin = "SCM_MAX_FD, descriptors in one message";
  checkInteger("descriptors.length", length, 0, SCM_MAX_FD, origin);
  if (length === 0) return null;
  return Array.from({ length }, (_, index) => descriptors[index]!);
}

/** Their numbers, read on each try: an object may be closed in the meantime. */
export function numbersOf(
  descriptors: readonly DescriptorLike[],
): Int32Array<ArrayBuffer> {
  return Int32Array.from(descriptors, (descriptor) => {
    const { fd } = waitableOf(descriptor, "descriptors");
    // A descriptor that was received is forwarded unchanged.
    if (!(descriptor instanceof PassedDescriptor)) makeBlocking(fd);
    return fd;
  });
}

/** Checks the caller's credentials to send; what is left out is that of this process. */
export function credentialsOf(given: Partial<Credentials>): Credentials {
  if (typeof given !== "object" || given === null) {
    throw new TypeError('Argument "credentials" must be an object');
  }
  const { getuid, getgid } = unistd();
  const { pid = runtime.pid, uid = getuid(), gid = getgid() } = given;
  checkInteger("credentials.pid", pid, 1, 0x7fff_ffff, "pid_t");
  checkInteger("credentials.uid", uid, 0, MAX_ID, "uid_t, without -1");
  checkInteger("credentials.gid", gid, 0, MAX_ID, "gid_t, without -1");
  return { pid, uid, gid };
}

/** Checks the maximum number of descriptors to receive. */
export function checkMaxDescriptors(count: unknown): asserts count is number {
  checkInteger("maxDescriptors", count, 0, SCM_MAX_FD, "0 to SCM_MAX_FD");
}

/** Writes SCM_RIGHTS and SCM_CREDENTIALS messages; returns msg_controllen. */
export function writeControl(
  control: Uint8Array<ArrayBuffer>,
  numbers: Int32Array<ArrayBuffer> | null,
  credentials: Credentials | null,
): number {
  let end = 0;
  const write = (cmsg_type: number, data: Uint8Array) => {
    const cmsg_len = BigInt(CMSG_LEN(data.length));
    cmsghdr.write(
      control,
      { cmsg_len, cmsg_level: SOL_SOCKET, cmsg_type },
      end,
    );
    control.set(data, end + cmsghdr.size);
    end += CMSG_SPACE(data.length);
  };
  if (numbers !== null) write(SCM_RIGHTS, new Uint8Array(numbers.buffer));
  if (credentials !== null) write(SCM_CREDENTIALS, ucred.encode(credentials));
  return end;
}

/**
 * The msg_controllen that has room for so many descriptors and no more. The kernel does
 * not install the others. (If this process installed and closed one, it would lose its
 * record locks on that file.)
 */
export function controlRoom(descriptors: number, credentials: boolean): number {
  const rights = descriptors === 0 ? 0 : CMSG_LEN(descriptors * SIZEOF_INT);
  return (credentials ? CREDENTIALS_SPACE : 0) + rights;
}

/** The control messages of one message, decoded. */
export interface Control {
  readonly descriptors: readonly PassedDescriptor[];
  readonly credentials: Credentials | null;
  /** Whether there were more descriptors than the caller wants. */
  readonly tooMany: boolean;
}

/** Reads the control messages in the first `length` bytes. */
export function readControl(
  control: Uint8Array<ArrayBuffer>,
  length: number,
  maxDescriptors: number,
): Control {
  const descriptors: PassedDescriptor[] = [];
  let credentials: Credentials | null = null;
  let tooMany = false;
  for (let offset = 0; offset + cmsghdr.size <= length;) {
    const { cmsg_len, cmsg_level, cmsg_type } = cmsghdr.decode(control, offset);
    const end = Math.min(offset + Number(cmsg_len), length);
    const data = offset + cmsghdr.size;
    if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_RIGHTS) {
      const numbers = new Int32Array(control.slice(data, end).buffer);
      for (const fd of numbers) {
        if (descriptors.length < maxDescriptors) {
          descriptors.push(passed(fd, "descriptor"));
        } else {
          // Another process has cleared SO_PASSCRED in the meantime, so the room for
          // the credentials was used for descriptors.
          unistd().close(fd);
          tooMany = true;
        }
      }
    } else if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_CREDENTIALS) {
      credentials = ucred.decode(control, data);
    } else if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_PIDFD) {
      // The process that passed this socket has set SO_PASSPIDFD on it.
      const [fd] = new Int32Array(control.slice(data, end).buffer);
      unistd().close(fd!);
    }
    offset += CMSG_ALIGN(Math.max(Number(cmsg_len), cmsghdr.size));
  }
  return { descriptors, credentials, tooMany };
}
