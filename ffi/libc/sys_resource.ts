// <sys/resource.h>

import type { SystemLimit } from "../errors.ts";
import { header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const sysResource = header({
  // int getrlimit(unsigned resource, struct rlimit *rlim)
  getrlimit: { parameters: ["u32", "buffer"], result: "i32" },
});

export const RLIMIT_FSIZE = 1;
export const RLIMIT_NOFILE = 7;
export const RLIMIT_MEMLOCK = 8;
export const RLIMIT_AS = 9;
export const RLIMIT_MSGQUEUE = 12;

const rlimitFields = { rlim_cur: "u64", rlim_max: "u64" } as const;

/** struct rlimit */
export const rlimit: CStruct<typeof rlimitFields> = cStruct(rlimitFields);

const present = new BigUint64Array(rlimit.size / 8);
const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** Whether this process has no such limit. */
export function isUnlimited(resource: number): boolean {
  sysResource().getrlimit(resource, present);
  return present[0] === RLIM_INFINITY;
}

/** A limit of this process, under the name that C has for it. */
export function resourceLimit(name: string, resource: number): SystemLimit {
  const bytes = new Uint8Array(rlimit.size);
  sysResource().getrlimit(resource, bytes); // fails for wrong arguments only
  const { rlim_cur } = rlimit.decode(bytes);
  const exact = Number(rlim_cur);
  return { name, value: Number.isSafeInteger(exact) ? exact : rlim_cur };
}
