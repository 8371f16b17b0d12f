// <linux/netlink.h>

import { type CStruct, cStruct } from "./c_struct.ts";

export const NETLINK_SOCK_DIAG = 4;
export const NLM_F_REQUEST = 1;
export const NLM_F_DUMP = 0x300;
export const NLM_F_DUMP_INTR = 0x10;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

const nlmsghdrFields = {
  nlmsg_len: "u32",
  nlmsg_type: "u16",
  nlmsg_flags: "u16",
  nlmsg_seq: "u32",
  nlmsg_pid: "u32",
} as const;

/** struct nlmsghdr; its data follow. */
export const nlmsghdr: CStruct<typeof nlmsghdrFields> = cStruct(nlmsghdrFields);

const nlattrFields = { nla_len: "u16", nla_type: "u16" } as const;

/** struct nlattr; its data follow. */
export const nlattr: CStruct<typeof nlattrFields> = cStruct(nlattrFields);

/** NLMSG_ALIGN(len), which NLA_ALIGN is, too. */
export function NLMSG_ALIGN(length: number): number {
  return (length + 3) & ~3;
}
