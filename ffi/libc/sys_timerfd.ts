// <sys/timerfd.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int timerfd_create(int clockid, int flags)
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  // int timerfd_settime(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *old_value)
  timerfd_settime: {
    parameters: ["i32", "i32", "buffer", "buffer"],
    result: "i32",
  },
  // int timerfd_gettime(int fd, struct itimerspec *curr_value)
  timerfd_gettime: { parameters: ["i32", "buffer"], result: "i32" },
} as const;

export const sysTimerfd: Header<typeof functions> = header(functions);

export const TFD_CLOEXEC = 0x80000;
export const TFD_NONBLOCK = 0x800;
export const TFD_TIMER_ABSTIME = 1;
