/**
 * `@std/cli` for machines that do not reach JSR, by `links` of deno.json.
 *
 * @module
 */

export { parseArgs } from "../../std/cli/mod.ts";
