// Who holds what: the descriptors, the memory and the blocked threads of all processes.

import { type Mount, mountsOf } from "../kernel/mount_table.ts";
import {
  inDirectory,
  isRefusal,
  isRefused,
  linkAt,
  namesAt,
  statusAt,
} from "../kernel/proc_files.ts";
import { SHM_DIRECTORY } from "../kernel/file_system.ts";
import { AT_FDCWD } from "../libc/fcntl.ts";
import { type Held, noteBlockedCalls } from "./blocked_calls.ts";
import type { Catalogue, ContentReader } from "./catalogue.ts";
import { Descriptors, type Place } from "./descriptors.ts";
import { Mappings } from "./mappings.ts";
import { deviceOf, type PosixFiles } from "./file_fields.ts";
import type { QueueFiles } from "./posix_queues.ts";
import { type Privileges, privilegesOf } from "./privileges.ts";
import type { ProcDirectory } from "./processes.ts";
import type { Unseeables } from "./unseeables.ts";

const OTHERS =
  "they belong to other users, or may not be traced; root, or a process with " +
  "CAP_SYS_PTRACE, sees them";
const GUARDED =
  "this process has CAP_SYS_PTRACE, and may not trace them nevertheless: a security module " +
  "(AppArmor, Landlock, SELinux) forbids it, or they are not of this user namespace";
const OUTSIDE =
  "those of processes outside of this PID namespace, such as the host's or another " +
  "container's, if they share the IPC namespace or /dev/shm";

const KTHREADD = 2; // the parent of the threads of the kernel
const NONE = -1; // no descriptor
const HOLD = "what processes hold";

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

/** The processes that could not be seen. */
export interface Hidden {
  /** How many there are whose descriptors or memory are not shown. */
  readonly processes: number;
  /** Whether there may be any number of others. */
  readonly others: boolean;
  /** Whether the process ids in names may be those of another PID namespace. */
  readonly foreignIds: boolean;
}

