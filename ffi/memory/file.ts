// Mapping files: those of a file system, of /dev/shm, and memfd's.

import { checkSize } from "../arguments.ts";
import {
  checkAddress,
  checkNumber,
  checkRetrying,
  EFBIG,
  EINTR,
  EPERM,
  errno,
  ipcError,
  isNoAddress,
} from "../libc/errno.ts";
import { checkMemory, isLarge } from "../kernel/cgroup.ts";
import { fcntl } from "../libc/fcntl.ts";
import { type MappedRange, mappedRanges } from "../kernel/maps.ts";
import { type Access, Mapping, roundUp } from "../kernel/mapping.ts";
import {
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  sysMman,
} from "../libc/sys_mman.ts";
import {
  HUGETLBFS_MAGIC,
  SIZEOF_STATFS,
  sysVfs,
  TMPFS_MAGIC,
} from "../libc/sys_vfs.ts";
import { resourceLimit, RLIMIT_FSIZE } from "../libc/sys_resource.ts";
import {
  type FileStatus,
  S_IFMT,
  S_IFREG,
  statusOfFd,
} from "../libc/sys_stat.ts";
import { pageSize, unistd } from "../libc/unistd.ts";

/** Which part of a file is mapped. */
export interface RangeOptions {
  /**
   * Where the mapping begins in the file, in bytes; it need not be the beginning
   * of a page.
   *
   * @default {0}
   */
  offset?: number | undefined;
  /**
   * The length of the mapping in bytes.
   *
   * @default {to the end of the file}
   */
  length?: number | undefined;
}

/** A range of a file, found to lie inside it. */
export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** A file that can be mapped. */
export interface MappableFile {
  readonly fd: number;
  /** What errors call it. */
  readonly subject: string;
}

/** How a file is made larger, or smaller. */
export interface ResizeOptions {
  /**
   * Whether the file may become smaller. A process that has mapped pages that go is
   * ended by SIGBUS when it touches them, so it is refused while this one has. It
   * asks /proc/self/maps; what another thread maps in that very moment is not seen.
   *
   * @default {false}
   */
  shrink?: boolean | undefined;
  /**
   * Whether to take the room for what is new at once, so that there is an error
   * now if it is not there.
   *
   * @default {true}
   */
  reserve?: boolean | undefined;
}

// What callers hand in is read once, and before anything is looked at: a getter
// could say something else the second time, or close the memory.

/** Checks a range before anything is known of the file. */
export function checkRange(options: RangeOptions | undefined): RangeOptions {
  const { offset, length } = options ?? {};
  checkSize("offset", offset ?? 0, 0);
  checkSize("length", length ?? 1);
  return { offset, length };
}

/** How to change a size, with what is the default filled in. */
export function resizeOptions(
  options: ResizeOptions | undefined,
  reserveByDefault = true,
): Required<ResizeOptions> {
  const { shrink = false, reserve = reserveByDefault } = options ?? {};
  return { shrink, reserve };
}

/** The part of a file that was asked for, if there is that much. */
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
        `(what ${subject} has from offset ${offset}): ${length}`,
    );
  }
  return { offset, length };
}

/** The status of a file, if it is one that has a size and can be mapped. */
export function regularStatus({ fd, subject }: MappableFile): FileStatus {
  const status = statusOfFd(fd, subject);
  if ((status.stx_mode & S_IFMT) !== S_IFREG) {
    throw new TypeError(`Cannot map ${subject}: it is not a regular file`);
  }
  return status;
}

/** The size of a file in bytes, now. */
export function sizeOf(file: MappableFile): number {
  return Number(statusOfFd(file.fd, file.subject).stx_size);
}

const FLAGS: Record<Access, number> = {
  shared: MAP_SHARED,
  readonly: MAP_SHARED,
  private: MAP_PRIVATE,
};

/** Maps a range, which is in the file; `flags` are more of those of mmap. */
export function mapFile(
  file: MappableFile,
  range: Range,
  access: Access,
  flags = 0,
  status: FileStatus = regularStatus(file),
): Mapping {
  const { fd, subject } = file;
  const unit = pageSizeOf(file, status);
  const readonly = access === "readonly";
  const protection = readonly ? PROT_READ : PROT_READ | PROT_WRITE;
  // The kernel maps from the beginning of a page; the view begins where asked.
  const skip = range.offset % pageSize();
  const takesMemory = access === "private" ||
    (isLarge(range.length) && isInMemory(fd));
  if (takesMemory && (flags & MAP_POPULATE) !== 0) {
    const present = access === "private" ? 0 : bytesIn(status);
    checkMemory(range.length - present, "mmap", subject);
  }
  const length = BigInt(range.length + skip);
  const offset = BigInt(range.offset - skip);
  const { mmap } = sysMman();
  const map = (kind: number) =>
    mmap(0n, length, protection, kind | flags, fd, offset);
  let start = map(FLAGS[access]);
  // Before Linux 6.7 a file that is sealed against writes can be mapped as private
  // only, which is the same then.
  if (isNoAddress(start) && readonly && errno() === EPERM) {
    start = map(MAP_PRIVATE);
  }
  return new Mapping({
    address: checkAddress(start, "mmap", subject) + BigInt(skip),
    length: range.length,
    subject,
    access,
    takesMemory,
    unit,
  });
}

