// <signal.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int sigaction(int signum, const struct sigaction *act, struct sigaction *oldact)
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int kill(pid_t pid, int sig)
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // long syscall(long number, pid_t tgid, pid_t tid, int sig)
  tgkill: {
    name: "syscall",
    parameters: ["i64", "i32", "i32", "i32"],
    result: "i32",
  },
  // long syscall(long number, int how, const sigset_t *set, sigset_t *oldset, size_t sigsetsize)
  rt_sigprocmask: {
    name: "syscall",
    parameters: ["i64", "i32", "usize", "usize", "usize"],
    result: "i64",
  },
  // int __libc_current_sigrtmax(void)
  __libc_current_sigrtmax: { parameters: [], result: "i32" },
  // void *dlsym(void *handle, const char *symbol)
  dlsym: { parameters: ["usize", "buffer"], result: "usize" },
} as const;

export const signal: Header<typeof functions> = header(functions);

export const SIGURG = 23;
export const SA_RESTART = 0x10000000;

const sigactionFields = {
  sa_handler: "u64",
  sa_mask: 128,
  sa_flags: "i32",
  sa_restorer: "u64",
} as const;

/** struct sigaction */
export const sigaction: CStruct<typeof sigactionFields> = cStruct(
  sigactionFields,
);
