// The file that bind(2) creates, which is removed when the socket is closed.

import { type FileStatus, isSameFile, statusOfPath } from "../libc/sys_stat.ts";
import { unistd } from "../libc/unistd.ts";

/** The file of a bound socket. */
export class SocketFile {
  readonly #path: Uint8Array<ArrayBuffer>;
  readonly #status: FileStatus;

  constructor(path: Uint8Array<ArrayBuffer>, subject: string) {
    this.#path = path;
    this.#status = statusOfPath(path, subject);
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