/** Looks at all processes. */
export class ProcessScan {
  readonly #catalogue: Catalogue;
  readonly #proc: ProcDirectory;
  readonly #own: Namespaces;
  readonly #trees = new Map<string, ReadonlyMap<number, Mount>>();
  readonly #descriptors: Descriptors;
  readonly #mappings: Mappings;
  readonly #privileges: Privileges;
  readonly #pidNamespace: string | undefined;
  readonly #shm: string | undefined;
  readonly #hidden: number[] = [];
  readonly #unknownCalls: number[] = [];
  readonly #foreign: Record<keyof typeof FOREIGN, number[]> = {
    ipc: [],
    net: [],
    mnt: [],
  };
  #foreignIds = false;

  constructor(
    catalogue: Catalogue,
    proc: ProcDirectory,
    files: PosixFiles,
    queues: QueueFiles,
    contents?: ContentReader,
  ) {
    this.#catalogue = catalogue;
    this.#proc = proc;
    this.#own = proc.inProcess(proc.self, namespacesOf) ??
      { ipc: undefined, net: undefined, mnt: undefined };
    const mounts = proc.inProcess(proc.self, (fd) => this.#mountsOf(fd)) ??
      new Map();
    this.#privileges =
      proc.inProcess(proc.self, (fd) => privilegesOf(fd, mounts)) ??
        { traces: false, hidepid: undefined, isInside: false };
    this.#pidNamespace = proc.inProcess(
      proc.self,
      (fd) => linkAt(fd, "ns/pid"),
    );
    // Of the directory itself: it may be a link, or no mount of its own.
    const directory = statusAt(AT_FDCWD, `${SHM_DIRECTORY}/.`);
    const shm = directory && deviceOf(directory);
    this.#shm = shm;
    this.#descriptors = new Descriptors(
      catalogue,
      files,
      queues,
      shm,
      contents,
    );
    this.#mappings = new Mappings(
      catalogue,
      files,
      this.#descriptors,
      shm,
      contents,
    );
  }

  /** Notes what processes hold, and what could not be seen. */
  run(unseen: Unseeables, pids: Iterable<number> = this.#proc.pids()): Hidden {
    for (const pid of pids) {
      this.#proc.inProcess(
        pid,
        (fd) => this.#process(pid, fd),
        () => this.#hidden.push(pid),
      );
    }
    const { traces, hidepid, isInside } = this.#privileges;
    const reason = traces ? GUARDED : OTHERS;
    const add = (what: string, pids: readonly number[], reason: string) => {
      if (pids.length > 0) unseen.add(what, pids.length, reason, pids);
    };
    add(HOLD, this.#hidden, reason);
    add("what processes wait for", this.#unknownCalls, reason);
    if (hidepid !== undefined) {
      const hides =
        `/proc is mounted with ${hidepid}, which hides those of other users`;
      unseen.add(HOLD, null, hides);
    }
    if (isInside) unseen.add(HOLD, null, OUTSIDE);
    for (const [key, [what, namespace, flag]] of Object.entries(FOREIGN)) {
      if (!this.#wants(key)) continue;
      add(
        what,
        this.#foreign[key as keyof typeof FOREIGN],
        `they are in another ${namespace} namespace, such as a container's; ` +
          `nsenter ${flag} -t PID enters it`,
      );
    }
    return {
      processes: this.#hidden.length,
      others: hidepid !== undefined || isInside,
      foreignIds: isInside || this.#foreignIds,
    };
  }

  #process(pid: number, process: number): void {
    if (this.#thread(pid, process, process)) return;
    // A kernel thread has no memory, nor has a process that ends.
    const state = this.#programState(pid);
    if (state === undefined) return;
    if (state === "Z" && this.#otherThread(pid, process)) return;
    if (isRefused(process, "maps")) this.#hidden.push(pid);
  }

  /** Looks at a process whose first thread has ended; false if that shows nothing. */
  #otherThread(pid: number, process: number): boolean {
    return inDirectory(process, "task", (tasks) => {
      for (const thread of namesAt(tasks, "/proc/PID/task")) {
        const isSeen = inDirectory(
          tasks,
          thread,
          (fd) => this.#thread(pid, fd, process),
        );
        if (isSeen === true) return true;
      }
      return false;
    }) === true;
  }

  /** Looks at what the threads of a process share; false if its memory is not shown. */
  #thread(pid: number, thread: number, process: number): boolean {
    const own = this.#compare(namespacesOf(thread));
    const place: Place = {
      pid,
      mounts: this.#mountsOf(thread),
      isOwnTree: own.mnt,
      isOwnIpc: own.ipc,
      isForeign: (linkAt(thread, "ns/pid") ?? this.#pidNamespace) !==
        this.#pidNamespace,
    };
    const descriptors = new Map<number, string>();
    const seesAll = this.#noteDescriptors(place, thread, descriptors);
    const memory = this.#mappings.note(place, thread);
    if (memory === undefined) return false;
    for (const key of ["ipc", "net", "mnt"] as const) {
      if (!own[key]) this.#foreign[key].push(pid);
    }
    if (!seesAll) this.#hidden.push(pid);
    const held: Held = { descriptors, memory };
    if (!noteBlockedCalls(this.#catalogue, place, process, held)) {
      this.#unknownCalls.push(pid);
    }
    if (place.isForeign && this.#sharesShm(place)) this.#foreignIds = true;
    return true;
  }

  #sharesShm({ mounts }: Place): boolean {
    return [...mounts.values()].some(({ directory, device }) =>
      directory === SHM_DIRECTORY && device === this.#shm
    );
  }

  /** Whether a process is in the namespaces of this one, as far as that is shown. */
  #compare(namespaces: Namespaces): Record<keyof Namespaces, boolean> {
    const isSame = (key: keyof Namespaces) =>
      namespaces[key] === undefined || namespaces[key] === this.#own[key];
    return { ipc: isSame("ipc"), net: isSame("net"), mnt: isSame("mnt") };
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

  /** The state of a living program; undefined for a thread of the kernel. */
  #programState(pid: number): string | undefined {
    const process = this.#proc.process(pid);
    return pid === KTHREADD || process?.parentPid === KTHREADD
      ? undefined
      : process?.state;
  }

  /** Collects the objects behind the descriptors; false if some may not be seen. */
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
    const result = inDirectory(process, "fd", (links) => {
      const result = inDirectory(
        process,
        "fdinfo",
        (infos) => note(links, infos),
      );
      if (result !== 0) note(links, NONE); // the links alone are shown
      return result;
    });
    return !isRefusal(result);
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
