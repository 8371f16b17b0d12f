// <sys/syscall.h>: the numbers of system calls.

import { machine } from "./machine.ts";

export const SYS_read: number = machine.SYS_read;
export const SYS_futex: number = machine.SYS_futex;
export const SYS_msgsnd: number = machine.SYS_msgsnd;
export const SYS_msgrcv: number = machine.SYS_msgrcv;
export const SYS_semtimedop: number = machine.SYS_semtimedop;
// Called by number, because C libraries lack the functions: glibc before 2.30 getdents64
// and tgkill, musl those and others.
export const SYS_getdents64: number = machine.SYS_getdents64;
export const SYS_tgkill: number = machine.SYS_tgkill;
export const SYS_preadv2: number = machine.SYS_preadv2;
export const SYS_pwritev2: number = machine.SYS_pwritev2;
export const SYS_statx: number = machine.SYS_statx;
export const SYS_pidfd_send_signal = 424;
export const SYS_pidfd_open = 434;
/** Since Linux 5.16; older headers do not have it. */
export const SYS_futex_waitv = 449;
