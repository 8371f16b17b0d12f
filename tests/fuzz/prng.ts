/** A small generator of random numbers: the same seed gives the same numbers. */

/** Mulberry32, and what is made of its numbers. */
export class Prng {
  #state: number;

  /** Two numbers make a seed: that of the run, and that of the step. */
  constructor(seed: number, step = 0) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(step, 0x85ebca6b)) |
      0;
    for (let i = 0; i < 4; i++) this.next();
  }

  /** A number from 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** True with that probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)]!;
  }

  /** Some of the items, in another order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const rest = [...items];
    const picked: T[] = [];
    while (picked.length < count && rest.length > 0) {
      picked.push(...rest.splice(this.int(0, rest.length - 1), 1));
    }
    return picked;
  }
}
