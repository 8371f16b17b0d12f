// Open files of any kind: regular files, devices, terminals, and what has no class of its
// own.

import {
  byteLengthOf,
  checkBytes,
  checkInteger,
  checkMode,
  checkSize,
  choose,
  cPath,
  viewOf,
} from "../arguments.ts";
import { inspectAs } from "../inspect_object.ts";
import { internal } from "../internal.ts";
import { Descriptor, takeOver } from "../kernel/descriptor.ts";
import { type DescriptorKind, kindOf } from "../kernel/descriptor_kind.ts";
import {
  descriptorOf,
  DescriptorOwner,
  type FromFdOptions,
  subjectOf,
} from "../kernel/descriptor_owner.ts";
import { checkFileSize } from "../kernel/file_system.ts";
import {
  check,
  checkRetrying,
  EBADF,
  EEXIST,
  ENOENT,
  errno,
  ipcError,
  isInterruption,
  unless,
} from "../libc/errno.ts";
import {
  F_GETFL,
  F_SETFL,
  fcntl,
  O_APPEND,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
} from "../libc/fcntl.ts";
import { isUnlimited, RLIMIT_FSIZE } from "../libc/sys_resource.ts";
import { setMode } from "../libc/sys_stat.ts";
import {
  MAX_COUNT,
  SEEK_CUR,
  SEEK_END,
  SEEK_SET,
  unistd,
} from "../libc/unistd.ts";
import { checkShrink, sizeOf, truncate } from "../memory/file.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import { readableStream, writableStream } from "../wait/streams.ts";
import {
  read,
  readSync,
  type Transfer,
  tryRead,
  tryWrite,
  write,
  writeSync,
} from "../wait/transfer.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Options of {@linkcode File.open}. */
export interface FileOpenOptions {
  /**
   * `O_RDWR` instead of `O_RDONLY`: the file can be written to, and locked exclusively.
   *
   * @default {false}
   */
  write?: boolean | undefined;
  /**
   * `O_APPEND`: each write is at the end of the file. Implies `write`.
   *
   * @default {false}
   */
  append?: boolean | undefined;
}

/** Options of {@linkcode File.create} and {@linkcode File.openOrCreate}. */
export interface FileCreateOptions {
  /**
   * The permission bits of a file that is created. The umask of the process does not
   * apply to a mode that is given.
   *
   * @default {0o600, less the umask}
   */
  mode?: number | undefined;
  /**
   * `O_APPEND`: each write is at the end of the file.
   *
   * @default {false}
   */
  append?: boolean | undefined;
}

/** What an offset of {@linkcode File.prototype.seek | File.seek} is relative to. */
export type SeekOrigin = "start" | "current" | "end";

const WHENCE: Record<SeekOrigin, number> = {
  start: SEEK_SET,
  current: SEEK_CUR,
  end: SEEK_END,
};

const DEFAULT_MODE = 0o600;
const MAX_OFFSET = Number.MAX_SAFE_INTEGER;
const MOST_RACES = 10; // a link to a missing file neither opens nor is created

/** Files of which a read or write waits for the disk at most: poll(2) says ready. */
const ALWAYS_READY = new Set<DescriptorKind>([
  "file",
  "memory-file",
  "directory",
  "block-device",
]);

// O_NONBLOCK: a FIFO without its other side would block this thread.
const OPENING = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

/** open(2); the descriptor blocks. */
function openPath(path: string, flags: number, mode: number): number {
  const bytes = cPath(path);
  const { open, fcntl: control } = fcntl();
  const call = () => open(bytes, flags | OPENING, mode);
  const fd = checkRetrying(call, "open", path);
  control(fd, F_SETFL, control(fd, F_GETFL, 0) & ~O_NONBLOCK);
  return fd;
}

/**
 * Rejects a write at RLIMIT_FSIZE, for which the kernel would send SIGXFSZ. Without an
 * offset it is at the file's own.
 */
