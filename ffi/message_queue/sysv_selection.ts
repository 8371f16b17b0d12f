// The options of send and receive on a System V queue, checked and converted for C.

import { byteLengthOf, checkBytes, checkInteger } from "../arguments.ts";
import { MSG_EXCEPT, MSG_NOERROR } from "../libc/sys_msg.ts";

/**
 * Options of {@linkcode SysvMessageQueue.prototype.send | SysvMessageQueue.send} and its siblings.
 */
export interface SysvSendOptions {
  /**
   * C's `mtype`: a `long` of at least 1.
   *
   * @default {1}
   */
  type?: number | bigint | undefined;
}

/**
 * Options of {@linkcode SysvMessageQueue.prototype.receive | SysvMessageQueue.receive} and its siblings.
 */
export interface SysvReceiveOptions {
  /**
   * `msgtyp`: 0 selects the first message, n the first of type n, and -n the first of
   * the lowest type that is at most n.
   *
   * @default {0}
   */
  type?: number | bigint | undefined;
  /**
   * `MSG_EXCEPT`: selects the first message whose type is not `type`, which must be
   * above 0.
   *
   * @default {false}
   */
  except?: boolean | undefined;
  /**
   * `MSG_NOERROR`: truncates the data of a longer message to this many bytes. The kernel
   * does not report whether it did.
   *
   * @default {not truncated}
   */
  truncate?: number | undefined;
  /**
   * Receives the data, in place of a new array: `data` is then the part of the buffer
   * that was filled. A message that does not fit stays in the queue, and the call fails
   * with E2BIG.
   *
   * @default {a new array}
   */
  buffer?: Uint8Array<ArrayBuffer> | undefined;
}

const INT_MAX = 0x7fff_ffff; // of msgmax, so that no message is larger
const LONG_MAX = 2n ** 63n - 1n;

// A cache of one conversion: successive messages mostly have the same type.
let lastNumber = 0;
let lastLong = 0n;

/** Checks that a C `long`, LONG_MIN excepted, is from `min` to `max`. */
function checkLong(
  name: string,
  value: number | bigint,
  min: number,
  max: number,
): void {
  const isLong = typeof value === "number" || // a safe integer
    value <= LONG_MAX && value >= -LONG_MAX;
  if (isLong && value >= min && value <= max) return;
  const least = min === -Infinity ? -LONG_MAX : min;
  const most = max === Infinity ? LONG_MAX : max;
  throw new RangeError(
    `Argument "${name}" must be from ${least} to ${most} (long): ${value}`,
  );
}

/** An integer as a C `long`. To compare a number takes less than to compare a bigint. */
function cLong(
  name: string,
  value: unknown,
  min = -Infinity,
  max = Infinity,
): bigint {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) {
      throw new RangeError(
        `Argument "${name}" must be a safe integer or a bigint: ${value}`,
      );
    }
    checkLong(name, value, min, max);
    if (value !== lastNumber) lastLong = BigInt(lastNumber = value);
    return lastLong;
  }
  if (typeof value !== "bigint") {
    throw new TypeError(
      `Argument "${name}" must be a number or a bigint: ${String(value)}`,
    );
  }
  checkLong(name, value, min, max);
  return value;
}

/** Returns the type of a message to send. */
export function typeToSend(
  options: SysvSendOptions | undefined,
  max?: number,
): bigint {
  return cLong("type", options?.type ?? 1, 1, max);
}

/** Checks the data of a message. The kernel checks it against msgmax, which is an int. */
export function checkData(
  data: unknown,
): asserts data is Uint8Array<ArrayBuffer> {
  checkBytes("data", data);
  checkInteger("data.byteLength", byteLengthOf(data), 0, INT_MAX, "int");
}

/** The arguments of msgrcv. */
export interface Selection {
  readonly type: bigint;
  readonly flags: number;
  /** The most bytes of data to receive. */
  readonly most: number;
  readonly buffer: Uint8Array<ArrayBuffer> | undefined;
}

/** Selects the first message of any type. */
export const FIRST: Selection = {
  type: 0n,
  flags: 0,
  most: INT_MAX,
  buffer: undefined,
};

/** Reads and checks the options of a receive. */
export function selectionOf(
  options: SysvReceiveOptions | undefined,
  defaultType = 0,
): Selection {
  if (options === undefined && defaultType === 0) return FIRST;
  const { type: given = defaultType, except = false, truncate, buffer } =
    options ?? {};
  const type = cLong("type", given, except ? 1 : undefined);
  if (truncate !== undefined) {
    checkInteger("truncate", truncate, 0, INT_MAX, "int");
  }
  if (buffer !== undefined) checkBytes("buffer", buffer);
  const flags = (except ? MSG_EXCEPT : 0) |
    (truncate === undefined ? 0 : MSG_NOERROR);
  const room = buffer === undefined ? INT_MAX : byteLengthOf(buffer);
  const most = Math.min(truncate ?? INT_MAX, room);
  return { type, flags, most, buffer };
}
