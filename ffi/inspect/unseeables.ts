// What a snapshot lacks, counted by reason.

import type { Unseen } from "./types.ts";

/** The list of what could not be seen, while a snapshot is taken. */
export class Unseeables {
  readonly #all = new Map<string, { count: number | null }>();
  readonly #order: [what: string, reason: string][] = [];

  /** Adds some cases of one kind, for one reason. */
  add(what: string, count: number | null, reason: string): void {
    const key = `${what}\0${reason}`;
    const before = this.#all.get(key);
    if (before === undefined) {
      this.#all.set(key, { count });
      this.#order.push([what, reason]);
    } else if (before.count !== null) {
      before.count = count === null ? null : before.count + count;
    }
  }

  get list(): Unseen[] {
    return this.#order.map(([what, reason]) => ({
      what,
      count: this.#all.get(`${what}\0${reason}`)!.count,
      reason,
    }));
  }
}
