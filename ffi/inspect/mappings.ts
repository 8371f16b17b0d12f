// The memory that a process has mapped and shares: lines of /proc/PID/maps.

import { deviceName } from "../kernel/mount_table.ts";
import { linesAt } from "../kernel/proc_files.ts";
import {
  type Catalogue,
  CONTENT,
  type Content,
  type ContentReader,
} from "./catalogue.ts";
import type { Descriptors, Place } from "./descriptors.ts";
import { fileKey, type PosixFiles } from "./file_fields.ts";
import type { IpcRole } from "./types.ts";

const LINE = /^(\w+)-(\w+) (\S{4}) (\w+) (\w+):(\w+) (\d+) *(.*)$/s;
const SHARED = "s";

/** A part of a process's memory that is an object. */
export interface MappedObject {
  readonly start: bigint;
  readonly end: bigint;
  /** What of the object is at its start. */
  readonly offset: number;
  readonly ref: string;
}

/** Finds objects in the memory of processes. */
export class Mappings {
  readonly #catalogue: Catalogue;
  readonly #files: PosixFiles;
  readonly #descriptors: Descriptors;
  readonly #shm: string | undefined;
  readonly #contents: ContentReader | undefined;

  constructor(
    catalogue: Catalogue,
    files: PosixFiles,
    descriptors: Descriptors,
    shm: string | undefined,
    contents: ContentReader | undefined,
  ) {
    this.#catalogue = catalogue;
    this.#files = files;
    this.#descriptors = descriptors;
    this.#shm = shm;
    this.#contents = contents;
  }

  /** Notes all mappings of a process; undefined if they cannot be read. */
  note(place: Place, directory: number): MappedObject[] | undefined {
    const found: MappedObject[] = [];
    let lines = 0;
    for (const line of linesAt(directory, "maps")) {
      lines++;
      // The permissions, such as "rw-s", come after the first space.
      if (line[line.indexOf(" ") + 4] !== SHARED) continue;
      const cells = line.match(LINE);
      if (cells === null) continue;
      const [, start, end, permissions, ...rest] = cells as unknown as Cells;
      const [fileOffset, major, minor, inode, path] = rest;
      const device = deviceName(parseInt(major, 16), parseInt(minor, 16));
      const ref = this.#refOf(place, device, Number(inode), path);
      if (ref === undefined) continue;
      const roles: IpcRole[] = ["maps"];
      if (permissions[0] === "r") roles.push("reads");
      if (permissions[1] === "w") roles.push("writes");
      this.#catalogue.noteMapping(ref, place.pid, roles);
      const offset = parseInt(fileOffset, 16);
      if (offset === 0) {
        const size = Number(BigInt(`0x${end}`) - BigInt(`0x${start}`));
        this.#look(ref, directory, BigInt(`0x${start}`), size);
      }
      found.push({
        start: BigInt(`0x${start}`),
        end: BigInt(`0x${end}`),
        offset,
        ref,
      });
    }
    return lines === 0 ? undefined : found;
  }

  /** Looks at what is in an object, if that is not known. */
  #look(ref: string, process: number, address: bigint, size: number): void {
    const { kind, fields } = this.#catalogue.drafts.get(ref)!;
    const content = fields as { [CONTENT]?: Content | undefined };
    if (kind === "posix-semaphore" || content[CONTENT] !== undefined) return;
    content[CONTENT] = this.#contents?.ofMemory(process, address, size);
  }

  #refOf(
    { isOwnIpc }: Place,
    device: string,
    inode: number,
    path: string,
  ): string | undefined {
    if (path.startsWith("/SYSV")) {
      const ref = `sysv-memory:${inode}`; // the inode is the identifier
      return isOwnIpc && this.#catalogue.has(ref) ? ref : undefined;
    }
    if (path.startsWith("/memfd:")) return this.#memoryFile(inode, path);
    if (device !== this.#shm) return undefined;
    const known = this.#files.get(fileKey(device, inode));
    if (known !== undefined) return known;
    return path.startsWith("/dev/shm/") && path.endsWith(" (deleted)") &&
        path.lastIndexOf("/") === "/dev/shm".length &&
        this.#catalogue.wants("posix-memory", "posix-semaphore")
      ? this.#descriptors.addUnlinked(device, inode, path)
      : undefined;
  }

  #memoryFile(inode: number, path: string): string | undefined {
    if (!this.#catalogue.wants("memory-file")) return undefined;
    const name = path.slice(1).replace(/ \(deleted\)$/, "")
      .replaceAll("\\012", "\n"); // all that maps escapes
    return this.#catalogue.add("memory-file", inode, { name, inode });
  }
}

type Cells = [
  ...[line: string, start: string, end: string, permissions: string],
  ...[
    offset: string,
    major: string,
    minor: string,
    inode: string,
    path: string,
  ],
];
