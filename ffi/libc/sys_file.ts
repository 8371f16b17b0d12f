// <sys/file.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int flock(int fd, int op)
  flock: { parameters: ["i32", "i32"], result: "i32" },
} as const;

export const sysFile: Header<typeof functions> = header(functions);

export const LOCK_EX = 2;
export const LOCK_NB = 4;
