// <sys/un.h>

import { bytes, struct, u16 } from "../struct.ts";

/** Bytes of a path, its NUL included. */
export const SIZEOF_SUN_PATH = 108;

/** struct sockaddr_un */
export const sockaddrUn = struct({
  sun_family: u16,
  sun_path: bytes(SIZEOF_SUN_PATH),
});
