// Who holds what: the descriptors, the memory and the blocked threads of all processes.

import { type Mount, mountsOf } from "../kernel/mount_table.ts";
import { inDirectory, linkAt, namesAt } from "../kernel/proc_files.ts";
import { type Held, noteBlockedCalls } from "./blocked_calls.ts";
import type { Catalogue } from "./catalogue.ts";
import { Descriptors, type Place } from "./descriptors.ts";
import { Mappings } from "./mappings.ts";
import type { PosixFiles } from "./posix_files.ts";
import type { QueueFiles } from "./posix_queues.ts";
import type { ProcDirectory } from "./processes.ts";
import type { Unseeables } from "./unseeables.ts";

const OTHERS =
  "they belong to other users, or may not be traced; root, or a process with " +
  "CAP_SYS_PTRACE, sees them";

const KTHREADD = 2; // the parent of the threads of the kernel
const NONE = -1; // no descriptor

/** The namespaces of a process. */
interface Namespaces {
  readonly ipc: string | undefined;
  readonly mnt: string | undefined;
}

function namespacesOf(process: number): Namespaces {
  return { ipc: linkAt(process, "ns/ipc"), mnt: linkAt(process, "ns/mnt") };
}

/** How many processes could not be seen. */
export interface Hidden {
  /** Those whose descriptors or memory are not shown. */
  readonly processes: number;
}

/** Looks at all processes. */
export class ProcessScan {
  readonly #catalogue: Catalogue;
  readonly #proc: ProcDirectory;
  readonly #own: Namespaces;
  readonly #trees = new Map<string, ReadonlyMap<number, Mount>>();
  readonly #descriptors: Descriptors;
  readonly #mappings: Mappings;
  #hidden = 0;
  #foreign = 0;
  #unknownCalls = 0;

  constructor(
    catalogue: Catalogue,
    proc: ProcDirectory,
    files: PosixFiles,
    queues: QueueFiles,
  ) {
    this.#catalogue = catalogue;
    this.#proc = proc;
    this.#own = proc.inProcess(proc.self, namespacesOf) ??
      { ipc: undefined, mnt: undefined };
    const mounts = proc.inProcess(proc.self, (fd) => this.#mountsOf(fd)) ??
      new Map();
    const shm = [...mounts.values()].findLast(({ directory }) =>
      directory === "/dev/shm"
    );
    this.#descriptors = new Descriptors(catalogue, files, queues, shm);
    this.#mappings = new Mappings(catalogue, files, this.#descriptors, shm);
  }

  /** Notes what processes hold, and what could not be seen. */
  run(unseen: Unseeables, pids: Iterable<number> = this.#proc.pids()): Hidden {
    for (const pid of pids) {
      this.#proc.inProcess(pid, (fd) => this.#process(pid, fd));
    }
    if (this.#hidden > 0) {
      unseen.add("what processes hold", this.#hidden, OTHERS);
    }
    if (this.#unknownCalls > 0) {
      unseen.add("what processes wait for", this.#unknownCalls, OTHERS);
    }
    if (this.#foreign > 0) {
      unseen.add(
        "System V objects and POSIX queues of processes",
        this.#foreign,
        "they are in another IPC namespace, such as a container's; " +
          "nsenter -i -t PID enters it",
      );
    }
    return { processes: this.#hidden };
  }

  #process(pid: number, process: number): void {
    const { ipc, mnt } = namespacesOf(process);
    const isOwnIpc = ipc === undefined || ipc === this.#own.ipc;
    const place: Place = {
      pid,
      mounts: this.#mountsOf(process),
      isOwnTree: mnt === undefined || mnt === this.#own.mnt,
      isOwnIpc,
    };
    if (!isOwnIpc) this.#foreign++;
    const descriptors = new Map<number, string>();
    const seesAll = this.#noteDescriptors(place, process, descriptors);
    const memory = this.#mappings.note(place, process);
    if (memory === undefined) {
      // A kernel thread has no memory, nor has a process that ends.
      if (this.#isProgram(pid)) this.#hidden++;
      return;
    }
    if (!seesAll) this.#hidden++;
    const held: Held = { descriptors, memory };
    if (!noteBlockedCalls(this.#catalogue, place, process, held)) {
      this.#unknownCalls++;
    }
  }

  /** Whether a process is a living program, not a thread of the kernel. */
  #isProgram(pid: number): boolean {
    const process = this.#proc.process(pid);
    return process !== undefined && pid !== KTHREADD &&
      process.parent !== KTHREADD;
  }

  /** Collects the objects behind the descriptors; false if they may not all be seen. */
  #noteDescriptors(
    place: Place,
    process: number,
    found: Map<number, string>,
  ): boolean {
    const note = (links: number, infos: number) => {
      for (const fd of namesAt(links, "/proc/PID/fd")) {
        const ref = this.#descriptors.note(place, links, infos, fd);
        if (ref !== undefined) found.set(Number(fd), ref);
      }
      return 0;
    };
    return inDirectory(process, "fd", (links) => {
      const result = inDirectory(
        process,
        "fdinfo",
        (infos) => note(links, infos),
      );
      if (result !== 0) note(links, NONE); // the links alone are shown
      return result;
    }) === 0;
  }

  /** The mounts of a process, which are read once for each mount namespace. */
  #mountsOf(process: number): ReadonlyMap<number, Mount> {
    const namespace = linkAt(process, "ns/mnt");
    if (namespace === undefined) return mountsOf(process);
    let mounts = this.#trees.get(namespace);
    if (mounts === undefined) {
      mounts = mountsOf(process);
      this.#trees.set(namespace, mounts);
    }
    return mounts;
  }
}