function checkRoom(fd: number, offset?: number): void {
  if (isUnlimited(RLIMIT_FSIZE)) return;
  const subject = `descriptor ${fd}`;
  const appends = (fcntl().fcntl(fd, F_GETFL, 0) & O_APPEND) !== 0;
  const at = appends
    ? sizeOf({ fd, subject })
    : offset ?? Number(unistd().lseek(fd, 0n, SEEK_CUR));
  checkFileSize(at + 1, "write", subject);
}

/** write(2) to a regular file. */
function writeFile(fd: number, bytes: Bytes, length: number): number {
  if (length > 0) checkRoom(fd);
  return unistd().write(fd, bytes, length);
}

function checkOffset(offset: unknown): asserts offset is number {
  checkInteger("offset", offset, 0, MAX_OFFSET, "off_t, as an exact number");
}

/**
 * An open file of any kind, for the descriptor of another program: a regular file, a
 * device, a terminal, inotify, a socket of another family than `AF_UNIX`.
 *
 * **Choose something else** for a path that Deno may open: `Deno.open()` has more
 * methods, and does not block the thread. A descriptor has only this class, because
 * `node:fs` accepts no foreign one, and `/proc/self/fd/N` is another open file, with an
 * offset of its own. (`Deno.FsFile` does not tell its descriptor.)
 *
 * **What waits.** Terminals, devices, sockets and the like are waited for as pipes are.
 * A regular file, a directory and a block device are always ready, as `poll(2)` says:
 * all forms of `read` and `write` return at once, but for the time that the disk takes.
 *
 * **The offset** is the open file's. All that share it, such as the process that has
 * passed the descriptor, move it. {@linkcode File.prototype.pread | File.pread} and
 * {@linkcode File.prototype.pwrite | File.pwrite} do not use it.
 *
 * @example Read a file whose descriptor was passed
 * ```ts
 * import { adoptDescriptor, File } from "@linux/ipc/descriptor";
 * import { UnixStream } from "@linux/ipc/socket";
 * import { assert, assertEquals } from "@std/assert";
 *
 * using sockets = UnixStream.pair();
 * using file = File.open("/etc/passwd");
 * sockets[0].sendSync(Uint8Array.of(1), { descriptors: [file] });
 *
 * using message = sockets[1].receiveSync({ maxDescriptors: 1 })!;
 * using passed = adoptDescriptor(message.descriptors[0]!); // asks what it is
 * assert(passed instanceof File);
 * assertEquals(passed.pread(new Uint8Array(4), 0), 4);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
 */
export class File extends DescriptorOwner {
  readonly #kind: DescriptorKind;
  // Undefined: those of transfer.ts.
  readonly #readNow: Transfer | undefined;
  readonly #writeNow: Transfer | undefined;
  #readable: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /** @ignore */
  private constructor(
    token: typeof internal,
    descriptor: Descriptor,
    kind: DescriptorKind,
  ) {
    super(token, "File", descriptor);
    this.#kind = kind;
    if (!ALWAYS_READY.has(kind)) return;
    this.#readNow = (fd, buffer, length) => unistd().read(fd, buffer, length);
    this.#writeNow = writeFile;
  }

  static {
    inspectAs(this, (file) => {
      const descriptor = descriptorOf(file);
      const { closed, subject: name } = descriptor;
      const kind = file.#kind;
      return closed
        ? { name, kind, closed }
        : { name, kind, fd: descriptor.fd, closed };
    });
  }

