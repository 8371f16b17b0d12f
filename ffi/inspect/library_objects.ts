// Objects of this library, which are recognised by their content: a lock by the number of
// its semaphores and their values, a ring by the header at the beginning of POSIX memory.

import {
  BROADCAST,
  MANY_TO_ONE,
  ONE_TO_ONE,
  type RingSketch,
} from "../ring/region.ts";
import { CONDITION, GATES, MUTEX, RW_LOCK } from "../lock/kinds.ts";
import { LOCK, type LockKind, MARK, READERS, TURN } from "../lock/lock_set.ts";
import { RING } from "./posix_files.ts";
import type { Catalogue, Draft } from "./catalogue.ts";
import type { InspectedSemaphore, LibraryObject } from "./types.ts";

type Semaphores = readonly InspectedSemaphore[];
type Recognise = (draft: Draft, catalogue: Catalogue) => LibraryObject | null;

const RECOGNISERS: readonly Recognise[] = [
  recogniseLock,
  recogniseRing,
];

/** The object of this library that an object is; null if it is none. */
export function libraryObjectOf(
  draft: Draft,
  catalogue: Catalogue,
): LibraryObject | null {
  for (const recognise of RECOGNISERS) {
    const found = recognise(draft, catalogue);
    if (found !== null) return found;
  }
  return null;
}

/** The index of the semaphore of a reader-writer lock that counts waiting writers. */
const WAITING = 4;

function isOf({ size, isSound }: LockKind, semaphores: Semaphores): boolean {
  return semaphores.length === size &&
    isSound(Uint16Array.from(semaphores, ({ value }) => value));
}

function recogniseLock(
  { kind, ref, fields }: Draft,
  catalogue: Catalogue,
): LibraryObject | null {
  if (kind !== "sysv-semaphores") return null;
  const semaphores = fields.semaphores as Semaphores | null;
  if (semaphores === null) return null;
  if (isOf(MUTEX, semaphores)) {
    return lockOf("SharedMutex", ref, semaphores, catalogue);
  }
  if (isOf(RW_LOCK, semaphores)) {
    return lockOf("SharedRwLock", ref, semaphores, catalogue);
  }
  return isOf(CONDITION, semaphores) ? conditionOf(semaphores) : null;
}

function lockOf(
  name: string,
  ref: string,
  semaphores: Semaphores,
  catalogue: Catalogue,
): LibraryObject {
  const value = (index: number) => semaphores[index]?.value ?? 0;
  const lastPid = (index: number) => semaphores[index]!.lastPid;
  const isOwned = value(LOCK) !== 0;
  const owner = isOwned ? lastPid(MARK) : null;
  const ownerDied = !isOwned && value(MARK) !== 0;
  if (owner !== null && owner !== 0) catalogue.note(ref, owner, "owns");
  // A waiter that has the turn may be between two calls.
  if (value(TURN) !== 0 && lastPid(TURN) !== 0 && lastPid(TURN) !== owner) {
    catalogue.note(ref, lastPid(TURN), "waits");
  }
  const readers = value(READERS);
  const states = [
    isOwned
      ? "locked"
      : readers > 0
      ? `read by ${readers}`
      : ownerDied
      ? "unlocked by the death of its owner"
      : "unlocked",
    value(WAITING) > 0 ? `${value(WAITING)} wait to write` : "",
  ];
  return {
    class: name,
    owner,
    state: states.filter(Boolean).join(", "),
    ownerDied,
  };
}

function conditionOf(semaphores: Semaphores): LibraryObject {
  const gates = Array.from({ length: GATES }, (_, gate) => gate);
  const waiters = gates.reduce(
    (sum, gate) => sum + semaphores[2 * gate + 1]!.value,
    0,
  );
  return {
    class: "SharedCondition",
    owner: null,
    state: `${waiters} wait`,
    ownerDied: false,
  };
}

const RINGS = {
  [ONE_TO_ONE]: "SharedRing (one producer)",
  [MANY_TO_ONE]: "SharedRing",
  [BROADCAST]: "SharedBroadcast",
};

function recogniseRing({ fields }: Draft): LibraryObject | null {
  const ringed = fields as { [RING]?: RingSketch | undefined };
  const ring = ringed[RING];
  delete ringed[RING];
  if (ring === undefined) return null;
  const { kind, capacity, used } = ring;
  return {
    class: RINGS[kind],
    owner: null,
    state: used === null
      ? `${capacity} bytes`
      : `${used} of ${capacity} bytes to be consumed`,
    ownerDied: false,
  };
}
