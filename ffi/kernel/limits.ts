// The limits that the system sets for IPC, as the kernel shows them in /proc.

import type { SystemLimit } from "../errors.ts";
import { readProc } from "./proc.ts";

/**
 * The limit in that file of /proc; `field` picks one of several numbers. Undefined if
 * it cannot be read: the error that it explains must not be replaced by another one.
 */
export function systemLimit(name: string, field = 0): SystemLimit | undefined {
  const number = readNow(name)?.trim().split(/\s+/)[field];
  if (!number) return undefined;
  const exact = Number(number);
  const value = Number.isSafeInteger(exact) ? exact : BigInt(number);
  return { name, value };
}

/** How many objects a table of /proc/sysvipc has; 0 where that cannot be read now. */
export function rowsIn(table: string): number {
  const lines = readNow(table)?.trimEnd().split("\n").length ?? 1;
  return lines - 1; // the first one has the titles
}

function readNow(path: string): string | undefined {
  try {
    return readProc(path);
  } catch {
    return undefined;
  }
}
