// <sched.h>

import { header } from "./library.ts";

export const sched = header({
  // int sched_yield(void)
  sched_yield: { parameters: [], result: "i32" },
});
