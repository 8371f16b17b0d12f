/**
 * The path functions this project's tests and examples use, from the npm copy
 * of `@std/path`. That copy is plain JavaScript: its types are in `mod.d.ts`.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export {
  basename,
  dirname,
  fromFileUrl,
  isAbsolute,
  join,
  relative,
  resolve,
  toFileUrl,
} from "deno-std/path/mod.js";
