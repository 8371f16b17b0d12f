// Processes: who they are, and whether they are alive.

import {
  inDirectory,
  isRefusal,
  linkAt,
  namesAt,
  openAt,
  statusAt,
  textAt,
} from "../kernel/proc_files.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../libc/fcntl.ts";
import { unistd } from "../libc/unistd.ts";
import { exists } from "./privileges.ts";
import type { IpcProcess } from "./types.ts";

const TICKS = 100; // a second has so many, in what the kernel tells to programs
const NUMBER = /^\d+$/;

/** The process of a thread, or the thread where that is not shown; and whether it has ended. */
export function threadOf(
  thread: number,
): { process: number; hasEnded: boolean } {
  const status = textAt(AT_FDCWD, `/proc/${thread}/status`);
  if (status === undefined) {
    return { process: thread, hasEnded: !exists(thread) };
  }
  return {
    process: Number(status.match(/^Tgid:\s*(\d+)/m)?.[1] ?? thread),
    hasEnded: /^State:\s*[ZX]/m.test(status),
  };
}

/** The directory /proc, while a snapshot is taken. */
export class ProcDirectory implements Disposable {
  readonly fd: number;
  #bootTime: number | undefined;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Opens it; undefined if it is not mounted. */
  static open(): ProcDirectory | undefined {
    const fd = openAt(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY);
    if (fd < 0) return undefined;
    // An empty directory, or another file system, has no such link.
    if (linkAt(fd, "self") !== undefined) return new ProcDirectory(fd);
    unistd().close(fd);
    return undefined;
  }

  /** This process. */
  get self(): number {
    return Number(linkAt(this.fd, "self"));
  }

  /** The process ids. */
  *pids(): Generator<number> {
    for (const name of namesAt(this.fd, "/proc")) {
      if (NUMBER.test(name)) yield Number(name);
    }
  }

  /**
   * Calls `use` with the directory of a process; undefined if there is none, or if it is
   * hidden: `refused` is called then.
   */
  inProcess<T>(
    pid: number,
    use: (fd: number) => T,
    refused?: () => void,
  ): T | undefined {
    const result = inDirectory(this.fd, String(pid), use);
    if (typeof result !== "number" || result >= 0) return result as T;
    if (isRefusal(result)) refused?.();
    return undefined;
  }

  /**
   * A process that is alive; undefined for one that has ended, also as a zombie. One whose
   * first thread has ended, but not the others, is alive.
   */
  process(pid: number): IpcProcess | undefined {
    const process = this.inProcess(pid, (fd) => this.#read(pid, fd));
    return process;
  }

  /** Whether a process that is not shown lives nevertheless. */
  conceals(pid: number): boolean {
    const isShown = textAt(this.fd, `${pid}/stat`) !== undefined;
    return !isShown && exists(pid);
  }

  #read(pid: number, fd: number): IpcProcess | undefined {
    const stat = textAt(fd, "stat")?.match(/^\d+ \((.*)\) (.*)/s);
    const uid = statusAt(fd, "stat")?.stx_uid;
    if (!stat || uid === undefined) return undefined;
    const [, name, rest] = stat as unknown as [string, string, string];
    const fields = rest.split(" ");
    const [state] = fields;
    const threads = Number(fields[17]);
    if (state === "X" || (state === "Z" && threads < 2)) return undefined;
    const line = textAt(fd, "cmdline")?.replace(/\0+$/, "")
      .replaceAll("\0", " ");
    return {
      pid,
      parentPid: Number(fields[1]),
      uid,
      command: line || `[${name}]`,
      name,
      state: state!,
      started: new Date(this.#bootMoment + Number(fields[19]) / TICKS * 1000),
    };
  }

  /** When the system was started, in milliseconds. */
  get #bootMoment(): number {
    this.#bootTime ??=
      Number(textAt(this.fd, "stat")?.match(/^btime (\d+)/m)?.[1] ?? 0) * 1000;
    return this.#bootTime;
  }

  [Symbol.dispose](): void {
    unistd().close(this.fd);
  }
}
