// <sys/wait.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int waitid(idtype_t idtype, id_t id, siginfo_t *infop, int options)
  waitid: { parameters: ["i32", "u32", "buffer", "i32"], result: "i32" },
} as const;

export const sysWait: Header<typeof functions> = header(functions);

/** Since Linux 5.4 and glibc 2.36. */
export const P_PIDFD = 3;
export const WNOHANG = 1;
export const WEXITED = 4;
export const WNOWAIT = 0x0100_0000;
export const CLD_EXITED = 1;

/** sizeof (siginfo_t), and where the status of a child is in it. */
export const SIZEOF_SIGINFO_T = 128;
export const OFFSETOF_SI_CODE = 8;
export const OFFSETOF_SI_PID = 16;
export const OFFSETOF_SI_STATUS = 24;
