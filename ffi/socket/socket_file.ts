// The file that bind(2) creates, which is removed when the socket is closed.

import { notMounted } from "../kernel/not_mounted.ts";
import { ENOENT, EOPNOTSUPP, errno, ipcError } from "../libc/errno.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW } from "../libc/fcntl.ts";
import {
  type FileStatus,
  isSameFile,
  statusOfPath,
  sysStat,
} from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";

/** The file of a bound socket. */
export class SocketFile {
  readonly #path: Uint8Array<ArrayBuffer>;
  readonly #subject: string;
  readonly #status: FileStatus;

  constructor(path: Uint8Array<ArrayBuffer>, subject: string) {
    this.#path = path;
    this.#subject = subject;
    this.#status = statusOfPath(path, subject);
  }

  /** The mode that bind(2) has created it with. */
  get mode(): number {
    return this.#status.stx_mode & 0o777;
  }

  /** Changes the mode, if the path still names it. */
  chmod(mode: number): void {
    const found = statusOfPath(this.#path, this.#subject);
    if (!isSameFile(found, this.#status)) {
      throw ipcError(ENOENT, "fchmodat", this.#subject);
    }
    const { fchmodat } = sysStat();
    const flags = AT_SYMLINK_NOFOLLOW;
    if (fchmodat(AT_FDCWD, this.#path, mode, flags) === 0) return;
    const error = errno();
    // Without fchmodat2(2), glibc changes the mode through /proc/self/fd.
    throw error === EOPNOTSUPP
      ? notMounted(`change the mode of ${this.#subject}`, "/proc")
      : ipcError(error, "fchmodat", this.#subject);
  }

  /** Removes the file, if the path still names it. */
  remove(): void {
    try {
      const found = statusOfPath(this.#path, "");
      if (isSameFile(found, this.#status)) unistd().unlink(this.#path);
    } catch {
      // Best effort: the file or its directory is gone, or is not writable.
    }
  }
}
