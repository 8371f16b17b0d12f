// Snapshots as JSON: dates as in ISO 8601, big integers as text.

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

const PIECE = 1 << 16; // characters

/**
 * The same of a snapshot with some of its objects, piece by piece: of hundreds of thousands
 * of objects the text is larger than they are.
 */
export function* jsonPieces(
  snapshot: IpcSnapshot,
  objects: readonly IpcObject[],
): Generator<string> {
  // Text in JSON has no newline in it.
  const indented = (value: unknown, by: string) =>
    jsonOf(value).replaceAll("\n", `\n${by}`);
  const { time, processes, deadlocks, unseen } = snapshot;
  let piece = `{\n  "time": ${jsonOf(time)},\n  "objects": [`;
  for (const [index, object] of objects.entries()) {
    piece += `${index > 0 ? "," : ""}\n    ${indented(object, "    ")}`;
    if (piece.length < PIECE) continue;
    yield piece;
    piece = "";
  }
  piece += objects.length > 0 ? "\n  ]" : "]";
  for (
    const [name, value] of Object.entries({ processes, deadlocks, unseen })
  ) {
    piece += `,\n  "${name}": ${indented(value, "  ")}`;
  }
  yield `${piece}\n}\n`;
}
