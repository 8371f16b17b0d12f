// The system calls on one System V semaphore set.

import { checkInteger, showKey } from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import { systemLimit } from "../kernel/limits.ts";
import { background } from "../kernel/liveness.ts";
import { SysvObject } from "../kernel/sysv_object.ts";
import {
  E2BIG,
  EAGAIN,
  EINTR,
  EINVAL,
  ENOSPC,
  ERANGE,
  errno,
  ipcError,
  isDoubtful,
} from "../libc/errno.ts";
import { runtime } from "../libc/runtime/mod.ts";
import {
  GETALL,
  SEM_INFO,
  SEMAEM,
  SEMVMX,
  setInfo,
  sysSem,
} from "../libc/sys_sem.ts";
import { pointerTo } from "../libc/string.ts";
import { SYS_semtimedop } from "../libc/sys_syscall.ts";
import { durationOf } from "../libc/time.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { interruptCall } from "../wait/interrupt.ts";
import { type Limits, remaining } from "../wait/options.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import type { WaiterQueue } from "../wait/waiters.ts";
import { type Operations, SHORTS } from "./operations.ts";
import { SEMAPHORE_SETS } from "./sysv_stat.ts";

const SEM = "/proc/sys/kernel/sem";
const FIELDS = ["SEMMSL", "SEMMNS", "SEMOPM", "SEMMNI"] as const;

// A process that adds more than it takes away, or the other way round, runs into this.
const UNDO_LIMIT: SystemLimit = {
  name: "SEMAEM (what the kernel undoes for a process: see the option undo)",
  value: SEMAEM,
};

function limitOf(field: typeof FIELDS[number]): SystemLimit | undefined {
  const limit = systemLimit(SEM, FIELDS.indexOf(field));
  return limit && { name: `${field} (${SEM})`, value: limit.value };
}

function limitOfSemget(error: number, size: number): SystemLimit | undefined {
  if (error === ENOSPC) {
    // The kernel compares this one first.
    const all = limitOf("SEMMNS");
    const used = setInfo(SEM_INFO).semaem;
    return all && used + size > all.value ? all : limitOf("SEMMNI");
  }
  if (error !== EINVAL) return undefined;
  const max = limitOf("SEMMSL");
  return max !== undefined && size > Number(max.value) ? max : undefined;
}

/** Name used in error messages for a set that is found by its key; 0 is private. */
export function subjectOf(kind: string, key: number): string {
  return key === 0 ? `private ${kind}` : `${kind} key ${showKey(key)}`;
}

/** `semget(key, size, flags)`: the identifier. */
export function getId(
  key: number,
  size: number,
  flags: number,
  subject: string,
): number {
  const id = sysSem().semget(key, size, flags);
  if (id !== -1) return id;
  const error = errno();
  throw ipcError(error, "semget", subject, limitOfSemget(error, size));
}

/** A semaphore set that one object has open. */
export class SetHandle extends SysvObject {
  readonly #key: number;
  readonly #semop = sysSem().semop;
  /** The number of semaphores. */
  readonly size: number;

  constructor(id: number, key: number, size: number, subject: string) {
    super(SEMAPHORE_SETS, id, subject);
    this.#key = key;
    this.size = size;
  }

  /** The fields that Deno.inspect() shows. */
  get shown(): Record<string, unknown> {
    const key = this.#key === 0 ? undefined : showKey(this.#key);
    return { id: this.id, key, closed: this.closing.closed };
  }

  checkIndex(index: unknown): asserts index is number {
    checkInteger("index", index, 0, this.size - 1, "the last one of the set");
  }

  /** `semop(id, ...)`; false when it would have to wait, or was interrupted. */
  operate(operations: Operations): boolean {
    const { sembufs, count } = operations;
    const semop = this.#semop;
    if (semop(this.id, sembufs, count) === 0) return true;
    const error = errno();
    const again = () => semop(this.id, sembufs, count);
    return this.#isDone(error, again, "semop", operations);
  }

