// <sys/eventfd.h>

import { header } from "./library.ts";

export const sysEventfd = header({
  // int eventfd(unsigned int initval, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
});

export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;
