// ftok(3): the key of a System V object, derived from a path and a number.

import { checkInteger, cPath, unsignedKey } from "./arguments.ts";
import { check } from "./libc/errno.ts";
import { sysIpc } from "./libc/sys_ipc.ts";

/**
 * `ftok(path, id)`: returns a key for System V objects. All programs that pass the same
 * file and the same id get the same key.
 *
 * Different files can give the same key: it consists of 16 bits of the inode number,
 * 8 bits of the device number, and the 8 bits of the id.
 *
 * @param path A file that exists. At most 4095 bytes of UTF-8.
 * @param id A number from 1 to 255: in C often the code of an ASCII letter.
 * @returns The key, from 0 to 0xffffffff. (C's `key_t` is signed; the bits are the same.)
 * @throws {TypeError} If the path is empty or contains NUL.
 * @throws {RangeError} If the path is too long, or the id is out of range.
 * @throws {IpcError} ENOENT if the file does not exist; EACCES, ENOTDIR, ELOOP.
 *
 * @example The same file, the same key
 * ```ts
 * import { ftok } from "@linux/ipc/message-queue";
 * import { assertEquals, assertNotEquals } from "@std/assert";
 *
 * assertEquals(ftok("/etc", 1), ftok("/etc/.", 1));
 * assertNotEquals(ftok("/etc", 1), ftok("/etc", 2));
 * ```
 *
 * @see {@link https://man7.org/linux/man-pages/man3/ftok.3.html | ftok(3)}
 */
export function ftok(path: string, id: number): number {
  const bytes = cPath(path);
  checkInteger("id", id, 1, 255, "the 8 bits of proj_id that ftok uses, not 0");
  // The key -1 cannot be told from a failure.
  return unsignedKey(check(sysIpc().ftok(bytes, id), "ftok", path));
}
