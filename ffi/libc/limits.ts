// The limits that the system sets for IPC, as the kernel shows them in /proc.

import type { SystemLimit } from "../errors.ts";
import { readProc } from "./proc.ts";

/**
 * The limit of that name; `field` picks one of several numbers. Undefined where
 * /proc does not show it.
 */
export function systemLimit(name: string, field = 0): SystemLimit | undefined {
  const number = readProc(name)?.trim().split(/\s+/)[field];
  if (!number) return undefined;
  const exact = Number(number);
  const value = Number.isSafeInteger(exact) ? exact : BigInt(number);
  return { name, value };
}
