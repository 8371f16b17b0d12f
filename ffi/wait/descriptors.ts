// How callers name a descriptor: by its number, or by an object that has one.

import { checkFd } from "../arguments.ts";
import { livenessOf } from "../kernel/descriptor_owner.ts";
import type { Waitable } from "./reactor.ts";

/** The number of a descriptor, or an object that has one as `fd`. */
export type DescriptorLike = number | { readonly fd: number };

/** The error of an object that was to have a descriptor. */
export function noDescriptor(target: object): TypeError {
  const name = target.constructor?.name ?? "object";
  return new TypeError(
    `Cannot use ${name} here: it has no descriptor; wait with its own asynchronous ` +
      "methods (System V objects, semaphores and locks have none)",
  );
}

/** The number, checked, and its name in error messages. `argument` names the target. */
export function waitableOf(
  target: DescriptorLike,
  argument = "target",
): Waitable {
  const isObject = typeof target === "object" && target !== null;
  const fd = isObject ? target.fd : target;
  if (isObject && fd === undefined) throw noDescriptor(target);
  checkFd(fd, argument);
  const liveness = isObject ? livenessOf(target) : undefined;
  return { fd, subject: `descriptor ${fd}`, liveness };
}
