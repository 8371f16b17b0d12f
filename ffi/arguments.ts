// Checks of arguments, made before any system call. Each error names the argument,
// its value, the limit, and where the limit comes from.

const encoder = new TextEncoder();

/** `NAME_MAX` of <limits.h>: bytes in one component of a path. */
export const NAME_MAX = 255;
/** `PATH_MAX` of <limits.h>: bytes in a path, its NUL included. */
export const PATH_MAX = 4096;

const SHOWN = 200; // the most characters of a string in an error message
const { toString } = Object.prototype;

/** A value in an error message. Of an object only its kind: it may be large. */
export function show(value: unknown): string {
  if (typeof value === "string") {
    return value.length > SHOWN
      ? `${JSON.stringify(value.slice(0, SHOWN))}...`
      : JSON.stringify(value);
  }
  if (typeof value === "bigint") return `${value}n`;
  const isObject = typeof value === "object" && value !== null;
  return isObject || typeof value === "function"
    ? toString.call(value)
    : String(value);
}

/** What one of several words stands for. */
export function choose<Choice>(
  name: string,
  value: unknown,
  choices: Readonly<Record<string, Choice>>,
): Choice {
  if (typeof value === "string" && Object.hasOwn(choices, value)) {
    return choices[value]!;
  }
  const words = Object.keys(choices).map((word) => `"${word}"`);
  throw new TypeError(
    `Argument "${name}" must be one of ${words.join(", ")}: ${show(value)}`,
  );
}

/** An integer from `min` to `max`; `origin` says where the bounds come from. */
export function checkInteger(
  name: string,
  value: unknown,
  min: number,
  max: number,
  origin: string,
): asserts value is number {
  const isInteger = typeof value === "number" && Number.isInteger(value);
  if (isInteger && value >= min && value <= max) return;
  throw integerError(name, value, min, max, origin);
}

// A function of its own: V8 inlines short functions only.
function integerError(
  name: string,
  value: unknown,
  min: number,
  max: number,
  origin: string,
): TypeError | RangeError {
  if (typeof value !== "number") {
    return new TypeError(`Argument "${name}" must be a number: ${show(value)}`);
  }
  return new RangeError(
    `Argument "${name}" must be an integer from ${min} to ${max} (${origin}): ${value}`,
  );
}

/** A count of bytes that a JavaScript view can have: at least `min`. */
export function checkSize(name: string, value: unknown, min = 1): void {
  const max = Number.MAX_SAFE_INTEGER;
  checkInteger(name, value, min, max, "size_t, as an exact number");
}

/** Permission bits: `mode_t` without the file type. */
export function checkMode(mode: unknown): asserts mode is number {
  checkInteger("mode", mode, 0, 0o777, "permission bits 0o000 to 0o777");
}

/** A file descriptor number. */
export function checkFd(fd: unknown, name = "fd"): asserts fd is number {
  checkInteger(name, fd, 0, 0x7fffffff, "int");
}

// A caller's array may be of a subclass, or have properties of its own, that return
// another length or buffer the second time, or close the memory when they are read.
// So bytes are read with the accessors that the language itself defines.
const typedArray: Uint8Array = Object.getPrototypeOf(Uint8Array.prototype);
const { bind, call } = Function.prototype;

/** A method as a function of its object: half the time of `Reflect.apply`. */
const unbound = bind.bind(call as never) as <Result, Rest extends unknown[]>(
  method: (...rest: Rest) => Result,
) => (object: unknown, ...rest: Rest) => Result;

function intrinsic<T>(key: string | symbol): (object: unknown) => T {
  return unbound(Object.getOwnPropertyDescriptor(typedArray, key)!.get!);
}

const tagOf = intrinsic<string | undefined>(Symbol.toStringTag);
const set = unbound(typedArray.set);

/** The bytes that a `Uint8Array` has now; 0 when its buffer is detached. */
export const byteLengthOf: (bytes: Uint8Array) => number = intrinsic(
  "byteLength",
);

/** The position of a `Uint8Array` in its buffer. */
export const byteOffsetOf: (bytes: Uint8Array) => number = intrinsic(
  "byteOffset",
);

/** The buffer behind a `Uint8Array`. */
export const bufferOf: (bytes: Uint8Array) => ArrayBuffer = intrinsic("buffer");

/** A part of a `Uint8Array` as a plain `Uint8Array` over the same memory. */
export function viewOf(
  bytes: Uint8Array,
  start = 0,
  end: number = byteLengthOf(bytes),
): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    bufferOf(bytes),
    byteOffsetOf(bytes) + start,
    Math.max(end - start, 0),
  );
}

/** The first bytes of a `Uint8Array`: itself, if it has no more. */
export function firstOf<T extends Uint8Array>(
  bytes: T,
  length: number,
): T | Uint8Array<ArrayBuffer> {
  return byteLengthOf(bytes) === length ? bytes : viewOf(bytes, 0, length);
}

