// The runtime that runs this module. Nothing outside of this folder names one.

import { bun } from "./bun.ts";
import { deno } from "./deno.ts";
import { node } from "./node.ts";
import type { Runtime } from "./types.ts";

function present(): Runtime {
  // Programs that were made for Deno have parts of its namespace on Node.
  const { Deno: namespace = {} } = globalThis as { Deno?: object };
  if ("dlopen" in namespace) return deno;
  return "Bun" in globalThis ? bun : node;
}

export const runtime: Runtime = present();
