/**
 * Memory maps: `mmap(2)`, a file as bytes in memory.
 *
 * **Choose a memory map** when processes share data that shall also be in a
 * file, or when a large file is read or changed here and there: what is touched
 * is loaded, nothing else. All who map a file share one memory.
 *
 * **Choose something else** when the file is read once from beginning to end
 * (`Deno.readFile` costs less), or when no file is wanted (shared memory).
 *
 * A file that another process truncates takes memory away under the mapping:
 * touching it then ends this process with SIGBUS. Map files only that their users
 * agree not to shrink; a `MemoryFile` can be sealed against it. The same happens
 * when a hole of a file is written to and the disk is full: what is made here is
 * no hole, unless asked for.
 *
 * ```ts
 * import { MemoryMap } from "@linux/ipc/memory-map";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "hello\n");
 * {
 *   using map = MemoryMap.open(path);
 *   map.bytes[0] = "H".charCodeAt(0);
 *   map.flushSync(); // on the disk, not only in the memory of all who map it
 * }
 * console.log(await Deno.readTextFile(path)); // Hello
 * await Deno.remove(path);
 * ```
 *
 * @module
 */

export { ClosedError, IpcError, type SystemLimit } from "./errors.ts";
export type { RangeOptions, ResizeOptions } from "./memory/file.ts";
export { SequenceCell } from "./memory/cell.ts";
export { type AtomicWords, Memory } from "./memory/memory.ts";
export type { MemoryHandle } from "./memory/share.ts";
export {
  type MemoryAdvice,
  MemoryMap,
  type MemoryMapAnonymousOptions,
  type MemoryMapCreateOptions,
  type MemoryMapFdOptions,
  type MemoryMapOpenOptions,
} from "./memory_map/map.ts";
export type {
  CType,
  Fields,
  FieldValues,
  FieldViews,
  Struct,
} from "./struct.ts";
export type { SyncWaitOptions, WaitOptions } from "./wait/options.ts";