  /**
   * `fcntl(fd, F_SETFD, FD_CLOEXEC)`: takes ownership of a descriptor, of whatever kind.
   *
   * No other object may own it: `close()` closes it. An object of another Worker is not
   * noticed; what it gives away with `detach()` can be taken over here.
   *
   * The open file stays blocking for other processes that share it. (What is neither a
   * regular file nor a socket is non-blocking during a call that does not wait: a call of
   * another process in that moment can fail with EAGAIN.)
   *
   * @param fd The number of the descriptor.
   * @param options `name`.
   * @returns The file, with close-on-exec set.
   * @throws {RangeError} If `fd` is not an integer from 0 to 2147483647.
   * @throws {TypeError} If it is not a number, or belongs to an object of this module on
   * this thread; it is not closed.
   * @throws {IpcError} EBADF if no such descriptor is open, or one of `O_PATH`, which can
   * neither be read nor written.
   *
   * @example A device
   * ```ts
   * import { File } from "@linux/ipc/descriptor";
   * import { assertEquals } from "@std/assert";
   *
   * const fd = File.open("/dev/zero").detach(); // as another program passes it
   * using zero = File.fromFd(fd);
   * assertEquals(zero.kind, "character-device");
   * assertEquals(zero.readSync(new Uint8Array(8)), 8);
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fcntl.2.html | fcntl(2)}
   */
  static fromFd(fd: number, options?: FromFdOptions): File {
    const subject = subjectOf(fd, options);
    const kind = kindOf(fd, subject);
    if (kind === "path") throw ipcError(EBADF, "fcntl", subject);
    takeOver(fd, subject);
    return new File(internal, new Descriptor(fd, subject), kind);
  }

  /**
   * `open(path, O_RDONLY | O_NOCTTY)`, or `O_RDWR`: opens a file that exists, such as one
   * to lock or to pass. A FIFO without its other side does not block.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `write` and `append`.
   * @returns The file, with close-on-exec set.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long.
   * @throws {IpcError} ENOENT if the file does not exist, EACCES if the permissions do
   * not allow it, EISDIR for a directory to write to, ENXIO for a socket or a device that
   * is missing, EROFS, ELOOP, ENOTDIR, ETXTBSY, EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/open.2.html | open(2)}
   */
  static open(path: string, options?: FileOpenOptions): File {
    const { write = false, append = false } = options ?? {};
    const access = write || append ? O_RDWR : O_RDONLY;
    const flags = access | (append ? O_APPEND : 0);
    return File.#over(openPath(path, flags, 0), path);
  }

  /**
   * `open(path, O_RDWR | O_CREAT | O_EXCL, mode)`: creates a file. A symbolic link is not
   * followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `mode` and `append`.
   * @returns The file, for reading and writing, with close-on-exec set.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long or the mode out of range.
   * @throws {IpcError} EEXIST if the path exists, ENOENT if its directory does not,
   * EISDIR if it ends with a slash, EACCES, ELOOP, ENOTDIR, EROFS, ENOSPC, EDQUOT,
   * EMFILE.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/open.2.html | open(2)}
   */
  static create(path: string, options?: FileCreateOptions): File {
    const { mode, append = false } = options ?? {};
    if (mode !== undefined) checkMode(mode);
    return File.#create(path, mode, append ? O_APPEND : 0);
  }

