// Snapshots as JSON: dates as in ISO 8601, big integers as text, no end as null.

import type { IpcObject, IpcSnapshot } from "../ffi/inspect.ts";

/** JSON of any part of a snapshot. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(
    value,
    (_, part) =>
      typeof part === "bigint"
        ? String(part)
        : part instanceof Map
        ? [...part.values()]
        : part,
    2,
  );
}

/** A snapshot with some of its objects, and the processes that these name. */
export function snapshotOf(
  snapshot: IpcSnapshot,
  objects: readonly IpcObject[],
): Record<string, unknown> {
  return { ...snapshot, objects };
}
