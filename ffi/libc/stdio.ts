// <stdio.h>

import { type Header, header } from "./library.ts";

const functions = {
  // long syscall(long number, int olddirfd, const char *oldpath, int newdirfd, const char *newpath, unsigned int flags)
  renameat2: {
    name: "syscall",
    parameters: ["i64", "i32", "buffer", "i32", "buffer", "u32"],
    result: "i32",
  },
} as const;

export const stdio: Header<typeof functions> = header(functions);

export const RENAME_NOREPLACE = 1;
