// Two Unix datagram sockets, through this library.

import { datagrams } from "./ends.ts";
import { playMessages } from "./messages.ts";

const { incoming, outgoing } = datagrams();
await playMessages(outgoing, incoming);
