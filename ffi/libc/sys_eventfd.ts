// <sys/eventfd.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int eventfd(unsigned int initval, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
} as const;

export const sysEventfd: Header<typeof functions> = header(functions);

export const EFD_SEMAPHORE = 1;
export const EFD_CLOEXEC = 0x80000;
export const EFD_NONBLOCK = 0x800;
