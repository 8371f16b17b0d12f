// Objects of a snapshot by what a user calls them: kinds, names, keys, identifiers.

import { printable } from "../ffi/inspect/text.ts";
import type { IpcKind, IpcObject, IpcSnapshot } from "../ffi/inspect.ts";
import { EXIT, Failure } from "./failure.ts";

/** What a user may call kinds. */
export const KIND_NAMES: Record<string, readonly IpcKind[]> = {
  queues: ["sysv-queue", "posix-queue"],
  memory: ["sysv-memory", "posix-memory", "memory-file"],
  semaphores: ["sysv-semaphores", "posix-semaphore"],
  sysv: ["sysv-queue", "sysv-memory", "sysv-semaphores"],
  posix: ["posix-queue", "posix-memory", "posix-semaphore"],
  sockets: ["unix-socket"],
  pipes: ["pipe", "fifo"],
  locks: ["file-lock"],
  "sysv-queue": ["sysv-queue"],
  "sysv-memory": ["sysv-memory"],
  "sysv-semaphores": ["sysv-semaphores"],
  "posix-queue": ["posix-queue"],
  "posix-memory": ["posix-memory"],
  "posix-semaphore": ["posix-semaphore"],
  "memory-file": ["memory-file"],
  fifo: ["fifo"],
  pipe: ["pipe"],
  "unix-socket": ["unix-socket"],
  "file-lock": ["file-lock"],
  eventfd: ["eventfd"],
};

/** The kinds that words name; undefined for all. */
export function kindsOf(words: readonly string[]): IpcKind[] | undefined {
  if (words.length === 0) return undefined;
  const kinds = words.flatMap((word) => {
    if (Object.hasOwn(KIND_NAMES, word)) return KIND_NAMES[word]!;
    throw new Failure(
      EXIT.usage,
      `There is no kind "${printable(word)}". The kinds are: ${
        Object.keys(KIND_NAMES).join(", ")
      }`,
    );
  });
  return [...new Set(kinds)];
}

/** Whether a user means an object by a text. */
function isMeant(object: IpcObject, text: string): boolean {
  if (object.ref === text || object.name === text) return true;
  if (printable(object.name) === text) return true;
  const number = /^(?:\d+|0x[0-9a-f]+)$/i.test(text) ? Number(text) : NaN;
  if (Number.isNaN(number)) return false;
  if ("key" in object) {
    return text.startsWith("0x")
      ? object.key !== 0 && object.key === number
      : object.id === number;
  }
  return "inode" in object && object.inode === number;
}

/** The one object that a user means. */
export function objectOf(
  { objects, unseen }: IpcSnapshot,
  text: string,
): IpcObject {
  const exact = objects.filter(({ ref }) => ref === text);
  const found = exact.length > 0
    ? exact
    : objects.filter((object) => isMeant(object, text));
  if (found.length === 1) return found[0]!;
  if (found.length === 0) {
    const hint = unseen.length > 0 ? ", as far as can be seen" : "";
    throw new Failure(
      EXIT.missing,
      `There is no object "${printable(text)}"${hint}`,
    );
  }
  const refs = found.slice(0, 10).map(({ ref }) => `  ${printable(ref)}`);
  throw new Failure(
    EXIT.ambiguous,
    `"${printable(text)}" names ${found.length} objects. Say which:\n${
      refs.join("\n")
    }${found.length > refs.length ? "\n  ..." : ""}`,
  );
}

/** The identifier of a System V object, the inode of a file, or nothing. */
export function idOf(object: IpcObject): string {
  if ("id" in object) return String(object.id);
  return "inode" in object ? String(object.inode) : "";
}
