// Control messages: descriptors (SCM_RIGHTS) and credentials (SCM_CREDENTIALS)
// that travel with the bytes.

import { checkInteger } from "../arguments.ts";
import { Descriptor, makeBlocking } from "../kernel/descriptor.ts";
import { checkInternal, internal } from "../internal.ts";
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

const SIZEOF_INT = 4;
const CREDENTIALS_SPACE = CMSG_SPACE(ucred.size);

/** The most that a control buffer of this module needs. */
export const MAX_CONTROL = CREDENTIALS_SPACE +
  CMSG_SPACE(SCM_MAX_FD * SIZEOF_INT);

// Set by the class: its constructor is for this module alone.
let make: (descriptor: Descriptor) => PassedDescriptor;

/**
 * A descriptor that came from elsewhere. It is this process's own, has
 * close-on-exec set, and is closed with this object, unless
 * {@linkcode PassedDescriptor.release} gives it to another.
 *
 * @example What kind of thing it is, both sides know
 * ```ts
 * import { pipe, PipeReader } from "@linux/ipc/pipe";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * using sockets = UnixStream.pair();
 * using ends = pipe();
 * sockets[0].sendSync(Uint8Array.of(1), { descriptors: [ends.reader] });
 *
 * const message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
 * using reader = PipeReader.fromFd(message.descriptors[0]!.release());
 * ends.writer.writeSync(Uint8Array.of(1, 2, 3));
 * assertEquals(reader.readSync(new Uint8Array(8)), 3);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class PassedDescriptor implements Disposable {
  readonly #descriptor: Descriptor;

  private constructor(token: typeof internal, descriptor: Descriptor) {
    checkInternal(token, "PassedDescriptor");
    this.#descriptor = descriptor;
  }

  static {
    make = (descriptor) => new PassedDescriptor(internal, descriptor);
  }

  /** The number of the descriptor, which stays this object's. */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * Gives the descriptor away, to the `fromFd` of what it is. This object is
   * closed from now on; whoever has the number closes the descriptor.
   *
   * @returns The number of the descriptor.
   * @throws {ClosedError} If it is closed or given away already.
   */
  release(): number {
    return this.#descriptor.release();
  }

  /** `close(2)`. Closing twice, or after `release`, does nothing. */
  close(): void {
    this.#descriptor.close();
  }

  /** Closes the descriptor, unless it was given away. */
  [Symbol.dispose](): void {
    this.#descriptor.close();
  }
}

/** Takes over a descriptor that the kernel has just made for this process. */
export function passed(fd: number, what: string): PassedDescriptor {
  return make(new Descriptor(fd, `${what} ${fd}`));
}

/** The descriptors to pass: what the caller's array has now; null for none. */
export function descriptorsOf(
  descriptors: readonly DescriptorLike[],
): readonly DescriptorLike[] | null {
  const { length } = descriptors;
  const origin = "SCM_MAX_FD, descriptors in one message";
  checkInteger("descriptors.length", length, 0, SCM_MAX_FD, origin);
  if (length === 0) return null;
  return Array.from({ length }, (_, index) => descriptors[index]!);
}

/** Their numbers now, checked: one may be closed since, and its number another's. */
export function numbersOf(
  descriptors: readonly DescriptorLike[],
): Int32Array<ArrayBuffer> {
  return Int32Array.from(descriptors, (one) => {
    const { fd } = waitableOf(one);
    // What came from elsewhere goes on as it came.
    if (!(one instanceof PassedDescriptor)) makeBlocking(fd);
    return fd;
  });
}

/** Checks how many descriptors a receiver takes. */
export function checkMaxDescriptors(count: unknown): asserts count is number {
  checkInteger("maxDescriptors", count, 0, SCM_MAX_FD, "0 to SCM_MAX_FD");
}

/** Writes the SCM_RIGHTS message; returns its length, msg_controllen. */
export function writeRights(
  control: Uint8Array<ArrayBuffer>,
  numbers: Int32Array<ArrayBuffer>,
): number {
  const length = CMSG_LEN(numbers.byteLength);
  cmsghdr.write(control, {
    cmsg_len: BigInt(length),
    cmsg_level: SOL_SOCKET,
    cmsg_type: SCM_RIGHTS,
  });
  control.set(new Uint8Array(numbers.buffer), cmsghdr.size);
  return CMSG_SPACE(numbers.byteLength);
}

/**
 * The room, msg_controllen, for so many descriptors and not one more: what does
 * not fit never becomes a descriptor of this process. (To install and close it
 * would already lose this process's record locks on that file.)
 */
export function controlRoom(descriptors: number, credentials: boolean): number {
  const rights = descriptors === 0 ? 0 : CMSG_LEN(descriptors * SIZEOF_INT);
  return (credentials ? CREDENTIALS_SPACE : 0) + rights;
}

/** What came with the bytes. */
export interface Control {
  readonly descriptors: readonly PassedDescriptor[];
  readonly credentials: Credentials | null;
  /** Whether there was one descriptor more than asked for. */
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
  for (let at = 0; at + cmsghdr.size <= length;) {
    const { cmsg_len, cmsg_level, cmsg_type } = cmsghdr.decode(control, at);
    const end = Math.min(at + Number(cmsg_len), length);
    const data = at + cmsghdr.size;
    if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_RIGHTS) {
      const numbers = new Int32Array(control.slice(data, end).buffer);
      for (const fd of numbers) {
        if (descriptors.length < maxDescriptors) {
          descriptors.push(passed(fd, "descriptor"));
        } else {
          // Another process has turned SO_PASSCRED off meanwhile: its room was
          // filled with descriptors.
          unistd().close(fd);
          tooMany = true;
        }
      }
    } else if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_CREDENTIALS) {
      credentials = ucred.decode(control, data);
    } else if (cmsg_level === SOL_SOCKET && cmsg_type === SCM_PIDFD) {
      // Who has passed this socket has set SO_PASSPIDFD on it.
      const [fd] = new Int32Array(control.slice(data, end).buffer);
      unistd().close(fd!);
    }
    at += CMSG_ALIGN(Math.max(Number(cmsg_len), cmsghdr.size));
  }
  return { descriptors, credentials, tooMany };
}
