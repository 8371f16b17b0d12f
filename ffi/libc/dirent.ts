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

/** The names in a directory, without `.` and `..`, in no order. */
export function namesIn(directory: string): string[] {
  const path = new TextEncoder().encode(`${directory}\0`);
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
  const decoder = new TextDecoder();
  const { getdents64 } = unistd();
  const read = () => getdents64(NUMBER, fd, buffer, COUNT);
  let size: number;
  while ((size = checkRetrying(read, "getdents64", directory)) > 0) {
    for (let offset = 0; offset < size;) {
      // Fields alone: directories of /proc have hundreds of thousands of entries.
      const name = offset + nameAt;
      const length = view.getUint16(offset + lengthAt, true);
      offset += length;
      yield decoder.decode(buffer.subarray(name, buffer.indexOf(0, name)));
    }
  }
}
