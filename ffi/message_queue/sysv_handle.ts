// The system calls and the waits on one System V message queue.

import { byteLengthOf, showKey } from "../arguments.ts";
import type { IpcError } from "../errors.ts";
import { systemLimit } from "../kernel/limits.ts";
import { background } from "../kernel/liveness.ts";
import {
  type SysvChange,
  type SysvFamily,
  SysvObject,
} from "../kernel/sysv_object.ts";
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EINVAL,
  ENOMSG,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
  isInterruption,
} from "../libc/errno.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { pointerTo } from "../libc/string.ts";
import { IPC_NOWAIT, IPC_PRIVATE, IPC_STAT } from "../libc/sys_ipc.ts";
import {
  MSG_COPY,
  MSG_NOERROR,
  MSG_STAT_ANY,
  msqidDs,
  sysMsg,
} from "../libc/sys_msg.ts";
import { SYS_msgrcv, SYS_msgsnd } from "../libc/sys_syscall.ts";
import { attempt, attemptSync } from "../wait/attempt.ts";
import { sleepSync } from "../wait/backoff.ts";
import { Interrupter } from "../wait/interrupt.ts";
import type { Limits } from "../wait/options.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { isOverdue } from "../wait/yield.ts";
import { MessageBuffer, type SysvMessage } from "./sysv_buffer.ts";
import { FIRST, type Selection } from "./sysv_selection.ts";

const FIRST_CAPACITY = 8192; // the default of msgmax; grows for a larger message
const MSGMAX = "/proc/sys/kernel/msgmax";
const MSGMNB = "/proc/sys/kernel/msgmnb";
const MSGMNI = "/proc/sys/kernel/msgmni";

type Bytes = Uint8Array<ArrayBuffer>;

/** The calls on message queues, for SysvObject. */
export const MESSAGE_QUEUES: SysvFamily = {
  kind: "queue",
  plural: "message queues",
  getter: "msgget",
  get: (key) => sysMsg().msgget(key, 0),
  syscall: "msgctl",
  control: (id, operation, bytes) => sysMsg().msgctl(id, operation, bytes),
  statAny: MSG_STAT_ANY,
  size: msqidDs.size,
  table: "/proc/sysvipc/msg",
};

/** A System V queue, as one object of this module uses it. */
export class QueueHandle extends SysvObject {
  /** The key; 0 of a private queue; undefined if this process may not read it. */
  readonly key: number | undefined;
  // Sends are done in the order of the calls, and so are the receives that select the
  // same messages.
  readonly #sends = new WaiterQueue();
  readonly #receives = new Map<string, WaiterQueue>();
  readonly #buffer = new MessageBuffer(FIRST_CAPACITY);

  constructor(id: number, subject: string, key: number | undefined) {
    super(MESSAGE_QUEUES, id, subject);
    this.key = key;
  }

  /** `msgget(key, flags)` */
  static get(key: number, flags: number): QueueHandle {
    const subject = key === IPC_PRIVATE
      ? "private queue"
      : `queue key ${showKey(key)}`;
    const id = sysMsg().msgget(key, flags);
    if (id !== -1) return new QueueHandle(id, subject, key);
    const error = errno();
    const limit = error === ENOSPC ? systemLimit(MSGMNI) : undefined;
    throw ipcError(error, "msgget", subject, limit);
  }

  /** `msgctl(id, IPC_STAT, ...)`, which a process without read permission need not do. */
  static fromId(id: number): QueueHandle {
    const queue = SysvObject.withId(MESSAGE_QUEUES, id);
    const bytes = new Uint8Array(msqidDs.size);
    const result = sysMsg().msgctl(queue.id, IPC_STAT, bytes);
    const hidden = result === -1 && errno() === EACCES;
    if (!hidden) queue.check(result, "msgctl");
    const key = hidden ? undefined : msqidDs.decode(bytes).msg_perm.key;
    return new QueueHandle(queue.id, queue.subject, key);
  }

