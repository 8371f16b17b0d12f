// The constants and layouts that differ between the machines Deno runs on.
// What is the same on both is in the file of its header.

import { runtime } from "./runtime/mod.ts";

const x86_64 = {
  O_DIRECT: 0x4000,
  O_DIRECTORY: 0x10000,
  O_NOFOLLOW: 0x20000,
  SYS_read: 0,
  SYS_write: 1,
  SYS_readv: 19,
  SYS_writev: 20,
  SYS_connect: 42,
  SYS_accept: 43,
  SYS_sendto: 44,
  SYS_recvfrom: 45,
  SYS_sendmsg: 46,
  SYS_recvmsg: 47,
  SYS_semop: 65,
  SYS_fcntl: 72,
  SYS_flock: 73,
  SYS_futex: 202,
  SYS_mq_timedsend: 242,
  SYS_mq_timedreceive: 243,
  SYS_accept4: 288,
  SYS_msgsnd: 69,
  SYS_msgrcv: 70,
  SYS_semtimedop: 220,
  SYS_getdents64: 217,
  SYS_tgkill: 234,
  SYS_renameat2: 316,
  SYS_preadv2: 327,
  SYS_pwritev2: 328,
  SYS_statx: 332,
  SYS_rt_sigprocmask: 14,
  SYS_get_robust_list: 274,
  /** struct epoll_event is packed on this machine only. */
  EPOLL_EVENT_PACKED: true,
  /** struct semid_ds has a word behind each of its times on this machine only. */
  SEMID_DS_PADDED: true,
  SIZEOF_PTHREAD_MUTEX_T: 40,
};

const aarch64: typeof x86_64 = {
  O_DIRECT: 0x10000,
  O_DIRECTORY: 0x4000,
  O_NOFOLLOW: 0x8000,
  SYS_read: 63,
  SYS_write: 64,
  SYS_readv: 65,
  SYS_writev: 66,
  SYS_connect: 203,
  SYS_accept: 202,
  SYS_sendto: 206,
  SYS_recvfrom: 207,
  SYS_sendmsg: 211,
  SYS_recvmsg: 212,
  SYS_semop: 193,
  SYS_fcntl: 25,
  SYS_flock: 32,
  SYS_futex: 98,
  SYS_mq_timedsend: 182,
  SYS_mq_timedreceive: 183,
  SYS_accept4: 242,
  SYS_msgsnd: 189,
  SYS_msgrcv: 188,
  SYS_semtimedop: 192,
  SYS_getdents64: 61,
  SYS_tgkill: 131,
  SYS_renameat2: 276,
  SYS_preadv2: 286,
  SYS_pwritev2: 287,
  SYS_statx: 291,
  SYS_rt_sigprocmask: 135,
  SYS_get_robust_list: 100,
  EPOLL_EVENT_PACKED: false,
  SEMID_DS_PADDED: false,
  SIZEOF_PTHREAD_MUTEX_T: 48,
};

// Elsewhere libc is never opened (library.ts), so the choice has no effect.
export const machine: typeof x86_64 = runtime.arch === "aarch64"
  ? aarch64
  : x86_64;
