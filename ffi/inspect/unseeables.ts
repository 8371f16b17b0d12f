// What a snapshot lacks, counted by reason.

import type { Unseen } from "./types.ts";

const PIDS = 16; // that are listed

/** An entry while a snapshot is taken. */
interface Entry {
  readonly what: string;
  count: number | null;
  readonly reason: string;
  readonly pids: number[];
}

/** The list of what could not be seen, while a snapshot is taken. */
export class Unseeables {
  readonly #all = new Map<string, Entry>();

  /** Adds some cases of one kind, for one reason. */
  add(
    what: string,
    count: number | null,
    reason: string,
    pids: readonly number[] = [],
  ): void {
    const key = `${what}\0${reason}`;
    const entry = this.#all.get(key) ?? { what, count: 0, reason, pids: [] };
    this.#all.set(key, entry);
    const { count: before } = entry;
    entry.count = before === null || count === null ? null : before + count;
    entry.pids.push(...pids.slice(0, PIDS - entry.pids.length));
  }

  get list(): Unseen[] {
    return [...this.#all.values()];
  }
}
