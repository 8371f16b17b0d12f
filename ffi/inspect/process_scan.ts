// Who holds what: the descriptors, the memory and the blocked threads of all processes.

import { type Mount, mountsOf } from "../kernel/mount_table.ts";
import { inDirectory, linkAt, namesAt } from "../kernel/proc_files.ts";
import { type Held, noteBlockedCalls } from "./blocked_calls.ts";
import type { Catalogue } from "./catalogue.ts";
import { Descriptors, type Place } from "./descriptors.ts";
import { Mappings } from "./mappings.ts";
import type { PosixFiles } from "./file_fields.ts";
import type { QueueFiles } from "./posix_queues.ts";
import type { ProcDirectory } from "./processes.ts";
import type { Unseeables } from "./unseeables.ts";

const OTHERS =
  "they belong to other users, or may not be traced; root, or a process with " +
  "CAP_SYS_PTRACE, sees them";

const KTHREADD = 2; // the parent of the threads of the kernel
const NONE = -1; // no descriptor

/** What of processes in another namespace is not seen, by the kind of namespace. */
const FOREIGN = {
  ipc: ["System V objects and POSIX queues of processes", "IPC", "-i"],
  net: ["Unix sockets of processes", "network", "-n"],
  mnt: ["FIFOs of processes", "mount", "-m"],
} as const;

type Namespaces = Record<keyof typeof FOREIGN, string | undefined>;

/** The namespaces of a process; undefined where they may not be seen. */
function namespacesOf(process: number): Namespaces {
  return {
    ipc: linkAt(process, "ns/ipc"),
    net: linkAt(process, "ns/net"),
    mnt: linkAt(process, "ns/mnt"),
  };
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
  readonly #foreign = { ipc: 0, net: 0, mnt: 0 };
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
      { ipc: undefined, net: undefined, mnt: undefined };
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
    for (const [key, [what, namespace, flag]] of Object.entries(FOREIGN)) {
      const count = this.#foreign[key as keyof typeof FOREIGN];
      if (count === 0 || !this.#wants(key)) continue;
      unseen.add(
        what,
        count,
        `they are in another ${namespace} namespace, such as a container's; ` +
          `nsenter ${flag} -t PID enters it`,
      );
    }
    return { processes: this.#hidden };
  }

  #process(pid: number, process: number): void {
    const own = this.#compare(namespacesOf(process));
    const place: Place = {
      pid,
      mounts: this.#mountsOf(process),
      isOwnTree: own.mnt,
      isOwnIpc: own.ipc,
    };
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

  /** Whether a process is in the namespaces of this one. Those that are not are counted. */
  #compare(namespaces: Namespaces): Record<keyof Namespaces, boolean> {
    const same = { ipc: true, net: true, mnt: true };
    for (const key of Object.keys(same) as (keyof Namespaces)[]) {
      const namespace = namespaces[key];
      same[key] = namespace === undefined || namespace === this.#own[key];
      if (!same[key]) this.#foreign[key]++;
    }
    return same;
  }

  /** Whether objects of a kind of namespace are asked for. */
  #wants(key: string): boolean {
    if (key === "net") return this.#catalogue.wants("unix-socket");
    if (key === "mnt") return this.#catalogue.wants("fifo");
    return this.#catalogue.wants(
      "sysv-queue",
      "sysv-memory",
      "sysv-semaphores",
      "posix-queue",
    );
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
