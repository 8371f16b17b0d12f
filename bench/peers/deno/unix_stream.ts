// A Unix stream socket of Deno's own.

import { drain, fillAsync, playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const path = task.addresses[0]!;
const connection = await connect();
await playAsync({
  send: () => drain(message, (bytes) => connection.write(bytes)),
  receive: () => fillAsync(message, (into) => connection.read(into)),
});

async function connect(): Promise<Deno.Conn> {
  if (!task.serves) return await Deno.connect({ transport: "unix", path });
  const listener = Deno.listen({ transport: "unix", path });
  ready();
  return await listener.accept();
}
