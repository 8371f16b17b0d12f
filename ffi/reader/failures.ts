// What can be wrong with the bytes of a stream: they end too early, an item is too long,
// descriptors are lost.

import { runtime } from "../libc/runtime/mod.ts";

/** The error of a stream that ends within an item. */
export function endedWithin(count: number, size: number): Error {
  const what = size === Infinity ? "up to the delimiter" : `${size} bytes`;
  return new runtime.errors.UnexpectedEof(
    `Cannot read ${what}: the stream has ended after ${count} bytes`,
  );
}

/** The error of a message whose length is more than is allowed. */
export function tooLong(size: number, maxSize: number): Error {
  return new runtime.errors.InvalidData(
    `Cannot read a message of ${size} bytes: at most ${maxSize} are allowed ` +
      "(maxSize)",
  );
}

/** The error of an item that has no end in as many bytes as are allowed. */
export function endless(end: string, maxSize: number): Error {
  return new runtime.errors.InvalidData(
    `Cannot read until ${end}: it does not come within ${maxSize} bytes (maxSize)`,
  );
}

/** The error of a message whose length is less than that of its prefix. */
export function tooShort(size: number, prefixSize: number): Error {
  return new runtime.errors.InvalidData(
    `Cannot read a frame of ${size} bytes: its prefix alone has ${prefixSize}`,
  );
}

/** The error of bytes whose descriptors the kernel has closed. */
export function descriptorsLost(maxDescriptors: number): Error {
  return new runtime.errors.InvalidData(
    "Cannot read all descriptors that come with these bytes: at most " +
      `${maxDescriptors} may be pending (maxDescriptors), or this process has no ` +
      "number left (EMFILE)",
  );
}
