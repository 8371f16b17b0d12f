// <sched.h>

import { type Header, header } from "./library.ts";

const functions = {
  // int sched_yield(void)
  sched_yield: { parameters: [], result: "i32" },
} as const;

export const sched: Header<typeof functions> = header(functions);
