// The functions of <pthread.h> return an error number.

import { ipcError } from "../libc/errno.ts";

/** Throws the error that a function has returned. */
export function checkCode(code: number, name: string, subject: string): void {
  if (code !== 0) throw ipcError(code, name, subject);
}