  /** `semtimedop(id, ...)`, blocking this thread; false at the deadline, or earlier. */
  block(operations: Operations, deadline: number): boolean {
    if (deadline === Infinity) return this.operate(operations);
    const { sembufs, count } = operations;
    const { semtimedop } = sysSem();
    const call = () => {
      const time = durationOf(remaining(deadline));
      return semtimedop(this.id, sembufs, count, time);
    };
    if (call() === 0) return true;
    return this.#isDone(errno(), call, "semtimedop", operations);
  }

  /** The same on a thread of the blocking pool, at most until then. */
  blockingCall(
    { sembufs, count }: Operations,
    until: number,
    done?: () => void,
  ): BlockingCall {
    const { semtimedop_nonblocking: call } = sysSem();
    const bytes = runtime.pinned(new Uint8Array(sembufs.buffer));
    return {
      block: async (milliseconds) => {
        const time = durationOf(Math.min(milliseconds, remaining(until)));
        const result = await background(call(this.id, bytes, count, time));
        if (result === 0) done?.();
      },
      interrupt: () => interruptCall(SYS_semtimedop, pointerTo(bytes)),
    };
  }

  /** The limit that the operations have run into. */
  #limitOf(error: number, { sembufs }: Operations): SystemLimit | undefined {
    if (error === E2BIG) return limitOf("SEMOPM");
    if (error !== ERANGE) return undefined;
    const present = new Uint16Array(this.size);
    if (sysSem().semctl_array(this.id, 0, GETALL, present) === -1) {
      return undefined;
    }
    const values = Array.from(present);
    for (let at = 0; at < sembufs.length; at += SHORTS) {
      values[sembufs[at]!]! += sembufs[at + 1]!;
      if (values[sembufs[at]!]! > SEMVMX) {
        return { name: "SEMVMX", value: SEMVMX };
      }
    }
    return UNDO_LIMIT;
  }

  /** Does the operations if none of them has to wait. */
  tryOnce(operations: Operations): boolean {
    this.closing.checkOpen();
    return this.operate(operations.trying);
  }

  /** Does the operations, blocking this thread. */
  waitSync(operations: Operations, deadline: number): void {
    this.closing.checkOpen();
    if (this.block(operations, deadline)) return;
    attemptSync(
      this.subject,
      () => this.block(operations, deadline) || undefined,
      () => {}, // the call blocks by itself
      deadline,
    );
  }

  /** Does the operations, without blocking the thread. */
  wait<T>(
    operations: Operations,
    done: () => T,
    limits: Limits,
    queue?: WaiterQueue,
  ): Promise<T> {
    const callOf = () => this.#probingCall(operations.probe);
    const source = new PoolSource(this.subject, this.closing, callOf);
    const tryOnce = () => this.tryOnce(operations) ? done() : undefined;
    return attempt(source, tryOnce, limits, queue);
  }

  /** `semctl(id, index, operation)` */
  get(index: number, operation: number): number {
    this.closing.checkOpen();
    return this.check(sysSem().semctl(this.id, index, operation), "semctl");
  }

  /** `semctl(id, 0, GETALL, values)` */
  getAll(): Uint16Array {
    this.closing.checkOpen();
    const values = new Uint16Array(this.size);
    const result = sysSem().semctl_array(this.id, 0, GETALL, values);
    this.check(result, "semctl");
    return values;
  }

  /** A call that blocks until the probe succeeds; undefined where it would not block. */
  #probingCall(probe: Operations): BlockingCall | undefined {
    const { sembufs, count } = probe.trying;
    const result = sysSem().semop(this.id, sembufs, count);
    // Other errors: more operations than SEMOPM, or what the next try will throw.
    const blocks = result === 0 || errno() === EAGAIN;
    return blocks ? this.blockingCall(probe, Infinity) : undefined;
  }

  /** After a call that failed: false when it would have to wait, or was interrupted. */
  #isDone(
    error: number,
    again: () => number,
    syscall: string,
    operations: Operations,
  ): boolean {
    if (isDoubtful(error)) {
      if (again() === 0) return true;
      error = errno();
    }
    if (error === EAGAIN || error === EINTR) return false;
    throw this.failure(error, syscall, this.#limitOf(error, operations));
  }
}
