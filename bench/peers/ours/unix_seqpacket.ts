// A Unix seqpacket socket, through this library.

import { UnixListener, UnixSeqpacket } from "@linux/ipc/socket";
import { play, playAsync, ready, task } from "../task.ts";

const message = new Uint8Array(task.size);
const buffer = new Uint8Array(task.size); // as in C, of the one who receives
const socket = connect();
if (task.mode === "sync") {
  play({
    send: () => socket.sendSync(message),
    receive: () => void (socket.receiveSync({ buffer }) ?? Deno.exit()),
  });
} else {
  await playAsync({
    send: () => socket.send(message),
    receive: async () => await socket.receive({ buffer }) ?? Deno.exit(),
  });
}

function connect(): UnixSeqpacket {
  const path = task.addresses[0]!;
  if (!task.serves) return UnixSeqpacket.connectSync(path);
  using listener = UnixListener.listen(path, { type: "seqpacket" });
  ready();
  return listener.acceptSync();
}
