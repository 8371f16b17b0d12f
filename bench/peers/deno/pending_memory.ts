// Reads of Unix streams of Deno's own.

import { reportMemory } from "../memory.ts";
import { task } from "../task.ts";

const path = task.addresses[0]!;
const listener = Deno.listen({ transport: "unix", path });
const kept: Disposable[] = []; // forgotten, they would be closed
await reportMemory(async () => {
  const [one, other] = await Promise.all([
    listener.accept(),
    Deno.connect({ transport: "unix", path }),
  ]);
  kept.push(one, other);
  const buffer = new Uint8Array(64);
  return () => one.read(buffer);
});
