// Regular files that are mapped, and their size: files of a file system, the objects
// of /dev/shm, and memory files.

import { checkMode, checkSize } from "../arguments.ts";
import { checkMemory, isLarge } from "../kernel/cgroup.ts";
import {
  checkFileSize,
  hugePageOf,
  isInMemory,
  spaceLimit,
} from "../kernel/file_system.ts";
import { type Access, Mapping, roundUp } from "../kernel/mapping.ts";
import { type MappedRange, mappedRanges } from "../kernel/maps.ts";
import {
  checkAddress,
  checkRetrying,
  EINTR,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
  isNoAddress,
} from "../libc/errno.ts";
import { F_GET_SEALS, F_SEAL_SHRINK, fcntl } from "../libc/fcntl.ts";
import { runtime } from "../libc/runtime/mod.ts";
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
  type FileStatus,
  S_IFMT,
  S_IFREG,
  setMode,
  statusOfFd,
} from "../libc/sys_stat.ts";
import { pageSize, unistd } from "../libc/unistd.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { Backoff, sleepSync } from "../wait/backoff.ts";
import { deadlineOf, type Limits } from "../wait/options.ts";
import { checkRange, type Range, rangeIn, type RangeOptions } from "./range.ts";

/** Options of a mapping: its range of the file, and its access. */
export interface MapOptions extends RangeOptions {
  /**
   * `MAP_PRIVATE`: writes stay in this process and never reach the file. The file
   * needs only permission to read.
   *
   * @default {false}
   */
  private?: boolean | undefined;
  /**
   * `PROT_READ`: the file needs only permission to read.
   *
   * The memory has no arrays; `read` copies from it, and returns what other processes
   * have written. (To scan a file that does not change, `private` is faster, because it
   * copies nothing.)
   *
   * @default {false}
   */
  readonly?: boolean | undefined;
  /**
   * `MAP_POPULATE`: loads the whole range now, instead of each page at the first
   * access.
   *
   * @default {false}
   */
  populate?: boolean | undefined;
}

/** Options of `open()` of {@linkcode MemoryMap} and `PosixSharedMemory`. */
export interface MapOpenOptions extends MapOptions {
  /**
   * The maximum time to wait while the file is empty, in milliseconds.
   *
   * A file is empty for a moment after its creation, until its creator has set the size.
   * After the timeout the error is a `DOMException` named `TimeoutError`.
   *
   * @default {of `open`: an empty file is a RangeError at once; of `openWhenReady`:
   * Infinity}
   */
  timeout?: number | undefined;
}

/**
 * Options of `create()` of {@linkcode MemoryMap} and `PosixSharedMemory`.
 */
export interface MapCreateOptions {
  /**
   * The permission bits. The umask of the process does not apply to a mode that is given:
   * it is as if `fchmod` followed, and at no time are there more permissions than that.
   *
   * @default {0o600, less the umask}
   */
  mode?: number | undefined;
  /**
   * `posix_fallocate`: allocates the space now, so that a lack of it is an error now.
   *
   * Without it the file is a hole. If there is no space left when a page of it is first
   * accessed, the process ends with SIGBUS: on a full disk, or on a full /dev/shm, which
   * has 64 MiB in many containers.
   *
   * The kernel ends a process with SIGKILL if it exceeds the limit of its memory
   * cgroup. If 16 MiB or more are to be allocated in memory, and the cgroup does not
   * have them now, the error is ENOMEM. Memory that other processes take meanwhile is
   * not foreseen.
   *
   * @default {true}
   */
  reserve?: boolean | undefined;
}

/** Options of `resize()`. */
export interface ResizeOptions {
  /**
   * Whether the file may become smaller.
   *
   * A process that accesses a mapped page beyond the new end ends with SIGBUS. So this
   * fails while any thread of this process has mapped such pages, as /proc/self/maps
   * shows; a thread that maps them at the same moment is not noticed.
   *
   * @default {false}
   */
  shrink?: boolean | undefined;
  /**
   * `posix_fallocate`: allocates the new space now, so that a lack of it is an error
   * now.
   *
   * @default {true}
   */
  reserve?: boolean | undefined;
}

/** A file that can be mapped. */
export interface MappableFile {
  readonly fd: number;
  /** Name used in error messages. */
  readonly subject: string;
}

/** The options of a mapping, read and checked once. */
export interface MapRequest {
  readonly range: RangeOptions;
  readonly access: Access;
  readonly populate: boolean;
}

/** The properties of a file that is created, read and checked once. */
export interface CreateRequest {
  readonly size: number;
  /** The exact permission bits; undefined for the default, less the umask. */
  readonly mode: number | undefined;
  readonly reserve: boolean;
}

/** The permission bits of a file that is created, unless others are asked for. */
export const DEFAULT_MODE = 0o600;

/** The options of a change of size, read once. */
export interface ResizeRequest {
  readonly shrink: boolean;
  readonly reserve: boolean;
}