  /**
   * `open(path, O_RDWR | O_CREAT, mode)`: opens a file, or creates it. A symbolic link to
   * a file that exists is followed.
   *
   * @param path At most 4095 bytes of UTF-8, each component at most 255.
   * @param options `mode`, which a file that exists keeps as it is, and `append`.
   * @returns The file, for reading and writing, with close-on-exec set.
   * @throws {TypeError} If the path is empty or contains NUL.
   * @throws {RangeError} If the path is too long or the mode out of range.
   * @throws {IpcError} ENOENT if the directory does not exist, or the path is a link to a
   * missing file; EISDIR for a directory, ENXIO for a socket or a device that is missing;
   * EACCES, ELOOP, ENOTDIR, EROFS, ETXTBSY, ENOSPC, EDQUOT, EMFILE.
   *
   * @example A file to lock
   * ```ts
   * import { File, FileLock } from "@linux/ipc/descriptor";
   *
   * const directory = Deno.makeTempDirSync();
   * using file = File.openOrCreate(`${directory}/service.lock`);
   * using _guard = FileLock.of(file).lockSync({ timeout: 5000 });
   * Deno.removeSync(directory, { recursive: true });
   * ```
   *
   * @see {@link https://man7.org/linux/man-pages/man2/open.2.html | open(2)}
   */
  static openOrCreate(path: string, options?: FileCreateOptions): File {
    const { mode, append = false } = options ?? {};
    if (mode !== undefined) checkMode(mode);
    const flags = append ? O_APPEND : 0;
    // Others may create and remove the file between two calls.
    for (let race = 0;; race++) {
      const created = unless(EEXIST, () => File.#create(path, mode, flags));
      if (created !== undefined) return created;
      const open = () => openPath(path, O_RDWR | flags, 0);
      const fd = race < MOST_RACES ? unless(ENOENT, open) : open();
      if (fd !== undefined) return File.#over(fd, path);
    }
  }

  static #create(path: string, mode: number | undefined, flags: number): File {
    const creating = O_RDWR | O_CREAT | O_EXCL | flags;
    const fd = openPath(path, creating, (mode ?? DEFAULT_MODE) | 0);
    const file = File.#over(fd, path);
    try {
      if (mode !== undefined) setMode(fd, mode, path);
      return file;
    } catch (error) {
      file.close();
      unistd().unlink(cPath(path));
      throw error;
    }
  }

