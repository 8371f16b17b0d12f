// The memory of a process, as /proc/PID/mem shows it. Only pages that are there are read:
// what the others need could make the reader wait for that process (userfaultfd(2)).

import { O_RDONLY } from "../libc/fcntl.ts";
import { pageSize, unistd } from "../libc/unistd.ts";
import { openAt } from "./proc_files.ts";

const PRESENT = 1n << 63n; // in an entry of pagemap
const ENTRY = 8;

/** `pread(2)`: bytes of an open file, as many as are asked for, or undefined. */
export function bytesAt(
  fd: number,
  offset: bigint,
  length: number,
): DataView | undefined {
  const bytes = new Uint8Array(length);
  const size = unistd().pread(fd, bytes, length, offset);
  return size === length ? new DataView(bytes.buffer) : undefined;
}

/** The memory of a process, opened when it is first read. */
export class ProcessMemory implements Disposable {
  readonly #directory: number;
  #memory: number | undefined;
  #pages = -1;

  /** `directory` is that of the process in /proc, open as long as this is used. */
  constructor(directory: number) {
    this.#directory = directory;
  }

  /** Bytes at an address; undefined if they are not there, or may not be read. */
  read(address: bigint, length: number): DataView | undefined {
    if (this.#memory === undefined) {
      this.#memory = openAt(this.#directory, "mem", O_RDONLY);
      this.#pages = openAt(this.#directory, "pagemap", O_RDONLY);
    }
    if (this.#memory < 0 || this.#pages < 0) return undefined;
    const page = BigInt(pageSize());
    for (let at = address / page; at * page < address + BigInt(length); at++) {
      const entry = bytesAt(this.#pages, at * BigInt(ENTRY), ENTRY);
      const isThere = entry !== undefined &&
        (entry.getBigUint64(0, true) & PRESENT) !== 0n;
      if (!isThere) return undefined;
    }
    return bytesAt(this.#memory, address, length);
  }

  [Symbol.dispose](): void {
    const { close } = unistd();
    if (this.#memory !== undefined && this.#memory >= 0) close(this.#memory);
    if (this.#pages >= 0) close(this.#pages);
    this.#memory = this.#pages = -1;
  }
}
