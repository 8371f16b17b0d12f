// The runtime that runs this module. Nothing else here names one.

import { deno } from "./deno.ts";
import type { Runtime } from "./types.ts";

export const runtime: Runtime = deno;
