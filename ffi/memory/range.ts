// Ranges of bytes that callers name: in a file, or in a mapping.

import { checkSize } from "../arguments.ts";

/** A range of bytes in a file, or in a mapping. */
export interface RangeOptions {
  /**
   * The beginning of the range, in bytes; not necessarily a multiple of the page size.
   *
   * @default {0}
   */
  offset?: number | undefined;
  /**
   * The length of the range, in bytes.
   *
   * @default {up to the end}
   */
  length?: number | undefined;
}

/** A range that lies inside its file or mapping. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Reads and checks the options of a range, before the file or the memory is looked at:
 * a getter could return another value the second time, or close the memory.
 */
export function checkRange(options: RangeOptions | undefined): RangeOptions {
  const { offset, length } = options ?? {};
  checkSize("offset", offset ?? 0, 0);
  checkSize("length", length ?? 1);
  return { offset, length };
}

/** The range within `size` bytes. Throws a RangeError if it does not lie inside. */
export function rangeIn(
  size: number,
  subject: string,
  options?: RangeOptions,
): Range {
  const offset = options?.offset ?? 0;
  if (size === 0) {
    throw new RangeError(`Cannot map ${subject}: it is empty`);
  }
  if (offset >= size) {
    throw new RangeError(
      `Argument "offset" must be below ${size} (the size of ${subject}): ${offset}`,
    );
  }
  const length = options?.length ?? size - offset;
  if (length > size - offset) {
    throw new RangeError(
      `Argument "length" must be at most ${size - offset} ` +
        `(the size of ${subject} from offset ${offset}): ${length}`,
    );
  }
  return { offset, length };
}