/** Reads and checks the options of a mapping. */
export function mapRequest(options: MapOptions | undefined): MapRequest {
  const range = checkRange(options);
  const { private: isPrivate, readonly, populate = false } = options ?? {};
  if (isPrivate && readonly) {
    throw new TypeError(
      'Argument "options" must not have both "private" and "readonly"',
    );
  }
  const access = isPrivate ? "private" : readonly ? "readonly" : "shared";
  return { range, access, populate };
}

/** Reads and checks the options of a file that is created. */
export function createRequest(
  size: number,
  options: MapCreateOptions | undefined,
): CreateRequest {
  checkSize("size", size);
  const { mode, reserve = true } = options ?? {};
  if (mode !== undefined) checkMode(mode);
  return { size, mode, reserve };
}

/** Reads the options of a change of size, with their defaults. */
export function resizeRequest(
  options: ResizeOptions | undefined,
  reserveByDefault = true,
): ResizeRequest {
  const { shrink = false, reserve = reserveByDefault } = options ?? {};
  return { shrink, reserve };
}

/** The status of a file. Throws a TypeError unless it is a regular file. */
export function regularStatus({ fd, subject }: MappableFile): FileStatus {
  const status = statusOfFd(fd, subject);
  if ((status.stx_mode & S_IFMT) !== S_IFREG) {
    throw new TypeError(`Cannot map ${subject}: it is not a regular file`);
  }
  return status;
}

/** The present size of a file, in bytes. */
export function sizeOf(file: MappableFile): number {
  return Number(statusOfFd(file.fd, file.subject).stx_size);
}

/** The size of a file that its creator has given a size; undefined before. */
function givenSize(file: MappableFile): number | undefined {
  return Number(regularStatus(file).stx_size) || undefined;
}

/** How long `open` waits for the size of a file; undefined if not at all. */
export function deadlineToOpen(
  options: MapOpenOptions | undefined,
): number | undefined {
  const { timeout } = options ?? {};
  return timeout === undefined ? undefined : deadlineOf({ timeout });
}

/** Waits until the creator of a file has given it a size, blocking this thread. */
export function waitForSizeSync(
  file: MappableFile,
  deadline: number | undefined,
): void {
  if (deadline === undefined) return;
  attemptSync(file.subject, () => givenSize(file), sleepSync(), deadline);
}

/** Waits until the creator of a file has given it a size. */
export async function waitForSize(
  file: MappableFile,
  limits: Limits,
): Promise<void> {
  await attempt(new Backoff(file.subject), () => givenSize(file), limits);
}

/** Maps the requested part of a file, and returns it with its offset in the file. */
export function mapPart(
  file: MappableFile,
  { range: wanted, access, populate }: MapRequest,
): { mapping: Mapping; offset: number } {
  const status = regularStatus(file);
  const range = rangeIn(Number(status.stx_size), file.subject, wanted);
  const flags = populate ? MAP_POPULATE : 0;
  const mapping = mapFile(file, range, access, flags, status);
  return { mapping, offset: range.offset };
}

/** Gives a new file its mode and size, and maps it. Calls `unlink` if that fails. */
export function mapNew(
  file: MappableFile,
  { size, mode, reserve }: CreateRequest,
  unlink: () => void,
): Mapping {
  let mapping;
  try {
    if (mode !== undefined) setMode(file.fd, mode, file.subject);
    // A process that has opened the file meanwhile may have made it larger already.
    if (sizeOf(file) < size) truncate(file, size);
    mapping = mapFile(file, { offset: 0, length: size }, "shared");
    if (reserve) allocate(file, 0, size);
    return mapping;
  } catch (error) {
    mapping?.close();
    unlink();
    throw error;
  }
}

const FLAGS: Record<Access, number> = {
  shared: MAP_SHARED,
  readonly: MAP_SHARED,
  private: MAP_PRIVATE,
};

/** `mmap`: maps a range that lies inside the file. */
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
  const skip = range.offset % pageSize(); // mmap begins at a page
  const takesMemory = access === "private" ||
    (isLarge(range.length) && isInMemory(fd));
  if (takesMemory && (flags & MAP_POPULATE) !== 0) {
    const present = access === "private" ? 0 : allocatedIn(status);
    checkMemory(range.length - present, "mmap", subject);
  }
  const length = BigInt(range.length + skip);
  const offset = BigInt(range.offset - skip);
  const { mmap } = sysMman();
  const map = (kind: number) =>
    mmap(0n, length, protection, kind | flags, fd, offset);
  let start = map(FLAGS[access]);
  // Before Linux 6.7, a file that is sealed against writes can only be mapped as
  // private. For reading, that is the same.
  if (isNoAddress(start) && readonly && errno() === EPERM) {
    start = map(MAP_PRIVATE);
  }
  return new Mapping({
    address: checkAddress(start, "mmap", subject) + BigInt(skip),
    length: range.length,
    subject,
    access,
    takesMemory,
    truncatable: !isSealed(fd),
    unit,
  });
}

