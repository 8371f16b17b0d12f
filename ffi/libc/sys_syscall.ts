// <sys/syscall.h>: the numbers of system calls.

import { machine } from "./machine.ts";

export const SYS_read: number = machine.SYS_read;
export const SYS_write: number = machine.SYS_write;
export const SYS_readv: number = machine.SYS_readv;
export const SYS_writev: number = machine.SYS_writev;
export const SYS_connect: number = machine.SYS_connect;
export const SYS_accept: number = machine.SYS_accept;
export const SYS_accept4: number = machine.SYS_accept4;
export const SYS_sendto: number = machine.SYS_sendto;
export const SYS_recvfrom: number = machine.SYS_recvfrom;
export const SYS_sendmsg: number = machine.SYS_sendmsg;
export const SYS_recvmsg: number = machine.SYS_recvmsg;
export const SYS_semop: number = machine.SYS_semop;
export const SYS_fcntl: number = machine.SYS_fcntl;
export const SYS_flock: number = machine.SYS_flock;
export const SYS_mq_timedsend: number = machine.SYS_mq_timedsend;
export const SYS_mq_timedreceive: number = machine.SYS_mq_timedreceive;
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
export const SYS_renameat2: number = machine.SYS_renameat2;
export const SYS_statx: number = machine.SYS_statx;
export const SYS_pidfd_send_signal = 424;
export const SYS_pidfd_open = 434;
export const SYS_rt_sigprocmask: number = machine.SYS_rt_sigprocmask;
export const SYS_get_robust_list: number = machine.SYS_get_robust_list;
/** Since Linux 5.16; older headers do not have it. */
export const SYS_futex_waitv = 449;
/** Since Linux 5.2; older headers do not have these three. */
export const SYS_fsopen = 430;
export const SYS_fsconfig = 431;
export const SYS_fsmount = 432;
