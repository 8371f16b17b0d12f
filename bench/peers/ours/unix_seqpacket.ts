// A Unix seqpacket socket, through this library.

import { seqpacket } from "./ends.ts";
import { playMessages } from "./messages.ts";

const socket = seqpacket();
await playMessages(socket, socket);
