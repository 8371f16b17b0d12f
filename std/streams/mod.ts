/**
 * The stream helpers this project's tests and examples use, from the npm copy
 * of `@std/streams`. That copy is plain JavaScript: its types are in
 * `mod.d.ts`.
 *
 * @module
 */

// @ts-types="./mod.d.ts"
export {
  concatReadableStreams,
  mergeReadableStreams,
  TextLineStream,
  toBytes,
  toText,
} from "deno-std/streams/mod.js";
