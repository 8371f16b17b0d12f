// Messages that cannot be passed on, in files of a directory, each with the reason: so they
// do not block those behind them, and nothing is lost.

import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What is known of a message that is set aside. */
export interface AsideFacts {
  /** Why it cannot be passed on. */
  readonly reason: string;
  /** Where it was to go from and to. */
  readonly from: string;
  readonly to: string;
  /** Its headers. */
  readonly [header: string]: string;
}

/** Sets a message aside: the bytes as `ID.bin`, and what is known of it as `ID.json`. */
export function setAside(
  directory: string,
  id: string,
  data: Uint8Array,
  facts: AsideFacts,
): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, id.replace(/[^\w.-]/g, "_"));
  // Under its name when it is complete; the same message again replaces it.
  writeFileSync(`${path}.new`, data, { mode: 0o600 });
  renameSync(`${path}.new`, `${path}.bin`);
  const all = { ...facts, size: data.length, time: new Date().toISOString() };
  writeFileSync(`${path}.json`, `${JSON.stringify(all, null, 2)}\n`, {
    mode: 0o600,
  });
}
