// Deadlocks: processes that wait for each other's locks.

import type { Deadlock, IpcRole } from "./types.ts";
import type { Unjudged } from "./unjudged.ts";

/** A process waits for a lock that another one owns. */
interface Edge {
  readonly owner: number;
  readonly ref: string;
}

/**
 * The cycles of processes that wait for each other. A process is in one at most.
 */
export function deadlocksIn(objects: readonly Unjudged[]): Deadlock[] {
  const edges = edgesOf(objects);
  const deadlocks: Deadlock[] = [];
  const done = new Set<number>();
  for (const start of edges.keys()) {
    const cycle = cycleFrom(start, edges, done);
    if (cycle !== undefined) deadlocks.push(cycle);
  }
  return deadlocks;
}

/** What each process waits for. */
function edgesOf(objects: readonly Unjudged[]): Map<number, Edge[]> {
  const edges = new Map<number, Edge[]>();
  const add = (waiter: number, owner: number, ref: string) => {
    if (waiter === owner) return; // another task of the process may unlock it
    const all = edges.get(waiter) ?? [];
    all.push({ owner, ref });
    edges.set(waiter, all);
  };
  for (const object of objects) {
    const { ref, holders, library } = object;
    if (library?.ownerPid) {
      const { ownerPid: owner } = library;
      for (const { pid, roles } of holders) {
        if (roles.includes("waits")) add(pid, owner, ref);
      }
    }
    if ("mutexes" in object) {
      for (const { ownerPid, waiters } of object.mutexes) {
        for (const waiter of waiters) add(waiter, ownerPid, ref);
      }
    }
    if (object.kind !== "file-lock") continue;
    const withRole = (role: IpcRole) =>
      holders.filter(({ roles }) => roles.includes(role)).map(({ pid }) => pid);
    for (const wait of object.locks.filter(({ waits }) => waits)) {
      const lock = object.locks.find(({ number, waits }) =>
        !waits && number === wait.number
      );
      // Nothing names the waiter for a lock of an open file, but its call does.
      const waiters = wait.pids.length > 0 ? wait.pids : withRole("waits");
      const owners = lock?.pids.length ? lock.pids : withRole("owns");
      for (const waiter of waiters) {
        for (const owner of owners) add(waiter, owner, ref);
      }
    }
  }
  return edges;
}

/** The cycle that a search from a process finds, if it is a new one. */
function cycleFrom(
  start: number,
  edges: ReadonlyMap<number, readonly Edge[]>,
  done: Set<number>,
): Deadlock | undefined {
  const path: { pid: number; ref: string; next: number }[] = [];
  const visit = (pid: number): Deadlock | undefined => {
    const index = path.findIndex((step) => step.pid === pid);
    if (index !== -1) {
      const cycle = path.slice(index);
      return {
        pids: cycle.map((step) => step.pid),
        refs: cycle.map((step) => step.ref),
      };
    }
    if (done.has(pid)) return undefined;
    for (const { owner, ref } of edges.get(pid) ?? []) {
      path.push({ pid, ref, next: owner });
      const found = visit(owner);
      path.pop();
      if (found !== undefined) return found;
    }
    done.add(pid);
    return undefined;
  };
  const found = visit(start);
  for (const pid of found?.pids ?? []) done.add(pid);
  return found;
}
