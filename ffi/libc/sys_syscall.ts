// <sys/syscall.h>: the numbers of system calls.

import { machine } from "./machine.ts";

export const SYS_read: number = machine.SYS_read;
export const SYS_futex: number = machine.SYS_futex;
export const SYS_msgsnd: number = machine.SYS_msgsnd;
export const SYS_msgrcv: number = machine.SYS_msgrcv;
export const SYS_semtimedop: number = machine.SYS_semtimedop;
/** Since Linux 5.16; older headers do not have it. */
export const SYS_futex_waitv = 449;
