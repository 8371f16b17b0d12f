// The limits that the system sets for IPC, and how much of them is used.

import type { SystemLimit } from "../errors.ts";
import { readProc } from "./proc.ts";

/**
 * The limit in that file of /proc; `field` picks one of several numbers. Undefined if
 * it cannot be read: the error that it explains must not be replaced by another one.
 */
export function systemLimit(name: string, field = 0): SystemLimit | undefined {
  const number = readNow(name)?.trim().split(/\s+/)[field];
  return number ? { name, value: exact(BigInt(number)) } : undefined;
}

/** A number if it is a safe integer, else the bigint. */
export function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readNow(path: string): string | undefined {
  try {
    return readProc(path);
  } catch {
    return undefined;
  }
}
