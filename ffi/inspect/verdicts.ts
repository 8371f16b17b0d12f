// The verdict on an object: in use, idle, orphaned or stuck, and why.

import type { Hidden } from "./process_scan.ts";
import { printable } from "./text.ts";
import type {
  Deadlock,
  InspectedPosixQueue,
  InspectedPosixSemaphore,
  InspectedSemaphoreSet,
  InspectedSysvMemory,
  InspectedSysvQueue,
  InspectedUnixSocket,
  IpcHolder,
  IpcProcess,
  IpcVerdict,
} from "./types.ts";
import type { Unjudged } from "./unjudged.ts";

/** What a verdict takes into account besides its object. */
export interface Circumstances {
  readonly processes: ReadonlyMap<number, IpcProcess>;
  /** Processes that live, and of which nothing else is known. */
  readonly concealed: ReadonlySet<number>;
  readonly deadlocks: readonly Deadlock[];
  /** What could not be seen. */
  readonly hidden: Hidden;
}

const SLACK = 2000; // ms, between the clocks of objects and processes
// The names that this library picks have the process id of the creator in them.
const OWN_NAME = /^\/ipc-(\d+)-[0-9a-f-]{36}$/;

/** The process that made an object, if its name tells; else 0. */
export function creatorIn(name: string): number {
  return Number(name.match(OWN_NAME)?.[1] ?? 0);
}

/** The verdict on an object. */
export function verdictOn(
  object: Unjudged,
  circumstances: Circumstances,
): IpcVerdict {
  return new Judge(circumstances).verdictOn(object);
}

function inUse(reason: string, certain = true): IpcVerdict {
  return { state: "in use", reason, certain };
}

function idle(reason: string): IpcVerdict {
  return { state: "idle", reason, certain: false };
}

function orphaned(reason: string, certain: boolean): IpcVerdict {
  return { state: "orphaned", reason, certain };
}

function stuck(reason: string, certain = false): IpcVerdict {
  return { state: "stuck", reason, certain };
}

function plural(count: number, one: string): string {
  return count === 1 ? `1 ${one}` : `${count} ${one}s`;
}

class Judge {
  readonly #circumstances: Circumstances;

  constructor(circumstances: Circumstances) {
    this.#circumstances = circumstances;
  }

  verdictOn(object: Unjudged): IpcVerdict {
    return this.#deadlock(object) ?? this.#deadOwner(object) ??
      this.#deadMutex(object) ??
      this.#problem(object) ?? this.#ofKind(object);
  }

