// <sys/sem.h>

import { check } from "./errno.ts";
import { type Header, header } from "./library.ts";
import { machine } from "./machine.ts";
import { ipcPerm } from "./sys_ipc.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int semget(key_t key, int nsems, int semflg)
  semget: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int semop(int semid, struct sembuf *sops, size_t nsops)
  semop: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int semtimedop(int semid, struct sembuf *sops, size_t nsops, const struct timespec *timeout)
  semtimedop: {
    parameters: ["i32", "buffer", "u32", "buffer"],
    result: "i32",
  },
  // On a thread of the blocking pool:
  // int semtimedop(int semid, struct sembuf *sops, size_t nsops, const struct timespec *timeout)
  semtimedop_nonblocking: {
    name: "semtimedop",
    parameters: ["i32", "buffer", "u32", "buffer"],
    result: "i32",
    nonblocking: true,
  },
  // int semctl(int semid, int semnum, int op)
  semctl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // The fourth argument is a union semun. Each member has a declaration of its own:
  // int semctl(int semid, int semnum, int op, int val)
  semctl_val: {
    name: "semctl",
    parameters: ["i32", "i32", "i32", "i32"],
    result: "i32",
  },
  // int semctl(int semid, int semnum, int op, struct semid_ds *buf)
  semctl_buf: {
    name: "semctl",
    parameters: ["i32", "i32", "i32", "buffer"],
    result: "i32",
  },
  // int semctl(int semid, int semnum, int op, unsigned short *array)
  semctl_array: {
    name: "semctl",
    parameters: ["i32", "i32", "i32", "buffer"],
    result: "i32",
  },
} as const;

export const sysSem: Header<typeof functions> = header(functions);

export const SEM_UNDO = 0x1000;
export const GETPID = 11;
export const GETVAL = 12;
export const GETALL = 13;
export const GETNCNT = 14;
export const GETZCNT = 15;
export const SETVAL = 16;
export const SETALL = 17;
export const SEM_INFO = 19;
export const SEM_STAT_ANY = 20;
/** The highest value of a semaphore, from <linux/sem.h>. */
export const SEMVMX = 32767;
/** The most that is undone for a process, from <linux/sem.h>. */
export const SEMAEM = 32767;

const sembufFields = { sem_num: "u16", sem_op: "i16", sem_flg: "i16" } as const;

/** struct sembuf */
export const sembuf: CStruct<typeof sembufFields> = cStruct(sembufFields);

const semidDsFields = {
  sem_perm: ipcPerm as typeof ipcPerm,
  sem_otime: "i64",
  sem_ctime: "i64",
  sem_nsems: "u64",
  __glibc_reserved3: "u64",
  __glibc_reserved4: "u64",
} as const;

const paddedSemidDsFields = {
  sem_perm: ipcPerm,
  sem_otime: "i64",
  __sem_otime_high: "u64",
  sem_ctime: "i64",
  __sem_ctime_high: "u64",
  sem_nsems: "u64",
  __glibc_reserved3: "u64",
  __glibc_reserved4: "u64",
} as const;

/** struct semid_ds */
export const semidDs: CStruct<typeof semidDsFields> = cStruct(
  machine.SEMID_DS_PADDED ? paddedSemidDsFields : semidDsFields,
);

const seminfoFields = {
  semmap: "i32",
  semmni: "i32",
  semmns: "i32",
  semmnu: "i32",
  semmsl: "i32",
  semopm: "i32",
  semume: "i32",
  semusz: "i32",
  semvmx: "i32",
  semaem: "i32",
} as const;

/** struct seminfo */
export const seminfo: CStruct<typeof seminfoFields> = cStruct(seminfoFields);

/** `IPC_INFO`: the limits of semaphore sets; `SEM_INFO`: their use. */
export function setInfo(operation: number): ReturnType<typeof seminfo.decode> {
  const bytes = new Uint8Array(seminfo.size);
  check(sysSem().semctl_buf(0, 0, operation, bytes), "semctl");
  return seminfo.decode(bytes);
}
