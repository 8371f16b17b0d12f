// The objects of a snapshot while it is taken, and who was seen to hold them.

import type { RingSummary } from "../ring/summary.ts";
import type { IpcHolder, IpcKind, IpcRole } from "./types.ts";

/** The field of a draft that has the content of its memory. It is not of the object. */
export const CONTENT: unique symbol = Symbol("content");

/** What is in memory; all undefined if nothing is recognised. */
export interface Content {
  readonly ring?: RingSummary | undefined;
  /** The sequence of a cell. */
  readonly sequence?: number | undefined;
  /** Looks again. */
  readonly again?: (() => Content) | undefined;
}

/** Reads what is in shared memory: for a snapshot, and not for a list of names. */
export interface ContentReader {
  /** Of the file behind a descriptor, if it is the one with this inode. */
  ofDescriptor(links: number, fd: string, inode: number): Content | undefined;
  /** Of memory that a process has mapped. */
  ofMemory(process: number, address: bigint, size: number): Content | undefined;
}

const FDS = 16; // that a holder lists

/** The roles, each of which is a bit in a draft: there may be hundreds of thousands. */
const ROLES: readonly IpcRole[] = [
  "open",
  "maps",
  "reads",
  "writes",
  "listens",
  "waits",
  "owns",
];

/** A process that holds an object, so far. */
interface HolderDraft {
  roles: number;
  fds: number[];
  waitsIn: Set<string> | undefined;
  descriptors: number;
  mappings: number;
}

const NONE: number[] = [];

function addRoles(holder: HolderDraft, roles: readonly IpcRole[]): void {
  for (const role of roles) holder.roles |= 1 << ROLES.indexOf(role);
}

/** An object, without its holders. Its fields are those of its type. */
export interface Draft {
  readonly kind: IpcKind;
  readonly ref: string;
  readonly fields: Record<string, unknown>;
  readonly holders: Map<number, HolderDraft>;
  /** The mutexes in it for which threads wait, by their offsets. */
  mutexes?: Map<number, MutexDraft>;
}

/** A mutex for which threads wait, while a snapshot is taken. */
export interface MutexDraft {
  /** The thread that owns it. */
  readonly owner: number;
  /** The processes that wait. */
  readonly waiters: Set<number>;
}

/** Whether a process has an object in a role, so far. */
export function isHeldBy({ holders }: Draft, role: IpcRole): boolean {
  const bit = 1 << ROLES.indexOf(role);
  return [...holders.values()].some(({ roles }) => (roles & bit) !== 0);
}

/** What a kind has by default: nothing is known. */
const UNKNOWN = { uid: null, gid: null, mode: null, size: null, changed: null };

/** All objects so far, by their refs. */
export class Catalogue {
  readonly drafts: Map<string, Draft> = new Map();
  readonly kinds: ReadonlySet<IpcKind>;

  constructor(kinds: ReadonlySet<IpcKind>) {
    this.kinds = kinds;
  }

  /** Whether objects of any of these kinds are asked for. */
  wants(...kinds: IpcKind[]): boolean {
    return kinds.some((kind) => this.kinds.has(kind));
  }

  /** Adds an object, unless it is there; its ref is of its kind and its id. */
  add(
    kind: IpcKind,
    id: string | number,
    fields: Record<string, unknown> & { name: string },
  ): string {
    const ref = `${kind}:${id}`;
    if (!this.drafts.has(ref)) {
      const all = { kind, ref, ...UNKNOWN, ...fields };
      this.drafts.set(ref, { kind, ref, fields: all, holders: new Map() });
    }
    return ref;
  }

  has(ref: string): boolean {
    return this.drafts.has(ref);
  }

  /** Notes a role of a process. */
  note(ref: string, pid: number, ...roles: IpcRole[]): void {
    const holder = this.#holder(ref, pid);
    if (holder !== undefined) addRoles(holder, roles);
  }

  /** Notes a descriptor of a process. */
  noteDescriptor(
    ref: string,
    pid: number,
    fd: number,
    roles: readonly IpcRole[],
  ): void {
    const holder = this.#holder(ref, pid);
    if (holder === undefined) return;
    holder.descriptors++;
    if (holder.descriptors === 1) holder.fds = [fd];
    else if (holder.fds.length < FDS) holder.fds.push(fd);
    addRoles(holder, roles);
  }

  /** Notes a mapping of a process. */
  noteMapping(ref: string, pid: number, roles: readonly IpcRole[]): void {
    const holder = this.#holder(ref, pid);
    if (holder === undefined) return;
    holder.mappings++;
    addRoles(holder, roles);
  }

  /** Notes a thread that is blocked in a call. */
  noteWait(ref: string, pid: number, call: string): void {
    const holder = this.#holder(ref, pid);
    if (holder === undefined) return;
    addRoles(holder, ["waits"]);
    (holder.waitsIn ??= new Set()).add(call);
  }

  /** Notes that a process waits for a mutex that a thread owns. */
  noteMutex(ref: string, offset: number, owner: number, waiter: number): void {
    const draft = this.drafts.get(ref);
    if (draft === undefined) return;
    const mutexes = draft.mutexes ??= new Map();
    const mutex = mutexes.get(offset) ?? { owner, waiters: new Set() };
    mutexes.set(offset, mutex);
    mutex.waiters.add(waiter);
  }

  #holder(ref: string, pid: number): HolderDraft | undefined {
    const draft = this.drafts.get(ref);
    if (draft === undefined) return undefined;
    let holder = draft.holders.get(pid);
    if (holder === undefined) {
      holder = {
        roles: 0,
        fds: NONE,
        waitsIn: undefined,
        descriptors: 0,
        mappings: 0,
      };
      draft.holders.set(pid, holder);
    }
    return holder;
  }
}

/** The holders of an object, those of `alive` only, by process id. */
export function holdersOf(
  { holders }: Draft,
  alive: (pid: number) => boolean,
): IpcHolder[] {
  return [...holders].filter(([pid]) => alive(pid))
    .sort(([a], [b]) => a - b)
    .map(([pid, { roles, fds, waitsIn, descriptors, mappings }]) => ({
      pid,
      roles: ROLES.filter((_, bit) => (roles & (1 << bit)) !== 0),
      descriptors,
      fds,
      mappings,
      waitsIn: waitsIn === undefined ? [] : [...waitsIn],
    }));
}
