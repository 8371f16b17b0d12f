// <signal.h>

import { bytes, i32, struct, u64 } from "../struct.ts";
import { header } from "./library.ts";

export const signal = header({
  // int sigaction(int signum, const struct sigaction *act, struct sigaction *oldact)
  sigaction: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int kill(pid_t pid, int sig)
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // int tgkill(pid_t tgid, pid_t tid, int sig)
  tgkill: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int __libc_current_sigrtmax(void)
  __libc_current_sigrtmax: { parameters: [], result: "i32" },
  // void *dlsym(void *handle, const char *symbol)
  dlsym: { parameters: ["usize", "buffer"], result: "usize" },
});

export const SA_RESTART = 0x10000000;

/** struct sigaction */
export const sigaction = struct({
  sa_handler: u64,
  sa_mask: bytes(128),
  sa_flags: i32,
  sa_restorer: u64,
});
