// Draws a graph: DOT on standard input becomes SVG on standard output, by Graphviz, which
// is WebAssembly here. It has a deno.json and a lock file of its own, and is a program of
// its own, so that nothing else loads the library.

import { instance } from "npm:@viz-js/viz@3.31.0";

const dot = await new Response(Deno.stdin.readable).text();
const viz = await instance();
console.log(viz.renderString(dot, { format: "svg", engine: "dot" }));