  /** Sends a message if there is room. */
  trySend(data: Bytes, type: bigint): boolean {
    this.closing.checkOpen();
    if (this.#sends.busy) return false;
    const { bytes } = this.#put(type, data);
    return this.#send(bytes, byteLengthOf(data), IPC_NOWAIT);
  }

  /** Sends a message, blocking this thread while there is no room. */
  sendSync(data: Bytes, type: bigint, deadline: number): void {
    this.closing.checkOpen();
    if (this.#sends.busy) {
      throw new Error(
        `Cannot send to ${this.subject}: an asynchronous send is pending`,
      );
    }
    const { bytes } = this.#put(type, data);
    const size = byteLengthOf(data);
    if (this.#send(bytes, size, IPC_NOWAIT)) return;
    this.#sendWaiting(bytes, size, deadline);
  }

  // The closures of a wait are in functions of their own: a function that has one makes
  // the variables of the closure at each call, whether it waits or not.

  #sendWaiting(bytes: Bytes, size: number, deadline: number): void {
    this.checkFits(size);
    const flags = deadline === Infinity ? 0 : IPC_NOWAIT;
    const tryOnce = () => this.#send(bytes, size, flags) || undefined;
    this.#attemptSync(tryOnce, deadline);
  }

  /** Sends a message, waiting while there is no room. */
  async send(data: Bytes, type: bigint, limits: Limits): Promise<void> {
    if (!isOverdue() && this.trySend(data, type)) return;
    this.closing.checkOpen();
    this.checkFits(byteLengthOf(data));
    const message = new MessageBuffer(byteLengthOf(data)); // the caller may change it
    message.put(type, data);
    const sending = new Sending(this, message);
    const source = this.#sourceOf(() => sending.blockingCall());
    try {
      await attempt(source, () => sending.tryOnce(), limits, this.#sends);
    } catch (error) {
      if (!sending.done) throw error;
    }
  }

  /** Receives a message if there is one. */
  tryReceive(selection: Selection): SysvMessage | undefined {
    return this.receiveNow(selection, IPC_NOWAIT);
  }

  /** Receives a message, blocking this thread until there is one. */
  receiveSync(selection: Selection, deadline: number): SysvMessage {
    const message = deadline === Infinity
      ? this.receiveNow(selection, 0)
      : undefined;
    return message ?? this.#receiveWaiting(selection, deadline);
  }

  #receiveWaiting(selection: Selection, deadline: number): SysvMessage {
    const flags = deadline === Infinity ? 0 : IPC_NOWAIT;
    const tryOnce = () => this.receiveNow(selection, flags);
    return this.#attemptSync(tryOnce, deadline);
  }

  /** Receives a message, waiting until there is one. */
  receive(selection: Selection, limits: Limits): Promise<SysvMessage> {
    const isFree = this.#receives.size === 0 && !isOverdue();
    const message = isFree ? this.tryReceive(selection) : undefined;
    return message === undefined
      ? this.#receiveLater(selection, limits)
      : Promise.resolve(message);
  }

  async #receiveLater(
    selection: Selection,
    limits: Limits,
  ): Promise<SysvMessage> {
    const receiving = new Receiving(this, selection);
    const source = this.#sourceOf(() => receiving.blockingCall());
    const key = `${selection.type} ${selection.flags}`;
    const waiters = this.#receives.get(key) ?? new WaiterQueue();
    this.#receives.set(key, waiters);
    try {
      return await attempt(source, () => receiving.tryOnce(), limits, waiters);
    } finally {
      if (!waiters.busy) this.#receives.delete(key);
      receiving.end();
    }
  }

  /** Copies the message at an index, and leaves it in the queue. */
  tryPeek(index: number): SysvMessage | undefined {
    const selection = { ...FIRST, type: BigInt(index), flags: MSG_COPY };
    return this.receiveNow(selection, IPC_NOWAIT);
  }

  /** One msgsnd without waiting; false if there is no room. */
  sendNow({ bytes, capacity }: MessageBuffer): boolean {
    return this.#send(bytes, capacity, IPC_NOWAIT);
  }

