// <dirent.h>

import { checkRetrying } from "./errno.ts";
import { fcntl, O_CLOEXEC, O_DIRECTORY } from "./fcntl.ts";
import { SYS_getdents64 } from "./sys_syscall.ts";
import { unistd } from "./unistd.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const dirent64Fields = {
  d_ino: "u64",
  d_off: "i64",
  d_reclen: "u16",
  d_type: "u8",
  d_name: 256,
} as const;

/** struct dirent64; one in a directory's bytes ends after the NUL of its name. */
export const dirent64: CStruct<typeof dirent64Fields> = cStruct(dirent64Fields);

const COUNT = 8192; // bytes of one getdents64
const NUMBER = BigInt(SYS_getdents64);

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const ESCAPED = 0xdc00; // and the byte: a lone surrogate, which no UTF-8 can be

/** The number of bytes of the character that begins with this one. */
function sizeOfCharacter(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/**
 * The name of a file as text. A name can have any bytes but NUL and the slash: one that is
 * not of UTF-8 becomes a lone surrogate, U+DC80 to U+DCFF, as in Python.
 */
export function decodeName(bytes: Uint8Array<ArrayBuffer>): string {
  try {
    return strict.decode(bytes);
  } catch {
    let text = "";
    for (let at = 0; at < bytes.length;) {
      const end = at + sizeOfCharacter(bytes[at]!);
      try {
        text += strict.decode(bytes.subarray(at, end));
        at = end;
      } catch {
        text += String.fromCharCode(ESCAPED + bytes[at]!);
        at++;
      }
    }
    return text;
  }
}

/** The bytes of a name that {@linkcode decodeName} made, and a NUL. */
export function encodeName(text: string): Uint8Array<ArrayBuffer> {
  if (text.isWellFormed()) return encoder.encode(`${text}\0`);
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code > ESCAPED && code <= ESCAPED + 0xff) bytes.push(code - ESCAPED);
    else bytes.push(...encoder.encode(character));
  }
  return Uint8Array.of(...bytes, 0);
}

/** The names in a directory, without `.` and `..`, in no order. */
export function namesIn(directory: string): string[] {
  const path = encoder.encode(`${directory}\0`);
  const { open } = fcntl();
  const flags = O_DIRECTORY | O_CLOEXEC;
  const fd = checkRetrying(() => open(path, flags, 0), "open", directory);
  try {
    return Array.from(entriesOf(fd, directory))
      .filter((name) => name !== "." && name !== "..");
  } finally {
    unistd().close(fd);
  }
}

/** The names in an open directory, in no order. */
export function* entriesOf(fd: number, directory: string): Generator<string> {
  const buffer = new Uint8Array(COUNT);
  const view = new DataView(buffer.buffer);
  const { d_reclen: lengthAt, d_name: nameAt } = dirent64.offsets;
  const { getdents64 } = unistd();
  const read = () => getdents64(NUMBER, fd, buffer, COUNT);
  let size: number;
  while ((size = checkRetrying(read, "getdents64", directory)) > 0) {
    for (let offset = 0; offset < size;) {
      // Fields alone: directories of /proc have hundreds of thousands of entries.
      const name = offset + nameAt;
      const length = view.getUint16(offset + lengthAt, true);
      offset += length;
      yield decodeName(buffer.subarray(name, buffer.indexOf(0, name)));
    }
  }
}
