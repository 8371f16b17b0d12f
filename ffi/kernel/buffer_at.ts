// Buffers over memory at an address, which no close() detaches. Use one only while its
// memory is mapped.

import { viewError } from "../libc/library.ts";

/** An ArrayBuffer over so many bytes at an address. */
export function bufferAt(address: bigint, length: number): ArrayBuffer {
  try {
    const pointer = Deno.UnsafePointer.create(address)!;
    return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
  } catch (error) {
    throw viewError(error);
  }
}
