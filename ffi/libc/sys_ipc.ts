// <sys/ipc.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // key_t ftok(const char *pathname, int proj_id)
  ftok: { parameters: ["buffer", "i32"], result: "i32" },
} as const;

export const sysIpc: Header<typeof functions> = header(functions);

export const IPC_CREAT = 0o1000;
export const IPC_EXCL = 0o2000;
export const IPC_NOWAIT = 0o4000;
export const IPC_RMID = 0;
export const IPC_SET = 1;
export const IPC_STAT = 2;
export const IPC_INFO = 3;
export const IPC_PRIVATE = 0;

const ipcPermFields = {
  key: "i32",
  uid: "u32",
  gid: "u32",
  cuid: "u32",
  cgid: "u32",
  mode: "u32",
  seq: "u16",
  pad: "u16",
  reserved1: "u64",
  reserved2: "u64",
} as const;

/** struct ipc_perm */
export const ipcPerm: CStruct<typeof ipcPermFields> = cStruct(ipcPermFields);
