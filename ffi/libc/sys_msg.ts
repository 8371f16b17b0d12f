// <sys/msg.h>

import { check } from "./errno.ts";
import { type Header, header } from "./library.ts";
import { ipcPerm } from "./sys_ipc.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int msgget(key_t key, int msgflg)
  msgget: { parameters: ["i32", "i32"], result: "i32" },
  // int msgsnd(int msqid, const void *msgp, size_t msgsz, int msgflg)
  msgsnd: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" },
  // ssize_t msgrcv(int msqid, void *msgp, size_t msgsz, long msgtyp, int msgflg)
  msgrcv: {
    parameters: ["i32", "buffer", "u32", "i64", "i32"],
    result: "i32",
  },
  // The same two calls on a thread of the blocking pool.
  msgsnd_nonblocking: {
    name: "msgsnd",
    parameters: ["i32", "buffer", "u32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  msgrcv_nonblocking: {
    name: "msgrcv",
    parameters: ["i32", "buffer", "u32", "i64", "i32"],
    result: "i32",
    nonblocking: true,
  },
  // int msgctl(int msqid, int op, struct msqid_ds *buf)
  msgctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const;

export const sysMsg: Header<typeof functions> = header(functions);

export const MSG_NOERROR = 0o10000;
export const MSG_EXCEPT = 0o20000;
export const MSG_COPY = 0o40000;

export const MSG_STAT_ANY = 13;
export const MSG_INFO = 12;

const msqidDsFields = {
  msg_perm: ipcPerm as typeof ipcPerm,
  msg_stime: "i64",
  msg_rtime: "i64",
  msg_ctime: "i64",
  msg_cbytes: "u64",
  msg_qnum: "u64",
  msg_qbytes: "u64",
  msg_lspid: "i32",
  msg_lrpid: "i32",
  reserved4: "u64",
  reserved5: "u64",
} as const;

/** struct msqid_ds */
export const msqidDs: CStruct<typeof msqidDsFields> = cStruct(msqidDsFields);

const msginfoFields = {
  msgpool: "i32",
  msgmap: "i32",
  msgmax: "i32",
  msgmnb: "i32",
  msgmni: "i32",
  msgssz: "i32",
  msgtql: "i32",
  msgseg: "u16",
} as const;

/** struct msginfo */
export const msginfo: CStruct<typeof msginfoFields> = cStruct(msginfoFields);

/** `IPC_INFO`: the limits of message queues; `MSG_INFO`: their use. */
export function queueInfo(
  operation: number,
): ReturnType<typeof msginfo.decode> {
  const bytes = new Uint8Array(msginfo.size);
  check(sysMsg().msgctl(0, operation, bytes), "msgctl");
  return msginfo.decode(bytes);
}
