// <sys/shm.h>

import { check } from "./errno.ts";
import { type Header, header } from "./library.ts";
import { IPC_INFO, ipcPerm } from "./sys_ipc.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int shmget(key_t key, size_t size, int shmflg)
  shmget: { parameters: ["i32", "usize", "i32"], result: "i32" },
  // void *shmat(int shmid, const void *shmaddr, int shmflg)
  shmat: { parameters: ["i32", "usize", "i32"], result: "usize" },
  // int shmdt(const void *shmaddr)
  shmdt: { parameters: ["usize"], result: "i32" },
  // int shmctl(int shmid, int op, struct shmid_ds *buf)
  shmctl: { parameters: ["i32", "i32", "buffer"], result: "i32" },
} as const;

export const sysShm: Header<typeof functions> = header(functions);

export const SHM_RDONLY = 0o10000;
export const SHM_HUGETLB = 0o4000;
export const SHM_DEST = 0o1000;
export const SHM_LOCKED = 0o2000;
export const SHM_LOCK = 11;
export const SHM_UNLOCK = 12;
export const SHM_INFO = 14;
export const SHM_STAT_ANY = 15;

const shmidDsFields = {
  shm_perm: ipcPerm as typeof ipcPerm,
  shm_segsz: "u64",
  shm_atime: "i64",
  shm_dtime: "i64",
  shm_ctime: "i64",
  shm_cpid: "i32",
  shm_lpid: "i32",
  shm_nattch: "u64",
  reserved4: "u64",
  reserved5: "u64",
} as const;

/** struct shmid_ds */
export const shmidDs: CStruct<typeof shmidDsFields> = cStruct(shmidDsFields);

const shminfoFields = {
  shmmax: "u64",
  shmmin: "u64",
  shmmni: "u64",
  shmseg: "u64",
  shmall: "u64",
  reserved1: "u64",
  reserved2: "u64",
  reserved3: "u64",
  reserved4: "u64",
} as const;

/** struct shminfo */
export const shminfo: CStruct<typeof shminfoFields> = cStruct(shminfoFields);

const shmInfoFields = {
  used_ids: "i32",
  shm_tot: "u64",
  shm_rss: "u64",
  shm_swp: "u64",
  swap_attempts: "u64",
  swap_successes: "u64",
} as const;

/** struct shm_info */
export const shmInfo: CStruct<typeof shmInfoFields> = cStruct(shmInfoFields);

/** `IPC_INFO`: the limits of shared memory. */
export function segmentLimits(): ReturnType<typeof shminfo.decode> {
  const bytes = new Uint8Array(shminfo.size);
  check(sysShm().shmctl(0, IPC_INFO, bytes), "shmctl");
  return shminfo.decode(bytes);
}

/** `SHM_INFO`: the use of shared memory. */
export function segmentUse(): ReturnType<typeof shmInfo.decode> {
  const bytes = new Uint8Array(shmInfo.size);
  check(sysShm().shmctl(0, SHM_INFO, bytes), "shmctl");
  return shmInfo.decode(bytes);
}
