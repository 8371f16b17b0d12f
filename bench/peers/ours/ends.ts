// How the channels are opened; also for the peers that only take the descriptors.

import { Fifo, type PipeReader, type PipeWriter } from "@linux/ipc/fifo";
import {
  UnixDatagram,
  UnixListener,
  UnixSeqpacket,
  UnixStream,
} from "@linux/ipc/socket";
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

/**
 * Two Unix datagram sockets: the first is bound by the one who serves, the second by the
 * other, who says that it is there with an empty message.
 */
export function datagrams(): {
  incoming: UnixDatagram;
  outgoing: UnixDatagram;
} {
  const [to, from] = task.addresses as [string, string];
  const incoming = UnixDatagram.create(task.serves ? to : from);
  if (task.serves) {
    ready();
    incoming.receiveSync();
  }
  const outgoing = UnixDatagram.connectSync(task.serves ? from : to);
  if (!task.serves) outgoing.sendSync(new Uint8Array());
  return { incoming, outgoing };
}
