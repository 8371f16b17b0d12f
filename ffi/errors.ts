/**
 * The errors of this module.
 *
 * A wrong argument is a `TypeError` or a `RangeError`, thrown before any system call.
 * A system call that fails is an {@linkcode IpcError}. The use of an object after its
 * `close()` is a {@linkcode ClosedError}. A wait whose timeout has passed ends with a
 * `DOMException` named `TimeoutError`, an aborted one with the reason of its signal.
 *
 * @module
 */

/** A system limit that a refused call ran into. */
export interface SystemLimit {
  /** Where the limit is set, such as `/proc/sys/kernel/msgmax`. */
  readonly name: string;
  /** Its value when the call was refused. */
  readonly value: number | bigint;
}

/** The fields of a new {@linkcode IpcError}. */
export interface IpcErrorInit {
  /** The symbolic name of the error number, such as `ENOENT`. */
  readonly code: string;
  /** The error number. */
  readonly errno: number;
  /** The C function that failed. */
  readonly syscall: string;
  /** The C library's description: `strerror(errno)`. */
  readonly description: string;
  /** The object of the call: a path, a name, a key, a descriptor. */
  readonly subject?: string | undefined;
  /** The system limit that was hit. */
  readonly limit?: SystemLimit | undefined;
}

/**
 * A system call failed: `errno`, with the name of the call and the object of it.
 *
 * @example Tell a missing FIFO from other failures
 * ```ts
 * import { Fifo, IpcError } from "@linux/ipc";
 * import { assertEquals } from "@std/assert";
 *
 * try {
 *   Fifo.open("/nowhere/fifo");
 * } catch (error) {
 *   if (!(error instanceof IpcError)) throw error;
 *   assertEquals(error.code, "ENOENT");
 *   assertEquals(error.subject, "/nowhere/fifo");
 *   assertEquals(
 *     error.message,
 *     "open /nowhere/fifo: No such file or directory (ENOENT)",
 *   );
 * }
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/errno.3.html | errno(3)}
 */
export class IpcError extends Error {
  /** The symbolic name of the error number, such as `ENOENT`. */
  readonly code: string;
  /** The error number, such as 2. */
  readonly errno: number;
  /** The C function that failed, such as `mq_open`. */
  readonly syscall: string;
  /** The object of the call: a path, a name, a key, a descriptor. */
  readonly subject: string | undefined;
  /** The system limit that was hit, where that is known. */
  readonly limit: SystemLimit | undefined;

  /**
   * Made by this module alone, from an error number of the kernel.
   *
   * @ignore
   */
  constructor(init: IpcErrorInit) {
    const { syscall, subject, description, code, limit } = init;
    const call = subject === undefined ? syscall : `${syscall} ${subject}`;
    const hint = limit === undefined ? "" : `; ${limit.name} is ${limit.value}`;
    super(`${call}: ${description} (${code})${hint}`);
    this.name = "IpcError";
    this.code = code;
    this.errno = init.errno;
    this.syscall = syscall;
    this.subject = subject;
    this.limit = limit;
  }
}

/**
 * The object was closed before it was used, or while something waited for it.
 *
 * @example Use after close
 * ```ts
 * import { ClosedError, pipe } from "@linux/ipc";
 * import { assertThrows } from "@std/assert";
 *
 * const { reader, writer } = pipe();
 * reader.close();
 * writer.close();
 * assertThrows(() => reader.tryRead(new Uint8Array(1)), ClosedError);
 * ```
 */
export class ClosedError extends TypeError {
  /**
   * Made by this module alone.
   *
   * @ignore
   */
  constructor(subject: string) {
    super(`Cannot use ${subject}: it is closed`);
    this.name = "ClosedError";
  }
}
