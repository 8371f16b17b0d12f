/**
 * The argument parser this project's examples use, from the npm copy of
 * `@std/cli`. That copy is plain JavaScript: its types are in `mod.d.ts`.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export {
  type Args,
  parseArgs,
  type ParseOptions,
} from "deno-std/cli/parse_args.js";
