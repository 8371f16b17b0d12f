// <sys/uio.h>

import { struct, u64 } from "../struct.ts";

/** struct iovec */
export const iovec = struct({ iov_base: u64, iov_len: u64 });
