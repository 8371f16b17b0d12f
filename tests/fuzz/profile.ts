/** What a seed decides about its whole run. */
import { type Trait, TRAITS } from "./fuzz.ts";
import { Prng } from "./prng.ts";
import { RECIPES } from "./recipes/mod.ts";
import { MECHANISMS } from "./tables/mod.ts";

/** How a run is made. */
export interface Profile {
  /** Whose calls are made. */
  readonly mechanisms: readonly string[];
  /** In which ways arguments are hostile. */
  readonly traits: readonly Trait[];
  /** How often they are. */
  readonly hostility: number;
  /** The names of the recipes that are followed. */
  readonly recipes: readonly string[];
  /** How often a step is a recipe instead of a call. */
  readonly cooking: number;
}

/** What the command line decides instead of the seed: comma-separated names. */
export interface Choice {
  /** Whose calls are made. */
  readonly mechanisms?: string | undefined;
  /** In which ways arguments are hostile; without recipes. */
  readonly traits?: string | undefined;
  /** The recipes that are followed, without any other call. */
  readonly recipes?: string | undefined;
}

/** The names in a list, of which each must be one of these. */
function among<T extends string>(all: readonly T[], list: string): T[] {
  return list.split(",").filter((name) => name !== "").map((name) => {
    const one = all.find((known) => known === name);
    if (one === undefined) throw new TypeError(`${name} is none of ${all}`);
    return one;
  });
}

/** A third of the seeds is not hostile at all; the others in one to three ways. */
function ownProfile(seed: number): Profile {
  const random = new Prng(seed, 0);
  const hostility = random.pick([0, 0.2, 0.4]);
  return {
    mechanisms: random.sample(
      Object.keys(MECHANISMS),
      random.pick([1, 1, 2, 3, 8]),
    ),
    hostility,
    traits: hostility === 0 ? [] : random.sample(TRAITS, random.int(1, 3)),
    recipes: Object.keys(RECIPES),
    cooking: hostility === 0 ? random.pick([0.05, 0.15]) : 0.01,
  };
}

/** How the run of a seed is made. */
export function profileOf(seed: number, choice: Choice = {}): Profile {
  const { mechanisms, traits, recipes } = choice;
  let profile = ownProfile(seed);
  if (mechanisms !== undefined) {
    const chosen = among(Object.keys(MECHANISMS), mechanisms);
    profile = { ...profile, mechanisms: chosen };
  }
  if (traits !== undefined) {
    const chosen = among(TRAITS, traits);
    profile = { ...profile, traits: chosen, hostility: 0.4, cooking: 0 };
  }
  if (recipes !== undefined) {
    const chosen = among(Object.keys(RECIPES), recipes);
    profile = { ...profile, recipes: chosen, hostility: 0, cooking: 1 };
  }
  return profile;
}