/** Whether no process can make the file smaller. */
function isSealed(fd: number): boolean {
  const seals = fcntl().fcntl(fd, F_GET_SEALS, 0); // -1 for most files
  return seals !== -1 && (seals & F_SEAL_SHRINK) !== 0;
}

/** The number of bytes that are allocated to a file, without its holes. */
function allocatedIn({ stx_blocks }: FileStatus): number {
  return Number(stx_blocks) * 512;
}

/** The page size of mappings of a file: a file on hugetlbfs has huge pages. */
function pageSizeOf({ fd }: MappableFile, status: FileStatus): bigint {
  const page = BigInt(pageSize());
  if (BigInt(status.stx_blksize) <= page) return page;
  return hugePageOf(fd) ?? page;
}

const PROBE = "---p"; // the permissions of a probe, of this thread or another

/**
 * The ranges at which any thread of this process has mapped a file. The file is found
 * in /proc/self/maps by mapping a page of it: on some file systems the device and inode
 * there differ from those of fstat.
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
    throw new runtime.errors.NotSupported(
      `Cannot shrink ${subject}: /proc/self/maps does not show its mappings`,
    );
  }
  return ranges.filter(({ file, permissions }) =>
    file === own.file && permissions !== PROBE
  );
}

/**
 * Throws if this process has mapped pages beyond the new end of a file: an access would
 * end it with SIGBUS. `own`, the mapping that is about to be replaced, does not count,
 * unless a call on another thread is using it.
 */
export function checkShrink(
  file: MappableFile,
  size: number,
  own?: Mapping,
): void {
  const unit = pageSizeOf(file, statusOfFd(file.fd, file.subject));
  const end = roundUp(BigInt(size), unit);
  const isOwn = (from: bigint, to: bigint) =>
    own !== undefined && own.start <= from &&
    to <= own.start + own.extent;
  const isMapped = own?.pinned ||
    rangesOf(file, unit).some((range) => {
      const { start, offset } = range;
      const from = offset > end ? start : start + end - offset;
      return from < range.end && !isOwn(from, range.end);
    });
  if (!isMapped) return;
  throw new TypeError(
    `Cannot shrink ${file.subject} to ${size} bytes: this process has mapped ` +
      "memory beyond that, or waits in it",
  );
}

/** `ftruncate`: sets the size of a file. */
export function truncate({ fd, subject }: MappableFile, size: number): void {
  checkFileSize(size, "ftruncate", subject);
  const call = () => unistd().ftruncate(fd, BigInt(size));
  checkRetrying(call, "ftruncate", subject);
}

// A signal interrupts posix_fallocate, which then has allocated nothing. So the next try
// is for half as much: a step as small as this ends between two signals.
const MIN_STEP = 1 << 16; // bytes
const MAX_INTERRUPTIONS = 100; // of one step

/**
 * `posix_fallocate`: makes a file at least `size` bytes large, and allocates its space
 * from `from` on. Unlike ftruncate it never shrinks a file that another process has
 * made larger meanwhile, and it leaves no hole, which could end the process with SIGBUS
 * when there is no space for it later.
 */
export function allocate(
  { fd, subject }: MappableFile,
  from: number,
  size: number,
): void {
  checkFileSize(size, "posix_fallocate", subject);
  if (isInMemory(fd)) checkMemory(size - from, "posix_fallocate", subject);
  const { posix_fallocate } = fcntl();
  let step = size - from;
  let interruptions = 0;
  for (let at = from; at < size;) {
    const length = Math.min(step, size - at);
    const error = posix_fallocate(fd, BigInt(at), BigInt(length));
    if (error === EINTR && ++interruptions < MAX_INTERRUPTIONS) {
      step = Math.max(Math.ceil(step / 2), MIN_STEP);
    } else if (error === 0) {
      at += length;
      interruptions = 0;
    } else {
      const limit = error === ENOSPC ? spaceLimit(fd) : undefined;
      throw ipcError(error, "posix_fallocate", subject, limit);
    }
  }
}

/** Makes a file at least `size` bytes large. It is a hole, unless space is reserved. */
export function grow(
  file: MappableFile,
  from: number,
  size: number,
  reserve: boolean,
): void {
  allocate(file, reserve ? from : size - 1, size);
}

/**
 * Changes the size of a file. It becomes smaller only with `shrink`, and only if this
 * process has mapped nothing beyond the new end but `own`. `replace` puts another
 * mapping in the place of `own`: after growing, but before shrinking.
 */
export function resizeFile(
  file: MappableFile,
  size: number,
  { shrink, reserve }: ResizeRequest,
  own?: Mapping,
  replace: () => void = () => {},
): void {
  const present = sizeOf(file);
  if (size >= present) {
    if (size > present) grow(file, present, size, reserve);
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
