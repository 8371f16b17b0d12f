// <sys/un.h>

import { type CStruct, cStruct } from "./c_struct.ts";

const sockaddrUnFields = {
  sun_family: "u16",
  sun_path: 108,
} as const;

/** struct sockaddr_un */
export const sockaddrUn: CStruct<typeof sockaddrUnFields> = cStruct(
  sockaddrUnFields,
);

/** sizeof (((struct sockaddr_un *) 0)->sun_path): the bytes of a path and its NUL. */
export const SIZEOF_SUN_PATH: number = sockaddrUnFields.sun_path;