/** A copy of a `Uint8Array` as a plain `Uint8Array`. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(byteLengthOf(bytes));
  setBytes(copy, bytes);
  return copy;
}

/** `target.set(source, offset)`, for subclasses, too. */
export function setBytes(
  target: Uint8Array,
  source: Uint8Array,
  offset = 0,
): void {
  set(target, source, offset);
}

/** Whether a value is a `Uint8Array`, or of a subclass, of any realm. */
export function isBytes(value: unknown): value is Uint8Array<ArrayBuffer> {
  return tagOf(value) === "Uint8Array";
}

/** Bytes that a system call may read or fill. */
export function checkBytes(
  name: string,
  value: unknown,
): asserts value is Uint8Array<ArrayBuffer> {
  if (isBytes(value)) return;
  const hint = typeof value === "string"
    ? "; a TextEncoder makes one of a string"
    : "";
  throw new TypeError(
    `Argument "${name}" must be a Uint8Array: ${show(value)}${hint}`,
  );
}

/** Refuses memory that was closed, or made smaller, before all of it was sent. */
export function checkKept(
  name: string,
  bytes: Uint8Array,
  length: number,
): void {
  const now = byteLengthOf(bytes);
  if (now >= length) return;
  throw new TypeError(
    `Argument "${name}" must keep its bytes until they are sent: ` +
      `of ${length} it has ${now}`,
  );
}

/** A string as C sees it: UTF-8, closed by the only NUL in it. */
export function cString(name: string, value: unknown): Uint8Array<ArrayBuffer> {
  if (typeof value !== "string") {
    throw new TypeError(`Argument "${name}" must be a string: ${show(value)}`);
  }
  if (!value.isWellFormed()) {
    throw new TypeError(
      `Argument "${name}" must not contain lone surrogates: ${show(value)}`,
    );
  }
  if (value.includes("\0")) {
    throw new TypeError(
      `Argument "${name}" must not contain NUL: ${show(value)}`,
    );
  }
  return encoder.encode(value + "\0");
}

/** A path of the file system as a C string. */
export function cPath(path: unknown, name = "path"): Uint8Array<ArrayBuffer> {
  const bytes = cString(name, path);
  if (bytes.length === 1) {
    throw new TypeError(`Argument "${name}" must not be empty`);
  }
  if (bytes.length > PATH_MAX) {
    throw new RangeError(
      `Argument "${name}" must be at most ${PATH_MAX - 1} bytes of UTF-8 ` +
        `(PATH_MAX): ${bytes.length - 1} bytes`,
    );
  }
  checkComponents(name, bytes.subarray(0, -1), "bytes of UTF-8");
  return bytes;
}

const SLASH = "/".charCodeAt(0);

/** Checks that no component of a path is longer than file systems allow. */
export function checkComponents(
  name: string,
  path: Uint8Array,
  unit: string,
): void {
  for (let start = 0; start <= path.length;) {
    const slash = path.indexOf(SLASH, start);
    const end = slash === -1 ? path.length : slash;
    if (end - start > NAME_MAX) {
      throw new RangeError(
        `Argument "${name}" must have components of at most ${NAME_MAX} ` +
          `${unit} (NAME_MAX): ${end - start} bytes`,
      );
    }
    start = end + 1;
  }
}

/**
 * The name of a POSIX IPC object as a C string: a slash, then 1 to `max` bytes
 * without another slash.
 */
export function cName(name: unknown, max: number): Uint8Array<ArrayBuffer> {
  const bytes = cString("name", name);
  const text = name as string;
  if (!text.startsWith("/") || text.indexOf("/", 1) !== -1) {
    throw new TypeError(
      `Argument "name" must start with "/" and have no other: ${show(text)}`,
    );
  }
  const length = bytes.length - 2; // without the slash and the NUL
  if (length < 1 || length > max) {
    throw new RangeError(
      `Argument "name" must have 1 to ${max} bytes of UTF-8 after its "/" ` +
        `(NAME_MAX): ${length} bytes`,
    );
  }
  if (text === "/." || text === "/..") {
    throw new TypeError(`Argument "name" must not be ${show(text)}`);
  }
  return bytes;
}

/**
 * A System V IPC key as C's `key_t`. `null` is `IPC_PRIVATE`, where that is
 * allowed; 0, which is `IPC_PRIVATE` to C, is rejected: probably a mistake.
 */
export function cKey(key: unknown, allowPrivate: boolean): number {
  if (key === null && allowPrivate) return 0;
  const origin = "key_t, or the same 32 bits unsigned";
  checkInteger("key", key, -0x80000000, 0xffffffff, origin);
  if (key === 0) {
    const instead = allowPrivate
      ? "pass null for a private object"
      : "it names no object";
    throw new RangeError(
      `Argument "key" must not be 0 (IPC_PRIVATE): ${instead}`,
    );
  }
  return key | 0;
}

/** A key as an unsigned number: the same 32 bits as `key_t`. */
export function unsignedKey(key: number): number {
  return key >>> 0;
}

/** A key as ipcs(1) shows it, such as `0x1234`. */
export function showKey(key: number): string {
  return `0x${unsignedKey(key).toString(16)}`;
}
