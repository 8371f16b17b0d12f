// Objects of this library, which are recognised by their content: a lock by the number of
// its semaphores and their values, a ring or a cell by what is at the beginning of memory.

import { BROADCAST, MANY_TO_ONE, ONE_TO_ONE } from "../ring/region.ts";
import type { RingSummary } from "../ring/summary.ts";
import type { Participant } from "../ring/slots.ts";
import { CONDITION, GATES, MUTEX, RW_LOCK } from "../lock/kinds.ts";
import { LOCK, type LockKind, MARK, READERS, TURN } from "../lock/lock_set.ts";
import {
  type Catalogue,
  CONTENT,
  type Content,
  type Draft,
  isHeldBy,
} from "./catalogue.ts";
import { threadOf } from "./processes.ts";
import type { InspectedSemaphore, LibraryObject } from "./types.ts";

type Semaphores = readonly InspectedSemaphore[];
type Recognise = (draft: Draft, catalogue: Catalogue) => LibraryObject | null;

const RECOGNISERS: readonly Recognise[] = [
  recogniseLock,
  recogniseContent,
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
    ownerPid: owner,
    state: states.filter(Boolean).join(", "),
    ownerDied,
    problem: null,
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
    ownerPid: null,
    state: `${waiters} wait`,
    ownerDied: false,
    problem: null,
  };
}

const RINGS = {
  [ONE_TO_ONE]: "SharedRing (one producer)",
  [MANY_TO_ONE]: "SharedRing",
  [BROADCAST]: "SharedBroadcast",
};

function recogniseContent(draft: Draft): LibraryObject | null {
  const fields = draft.fields as { [CONTENT]?: Content | undefined };
  const content = fields[CONTENT];
  delete fields[CONTENT];
  if (content?.ring !== undefined) return ringOf(content.ring);
  return content?.sequence === undefined
    ? null
    : cellOf(draft, content.sequence, content);
}

function participants(what: string, all: readonly Participant[]): string[] {
  if (all.length === 0) return [];
  const shown = all.slice(0, 4).map(({ id, hasEnded }) =>
    hasEnded ? `${id} (ended)` : `${threadOf(id).process}`
  );
  const rest = all.length > shown.length
    ? ` and ${all.length - shown.length} more`
    : "";
  return [`${what}${all.length > 1 ? "s" : ""} ${shown.join(" ")}${rest}`];
}

function ringOf({ kind, capacity, used, ...who }: RingSummary): LibraryObject {
  const { consumer, producers } = who;
  const state = [
    used === null
      ? `${capacity} bytes`
      : `${used} of ${capacity} bytes to be consumed`,
    ...participants("consumer", consumer === undefined ? [] : [consumer]),
    ...participants("producer", producers),
  ].join(", ");
  const problem = consumer?.hasEnded === true && used !== null && used > 0
    ? `${used} bytes wait, and its consumer ${consumer.id} has ended`
    : null;
  return {
    class: RINGS[kind],
    ownerPid: null,
    state,
    ownerDied: false,
    problem,
  };
}

/** A cell, during a write if its sequence is odd. */
function cellOf(
  draft: Draft,
  sequence: number,
  { again }: Content,
): LibraryObject {
  const isOdd = (sequence & 1) !== 0;
  // A writer that has come and gone meanwhile has changed it.
  const isTorn = isOdd && !isHeldBy(draft, "writes") &&
    (again === undefined || again().sequence === sequence);
  return {
    class: "SequenceCell or SequenceBytes",
    ownerPid: null,
    state: isOdd
      ? `sequence ${sequence}, a write has begun`
      : `sequence ${sequence}`,
    ownerDied: false,
    problem: isTorn
      ? "a write has begun, and no process that could end it has the memory"
      : null,
  };
}
