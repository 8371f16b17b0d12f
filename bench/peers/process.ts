// The process of a peer, on Deno, Node and Bun.

import process from "node:process";

/** The arguments. (A Worker of Deno has those of its parent in `Deno.args` only.) */
export const args: readonly string[] = "Deno" in globalThis
  ? Deno.args
  : process.argv.slice(2);

/** Ends the process. */
export function exit(): never {
  process.exit();
}
