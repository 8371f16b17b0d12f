// Memory that comes and goes.

import { MemoryMap } from "@linux/ipc/memory-map";
import { MemoryFile } from "@linux/ipc/shared-memory";
import { libc } from "./libc.ts";

const SIZE = 4096;
const PROT = 1 | 2; // PROT_READ | PROT_WRITE
const MAP = 1 | 0x20; // MAP_SHARED | MAP_ANONYMOUS
const { mmap, munmap } = libc;
const group = "a page: map, write a byte, unmap";

Deno.bench("bare FFI, and a view", { group, baseline: true }, () => {
  const address = mmap(0n, 4096n, PROT, MAP, -1, 0n);
  const pointer = Deno.UnsafePointer.create(address)!;
  new Uint8Array(Deno.UnsafePointerView.getArrayBuffer(pointer, SIZE))[0] = 1;
  munmap(address, 4096n);
});
Deno.bench("MemoryMap.anonymous", { group }, () => {
  using memory = MemoryMap.anonymous(SIZE);
  memory.bytes[0] = 1;
});
Deno.bench("MemoryFile.create, map", { group }, () => {
  using file = MemoryFile.create("bench", SIZE);
  using memory = file.map();
  memory.bytes[0] = 1;
});
