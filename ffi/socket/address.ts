// Addresses of Unix domain sockets: sockaddr_un and its TypeScript types, converted
// and checked.

import {
  checkBytes,
  checkComponents,
  copyOf,
  cPath,
  isBytes,
  PATH_MAX,
  show,
} from "../arguments.ts";
import { check, type Subject } from "../libc/errno.ts";
import { AF_UNIX, sysSocket } from "../libc/sys_socket.ts";
import { SIZEOF_SUN_PATH, sockaddrUn } from "../libc/sys_un.ts";
import { unistd } from "../libc/unistd.ts";

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
 * A path that a string cannot represent: one that is not UTF-8, or that begins with "@".
 */
export interface PathAddress {
  /** The path, of 1 to 4095 bytes of any value but NUL. */
  readonly path: Uint8Array<ArrayBuffer>;
  /** Absent; an {@linkcode AbstractAddress} has it. */
  readonly abstract?: undefined;
}

/**
 * The address of a Unix domain socket: a path of UTF-8, a path of other bytes, or a name
 * in the abstract namespace.
 *
 * A `sockaddr_un` has room for a path of 108 bytes. A longer one is reached through a
 * descriptor of its directory or of the socket file and its link in `/proc/self/fd`. To
 * be bound to a longer one takes that descriptor as long as the socket is open; its peers
 * in other programs see the address `/proc/PID/fd/N/NAME`, which is valid for that time
 * for processes of the same user. This module translates it back. If NAME has more than
 * 80 bytes, its peers see an address that they cannot reply to. Where /proc is not mounted,
 * a long path is a `Deno.errors.NotSupported`.
 *
 * A string that begins with "@" is an abstract name, as `ss(8)`, systemd and the errors of
 * this module write it: "@name" is `{ abstract: "name" }`. A file whose name begins with
 * "@" needs its directory: "./@name".
 *
 * @example Both forms of an abstract name
 * ```ts
 * import { UnixListener, UnixStream } from "@linux/ipc/socket";
 * import { assertEquals } from "@std/assert";
 *
 * using listener = UnixListener.listen(`@echo-${Deno.pid}`);
 * assertEquals(listener.localAddress, { abstract: `echo-${Deno.pid}` });
 * using client = UnixStream.connectSync({ abstract: `echo-${Deno.pid}` });
 * assertEquals(client.remoteAddress, listener.localAddress);
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man7/unix.7.html | unix(7)}
 */
export type UnixAddress = string | PathAddress | AbstractAddress;

/** The maximum bytes of an abstract name: a NUL precedes it. */
const MAX_NAME = SIZEOF_SUN_PATH - 1;
const PREFIX = sockaddrUn.offsets.sun_path; // sizeof (sa_family_t)
const WORD = 4; // bytes

/** The next multiple of a word. */
function roundUp(length: number): number {
  return (length + WORD - 1) & -WORD;
}

const SLASH = "/".charCodeAt(0);
const LETTER_P = "p".charCodeAt(0);
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder("utf-8", { ignoreBOM: true });

/** The address that makes bind(2) choose a free abstract name. */
export const AUTOBIND: Uint8Array<ArrayBuffer> = sockaddrOf(new Uint8Array());

/** A sockaddr_un with these bytes as its sun_path. */
function sockaddrOf(sun_path: Uint8Array): Uint8Array<ArrayBuffer> {
  const address = new Uint8Array(PREFIX + sun_path.length);
  address.set(new Uint8Array(Uint16Array.of(AF_UNIX).buffer)); // sun_family
  address.set(sun_path, PREFIX);
  return address;
}

function checkLength(
  name: string,
  length: number,
  max: number,
  origin: string,
): void {
  if (length === 0) {
    throw new TypeError(`Argument "${name}" must not be empty`);
  }
  if (length > max) {
    throw new RangeError(
      `Argument "${name}" must be at most ${max} bytes (${origin}): ${length} bytes`,
    );
  }
}

function pathBytes(path: unknown): Uint8Array {
  checkBytes("address.path", path);
  const bytes = copyOf(path);
  checkLength("address.path", bytes.length, PATH_MAX - 1, "PATH_MAX");
  if (bytes.includes(0)) {
    throw new TypeError('Argument "address.path" must not contain NUL');
  }
  checkComponents("address.path", bytes, "bytes");
  return bytes;
}

/** The sockaddr_un of a path: a NUL follows it, but for one of exactly 108 bytes. */
export function encodePath(path: Uint8Array): Uint8Array<ArrayBuffer> {
  if (path.length === SIZEOF_SUN_PATH) return sockaddrOf(path);
  return sockaddrOf(Uint8Array.of(...path, 0));
}

