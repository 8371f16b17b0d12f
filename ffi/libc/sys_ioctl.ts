// <sys/ioctl.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int ioctl(int fd, unsigned long op, int *argp)
  ioctl: { parameters: ["i32", "u32", "buffer"], result: "i32" },
} as const;

export const sysIoctl: Header<typeof functions> = header(functions);

/** Bytes that can be read. */
export const FIONREAD = 0x541b;
/** Bytes that the other side of a socket has not read yet. */
export const SIOCOUTQ = 0x5411;
