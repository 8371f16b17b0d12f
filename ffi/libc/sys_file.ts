// <sys/file.h>

import { header } from "./library.ts";

export const sysFile = header({
  // int flock(int fd, int op)
  flock: { parameters: ["i32", "i32"], result: "i32" },
});

export const LOCK_EX = 2;
export const LOCK_NB = 4;
