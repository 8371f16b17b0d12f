// The constants and layouts that differ between the machines Deno runs on.
// What is the same on both is in the file of its header.

import { runtime } from "./runtime/mod.ts";

const x86_64 = {
  O_DIRECT: 0x4000,
  O_DIRECTORY: 0x10000,
  O_NOFOLLOW: 0x20000,
  SYS_read: 0,
  SYS_futex: 202,
  SYS_msgsnd: 69,
  SYS_msgrcv: 70,
  SYS_semtimedop: 220,
  SYS_getdents64: 217,
  SYS_tgkill: 234,
  SYS_preadv2: 327,
  SYS_pwritev2: 328,
  SYS_statx: 332,
  /** struct epoll_event is packed on this machine only. */
  EPOLL_EVENT_PACKED: true,
  /** struct semid_ds has a word behind each of its times on this machine only. */
  SEMID_DS_PADDED: true,
};

const aarch64: typeof x86_64 = {
  O_DIRECT: 0x10000,
  O_DIRECTORY: 0x4000,
  O_NOFOLLOW: 0x8000,
  SYS_read: 63,
  SYS_futex: 98,
  SYS_msgsnd: 189,
  SYS_msgrcv: 188,
  SYS_semtimedop: 192,
  SYS_getdents64: 61,
  SYS_tgkill: 131,
  SYS_preadv2: 286,
  SYS_pwritev2: 287,
  SYS_statx: 291,
  EPOLL_EVENT_PACKED: false,
  SEMID_DS_PADDED: false,
};

// Elsewhere libc is never opened (library.ts), so the choice has no effect.
export const machine: typeof x86_64 = runtime.arch === "aarch64"
  ? aarch64
  : x86_64;
