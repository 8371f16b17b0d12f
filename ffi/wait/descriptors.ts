// How callers name a descriptor: by its number, or by an object that has one.

import { checkFd } from "../arguments.ts";
import { livenessOf } from "../kernel/descriptor_owner.ts";
import type { Waitable } from "./reactor.ts";

/** The number of a descriptor, or an object that has one as `fd`. */
export type DescriptorLike = number | { readonly fd: number };

/** The number, checked, and its name in error messages. */
export function waitableOf(target: DescriptorLike): Waitable {
  const fd = typeof target === "number" ? target : target?.fd;
  checkFd(fd);
  const liveness = typeof target === "object" ? livenessOf(target) : undefined;
  return { fd, subject: `descriptor ${fd}`, liveness };
}
