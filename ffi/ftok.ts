// The keys that C programs agree on by a path.

import { checkInteger, cPath } from "./arguments.ts";
import { check } from "./libc/errno.ts";
import { sysIpc } from "./libc/sys_ipc.ts";

/**
 * `ftok(path, id)`: the key of System V objects that all programs get which name the
 * same file and the same number.
 *
 * Different files may give the same key: it has 16 bits of the inode number, 8 of
 * the device's, and 8 of the id.
 *
 * @param path A file that exists. At most 4095 bytes of UTF-8.
 * @param id A number from 1 to 255, or the code of an ASCII letter as in C.
 * @returns The key.
 * @throws {TypeError} If the path is empty or contains NUL.
 * @throws {RangeError} If the path is too long, or the id is out of range.
 * @throws {IpcError} ENOENT if there is no such file, EACCES, ENOTDIR, ELOOP.
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
  // -1 is also how the call fails; a key of -1 is as good as none.
  return check(sysIpc().ftok(bytes, id), "ftok", path);
}
