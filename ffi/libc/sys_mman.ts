// <sys/mman.h>

import { type Header, header } from "./library.ts";

const functions = {
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset)
  mmap: {
    parameters: ["usize", "usize", "i32", "i32", "i32", "i64"],
    result: "usize",
  },
  // int munmap(void *addr, size_t length)
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  // void *mremap(void *old_address, size_t old_size, size_t new_size, int flags)
  mremap: { parameters: ["usize", "usize", "usize", "i32"], result: "usize" },
  // void *mremap(void *old_address, size_t old_size, size_t new_size, int flags, void *new_address)
  mremap_to: {
    name: "mremap",
    parameters: ["usize", "usize", "usize", "i32", "usize"],
    result: "usize",
  },
  // int mprotect(void *addr, size_t size, int prot)
  mprotect: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int msync(void *addr, size_t length, int flags)
  msync: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // The same, on a thread of the blocking pool.
  msync_nonblocking: {
    name: "msync",
    parameters: ["usize", "usize", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int madvise(void *addr, size_t length, int advice)
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int mlock(const void *addr, size_t len)
  mlock: { parameters: ["usize", "usize"], result: "i32" },
  // int munlock(const void *addr, size_t len)
  munlock: { parameters: ["usize", "usize"], result: "i32" },
  // int mincore(void *addr, size_t length, unsigned char *vec)
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
  // int memfd_create(const char *name, unsigned int flags)
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  // int shm_open(const char *name, int oflag, mode_t mode)
  shm_open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
  // int shm_unlink(const char *name)
  shm_unlink: { parameters: ["buffer"], result: "i32" },
} as const;

export const sysMman: Header<typeof functions> = header(functions);

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_HUGETLB = 0x40000;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4; // since Linux 5.7
export const MS_SYNC = 4;

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_DONTDUMP = 16;
export const MADV_DODUMP = 17;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;

export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const MFD_HUGETLB = 4;
/** Since Linux 6.3, of <linux/memfd.h>; older headers do not have it. */
export const MFD_NOEXEC_SEAL = 8;