  /** One msgrcv; undefined if there is no such message. */
  receiveNow(selection: Selection, flags: number): SysvMessage | undefined {
    this.closing.checkOpen();
    const { msgrcv } = sysMsg();
    for (;;) {
      const { bytes, capacity } = this.#buffer;
      const most = Math.min(selection.most, capacity);
      const { type } = selection;
      const size = msgrcv(this.id, bytes, most, type, selection.flags | flags);
      if (size !== -1) return this.#buffer.take(size, selection.buffer);
      const error = errno();
      if (error === ENOMSG) return undefined;
      // A message that is too large stays in the queue. Its size is at most the number
      // of bytes in the queue.
      if (error === E2BIG && selection.most > capacity) {
        const { msg_cbytes } = msqidDs.decode(this.stat());
        this.#buffer.grow(Math.max(capacity * 2, Number(msg_cbytes)));
      } else if (error === E2BIG) {
        const limit = { name: "buffer.byteLength", value: selection.most };
        throw ipcError(error, "msgrcv", this.subject, limit);
      } else if (error !== EAGAIN && !isInterruption(error)) { // as in #send
        throw this.failure(error, "msgrcv");
      }
    }
  }

  /** Tries until that succeeds, without a thread of the pool: for what no call waits for. */
  poll<T>(
    tryOnce: () => T | undefined,
    limits: Limits,
    waiters?: WaiterQueue,
  ): Promise<T> {
    return attempt(this.#sourceOf(() => undefined), tryOnce, limits, waiters);
  }

  #sourceOf(callOf: () => BlockingCall | undefined): PoolSource {
    return new PoolSource(this.subject, this.closing, callOf);
  }

  #attemptSync<T>(tryOnce: () => T | undefined, deadline: number): T {
    const block = sleepSync(); // msgsnd and msgrcv have no timeout
    return attemptSync(this.subject, tryOnce, block, deadline);
  }

  /** Returns a buffer with the message. A buffer for a large message is not kept. */
  #put(type: bigint, data: Bytes): MessageBuffer {
    const size = byteLengthOf(data);
    const fits = size <= this.#buffer.capacity;
    const buffer = fits ? this.#buffer : new MessageBuffer(size);
    buffer.put(type, data);
    return buffer;
  }

  /** One msgsnd, with or without IPC_NOWAIT; false if there is no room. */
  #send(bytes: Bytes, size: number, flags: number): boolean {
    this.closing.checkOpen();
    const { msgsnd } = sysMsg();
    for (;;) {
      if (msgsnd(this.id, bytes, size, flags) === 0) return true;
      const error = errno();
      // A blocking call never fails with EAGAIN itself: it is EINTR, whose errno the
      // signal handler of the runtime has overwritten.
      if (error === EAGAIN) return false;
      if (!isInterruption(error)) throw this.#sendFailure(error, size);
    }
  }

  /** Rejects a message that the queue can never hold: msgsnd would wait for ever. */
  checkFits(size: number): void {
    const msgmax = systemLimit(MSGMAX);
    if (msgmax !== undefined && size > msgmax.value) {
      throw ipcError(EINVAL, "msgsnd", this.subject, msgmax);
    }
    const bytes = this.#statNow();
    if (bytes === undefined) return; // with write permission only, or removed
    const maxBytes = Number(msqidDs.decode(bytes).msg_qbytes);
    // The kernel also limits the number of messages to msg_qbytes.
    if (Math.max(size, 1) <= maxBytes) return;
    const limit = { name: "msg_qbytes", value: maxBytes };
    throw ipcError(EINVAL, "msgsnd", this.subject, limit);
  }

  /** EINVAL means that the message is above msgmax, or that the queue was removed. */
  #sendFailure(error: number, size: number): IpcError {
    const exists = () => this.#statNow() !== undefined || errno() === EACCES;
    if (error !== EINVAL || !exists()) return this.failure(error, "msgsnd");
    const limit = systemLimit(MSGMAX);
    const isHit = limit !== undefined && size > limit.value;
    return ipcError(EINVAL, "msgsnd", this.subject, isHit ? limit : undefined);
  }

  /** `IPC_STAT`; undefined if it fails. */
  #statNow(): Bytes | undefined {
    const bytes = new Uint8Array(msqidDs.size);
    const result = sysMsg().msgctl(this.id, IPC_STAT, bytes);
    return result === -1 ? undefined : bytes;
  }
}