/** Whether the file is nowhere but in memory: one of /dev/shm, or a memfd. */
function isInMemory(fd: number): boolean {
  return fileSystem(fd)[0] === BigInt(TMPFS_MAGIC);
}

/** `struct statfs`, of which the type comes first, then the size of a block. */
function fileSystem(fd: number): BigInt64Array {
  const statfs = new BigInt64Array(SIZEOF_STATFS / 8);
  sysVfs().fstatfs(fd, statfs);
  return statfs;
}

/** The bytes that a file takes now, without its holes. */
function bytesIn({ stx_blocks }: FileStatus): number {
  return Number(stx_blocks) * 512;
}

/** What munmap counts in: a huge file is mapped in huge pages only. */
function pageSizeOf({ fd }: MappableFile, status: FileStatus): bigint {
  const page = BigInt(pageSize());
  if (BigInt(status.stx_blksize) <= page) return page;
  const [type, block] = fileSystem(fd);
  return type === BigInt(HUGETLBFS_MAGIC) ? block! : page;
}

const PROBE = "---p"; // what nobody may touch

/**
 * Where in this process a file is mapped, on whichever thread. What it is called in
 * /proc/self/maps, is asked by mapping it: on some file systems not as fstat says.
 */
function rangesOf({ fd, subject }: MappableFile, unit: bigint): MappedRange[] {
  const { mmap, munmap } = sysMman();
  const flags = MAP_PRIVATE | MAP_NORESERVE;
  const address = mmap(0n, unit, PROT_NONE, flags, fd, 0n);
  const probe = checkAddress(address, "mmap", subject);
  let ranges: MappedRange[];
  try {
    ranges = mappedRanges() ?? [];
  } finally {
    munmap(probe, unit);
  }
  const own = ranges.find(({ start, end }) => start <= probe && probe < end);
  if (own === undefined) {
    throw new Deno.errors.NotSupported(
      `Cannot shrink ${subject}: /proc/self/maps does not tell who has mapped it`,
    );
  }
  return ranges.filter(({ file, permissions }) =>
    file === own.file && permissions !== PROBE
  );
}

/**
 * Makes sure that nobody in this process has mapped pages beyond what a file will
 * have: to touch them would end the process with SIGBUS. The mapping that makes room
 * itself is none of them, unless a call on another thread uses it.
 */
function checkShrink(file: MappableFile, size: number, own?: Mapping): void {
  const unit = pageSizeOf(file, statusOfFd(file.fd, file.subject));
  const left = roundUp(BigInt(size), unit);
  const isOwn = (from: bigint, to: bigint) =>
    own !== undefined && own.start <= from &&
    to <= own.start + own.extent;
  const inTheWay = own?.pinned ||
    rangesOf(file, unit).some(({ start, end, offset }) => {
      const from = offset > left ? start : start + left - offset;
      return from < end && !isOwn(from, end);
    });
  if (!inTheWay) return;
  throw new TypeError(
    `Cannot shrink ${file.subject} to ${size} bytes: this process has mapped, or ` +
      "waits in, what is beyond",
  );
}

/** Refuses a size at which the kernel would end the process with SIGXFSZ. */
function checkFileSize(size: number, syscall: string, subject: string): void {
  const limit = resourceLimit("RLIMIT_FSIZE", RLIMIT_FSIZE);
  if (size > limit.value) throw ipcError(EFBIG, syscall, subject, limit);
}

/** `ftruncate`: makes a new file that large, or another one smaller. */
export function truncate({ fd, subject }: MappableFile, size: number): void {
  checkFileSize(size, "ftruncate", subject);
  const call = () => unistd().ftruncate(fd, BigInt(size));
  checkRetrying(call, "ftruncate", subject);
}

/**
 * `posix_fallocate`: makes a file at least `size` bytes large, and sees to it that
 * there is room for what is behind `from`. Unlike ftruncate it never shrinks what
 * another process has made larger meanwhile, and it leaves no hole that later
 * turns out, with SIGBUS, to have no room.
 */
export function allocate(
  { fd, subject }: MappableFile,
  from: number,
  size: number,
): void {
  checkFileSize(size, "posix_fallocate", subject);
  if (isInMemory(fd)) checkMemory(size - from, "posix_fallocate", subject);
  const length = BigInt(size - from);
  const { posix_fallocate } = fcntl();
  let number = posix_fallocate(fd, BigInt(from), length);
  while (number === EINTR) number = posix_fallocate(fd, BigInt(from), length);
  checkNumber(number, "posix_fallocate", subject);
}

/**
 * Makes a file larger; or smaller, if the options say so and nothing of it is used
 * here. `own` is the mapping that makes room for it, `replace` puts another one in
 * its place: after growing, and before shrinking.
 */
export function resizeFile(
  file: MappableFile,
  size: number,
  { shrink, reserve }: ResizeOptions,
  own?: Mapping,
  replace: () => void = () => {},
): void {
  const present = sizeOf(file);
  if (size >= present) {
    const from = reserve ? present : size - 1;
    if (size > present) allocate(file, from, size);
    replace();
    return;
  }
  if (!shrink) {
    throw new RangeError(
      `Argument "size" must be at least ${present} (the size of ` +
        `${file.subject}, without "shrink"): ${size}`,
    );
  }
  checkShrink(file, size, own);
  replace();
  truncate(file, size);
}
