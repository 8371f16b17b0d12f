// <linux/pidfd.h>, and the system calls of process descriptors: glibc has functions for
// them since 2.36 only.

import { type Header, header } from "./library.ts";

const functions = {
  // long syscall(long number, pid_t pid, unsigned int flags)
  pidfd_open: {
    name: "syscall",
    parameters: ["i64", "i32", "u32"],
    result: "i64",
  },
  // long syscall(long number, int pidfd, int sig, siginfo_t *info, unsigned int flags)
  pidfd_send_signal: {
    name: "syscall",
    parameters: ["i64", "i32", "i32", "buffer", "u32"],
    result: "i64",
  },
} as const;

export const linuxPidfd: Header<typeof functions> = header(functions);

/** ioctl(2): what the kernel knows of the process. Since Linux 6.13. */
export const PIDFD_GET_INFO = 0xc040_ff0b;
/** In the mask: how the process has ended, once it was reaped. Since Linux 6.15. */
export const PIDFD_INFO_EXIT = 8;
/** The size of the first version of struct pidfd_info, and where its fields are. */
export const PIDFD_INFO_SIZE_VER0 = 64;
export const OFFSETOF_PIDFD_INFO_MASK = 0;
export const OFFSETOF_PIDFD_INFO_EXIT_CODE = 60;