/** `IPC_SET` of the fields that are given. */
export function changeQueue(
  queue: SysvObject,
  change: SysvChange,
  maxBytes: number | undefined,
): void {
  queue.set(change, {
    complete: maxBytes !== undefined,
    write(bytes) {
      if (maxBytes === undefined) return;
      msqidDs.view(bytes).msg_qbytes = BigInt(maxBytes);
    },
    limitOf(error) {
      const limit = systemLimit(MSGMNB);
      const isHit = error === EPERM && maxBytes !== undefined &&
        limit !== undefined && maxBytes > limit.value && queue.isOwner();
      return isHit ? limit : undefined;
    },
  });
}

/** A blocking call for the pool; undefined where it could not be interrupted. */
function interruptible(
  syscall: number,
  bytes: Bytes,
  call: () => Promise<void>,
): BlockingCall | undefined {
  if (runtime.longestBlock < Infinity) return undefined;
  const interrupter = Interrupter.open();
  if (interrupter === undefined) return undefined;
  const address = pointerTo(bytes);
  return {
    interrupt: () => interrupter.interrupt(syscall, address),
    async block() {
      try {
        await call();
      } finally {
        interrupter[Symbol.dispose]();
      }
    },
  };
}

/** A send that waits for room. */
class Sending {
  readonly #queue: QueueHandle;
  readonly #message: MessageBuffer;
  /** Whether a thread of the pool has sent the message. */
  done = false;

  constructor(queue: QueueHandle, message: MessageBuffer) {
    this.#queue = queue;
    this.#message = message;
  }

  tryOnce(): true | undefined {
    return this.done || this.#queue.sendNow(this.#message) || undefined;
  }

  /** A blocking msgsnd, which sends: no call only waits for room. */
  blockingCall(): BlockingCall | undefined {
    const { capacity } = this.#message;
    const bytes = runtime.pinned(this.#message.bytes);
    return interruptible(SYS_msgsnd, bytes, async () => {
      const { msgsnd_nonblocking: call } = sysMsg();
      const sending = background(call(this.#queue.id, bytes, capacity, 0));
      this.done = await sending === 0;
    });
  }
}

/** A receive that waits for a message. */
class Receiving {
  readonly #queue: QueueHandle;
  readonly #selection: Selection;
  #taken: bigint | undefined; // the type of an empty message
  #ended = false;

  constructor(queue: QueueHandle, selection: Selection) {
    this.#queue = queue;
    this.#selection = selection;
  }

  tryOnce(): SysvMessage | undefined {
    return this.#takeEmpty() ??
      this.#queue.receiveNow(this.#selection, IPC_NOWAIT);
  }

  /**
   * A blocking msgrcv into a buffer without room for data: when a message arrives it
   * fails with E2BIG, and the message stays in the queue. Only an empty message is taken.
   */
  blockingCall(): BlockingCall | undefined {
    const bytes = runtime.pinned(new Uint8Array(8)); // the type alone
    const { type, flags } = this.#selection;
    return interruptible(SYS_msgrcv, bytes, async () => {
      const { msgrcv_nonblocking: call } = sysMsg();
      const { id } = this.#queue;
      const size = await background(
        call(id, bytes, 0, type, flags & ~MSG_NOERROR),
      );
      if (size === -1) return;
      this.#taken = new BigInt64Array(bytes.buffer)[0]!;
      if (this.#ended) this.end();
    });
  }

  /** Ends the wait. An empty message that it took goes back into the queue. */
  end(): void {
    this.#ended = true;
    if (this.#taken === undefined) return;
    const bytes = new Uint8Array(BigInt64Array.of(this.#taken).buffer);
    this.#taken = undefined;
    sysMsg().msgsnd(this.#queue.id, bytes, 0, IPC_NOWAIT);
  }

  #takeEmpty(): SysvMessage | undefined {
    if (this.#taken === undefined) return undefined;
    const empty = new MessageBuffer(0);
    empty.put(this.#taken, new Uint8Array());
    this.#taken = undefined;
    return empty.take(0, this.#selection.buffer);
  }
}