  /** A file that was just opened. */
  static #over(fd: number, path: string): File {
    const descriptor = new Descriptor(fd, path);
    try {
      return new File(internal, descriptor, kindOf(fd, path));
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /** What the file is. It does not change. */
  get kind(): DescriptorKind {
    return this.#kind;
  }

  /**
   * `read(2)`, blocking this thread until there is data.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes read, or null at the end. (A datagram of no bytes, too,
   * is null.)
   * @throws {ClosedError} If this file is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} EBADF if it is not open for reading, EISDIR for a directory,
   * EINVAL if the buffer is too small for an event, EIO and other errors of `read(2)`.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  readSync(
    buffer: Uint8Array<ArrayBuffer>,
    options?: SyncWaitOptions,
  ): number | null {
    return readSync(descriptorOf(this), buffer, options, this.#readNow);
  }

  /**
   * `read(2)`, waiting without blocking the thread. (A regular file is not waited for:
   * see {@linkcode File}.)
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes read, or null at the end.
   * @throws {ClosedError} If this file is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed.
   * @throws {IpcError} As {@linkcode File.prototype.readSync | File.readSync}.
   * @throws The reason of the signal, if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    return read(descriptorOf(this), buffer, options, this.#readNow);
  }

  /**
   * `read(2)` of the data that is available now.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @returns The number of bytes read, undefined if there is no data now, or null at the
   * end.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} As {@linkcode File.prototype.readSync | File.readSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/read.2.html | read(2)}
   */
  tryRead(buffer: Uint8Array<ArrayBuffer>): number | null | undefined {
    return tryRead(descriptorOf(this), buffer, this.#readNow);
  }

  /**
   * `write(2)` of all the bytes, blocking this thread while there is no room.
   *
   * A Worker that blocks here cannot be terminated: see {@linkcode SyncWaitOptions}.
   *
   * @param bytes The bytes to write.
   * @param options `timeout` in milliseconds.
   * @returns The number of bytes written: all of them.
   * @throws {Error} If an asynchronous write is pending.
   * @throws {ClosedError} If this file is closed.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may have been
   * written.
   * @throws {IpcError} EBADF if it is not open for writing, EPERM if it is sealed, ENOSPC
   * or EDQUOT if the disk is full, EFBIG beyond RLIMIT_FSIZE, EPIPE if the other side has
   * closed; a part may have been written.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  writeSync(bytes: Uint8Array, options?: SyncWaitOptions): number {
    return writeSync(descriptorOf(this), bytes, options, this.#writeNow);
  }

  /**
   * `write(2)` of all the bytes, waiting without blocking the thread. (A regular file is
   * not waited for: see {@linkcode File}.)
   *
   * @param bytes The bytes to write. Keep them unchanged until the promise is settled.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns The number of bytes written: all of them.
   * @throws {ClosedError} If this file is closed, now or during the wait.
   * @throws {DOMException} `TimeoutError` if the timeout has passed; a part may have been
   * written.
   * @throws {IpcError} As {@linkcode File.prototype.writeSync | File.writeSync}.
   * @throws The reason of the signal, if it is aborted; a part may have been written.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  write(bytes: Uint8Array, options?: WaitOptions): Promise<number> {
    return write(descriptorOf(this), bytes, options, this.#writeNow);
  }

  /**
   * `write(2)` of as many bytes as there is room for now.
   *
   * @param bytes The bytes to write.
   * @returns The number of bytes written, or undefined if there is no room, or an
   * asynchronous write is pending.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} As {@linkcode File.prototype.writeSync | File.writeSync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/write.2.html | write(2)}
   */
  tryWrite(bytes: Uint8Array): number | undefined {
    return tryWrite(descriptorOf(this), bytes, this.#writeNow);
  }

  /**
   * `pread(2)`: reads from a place in the file. The offset of the file stays. What has
   * places is always ready, so this does not wait.
   *
   * @param buffer Where the bytes are stored, from its start.
   * @param offset The place, in bytes from the start of the file.
   * @returns The number of bytes read, or null at the end of the file.
   * @throws {RangeError} If the offset is not an integer from 0 to
   * `Number.MAX_SAFE_INTEGER`.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} ESPIPE if this is a pipe, a socket or a terminal; EBADF if it is
   * not open for reading, EISDIR, EIO.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pread.2.html | pread(2)}
   */
  pread(buffer: Uint8Array<ArrayBuffer>, offset: number): number | null {
    checkBytes("buffer", buffer);
    checkOffset(offset);
    const { fd, subject } = descriptorOf(this);
    const length = Math.min(byteLengthOf(buffer), MAX_COUNT);
    const at = BigInt(offset);
    const call = () => unistd().pread(fd, buffer, length, at);
    const count = checkRetrying(call, "pread", subject);
    return count === 0 && length > 0 ? null : count;
  }

  /**
   * `pwrite(2)` of all the bytes, at a place in the file. The offset of the file stays.
   * (Linux appends to a file that was opened with `O_APPEND`, whatever the place.)
   *
   * @param bytes The bytes to write.
   * @param offset The place, in bytes from the start of the file.
   * @returns The number of bytes written: all of them.
   * @throws {RangeError} If the offset is not an integer from 0 to
   * `Number.MAX_SAFE_INTEGER`.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} ESPIPE if this is a pipe, a socket or a terminal; others as
   * {@linkcode File.prototype.writeSync | File.writeSync}. A part may have been written.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/pwrite.2.html | pwrite(2)}
   */
  pwrite(bytes: Uint8Array, offset: number): number {
    checkBytes("bytes", bytes);
    checkOffset(offset);
    const { fd, subject } = descriptorOf(this);
    const length = byteLengthOf(bytes);
    let written = 0;
    do {
      if (this.#writeNow !== undefined && length > 0) {
        checkRoom(fd, offset + written);
      }
      const rest = viewOf(bytes, written);
      const count = Math.min(length - written, MAX_COUNT);
      const at = BigInt(offset + written);
      const result = unistd().pwrite(fd, rest, count, at);
      if (result !== -1) written += result;
      else {
        const error = errno();
        if (!isInterruption(error)) throw ipcError(error, "pwrite", subject);
      }
    } while (written < length);
    return written;
  }

  /**
   * `statx(2)`: the size of a regular file in bytes; 0 for most others.
   *
   * @throws {ClosedError} If this file is closed.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/statx.2.html | statx(2)}
   */
  get size(): number {
    return sizeOf(descriptorOf(this));
  }

  /**
   * `ftruncate(2)`: sets the size. New bytes are zero; what is beyond the end is lost.
   *
   * A process that has mapped bytes beyond the new end, and accesses them, ends with
   * SIGBUS. So this fails while any thread of this process has mapped such pages, as
   * /proc/self/maps shows. To see that, the file must be open for reading, too.
   *
   * @param size The size in bytes.
   * @throws {RangeError} If the size is not an integer from 0 to
   * `Number.MAX_SAFE_INTEGER`.
   * @throws {TypeError} If this process has mapped bytes beyond the new end.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} EINVAL if it is not a regular file, or not open for writing; EPERM
   * if it is sealed, EFBIG beyond RLIMIT_FSIZE, EACCES if it is not open for reading;
   * EMFILE if it becomes smaller, and there is no descriptor to see what is mapped.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/ftruncate.2.html | ftruncate(2)}
   */
  truncate(size: number): void {
    checkSize("size", size, 0);
    const file = descriptorOf(this);
    if (size < sizeOf(file)) checkShrink(file, size);
    truncate(file, size);
  }

  /**
   * `fsync(2)`: blocks this thread until the disk has all that was written.
   *
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} EIO, ENOSPC or EDQUOT if something could not be written, and is
   * perhaps lost; EINVAL if the file is not on a disk.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fsync.2.html | fsync(2)}
   */
  sync(): void {
    const { fd, subject } = descriptorOf(this);
    checkRetrying(() => unistd().fsync(fd), "fsync", subject);
  }

  /**
   * `fdatasync(2)`: as {@linkcode File.prototype.sync | File.sync}, but without times and
   * other properties that are not needed to read the data.
   *
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} As {@linkcode File.prototype.sync | File.sync}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/fdatasync.2.html | fdatasync(2)}
   */
  syncData(): void {
    const { fd, subject } = descriptorOf(this);
    checkRetrying(() => unistd().fdatasync(fd), "fdatasync", subject);
  }

  /**
   * `lseek(2)`: sets the offset, for all that share the open file.
   *
   * @param offset In bytes; it may be negative, except from the start.
   * @param origin What it is relative to.
   * @returns The new offset, in bytes from the start of the file.
   * @throws {TypeError} If the origin is none of the three.
   * @throws {RangeError} If the offset is not a safe integer.
   * @throws {ClosedError} If this file is closed.
   * @throws {IpcError} ESPIPE if this is a pipe, a socket or a terminal; EINVAL if the
   * new offset would be negative.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/lseek.2.html | lseek(2)}
   */
  seek(offset: number, origin: SeekOrigin = "start"): number {
    const text = "off_t, as an exact number";
    checkInteger("offset", offset, -MAX_OFFSET, MAX_OFFSET, text);
    const whence = choose("origin", origin, WHENCE);
    const { fd, subject } = descriptorOf(this);
    const at = unistd().lseek(fd, BigInt(offset), whence);
    return check(Number(at), "lseek", subject);
  }

  /**
   * `read(2)` as a byte stream with back-pressure.
   *
   * The file is closed when the stream ends, fails or is cancelled. The stream is made
   * once; do not call the read methods while it is in use.
   */
  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return this.#readable ??= readableStream(
      (buffer, signal) => this.#read(buffer, signal),
      () => descriptorOf(this).close(),
    );
  }

  /**
   * `write(2)` as a stream with back-pressure. The file is closed when the stream ends,
   * fails or is aborted. The stream is made once; do not call the write methods while it
   * is in use.
   */
  get writable(): WritableStream<Uint8Array> {
    return this.#writable ??= writableStream(
      (bytes, signal) => this.#write(bytes, signal),
      () => descriptorOf(this).close(),
    );
  }

  #read(
    buffer: Uint8Array<ArrayBuffer>,
    signal: AbortSignal,
  ): Promise<number | null> {
    return read(descriptorOf(this), buffer, { signal }, this.#readNow);
  }

  #write(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    return write(descriptorOf(this), bytes, { signal }, this.#writeNow);
  }
}
