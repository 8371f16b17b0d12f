// What is sent to a System V queue, and which message is received from it.

import { byteLengthOf, checkBytes, checkInteger } from "../arguments.ts";
import { MSG_EXCEPT, MSG_NOERROR } from "../libc/sys_msg.ts";

/** How a message is sent. */
export interface SysvSendOptions {
  /**
   * The type: a C `long` of at least 1.
   *
   * @default {1}
   */
  type?: number | bigint | undefined;
}

/** Which message is received. */
export interface SysvReceiveOptions {
  /**
   * 0 takes the first message, n the first of type n, -n the first of the lowest
   * type that is at most n.
   *
   * @default {0}
   */
  type?: number | bigint | undefined;
  /**
   * `MSG_EXCEPT`: takes the first message of any other type than `type`, which must
   * be above 0.
   *
   * @default {false}
   */
  except?: boolean | undefined;
  /**
   * `MSG_NOERROR`: cuts off what a message has beyond this many bytes. The kernel
   * does not tell whether it did.
   *
   * @default {nothing is cut off}
   */
  truncate?: number | undefined;
  /**
   * Where to put the data, instead of into a new array: `data` is then the part of
   * the buffer that was filled. A message that does not fit stays in the queue, and
   * the call fails with E2BIG.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

const LONG_MAX = 2n ** 63n - 1n;

// The last type that was a number, and the same as a bigint: mostly the next one, too.
let lastNumber = 0;
let lastLong = 0n;

/** A C long that is not above LONG_MAX, nor below its negative. */
function cLong(name: string, value: unknown, min: bigint): bigint {
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    if (value !== lastNumber) lastLong = BigInt(lastNumber = value);
    value = lastLong;
  }
  if (typeof value === "number") {
    throw new RangeError(
      `Argument "${name}" must be a safe integer or a bigint: ${value}`,
    );
  }
  if (typeof value !== "bigint") {
    throw new TypeError(
      `Argument "${name}" must be a number or a bigint: ${String(value)}`,
    );
  }
  if (value < min || value > LONG_MAX) {
    throw new RangeError(
      `Argument "${name}" must be from ${min} to ${LONG_MAX} (long): ${value}`,
    );
  }
  return value;
}

/** The type of a message to send. */
export function typeToSend(options: SysvSendOptions | undefined): bigint {
  return cLong("type", options?.type ?? 1, 1n);
}

/** The size of a message is an int to the kernel, below /proc/sys/kernel/msgmax. */
export function checkData(
  data: unknown,
): asserts data is Uint8Array<ArrayBuffer> {
  checkBytes("data", data);
  checkInteger("data.byteLength", byteLengthOf(data), 0, 0x7fffffff, "int");
}

/** What msgrcv is asked for. */
export interface Selection {
  readonly type: bigint;
  readonly flags: number;
  /** The most bytes of data that are taken. */
  readonly most: number;
  readonly buffer: Uint8Array<ArrayBuffer> | undefined;
}

/** The first message of any type. */
export const FIRST: Selection = {
  type: 0n,
  flags: 0,
  most: Infinity,
  buffer: undefined,
};

/** Reads and checks which message is to be received. */
export function selectionOf(
  options: SysvReceiveOptions | undefined,
  defaultType = 0,
): Selection {
  if (options === undefined && defaultType === 0) return FIRST;
  const { type: wanted = defaultType, except = false, truncate, buffer } =
    options ?? {};
  const type = cLong("type", wanted, except ? 1n : -LONG_MAX);
  if (truncate !== undefined) {
    checkInteger("truncate", truncate, 0, 0x7fffffff, "int");
  }
  if (buffer !== undefined) checkBytes("buffer", buffer);
  const flags = (except ? MSG_EXCEPT : 0) |
    (truncate === undefined ? 0 : MSG_NOERROR);
  const room = buffer === undefined ? Infinity : byteLengthOf(buffer);
  const most = Math.min(truncate ?? Infinity, room);
  return { type, flags, most, buffer };
}
