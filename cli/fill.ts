// How full an object is: what the charts of the page show.

import type { IpcObject } from "../ffi/inspect.ts";

/** A level, and the highest that there can be; null if there is no such limit. */
export interface Fill {
  readonly level: number;
  readonly max: number | null;
  readonly unit: string;
}

/** How full an object is; null if that says nothing of its kind, or is not known. */
export function fillOf(object: IpcObject): Fill | null {
  switch (object.kind) {
    case "sysv-queue":
      return { level: object.size ?? 0, max: object.maxBytes, unit: "bytes" };
    case "posix-queue":
      return object.messages === null ? null : {
        level: object.messages,
        max: object.maxMessages,
        unit: "messages",
      };
    case "posix-semaphore":
      return object.value === null
        ? null
        : { level: object.value, max: null, unit: "permits" };
    case "sysv-memory":
      return { level: object.attachments, max: null, unit: "attachments" };
    case "unix-socket":
      return object.state === "listening"
        ? {
          level: object.receiveQueue,
          max: object.sendQueue,
          unit: "connections to accept",
        }
        : { level: object.receiveQueue, max: null, unit: "bytes to read" };
    default:
      return null;
  }
}
