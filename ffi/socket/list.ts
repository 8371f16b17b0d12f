// The sockets of this network namespace that have an address, and who holds them.

import { heldObjects } from "../inspect/held.ts";
import type { IpcHolder } from "../inspect/types.ts";
import { type UnixSocketEntry, unixSockets } from "../kernel/unix_diag.ts";
import { decodePath, type UnixAddress } from "./address.ts";

/** A socket that has an address. */
export interface NamedSocket {
  readonly address: UnixAddress;
  readonly socket: UnixSocketEntry;
  readonly holders: readonly IpcHolder[];
}

/** The sockets that `isWanted` accepts. */
export function namedSockets(
  action: string,
  isWanted: (socket: UnixSocketEntry) => boolean,
): NamedSocket[] {
  const sockets = [...unixSockets().values()]
    .filter((socket) => socket.name.length > 0 && isWanted(socket));
  const held = new Map(
    heldObjects("unix-socket", action).map((
      { inode, holders },
    ) => [inode, holders]),
  );
  return sockets.map((socket) => ({
    address: decodePath(socket.name),
    socket,
    holders: held.get(socket.inode) ?? [],
  }));
}
