// Memory that goes to another thread of this process.

import { bufferOf, byteLengthOf } from "../arguments.ts";
import { check } from "../libc/errno.ts";
import { type MappedRange, mappedRanges } from "../kernel/maps.ts";
import { Mapping, type MappingInit } from "../kernel/mapping.ts";
import { PROT_NONE, PROT_READ, PROT_WRITE, sysMman } from "../libc/sys_mman.ts";
import { pageSize } from "../libc/unistd.ts";

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
  /** Whether somebody has adopted it. */
  readonly state: Int32Array<SharedArrayBuffer>;
}

// What the state is: it begins with OFFERED.
const OFFERED = 0;
const ADOPTED = 1;

const NONE: Partial<MemoryHandle> = {};
const MAX_ADDRESS = 1n << 56n; // the FFI would wrap what 64 bits do not hold

// On its way memory is nobody's: without a permission, by which adopt() knows it
// from all other memory, whatever the handle says.
function protect(
  { address, length, subject }: Omit<MappingInit, "access">,
  protection: number,
): void {
  const skip = address % BigInt(pageSize());
  const span = BigInt(length) + skip;
  const { mprotect } = sysMman();
  check(mprotect(address - skip, span, protection), "mprotect", subject);
}

/** Makes a mapping of its own for another thread. */
export function share(mapping: Mapping): MemoryHandle {
  mapping.checkOwn();
  const { length, subject, access } = mapping;
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
  return { address, length, subject, access, state };
}

function isHandle(handle: MemoryHandle): boolean {
  const { address, length, subject, access, state } = handle;
  return typeof address === "bigint" && address > 0n &&
    address < MAX_ADDRESS && Number.isSafeInteger(length) && length > 0 &&
    typeof subject === "string" &&
    (access === "shared" || access === "readonly") &&
    isState(state);
}

function isState(state: unknown): boolean {
  if (!(state instanceof Int32Array)) return false;
  const bytes = state as unknown as Uint8Array; // which have the same accessors
  return byteLengthOf(bytes) === 4 &&
    bufferOf(bytes) as unknown instanceof SharedArrayBuffer;
}

/** Whether all the memory there is on its way, as share() has left it. */
function isOffered(
  ranges: MappedRange[] | undefined,
  address: bigint,
  length: number,
): boolean {
  if (ranges === undefined) return true; // there is no /proc to ask
  let covered = address;
  for (const { start, end, permissions } of ranges) {
    if (start > covered || end <= covered) continue;
    if (permissions === "---s") covered = end;
  }
  return covered >= address + BigInt(length);
}

/** Takes over the mapping that another thread has made. */
export function adopt(handle: MemoryHandle): Mapping {
  const { address, length, subject, access, state } = handle ?? NONE; // read once
  const own = { address, length, subject, access, state };
  if (!isHandle(own)) {
    throw new TypeError('Argument "handle" must be what share() returned');
  }
  // May fail: before the handle is used up.
  const offered = isOffered(mappedRanges(), address, length);
  if (Atomics.compareExchange(state, 0, OFFERED, ADOPTED) !== OFFERED) {
    throw new TypeError(
      `Cannot adopt ${subject}: somebody has adopted it already`,
    );
  }
  if (!offered) {
    Atomics.store(state, 0, OFFERED); // it may be that of another handle
    throw new TypeError(
      `Cannot adopt ${subject}: nobody in this process has shared it`,
    );
  }
  const write = access === "shared" ? PROT_WRITE : 0;
  protect(own, PROT_READ | write);
  return new Mapping({ address, length, subject, access });
}
