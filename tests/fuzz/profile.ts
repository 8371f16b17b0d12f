/** What a seed decides about its whole run. */
import { type Trait, TRAITS } from "./fuzz.ts";
import { Prng } from "./prng.ts";
import { MECHANISMS } from "./tables/mod.ts";

/** How a run is made. */
export interface Profile {
  /** Whose calls are made. */
  readonly mechanisms: string[];
  /** How often an argument is hostile. */
  readonly hostility: number;
  /** In which ways. */
  readonly traits: Trait[];
  /** How often a step is a recipe instead of a call. */
  readonly recipes: number;
}

/** A third of the seeds is not hostile at all; the others in one to three ways. */
export function profileOf(seed: number): Profile {
  const random = new Prng(seed, 0);
  const names = Object.keys(MECHANISMS);
  const hostility = random.pick([0, 0.1, 0.25]);
  return {
    mechanisms: random.sample(names, random.pick([1, 1, 2, 3, 8])),
    hostility,
    traits: hostility === 0 ? [] : random.sample(TRAITS, random.int(1, 3)),
    recipes: hostility === 0 ? random.pick([0.05, 0.3]) : 0.02,
  };
}
