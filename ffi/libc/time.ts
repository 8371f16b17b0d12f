// <time.h>

import { i64, struct } from "../struct.ts";

/** struct timespec */
export const timespec = struct({ tv_sec: i64, tv_nsec: i64 });

/** The moment on CLOCK_REALTIME that is `milliseconds` from now. */
export function realtimeIn(milliseconds: number): Uint8Array<ArrayBuffer> {
  const at = Date.now() + Math.ceil(milliseconds);
  return timespec.encode({
    tv_sec: BigInt(Math.floor(at / 1000)),
    tv_nsec: BigInt(at % 1000) * 1_000_000n,
  });
}
