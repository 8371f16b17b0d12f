// Unix domain sockets.

import {
  SS_CONNECTED,
  SS_LISTENING,
  type UnixSocketEntry,
  unixSockets,
} from "../kernel/unix_diag.ts";
import { decodeName } from "../libc/dirent.ts";
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "../libc/sys_socket.ts";
import type { Catalogue } from "./catalogue.ts";
import type { Unseeables } from "./unseeables.ts";

const TYPES: Record<number, string> = {
  [SOCK_STREAM]: "stream",
  [SOCK_DGRAM]: "datagram",
  [SOCK_SEQPACKET]: "seqpacket",
};

/** Adds the Unix sockets of this network namespace. */
export function addSockets(catalogue: Catalogue, unseen: Unseeables): void {
  if (!catalogue.wants("unix-socket")) return;
  try {
    for (const entry of unixSockets().values()) addSocket(catalogue, entry);
  } catch (error) {
    unseen.add("Unix sockets", null, String(error));
  }
}

function addSocket(catalogue: Catalogue, entry: UnixSocketEntry): void {
  const { inode, type, state, peer, receiveQueue, sendQueue, uid } = entry;
  const address = addressOf(entry.name);
  catalogue.add("unix-socket", inode, {
    name: address ?? `socket:[${inode}]`,
    inode,
    uid: uid ?? null,
    type: TYPES[type] ?? "stream",
    state: state === SS_LISTENING
      ? "listening"
      : state === SS_CONNECTED || peer !== 0
      ? "connected"
      : "unconnected",
    address,
    peer: peer === 0 ? null : `unix-socket:${peer}`,
    receiveQueue,
    sendQueue,
    size: state === SS_LISTENING ? null : receiveQueue,
  });
}

/** The address as it is shown: an abstract one begins with "@" in place of its NUL. */
function addressOf(name: Uint8Array<ArrayBuffer>): string | null {
  if (name.length === 0) return null;
  const isAbstract = name[0] === 0;
  const end = isAbstract ? name.length : name.indexOf(0);
  const bytes = name.subarray(
    isAbstract ? 1 : 0,
    end === -1 ? name.length : end,
  );
  const text = decodeName(bytes);
  return isAbstract ? `@${text}` : text;
}
