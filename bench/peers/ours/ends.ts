// How the channels are opened; also for the peers that only take the descriptors.

import { Fifo, type PipeReader, type PipeWriter } from "@linux/ipc/fifo";
import { UnixListener, UnixSeqpacket, UnixStream } from "@linux/ipc/socket";
import { ready, task } from "../task.ts";

/** Two FIFOs: the first goes to the one who serves, the second comes from there. */
export function fifoEnds(): { reader: PipeReader; writer: PipeWriter } {
  const [to, from] = task.addresses.slice(0, 2).map((path) => Fifo.open(path));
  if (task.serves) {
    ready();
    const reader = to!.openReaderSync(); // the other side opens this one first, too
    return { reader, writer: from!.openWriterSync() };
  }
  const writer = to!.openWriterSync();
  return { reader: from!.openReaderSync(), writer };
}

/** A Unix stream socket. */
export function unixStream(): UnixStream {
  const path = task.addresses[0]!;
  if (!task.serves) return UnixStream.connectSync(path);
  using listener = UnixListener.listen(path);
  ready();
  return listener.acceptSync();
}

/** A Unix seqpacket socket. */
export function seqpacket(): UnixSeqpacket {
  const path = task.addresses[0]!;
  if (!task.serves) return UnixSeqpacket.connectSync(path);
  using listener = UnixListener.listen(path, { type: "seqpacket" });
  ready();
  return listener.acceptSync();
}
