// The limits that the system sets for IPC, and how much of them is used.

import type { SystemLimit } from "../errors.ts";
import { check } from "../libc/errno.ts";
import { IPC_INFO } from "../libc/sys_ipc.ts";
import { msginfo, sysMsg } from "../libc/sys_msg.ts";
import { seminfo, sysSem } from "../libc/sys_sem.ts";
import { SHM_INFO, shmInfo, shminfo, sysShm } from "../libc/sys_shm.ts";
import { readProc } from "./proc.ts";

/**
 * The limit in that file of /proc; `field` picks one of several numbers. Undefined if
 * it cannot be read: the error that it explains must not be replaced by another one.
 */
export function systemLimit(name: string, field = 0): SystemLimit | undefined {
  const number = readNow(name)?.trim().split(/\s+/)[field];
  return number ? { name, value: exact(BigInt(number)) } : undefined;
}

/** A number if it is a safe integer, else the bigint. */
export function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function readNow(path: string): string | undefined {
  try {
    return readProc(path);
  } catch {
    return undefined;
  }
}

/** `IPC_INFO`: the limits of message queues; `MSG_INFO`: their use. */
export function queueInfo(
  operation: number,
): ReturnType<typeof msginfo.decode> {
  const bytes = new Uint8Array(msginfo.size);
  check(sysMsg().msgctl(0, operation, bytes), "msgctl");
  return msginfo.decode(bytes);
}

/** `IPC_INFO`: the limits of semaphore sets; `SEM_INFO`: their use. */
export function setInfo(operation: number): ReturnType<typeof seminfo.decode> {
  const bytes = new Uint8Array(seminfo.size);
  check(sysSem().semctl_buf(0, 0, operation, bytes), "semctl");
  return seminfo.decode(bytes);
}

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
