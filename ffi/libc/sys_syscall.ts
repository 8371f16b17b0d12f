// <sys/syscall.h>: the numbers of system calls.

import { machine } from "./machine.ts";

export const { SYS_read, SYS_futex, SYS_msgsnd, SYS_msgrcv, SYS_semtimedop } =
  machine;
/** Since Linux 5.16; older headers do not have it. */
export const SYS_futex_waitv = 449;
