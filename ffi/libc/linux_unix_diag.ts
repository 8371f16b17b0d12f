// <linux/unix_diag.h>

import { type CStruct, cStruct } from "./c_struct.ts";

export const UDIAG_SHOW_NAME = 1;
export const UDIAG_SHOW_PEER = 4;
export const UDIAG_SHOW_RQLEN = 0x10;
/** Since Linux 5.3; older headers do not have it. */
export const UDIAG_SHOW_UID = 0x40;

export const UNIX_DIAG_NAME = 0;
export const UNIX_DIAG_PEER = 2;
export const UNIX_DIAG_RQLEN = 4;
/** Since Linux 5.3; older headers do not have it. */
export const UNIX_DIAG_UID = 7;

const unixDiagReqFields = {
  sdiag_family: "u8",
  sdiag_protocol: "u8",
  pad: "u16",
  udiag_states: "u32",
  udiag_ino: "u32",
  udiag_show: "u32",
  udiag_cookie: 8,
} as const;

/** struct unix_diag_req */
export const unixDiagReq: CStruct<typeof unixDiagReqFields> = cStruct(
  unixDiagReqFields,
);

const unixDiagMsgFields = {
  udiag_family: "u8",
  udiag_type: "u8",
  udiag_state: "u8",
  pad: "u8",
  udiag_ino: "u32",
  udiag_cookie: 8,
} as const;

/** struct unix_diag_msg; attributes follow. */
export const unixDiagMsg: CStruct<typeof unixDiagMsgFields> = cStruct(
  unixDiagMsgFields,
);
