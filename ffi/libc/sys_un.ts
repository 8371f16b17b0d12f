// <sys/un.h>

import { bytes, struct, u16 } from "../struct.ts";

/** sizeof (((struct sockaddr_un *) 0)->sun_path): the bytes of a path and its NUL. */
export const SIZEOF_SUN_PATH = 108;

/** struct sockaddr_un */
export const sockaddrUn = struct({
  sun_family: u16,
  sun_path: bytes(SIZEOF_SUN_PATH),
});
