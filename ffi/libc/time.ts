// <time.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const SECOND = 1_000_000_000n; // nanoseconds

const timespecFields = { tv_sec: "i64", tv_nsec: "i64" } as const;

/** struct timespec */
export const timespec: CStruct<typeof timespecFields> = cStruct(timespecFields);

const itimerspecFields = {
  it_interval: timespec as typeof timespec,
  it_value: timespec as typeof timespec,
} as const;

/** struct itimerspec */
export const itimerspec: CStruct<typeof itimerspecFields> = cStruct(
  itimerspecFields,
);

const functions = {
  // int clock_gettime(clockid_t clockid, struct timespec *tp)
  clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  // int nanosleep(const struct timespec *duration, struct timespec *rem)
  nanosleep: { parameters: ["buffer", "buffer"], result: "i32" },
} as const;

export const time: Header<typeof functions> = header(functions);

/** The time of day, which can be set. */
export const CLOCK_REALTIME = 0;
/** A clock that is never set. */
export const CLOCK_MONOTONIC = 1;
export const CLOCK_BOOTTIME = 7;
export const CLOCK_REALTIME_ALARM = 8;
export const CLOCK_BOOTTIME_ALARM = 9;

/** The moment on CLOCK_MONOTONIC that is `milliseconds` from now. */
export function monotonicIn(milliseconds: number): Uint8Array<ArrayBuffer> {
  return momentIn(milliseconds, CLOCK_MONOTONIC);
}

/** The moment on CLOCK_REALTIME that is `milliseconds` from now. */
export function realtimeIn(milliseconds: number): Uint8Array<ArrayBuffer> {
  return momentIn(milliseconds, CLOCK_REALTIME);
}

function momentIn(
  milliseconds: number,
  clock: number,
): Uint8Array<ArrayBuffer> {
  const moment = new Uint8Array(timespec.size);
  time().clock_gettime(clock, moment);
  const view = timespec.view(moment);
  const nanoseconds = view.tv_nsec +
    BigInt(Math.ceil(milliseconds)) * 1_000_000n;
  view.tv_sec += nanoseconds / SECOND;
  view.tv_nsec = nanoseconds % SECOND;
  return moment;
}

/** Blocks this thread for that many microseconds, or until a signal. */
export function sleepMicroseconds(microseconds: number): void {
  const tv_nsec = BigInt(microseconds) * 1000n;
  time().nanosleep(timespec.encode({ tv_sec: 0n, tv_nsec }), null);
}

/** A time to wait of that many milliseconds. */
export function durationOf(milliseconds: number): Uint8Array<ArrayBuffer> {
  return timespec.encode({
    tv_sec: BigInt(Math.floor(milliseconds / 1000)),
    tv_nsec: BigInt(milliseconds % 1000) * 1_000_000n,
  });
}

/** The moment of a time_t; 0 says never. */
export function dateOf(seconds: bigint): Date | null {
  return seconds === 0n ? null : new Date(Number(seconds) * 1000);
}
