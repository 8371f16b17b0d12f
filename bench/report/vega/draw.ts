// Draws charts: Vega-Lite's specifications on standard input, by the names of the
// files, become SVG on standard output. It has a deno.json and a lock file of its
// own, so that no other program needs its imports.

import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

const specs: Record<string, TopLevelSpec> = await new Response(
  Deno.stdin.readable,
).json();
const charts: Record<string, string> = {};
for (const [name, spec] of Object.entries(specs)) {
  const view = new View(parse(compile(spec).spec), { renderer: "none" });
  charts[name] = await view.toSVG();
}
console.log(JSON.stringify(charts));
