// Processes: who they are, and whether they are alive.

import {
  inDirectory,
  linkAt,
  namesAt,
  openAt,
  statusAt,
  textAt,
} from "../kernel/proc_files.ts";
import { AT_FDCWD, O_DIRECTORY, O_RDONLY } from "../libc/fcntl.ts";
import { unistd } from "../libc/unistd.ts";
import type { IpcProcess } from "./types.ts";

const TICKS = 100; // a second has so many, in what the kernel tells to programs
const NUMBER = /^\d+$/;

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
    return fd < 0 ? undefined : new ProcDirectory(fd);
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

  /** Calls `use` with the directory of a process; undefined if there is none. */
  inProcess<T>(pid: number, use: (fd: number) => T): T | undefined {
    const result = inDirectory(this.fd, String(pid), use);
    return typeof result === "number" && result < 0 ? undefined : result as T;
  }

  /** A process that is alive; undefined for one that has ended, also as a zombie. */
  process(pid: number): IpcProcess | undefined {
    const process = this.inProcess(pid, (fd) => this.#read(pid, fd));
    return process === undefined || /[ZX]/.test(process.state)
      ? undefined
      : process;
  }

  #read(pid: number, fd: number): IpcProcess | undefined {
    const stat = textAt(fd, "stat")?.match(/^\d+ \((.*)\) (.*)/s);
    const uid = statusAt(fd, "stat")?.stx_uid;
    if (!stat || uid === undefined) return undefined;
    const [, name, rest] = stat as unknown as [string, string, string];
    const fields = rest.split(" ");
    const line = textAt(fd, "cmdline")?.replace(/\0+$/, "")
      .replaceAll("\0", " ");
    return {
      pid,
      parent: Number(fields[1]),
      uid,
      command: line || `[${name}]`,
      name,
      state: fields[0]!,
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
