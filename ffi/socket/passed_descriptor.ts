// A descriptor that another process, or the kernel, has given to this process.

import { internal } from "../internal.ts";
import { Descriptor } from "../kernel/descriptor.ts";
import { type DescriptorKind, kindOf } from "../kernel/descriptor_kind.ts";
import { descriptorOf, DescriptorOwner } from "../kernel/descriptor_owner.ts";

// Set by the class: its constructor is for this module alone.
let make: (descriptor: Descriptor) => PassedDescriptor;

/**
 * A descriptor that was received.
 *
 * It has close-on-exec set, and is closed with this object, unless
 * {@linkcode DescriptorOwner.prototype.detach | PassedDescriptor.detach} gives it to
 * another one. `adoptDescriptor` of {@link [descriptor] @linux/ipc/descriptor} makes it
 * an object of the class that fits its
 * {@linkcode PassedDescriptor.prototype.kind | PassedDescriptor.kind}.
 *
 * @example Pass a pipe
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
 * using reader = PipeReader.fromFd(message.descriptors[0]!.detach());
 * ends.writer.writeSync(Uint8Array.of(1, 2, 3));
 * assertEquals(reader.readSync(new Uint8Array(8)), 3);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export class PassedDescriptor extends DescriptorOwner {
  /** @ignore */
  private constructor(token: typeof internal, descriptor: Descriptor) {
    super(token, "PassedDescriptor", descriptor);
  }

  static {
    make = (descriptor) => new PassedDescriptor(internal, descriptor);
  }

  /**
   * `fstat(2)`, `getsockopt(2)` and others: what the descriptor is.
   *
   * @throws {ClosedError} If this object is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man7/inode.7.html | inode(7)}
   */
  get kind(): DescriptorKind {
    const { fd, subject } = descriptorOf(this);
    return kindOf(fd, subject);
  }
}

/** Takes ownership of a descriptor that the kernel has just opened for this process. */
export function passed(fd: number, kind: string): PassedDescriptor {
  return make(new Descriptor(fd, `${kind} ${fd}`));
}
