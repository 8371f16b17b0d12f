// What has changed from one snapshot to the next.

import type { IpcObject } from "../ffi/inspect.ts";

/** A change of an object. */
export interface Change {
  readonly kind: "new" | "changed" | "gone";
  readonly object: IpcObject;
  /** The facts that have changed, such as `messages 1 -> 2`. */
  readonly facts: readonly string[];
}

/** The facts of an object that are compared. */
function factsOf(object: IpcObject): Record<string, string> {
  const facts: Record<string, string> = {
    state: object.verdict.state,
    holders:
      object.holders.map(({ pid, roles }) =>
        roles.includes("waits") ? `${pid} waits` : String(pid)
      ).join() || "none",
    size: String(object.size),
  };
  for (
    const field of [
      "messages",
      "attachments",
      "value",
      "count",
      "receiveQueue",
      "sendQueue",
    ]
  ) {
    if (field in object) {
      facts[field] = String(
        (object as unknown as Record<string, unknown>)[field],
      );
    }
  }
  if (object.kind === "sysv-semaphores" && object.semaphores !== null) {
    facts.values = object.semaphores.map(({ value }) => value).join();
  }
  if (object.kind === "file-lock") {
    facts.locks = String(object.locks.length);
  }
  return facts;
}

/** What has changed between two lists of objects, by their refs. */
export function changesOf(
  before: readonly IpcObject[],
  after: readonly IpcObject[],
): Map<string, Change> {
  const old = new Map(before.map((object) => [object.ref, object]));
  const changes = new Map<string, Change>();
  for (const object of after) {
    const previous = old.get(object.ref);
    old.delete(object.ref);
    if (previous === undefined) {
      changes.set(object.ref, { kind: "new", object, facts: [] });
      continue;
    }
    const was = factsOf(previous);
    const facts = Object.entries(factsOf(object))
      .filter(([name, value]) => was[name] !== value)
      .map(([name, value]) => `${name} ${was[name]} -> ${value}`);
    if (facts.length > 0) {
      changes.set(object.ref, { kind: "changed", object, facts });
    }
  }
  for (const [ref, object] of old) {
    changes.set(ref, { kind: "gone", object, facts: [] });
  }
  return changes;
}
