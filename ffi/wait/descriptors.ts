// What callers may name as a descriptor: its number, or an object that has one.

import { checkFd } from "../arguments.ts";
import type { Waitable } from "./reactor.ts";

/** A descriptor's number, or an object that has one, as all of this module do. */
export type DescriptorLike = number | { readonly fd: number };

/** The number, checked, and what errors call it. */
export function waitableOf(target: DescriptorLike): Waitable {
  const fd = typeof target === "number" ? target : target?.fd;
  checkFd(fd);
  return { fd, subject: `descriptor ${fd}` };
}
