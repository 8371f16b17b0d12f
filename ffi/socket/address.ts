// Addresses of Unix domain sockets: sockaddr_un and its TypeScript types, converted
// and checked.

import { checkBytes, copyOf, cString, isBytes } from "../arguments.ts";
import { check, type Subject } from "../libc/errno.ts";
import { AF_UNIX, sysSocket } from "../libc/sys_socket.ts";
import { SIZEOF_SUN_PATH, sockaddrUn } from "../libc/sys_un.ts";

/**
 * A name in the abstract namespace. It has no file and no permissions, and disappears
 * when the last socket with that name is closed.
 */
export interface AbstractAddress {
  /**
   * The name, of 1 to 107 bytes: a string (as UTF-8), or bytes of any value. In an
   * address that this module returns it is a string if the bytes are UTF-8.
   */
  readonly abstract: string | Uint8Array<ArrayBuffer>;
  /** Absent; a {@linkcode PathAddress} has it. */
  readonly path?: undefined;
}

/**
 * A path that a string cannot represent: one that is not UTF-8, or that has 108 bytes,
 * so that no NUL follows it. Other programs can bind such sockets.
 */
export interface PathAddress {
  /** The path, of 1 to 108 bytes of any value but NUL. */
  readonly path: Uint8Array<ArrayBuffer>;
  /** Absent; an {@linkcode AbstractAddress} has it. */
  readonly abstract?: undefined;
}

/**
 * The address of a Unix domain socket: a path of at most 107 bytes of UTF-8, a path of
 * other bytes, or a name in the abstract namespace.
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export type UnixAddress = string | PathAddress | AbstractAddress;

/** The maximum bytes of a name: a NUL follows a path, and precedes an abstract name. */
const MAX_NAME = SIZEOF_SUN_PATH - 1;
const PREFIX = sockaddrUn.offsets.sun_path; // sizeof (sa_family_t)

const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** The address that makes bind(2) choose a free abstract name. */
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

/** Encodes an address as a sockaddr_un, without unused bytes at its end. */
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
  const encoded = sockaddrUn.encode({ sun_family: AF_UNIX, sun_path });
  return encoded.subarray(0, PREFIX + length);
}

/** Decodes an address that the kernel has written; null for an unnamed socket. */
export function decodeAddress(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): UnixAddress | null {
  if (length <= PREFIX) return null;
  const name = bytes.slice(PREFIX, length);
  if (name[0] !== 0) {
    const end = name.indexOf(0); // -1 for a path of 108 bytes
    const path = end === -1 ? name : name.slice(0, end);
    return path.length <= MAX_NAME && textOf(path) || { path };
  }
  const abstract = name.slice(1);
  return { abstract: textOf(abstract) ?? abstract };
}

/** Decodes UTF-8; undefined for other bytes. */
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

/** The name of an address in error messages: a path, or an abstract name after "@". */
function describeAddress(address: UnixAddress | null): string {
  if (address === null) return "Unix socket";
  if (typeof address !== "object") return String(address);
  const { path, abstract } = address;
  if (path !== undefined) return lenient.decode(path);
  return `@${
    typeof abstract === "string" ? abstract : lenient.decode(abstract)
  }`;
}

/** The name of an encoded address in error messages. */
export function describeName(name: Uint8Array<ArrayBuffer>): string {
  return describeAddress(decodeAddress(name, name.length));
}

/** getsockname(2) or getpeername(2) */
export function addressOf(
  syscall: "getsockname" | "getpeername",
  fd: number,
  subject: Subject,
): UnixAddress | null {
  // One byte more: the kernel returns a path of 108 bytes with a NUL after it.
  const bytes = new Uint8Array(sockaddrUn.size + 1);
  const length = Uint32Array.of(bytes.length);
  check(sysSocket()[syscall](fd, bytes, length), syscall, subject);
  return decodeAddress(bytes, Math.min(length[0]!, bytes.length));
}
