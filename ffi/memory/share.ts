// Handing memory to another thread of this process.

import { bufferOf, byteLengthOf } from "../arguments.ts";
import { check } from "../libc/errno.ts";
import { type MappedRange, mappedRanges } from "../kernel/maps.ts";
import { Mapping, type MappingInit } from "../kernel/mapping.ts";
import { PROT_NONE, PROT_READ, PROT_WRITE, sysMman } from "../libc/sys_mman.ts";
import { pageSize } from "../libc/unistd.ts";

/**
 * Memory on its way to another thread: the result of
 * {@linkcode Memory.prototype.share | Memory.share}, for one `postMessage` and one
 * {@linkcode Memory.adopt}.
 *
 * It contains an address, so it is valid in this process only. Do not change it.
 */
export interface MemoryHandle {
  /** The address of a mapping of its own. */
  readonly address: bigint;
  /** Its length in bytes. */
  readonly length: number;
  /** Name used in error messages. */
  readonly subject: string;
  /** Whether it can be written to. */
  readonly access: "shared" | "readonly";
  /** Whether loading its pages takes memory that the kernel cannot reclaim. */
  readonly takesMemory: boolean;
  /** Whether another process can truncate it. */
  readonly truncatable: boolean;
  /** Whether it was adopted. */
  readonly state: Int32Array<SharedArrayBuffer>;
}

// The values of `state`.
const OFFERED = 0;
const ADOPTED = 1;

const NONE = {} as MemoryHandle;
const MAX_ADDRESS = 1n << 56n; // the FFI wraps larger numbers to 64 bits

// Memory on its way has no permissions. So adopt() can tell it from all other memory,
// whatever the handle contains.
function protect(
  { address, length, subject }: Omit<MappingInit, "access">,
  protection: number,
): void {
  const skip = address % BigInt(pageSize());
  const span = BigInt(length) + skip;
  const { mprotect } = sysMman();
  check(mprotect(address - skip, span, protection), "mprotect", subject);
}

/** Maps the memory once more, for another thread. */
export function share(mapping: Mapping): MemoryHandle {
  mapping.checkOwn();
  const { length, subject, access, takesMemory, truncatable } = mapping;
  if (access === "private") {
    throw new TypeError(`Cannot share ${subject}: it is private`);
  }
  const state = new Int32Array(new SharedArrayBuffer(4));
  const address = mapping.duplicate();
  try {
    protect({ address, length, subject }, PROT_NONE);
  } catch (error) {
    sysMman().munmap(
      address - (mapping.address - mapping.start),
      mapping.extent,
    );
    throw error;
  }
  return { address, length, subject, access, takesMemory, truncatable, state };
}

/** Reads each property once, and no other ones. */
function readHandle(
  { address, length, subject, access, takesMemory, truncatable, state }:
    MemoryHandle,
): MemoryHandle {
  return { address, length, subject, access, takesMemory, truncatable, state };
}

function isHandle(handle: MemoryHandle): boolean {
  const { address, length, subject, access, state } = handle;
  const { takesMemory, truncatable } = handle;
  return typeof address === "bigint" && address > 0n &&
    address < MAX_ADDRESS && Number.isSafeInteger(length) && length > 0 &&
    typeof subject === "string" &&
    (access === "shared" || access === "readonly") &&
    typeof takesMemory === "boolean" && typeof truncatable === "boolean" &&
    isState(state);
}

function isState(state: unknown): boolean {
  if (!(state instanceof Int32Array)) return false;
  const bytes = state as unknown as Uint8Array; // the accessors are the same
  return byteLengthOf(bytes) === 4 &&
    bufferOf(bytes) as unknown instanceof SharedArrayBuffer;
}

/** Whether share() has left all of the memory there. */
function isOffered(
  ranges: MappedRange[] | undefined,
  address: bigint,
  length: number,
): boolean {
  if (ranges === undefined) return true; // no /proc to check with
  let covered = address;
  for (const { start, end, permissions } of ranges) {
    if (start > covered || end <= covered) continue;
    if (permissions === "---s") covered = end;
  }
  return covered >= address + BigInt(length);
}

/** Takes ownership of the mapping in a handle. */
export function adopt(handle: MemoryHandle): Mapping {
  const own = readHandle(handle ?? NONE);
  if (!isHandle(own)) {
    throw new TypeError('Argument "handle" must be what share() returned');
  }
  const { address, length, subject, access, state } = own;
  // This may fail, so it comes before the handle is marked as adopted.
  const offered = isOffered(mappedRanges(), address, length);
  if (Atomics.compareExchange(state, 0, OFFERED, ADOPTED) !== OFFERED) {
    throw new TypeError(
      `Cannot adopt ${subject}: it was adopted already`,
    );
  }
  if (!offered) {
    Atomics.store(state, 0, OFFERED); // it may belong to another handle
    throw new TypeError(
      `Cannot adopt ${subject}: no thread of this process has shared it`,
    );
  }
  const write = access === "shared" ? PROT_WRITE : 0;
  protect(own, PROT_READ | write);
  return new Mapping(own);
}