function abstractName(name: unknown): Uint8Array {
  if (isBytes(name)) return copyOf(name);
  if (typeof name !== "string") {
    throw new TypeError(
      `Argument "address.abstract" must be a string or a Uint8Array: ${
        show(name)
      }`,
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

/** Whether a string is an abstract name, as ss(8) writes it. */
function isAbstract(address: unknown): address is string {
  return typeof address === "string" && address.startsWith("@");
}

/**
 * Encodes an address as a sockaddr_un, without unused bytes at its end. That of a long
 * path is too long for the kernel: see {@linkcode isTooLong}.
 */
export function encodeAddress(address: UnixAddress): Uint8Array<ArrayBuffer> {
  if (isAbstract(address)) address = { abstract: address.slice(1) };
  if (typeof address === "string") {
    return encodePath(cPath(address, "address").subarray(0, -1));
  }
  if (typeof address !== "object" || address === null) {
    throw new TypeError(
      'Argument "address" must be a string, or an object with "path" or "abstract": ' +
        show(address),
    );
  }
  const { path, abstract } = address;
  if (path === undefined) {
    const name = abstractName(abstract);
    const origin = "sun_path of sockaddr_un";
    checkLength("address.abstract", name.length, MAX_NAME, origin);
    return sockaddrOf(Uint8Array.of(0, ...name));
  }
  if (abstract === undefined) return encodePath(pathBytes(path));
  throw new TypeError(
    'Argument "address" must not have both "path" and "abstract"',
  );
}

/** Whether an encoded address has a path that is too long for a sockaddr_un. */
export function isTooLong(address: Uint8Array): boolean {
  return address.length > sockaddrUn.size;
}

/** Decodes an address that the kernel has written; null for an unnamed socket. */
export function decodeAddress(
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
): UnixAddress | null {
  return length <= PREFIX ? null : decodePath(bytes.slice(PREFIX, length));
}

/** The address that the bytes of a sun_path are. */
export function decodePath(name: Uint8Array<ArrayBuffer>): UnixAddress {
  if (name[0] !== 0) {
    const end = name.indexOf(0); // -1 for a path of 108 bytes
    const path = realPath(end === -1 ? name : name.slice(0, end));
    const text = textOf(path);
    return text === undefined || isAbstract(text) ? { path } : text;
  }
  const abstract = name.slice(1);
  return { abstract: textOf(abstract) ?? abstract };
}

/** An address whose text was decoded before. */
interface Known {
  readonly length: number;
  readonly words: Uint32Array;
  readonly text: string;
  readonly isAbstract: boolean;
}

const MAX_KNOWN = 64; // senders of datagrams; to decode one takes longer than to receive

/** Memory that the kernel writes an address to, again and again. */
export class AddressBuffer {
  // One byte more, at least: the kernel returns a path of 108 bytes with a NUL after it.
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(
    roundUp(sockaddrUn.size + 1),
  );
  readonly #words = new Uint32Array(this.bytes.buffer);
  readonly #known = new Map<number, Known>();

  /** Decodes the address, which has so many bytes; null for an unnamed socket. */
  decode(length: number): UnixAddress | null {
    if (length <= PREFIX) return null;
    const words = this.#words;
    const count = roundUp(length) / WORD;
    for (let at = length; at < count * WORD; at++) this.bytes[at] = 0;
    let hash = length;
    for (let at = 0; at < count; at++) {
      hash = Math.imul(hash ^ words[at]!, 0x01000193); // FNV-1a, of words
    }
    const known = this.#known.get(hash);
    if (known !== undefined && this.#is(known, length, count)) {
      const { text, isAbstract } = known;
      return isAbstract ? { abstract: text } : text;
    }
    const address = decodeAddress(this.bytes, length);
    this.#remember(hash, address, length, count);
    return address;
  }

  #is(known: Known, length: number, count: number): boolean {
    if (known.length !== length) return false;
    for (let at = 0; at < count; at++) {
      if (known.words[at] !== this.#words[at]) return false;
    }
    return true;
  }

  #remember(
    hash: number,
    address: UnixAddress | null,
    length: number,
    count: number,
  ): void {
    const isAbstract = typeof address === "object";
    const text = isAbstract ? address?.abstract : address;
    if (typeof text !== "string") return; // bytes belong to who receives them
    const [, , first, second] = this.bytes;
    if (first === SLASH && second === LETTER_P) return; // perhaps a link, which changes
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    const words = this.#words.slice(0, count);
    this.#known.set(hash, { length, words, text, isAbstract });
  }
}

// The address of a socket that is bound to a long path, see long_path.ts.
const LINK = /^\/proc\/\d+\/fd\/\d+(?=\/[^/]+$)/;

/** The path that the link of a long path leads to. */
function realPath(path: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (path[0] !== SLASH || path[1] !== LETTER_P) return path;
  const [link] = lenient.decode(path).match(LINK) ?? [];
  if (link === undefined) return path;
  const directory = new Uint8Array(PATH_MAX);
  const { readlink } = unistd();
  const length = readlink(cPath(link), directory, directory.length);
  // Another process may have closed it, or be of another user.
  if (length === -1 || directory[0] !== SLASH) return path;
  const name = path.subarray(path.lastIndexOf(SLASH));
  return Uint8Array.of(...directory.subarray(0, length), ...name);
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
  return name.at(-1) === 0 ? name : Uint8Array.of(...name, 0);
}

/** The name of an address in error messages: a path, or an abstract name after "@". */
function describeAddress(address: UnixAddress | null): string {
  if (address === null) return "Unix socket";
  if (typeof address !== "object") return String(address);
  const { path, abstract } = address;
  if (path !== undefined) {
    const text = lenient.decode(path);
    return isAbstract(text) ? `./${text}` : text;
  }
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
