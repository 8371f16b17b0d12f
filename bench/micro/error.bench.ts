// The time of an error: calls that the kernel refuses.

import { SysvMessageQueue } from "@linux/ipc/message-queue";
import { pipe } from "@linux/ipc/pipe";
import { removeAtEnd } from "./leftovers.ts";
import { libc } from "./libc.ts";

const { msgget } = libc;
const { reader, writer: _writer } = pipe();
const queue = SysvMessageQueue.create(null);
removeAtEnd(queue);
const buffer = new Uint8Array(64);
const NOBODYS = 0x7e57_0b5c; // a key

{
  const group = "an error: ENOENT of msgget";
  Deno.bench("bare FFI, without errno", { group, baseline: true }, () => {
    msgget(NOBODYS, 0);
  });
  Deno.bench("SysvMessageQueue.open, caught", { group }, () => {
    try {
      SysvMessageQueue.open(NOBODYS).close();
    } catch {
      // This is what is measured.
    }
  });
}

{
  const group = "nothing there: EAGAIN";
  Deno.bench("pipe, tryRead", { group, baseline: true }, () => {
    reader.tryRead(buffer);
  });
  Deno.bench("System V queue, tryReceive", { group }, () => {
    queue.tryReceive();
  });
}
