// Memory that goes to another thread of this process.

import { Mapping } from "../libc/memory.ts";
import { sysMman } from "../libc/sys_mman.ts";
import { type FileEnd, fileEndOf, forget, remember, track } from "./file.ts";

/**
 * What `Memory.share` makes for another thread: a message, for `postMessage`, which
 * `Memory.adopt` takes there. It holds an address, so it means nothing in another
 * process, and must not be changed.
 */
export interface MemoryHandle {
  /** The address of a mapping that nobody else has. */
  readonly address: bigint;
  /** Its length in bytes. */
  readonly length: number;
  /** What errors call it. */
  readonly subject: string;
  /** Whether it can be written to. */
  readonly access: "shared" | "readonly";
  /** Which file it is of, and up to where. */
  readonly file: { readonly key: string; readonly end: number } | null;
  /** Whether somebody has adopted it, and closed it. */
  readonly state: Int32Array<SharedArrayBuffer>;
}

// What the state is: it begins with OFFERED.
const OFFERED = 0;
const ADOPTED = 1;
const CLOSED = 2;

/** Makes a mapping of its own for another thread. */
export function share(mapping: Mapping): MemoryHandle {
  mapping.checkOwn();
  const { length, subject, access } = mapping;
  if (access === "private") {
    throw new TypeError(`Cannot share ${subject}: it is private`);
  }
  const address = mapping.duplicate();
  const state = new Int32Array(new SharedArrayBuffer(4));
  const file: FileEnd | null = fileEndOf(mapping) ?? null;
  if (file !== null) {
    remember(file, address, () => Atomics.load(state, 0) === CLOSED);
  }
  return { address, length, subject, access, file, state };
}

function isHandle(handle: unknown): handle is MemoryHandle {
  const { address, length, state } = (handle ?? {}) as Partial<MemoryHandle>;
  return typeof address === "bigint" && typeof length === "number" &&
    state instanceof Int32Array && state.buffer instanceof SharedArrayBuffer;
}

/** Takes over the mapping that another thread has made. */
export function adopt(handle: MemoryHandle): Mapping {
  if (!isHandle(handle)) {
    throw new TypeError('Argument "handle" must be what share() returned');
  }
  const { address, length, subject, file, state } = handle;
  if (Atomics.compareExchange(state, 0, OFFERED, ADOPTED) !== OFFERED) {
    throw new TypeError(
      `Cannot adopt ${subject}: somebody has adopted it already`,
    );
  }
  const mapping = new Mapping({
    address,
    length,
    subject,
    access: handle.access,
    unmap({ start, span }) {
      sysMman().munmap(start, span);
      if (file !== null) forget(file, start);
      Atomics.store(state, 0, CLOSED);
    },
  });
  if (file !== null) track(mapping, file);
  return mapping;
}
