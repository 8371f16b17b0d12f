// 64 bytes into a pipe, and out of it again.

import { pipe } from "@linux/ipc/pipe";
import { libc } from "./libc.ts";

const { reader, writer } = pipe();
const message = new Uint8Array(64);
const { read, write } = libc;
const group = "pipe: write and read 64 bytes";

{
  const [from, to] = [reader.fd, writer.fd];
  Deno.bench("bare FFI", { group, baseline: true }, () => {
    write(to, message, 64);
    read(from, message, 64);
  });
}
Deno.bench("writeSync, readSync", { group }, () => {
  writer.writeSync(message);
  reader.readSync(message);
});
Deno.bench("tryWrite, tryRead", { group }, () => {
  writer.tryWrite(message);
  reader.tryRead(message);
});
Deno.bench("await write, await read", { group }, async () => {
  await writer.write(message);
  await reader.read(message);
});