  #deadlock({ ref }: Unjudged): IpcVerdict | undefined {
    const cycle = this.#circumstances.deadlocks.find(({ refs }) =>
      refs.includes(ref)
    );
    if (cycle === undefined) return undefined;
    const { pids, refs } = cycle;
    const steps = pids.map((pid, index) =>
      `${this.#show(pid)} waits for ${printable(refs[index]!)}, which ` +
      `${this.#show(pids[(index + 1) % pids.length]!)} owns`
    );
    return stuck(`deadlock: ${steps.join("; ")}`);
  }

  #deadOwner({ library, holders }: Unjudged): IpcVerdict | undefined {
    if (!library?.ownerDied) return undefined;
    const waiters = holders.filter(({ roles }) => roles.includes("waits"));
    return stuck(
      "its owner died while it had the lock, and nothing has repaired the data since" +
        (waiters.length > 0 ? `; ${this.#list(waiters)} waits` : ""),
      true,
    );
  }

  /** A mutex that nothing unlocks any more. */
  #deadMutex(object: Unjudged): IpcVerdict | undefined {
    const mutex = "mutexes" in object
      ? object.mutexes.find(({ ownerEnded }) => ownerEnded)
      : undefined;
    if (mutex === undefined) return undefined;
    const { offset, ownerPid, waiters } = mutex;
    const waiting = waiters.map((pid) => this.#show(pid)).join(", ");
    return stuck(
      `the owner ${ownerPid} of the mutex at byte ${offset} has ended; ${waiting} waits`,
    );
  }

  /** What keeps those who hold the object from using it. */
  #problem({ library, holders }: Unjudged): IpcVerdict | undefined {
    return library?.problem && holders.length > 0
      ? stuck(
        `${library.problem}${this.#unless}; ${this.#list(holders)} has it`,
      )
      : undefined;
  }

  #ofKind(object: Unjudged): IpcVerdict {
    switch (object.kind) {
      case "sysv-queue":
        return this.#sysvQueue(object);
      case "sysv-memory":
        return this.#sysvMemory(object);
      case "sysv-semaphores":
        return this.#set(object);
      case "posix-queue":
        return this.#posixQueue(object);
      case "posix-semaphore":
        return this.#posixSemaphore(object);
      case "posix-memory":
        return this.#held(object) ?? this.#unheldName(object);
      case "unix-socket":
        return this.#socket(object);
      case "file-lock":
        return this.#held(object) ??
          idle("no process that can be seen has the file open");
      default:
        return this.#held(object) ?? idle("no process that can be seen has it");
    }
  }

  #sysvQueue(queue: Unjudged<InspectedSysvQueue>): IpcVerdict {
    const { holders, lastSenderPid, lastReceiverPid, size, maxBytes } = queue;
    const { sent, received } = queue;
    const receives = (holder: IpcHolder) => holder.waitsIn.includes("msgrcv");
    const senders = holders.filter((holder) => !receives(holder));
    const isFull = senders.length > 0 ||
      (maxBytes !== null && size !== null && size >= maxBytes);
    const hasReceiver = holders.some(receives) ||
      this.#lives(lastReceiverPid, received);
    if (isFull && !hasReceiver) {
      const reader = lastReceiverPid === null
        ? "nothing has ever received from it"
        : `its last receiver ${lastReceiverPid} has ended`;
      const waits = senders.length > 0
        ? `; ${this.#list(senders)} waits to send`
        : "";
      return stuck(`it is full and has no reader: ${reader}${waits}`);
    }
    return this.#held(queue) ?? this.#unheldSysv([
      ["last sender", lastSenderPid, sent],
      ["last receiver", lastReceiverPid, received],
    ]);
  }

  #sysvMemory(memory: Unjudged<InspectedSysvMemory>): IpcVerdict {
    const { attachments, holders, creatorPid: creator, lastPid, removed } =
      memory;
    const { changed, attached, detached } = memory;
    if (attachments > 0) {
      const by = holders.length > 0
        ? this.#held(memory)!.reason
        : "by processes that cannot be seen";
      const rest = removed ? "; it is removed, and freed with the last" : "";
      return inUse(`${plural(attachments, "attachment")}: ${by}${rest}`);
    }
    if (creator === 0) {
      return idle("not attached; its creator is in another PID namespace");
    }
    const later = [attached, detached].filter((date) => date !== null)
      .sort((a, b) => Number(b) - Number(a))[0] ?? null;
    if (this.#lives(creator, changed)) {
      return idle(`not attached; its creator ${this.#show(creator)} lives`);
    }
    if (this.#lives(lastPid, later)) {
      return idle(`not attached; its last user ${this.#show(lastPid!)} lives`);
    }
    return orphaned(
      `not attached, and its creator ${creator} has ended`,
      true,
    );
  }

  #set(set: Unjudged<InspectedSemaphoreSet>): IpcVerdict {
    const { semaphores, operated, holders, library } = set;
    if (semaphores === null) {
      return this.#held(set) ?? idle("it may not be read");
    }
    if (library?.ownerPid && !this.#lives(library.ownerPid, null)) {
      return stuck(`it is locked, and its owner ${library.ownerPid} has ended`);
    }
    if (library?.ownerPid === 0) {
      return inUse("it is locked by a process of another PID namespace");
    }
    if (library?.ownerPid) {
      return this.#held(set) ??
        inUse(`its owner ${library.ownerPid} lives, and is hidden`);
    }
    const index = semaphores.findIndex(({ waiters, lastPid }) =>
      waiters.increase + waiters.zero > 0 && lastPid !== 0 &&
      !this.#lives(lastPid, operated)
    );
    if (index !== -1) {
      const { waiters, lastPid, value } = semaphores[index]!;
      return stuck(
        `${
          plural(waiters.increase + waiters.zero, "waiter")
        } for semaphore ${index}, ` +
          `which is ${value}; process ${lastPid}, which changed it last, has ended` +
          (holders.length > 0 ? `; ${this.#list(holders)} waits` : ""),
      );
    }
    const pids = new Set(semaphores.map(({ lastPid }) => lastPid));
    return this.#held(set) ??
      this.#unheldSysv(
        [...pids].map((pid) => ["user", pid || null, operated]),
      );
  }

  #posixQueue(queue: Unjudged<InspectedPosixQueue>): IpcVerdict {
    const { holders, messages, maxMessages } = queue;
    const isFull = messages !== null && messages === maxMessages;
    const has = (role: "reads" | "writes") =>
      holders.filter(({ roles }) => roles.includes(role));
    const senders = has("writes");
    if (isFull && senders.length > 0) {
      const sends = ({ waitsIn }: IpcHolder) => waitsIn.includes("mq_send");
      if (has("reads").length === 0) {
        return stuck(
          `it is full (${messages} messages), and no process has it open to receive` +
            this.#unless,
        );
      }
      if (holders.every(sends)) {
        return stuck(
          `it is full (${messages} messages), and all that have it open wait to send: ` +
            this.#list(holders),
        );
      }
    }
    return this.#held(queue) ?? this.#unheldName(queue);
  }

  #posixSemaphore(
    semaphore: Unjudged<InspectedPosixSemaphore>,
  ): IpcVerdict {
    const { holders, value } = semaphore;
    const waits = ({ roles }: IpcHolder) => roles.includes("waits");
    if (value === 0 && holders.length > 0 && holders.every(waits)) {
      return stuck(
        `it is 0, and all that have it open wait: ${this.#list(holders)}`,
      );
    }
    return this.#held(semaphore) ?? this.#unheldName(semaphore);
  }

  #socket(socket: Unjudged<InspectedUnixSocket>): IpcVerdict {
    const { state, receiveQueue, sendQueue, holders } = socket;
    const accepts = holders.some(({ waitsIn }) => waitsIn.includes("accept"));
    if (state === "listening" && receiveQueue > sendQueue && !accepts) {
      return stuck(
        `its backlog of ${sendQueue} is full, and nothing accepts; ` +
          `${this.#list(holders)} listens`,
      );
    }
    return this.#held(socket) ??
      idle(
        this.#unless !== ""
          ? "no process that can be seen has it"
          : "no process has it: it waits to be accepted, or is in a message",
      );
  }

  /** "in use", if there are holders. */
  #held({ holders }: Unjudged): IpcVerdict | undefined {
    if (holders.length === 0) return undefined;
    const { processes } = this.#circumstances;
    const isStopped = holders.every(({ pid }) =>
      /[Tt]/.test(processes.get(pid)?.state ?? "")
    );
    const stopped = isStopped
      ? holders.length === 1 ? ", which is stopped" : ", all stopped"
      : "";
    return inUse(`${this.#list(holders)}${stopped}`);
  }

  /** A System V object that nothing waits in: those that used it, by what they did. */
  #unheldSysv(
    users: [what: string, pid: number | null, time: Date | null][],
  ): IpcVerdict {
    const known = users.filter(([, pid]) => pid !== null);
    if (known.length === 0) {
      return idle(
        users.some(([, , time]) => time !== null)
          ? "those that used it are in another PID namespace"
          : "not used yet, and its creator is not recorded",
      );
    }
    const living = known.find(([, pid, time]) => this.#lives(pid, time));
    if (living !== undefined) {
      const [what, pid] = living;
      return inUse(`its ${what} ${this.#show(pid!)} lives`, false);
    }
    const all = known.map(([what, pid]) => `${what} ${pid}`).join(" and ");
    return orphaned(
      `nothing waits in it, and its ${all} ${
        known.length === 1 ? "has" : "have"
      } ended`,
      false,
    );
  }

  /** An object with a name that no process has open. */
  #unheldName({ name, changed }: Unjudged): IpcVerdict {
    const { hidden: { foreignIds } } = this.#circumstances;
    const unless = this.#unless;
    const creator = creatorIn(name);
    if (creator !== 0 && this.#lives(creator, changed)) {
      return idle(
        `no process has it open${unless}; its creator ${
          this.#show(creator)
        } lives`,
      );
    }
    const maker = creator === 0
      ? "its creator is not recorded"
      : `its creator ${creator} has ended`;
    return orphaned(
      `no process has it open${unless}, and ${maker}`,
      creator !== 0 && unless === "" && !foreignIds,
    );
  }

  /** What limits the statement that no process has an object. */
  get #unless(): string {
    const { processes, others } = this.#circumstances.hidden;
    if (others) return ", unless one that cannot be seen";
    return processes > 0
      ? `, unless one of ${processes} that cannot be seen`
      : "";
  }

  /** Whether a process lives, and lived at a time: process ids are used again. */
  #lives(pid: number | null, time: Date | null): boolean {
    if (pid === null) return false;
    const { processes, concealed } = this.#circumstances;
    if (concealed.has(pid)) return true;
    const process = processes.get(pid);
    return process !== undefined &&
      (time === null || Number(process.started) <= Number(time) + SLACK);
  }

  #list(holders: readonly IpcHolder[]): string {
    const shown = holders.slice(0, 3).map(({ pid }) => this.#show(pid));
    const rest = holders.length - shown.length;
    return shown.join(", ") + (rest > 0 ? ` and ${rest} more` : "");
  }

  #show(pid: number): string {
    const process = this.#circumstances.processes.get(pid);
    return process === undefined
      ? `${pid}`
      : `${pid} (${printable(process.name)})`;
  }
}
