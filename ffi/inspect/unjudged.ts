// An object of a snapshot that has no verdict yet.

import type { IpcObject } from "./types.ts";

/** The type of an object, without its verdict. */
export type Unjudged<T extends IpcObject = IpcObject> = T extends IpcObject
  ? Omit<T, "verdict">
  : never;
