// What is measured of semaphores of both families: two processes that wake each
// other in turn, and one process with an uncontended semaphore.

import {
  alike,
  alone,
  BARE,
  C,
  type Case,
  OURS,
  OURS_ASYNC,
  type Way,
  withC,
} from "../harness/cases.ts";

/** The cases of a family of semaphores. */
export const SEMAPHORE_CASES: readonly Case[] = [
  ...alike("sync", ["round-trip"], [0], [C, OURS, BARE]),
  ...withC([0], [C, OURS_ASYNC]),
  ...alike("async", ["round-trip"], [0], [C, OURS_ASYNC]),
  alone("sync", 0, [C, OURS, BARE]),
  alone("async", 0, [C, OURS_ASYNC]),
];

/** Two to wake each other with; who is alone gives to the one that it takes from. */
export function pairFor<T>(way: Way, first: T, second: T): [T, T] {
  return [first, way === "alone" ? first : second];
}
