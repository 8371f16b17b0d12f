// A Unix stream socket, with nothing but libc.

import { unixStream } from "../ours/ends.ts";
import { playThrough } from "./descriptor.ts";

using socket = unixStream(); // forgotten, it would be closed
await playThrough(socket.fd, socket.fd);
