/** Sequences that random calls would seldom find, by name. */
import type { Fuzz } from "../fuzz.ts";
import {
  appendsTruly,
  bytesInOrder,
  framesWhole,
  messagesOnce,
  permitsBack,
  refusalsHarmless,
  repliesMatch,
} from "./conserve.ts";
import {
  blockingDescription,
  fewDescriptors,
  lockedDirectory,
  oddVariables,
  plainBlocking,
} from "./system.ts";
import { endedWaits, falseSignals } from "./waits.ts";
import { terminatedWorker } from "./workers.ts";

/** A recipe. */
export type Recipe = (fuzz: Fuzz) => Promise<void>;

/** All recipes. */
export const RECIPES: Record<string, Recipe> = {
  appendsTruly,
  blockingDescription,
  bytesInOrder,
  framesWhole,
  endedWaits,
  falseSignals,
  fewDescriptors,
  lockedDirectory,
  messagesOnce,
  oddVariables,
  permitsBack,
  plainBlocking,
  refusalsHarmless,
  repliesMatch,
  terminatedWorker,
};
