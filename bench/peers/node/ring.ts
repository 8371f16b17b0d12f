// process.send() instead of a ring.

import "./unix_seqpacket.ts";
