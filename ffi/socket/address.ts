// Addresses of Unix domain sockets: sockaddr_un, and what it is in TypeScript.

import { checkBytes, copyOf, cString, isBytes } from "../arguments.ts";
import { check, type Subject } from "../libc/errno.ts";
import { AF_UNIX, sysSocket } from "../libc/sys_socket.ts";
import { SIZEOF_SUN_PATH, sockaddrUn } from "../libc/sys_un.ts";

/**
 * A name in the abstract namespace: it belongs to no file system, has no
 * permissions, and goes with the last socket that has it.
 */
export interface AbstractAddress {
  /**
   * The name, of 1 to 107 bytes: text (as UTF-8), or bytes of any value. An
   * address that this module returns has text, if the bytes are UTF-8.
   */
  readonly abstract: string | Uint8Array<ArrayBuffer>;
  /** Tells it from a {@linkcode PathAddress}. */
  readonly path?: undefined;
}

/**
 * A path that a string cannot say. An address that this module returns is one only if
 * the path is not UTF-8, or so long that no NUL follows it (108 bytes); another program
 * has bound such a socket.
 */
export interface PathAddress {
  /** The path, of 1 to 108 bytes of any value but NUL. */
  readonly path: Uint8Array<ArrayBuffer>;
  /** Tells it from an {@linkcode AbstractAddress}. */
  readonly abstract?: undefined;
}

/**
 * Where a Unix domain socket is: a path of at most 107 bytes of UTF-8, a path of
 * other bytes, or a name in the abstract namespace.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export type UnixAddress = string | PathAddress | AbstractAddress;

/** The most bytes of a name: a path has a NUL behind it, the other before it. */
const MAX_NAME = SIZEOF_SUN_PATH - 1;
const PREFIX = sockaddrUn.offsets.sun_path; // sizeof (sa_family_t)

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** The address that has the kernel pick a free abstract name at bind. */
export const AUTOBIND: Uint8Array<ArrayBuffer> = sockaddrUn.encode({
  sun_family: AF_UNIX,
  sun_path: new Uint8Array(SIZEOF_SUN_PATH),
}).subarray(0, PREFIX);

function checkLength(name: string, length: number, max = MAX_NAME): void {
  if (length === 0) {
    throw new TypeError(`Argument "${name}" must not be empty`);
  }
  if (length > max) {
    throw new RangeError(
      `Argument "${name}" must be at most ${max} bytes of UTF-8 ` +
        `(sun_path of sockaddr_un): ${length} bytes`,
    );
  }
}

function pathBytes(path: unknown): Uint8Array {
  checkBytes("address.path", path);
  const bytes = copyOf(path);
  checkLength("address.path", bytes.length, SIZEOF_SUN_PATH);
  if (bytes.includes(0)) {
    throw new TypeError('Argument "address.path" must not contain NUL');
  }
  return bytes;
}

function abstractName(name: unknown): Uint8Array {
  if (isBytes(name)) return copyOf(name);
  if (typeof name !== "string") {
    throw new TypeError(
      'Argument "address.abstract" must be a string or a Uint8Array',
    );
  }
  if (!name.isWellFormed()) {
    throw new TypeError(
      `Argument "address.abstract" must not contain lone surrogates: ${
        JSON.stringify(name)
      }`,
    );
  }
  return encoder.encode(name);
}

/** The address as bind, connect and sendmsg want it, exactly as long as it is. */
export function encodeAddress(address: UnixAddress): Uint8Array<ArrayBuffer> {
  const sun_path = new Uint8Array(SIZEOF_SUN_PATH);
  let length: number;
  if (typeof address === "object" && address !== null) {
    const { path, abstract } = address;
    if (path !== undefined && abstract !== undefined) {
      throw new TypeError(
        'Argument "address" must not have both "path" and "abstract"',
      );
    }
    if (path !== undefined) {
      const bytes = pathBytes(path);
      sun_path.set(bytes);
      length = Math.min(bytes.length + 1, SIZEOF_SUN_PATH);
    } else {
      const name = abstractName(abstract);
      checkLength("address.abstract", name.length);
      sun_path.set(name, 1);
      length = name.length + 1;
    }
  } else {
    const path = cString("address", address);
    checkLength("address", path.length - 1);
    sun_path.set(path);
    length = path.length;
  }
  const whole = sockaddrUn.encode({ sun_family: AF_UNIX, sun_path });
  return whole.subarray(0, PREFIX + length);
}

/** What the kernel has written: null for a socket without a name. */
export function decodeAddress(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): UnixAddress | null {
  if (length <= PREFIX) return null;
  const name = bytes.slice(PREFIX, length);
  if (name[0] !== 0) {
    const end = name.indexOf(0); // none behind a path of 108 bytes
    const path = end === -1 ? name : name.slice(0, end);
    return path.length <= MAX_NAME && textOf(path) || { path };
  }
  const abstract = name.slice(1);
  return { abstract: textOf(abstract) ?? abstract };
}

/** The text of a name; undefined if its bytes are not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The path of an encoded address as a C string; undefined if it is not a path. */
export function pathOf(
  address: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | undefined {
  const name = address.subarray(PREFIX);
  if (name.length === 0 || name[0] === 0) return undefined;
  const path = new Uint8Array(SIZEOF_SUN_PATH + 1);
  path.set(name);
  return path.subarray(0, path.indexOf(0) + 1);
}

/** What errors call an address: a path, or the name after an "@". */
function describeAddress(address: UnixAddress | null): string {
  if (address === null) return "Unix socket";
  if (typeof address !== "object") return String(address);
  const { path, abstract } = address;
  if (path !== undefined) return lenient.decode(path);
  return `@${
    typeof abstract === "string" ? abstract : lenient.decode(abstract)
  }`;
}

/** What errors call an encoded address. */
export function describeName(name: Uint8Array<ArrayBuffer>): string {
  return describeAddress(decodeAddress(name, name.length));
}

/** The address of this side of a socket, or of the other. */
export function addressOf(
  syscall: "getsockname" | "getpeername",
  fd: number,
  subject: Subject,
): UnixAddress | null {
  // One more: a path of 108 bytes is told with a NUL behind it.
  const bytes = new Uint8Array(sockaddrUn.size + 1);
  const length = Uint32Array.of(bytes.length);
  check(sysSocket()[syscall](fd, bytes, length), syscall, subject);
  return decodeAddress(bytes, Math.min(length[0]!, bytes.length));
}
