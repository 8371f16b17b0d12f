// The system calls on one System V queue, and the waits for it.

import { byteLengthOf } from "../arguments.ts";
import type { SystemLimit } from "../errors.ts";
import {
  E2BIG,
  EACCES,
  EAGAIN,
  EIDRM,
  EINTR,
  EINVAL,
  ENOMSG,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { systemLimit } from "../kernel/limits.ts";
import { pointerTo } from "../libc/string.ts";
import { IPC_NOWAIT, IPC_STAT } from "../libc/sys_ipc.ts";
import { MSG_COPY, MSG_NOERROR, msqidDs, sysMsg } from "../libc/sys_msg.ts";
import { SYS_msgrcv, SYS_msgsnd } from "../libc/sys_syscall.ts";
import { attempt, attemptSync, type TryOnce } from "../wait/attempt.ts";
import { sleepSync } from "../wait/backoff.ts";
import { Closing } from "../kernel/closing.ts";
import { Interrupter } from "../wait/interrupt.ts";
import type { Limits } from "../wait/options.ts";
import { type BlockingCall, PoolSource } from "../wait/pool.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { isOverdue, yieldToEventLoop } from "../wait/yield.ts";
import { MessageBuffer, type SysvMessage } from "./sysv_buffer.ts";
import { FIRST, type Selection } from "./sysv_selection.ts";

const FIRST_CAPACITY = 8192; // the usual msgmax; grows when a message is larger
const MSGMAX = "/proc/sys/kernel/msgmax";

type Bytes = Uint8Array<ArrayBuffer>;

/** A System V queue, as one object uses it. */
export class QueueHandle {
  readonly id: number;
  readonly subject: string;
  readonly closing: Closing;
  // Messages go in the order of their send(), and of those that want the same messages
  // each receive() gets its own in the order of the calls.
  readonly #sends = new WaiterQueue();
  readonly #receives = new Map<string, WaiterQueue>();
  readonly #buffer = new MessageBuffer(FIRST_CAPACITY);

  constructor(id: number, subject: string) {
    this.id = id;
    this.subject = subject;
    this.closing = new Closing(subject);
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
    this.#checkFits(size);
    const flags = deadline === Infinity ? 0 : IPC_NOWAIT;
    const tryOnce = () => this.#send(bytes, size, flags) || undefined;
    this.#attemptSync(tryOnce, deadline);
  }

  /** Sends a message, waiting while there is no room. */
  async send(data: Bytes, type: bigint, limits: Limits): Promise<void> {
    if (this.trySend(data, type)) {
      if (isOverdue()) await yieldToEventLoop();
      return;
    }
    this.#checkFits(byteLengthOf(data));
    const message = new MessageBuffer(byteLengthOf(data)); // the caller's may change
    message.put(type, data);
    const sending = new Sending(this, message);
    const source = this.#sourceOf(() => sending.blockingCall());
    try {
      await attempt(source, () => sending.tryOnce(), limits, this.#sends);
    } catch (error) {
      if (!sending.done) throw error;
    }
  }

  /** Takes a message that is there. */
  tryReceive(selection: Selection): SysvMessage | undefined {
    return this.receiveNow(selection, IPC_NOWAIT);
  }

  /** Takes a message, blocking this thread until there is one. */
  receiveSync(selection: Selection, deadline: number): SysvMessage {
    const flags = deadline === Infinity ? 0 : IPC_NOWAIT;
    return this.#attemptSync(
      () => this.receiveNow(selection, flags),
      deadline,
    );
  }

  /** Takes a message, waiting until there is one. */
  async receive(selection: Selection, limits: Limits): Promise<SysvMessage> {
    const receiving = new Receiving(this, selection);
    const source = this.#sourceOf(() => receiving.blockingCall());
    const key = `${selection.type} ${selection.flags}`;
    const queue = this.#receives.get(key) ?? new WaiterQueue();
    this.#receives.set(key, queue);
    try {
      return await attempt(source, () => receiving.tryOnce(), limits, queue);
    } finally {
      if (!queue.busy) this.#receives.delete(key);
      receiving.end();
    }
  }

  /** A copy of a message by its place in the queue, which stays there. */
  peek(index: number): SysvMessage | undefined {
    const place = { ...FIRST, type: BigInt(index), flags: MSG_COPY };
    return this.receiveNow(place, IPC_NOWAIT);
  }

  /** One msgsnd; false when there is no room, or where it was interrupted. */
  sendNow({ bytes, capacity }: MessageBuffer): boolean {
    return this.#send(bytes, capacity, IPC_NOWAIT);
  }

  /** One msgrcv; undefined when there is no such message. */
  receiveNow(selection: Selection, flags: number): SysvMessage | undefined {
    this.closing.checkOpen();
    const { msgrcv } = sysMsg();
    for (;;) {
      const { bytes, capacity } = this.#buffer;
      const most = Math.min(selection.most, capacity);
      const all = selection.flags | flags;
      const size = msgrcv(this.id, bytes, most, selection.type, all);
      if (size !== -1) return this.#buffer.take(size, selection.buffer);
      const error = errno();
      if (error === ENOMSG) return undefined;
      // The message stays in the queue when the buffer is too small for it. The
      // bytes in the queue are the most that it can have.
      if (error === E2BIG && selection.most > capacity) {
        const { msg_cbytes } = msqidDs.decode(this.control(IPC_STAT));
        this.#buffer.grow(Math.max(capacity * 2, Number(msg_cbytes)));
      } else if (error === E2BIG) {
        const limit = { name: "buffer.byteLength", value: selection.most };
        throw ipcError(error, "msgrcv", this.subject, limit);
      } else if (error !== EINTR && error !== EAGAIN) { // as in #send
        throw this.#failure(error, "msgrcv");
      }
    }
  }

  /** msgctl, with the condition of a removed queue made one. */
  control(operation: number, change?: Bytes, limit?: SystemLimit): Bytes {
    this.closing.checkOpen();
    const bytes = change ?? new Uint8Array(msqidDs.size);
    if (sysMsg().msgctl(this.id, operation, bytes) !== -1) return bytes;
    const error = errno();
    const gone = error === EINVAL || error === EIDRM;
    throw ipcError(gone ? EIDRM : error, "msgctl", this.subject, limit);
  }

  #sourceOf(callOf: () => BlockingCall | undefined): PoolSource {
    return new PoolSource(this.subject, this.closing, callOf);
  }

  #attemptSync<T>(tryOnce: TryOnce<T>, deadline: number): T {
    const block = sleepSync(); // msgsnd and msgrcv have no timeout
    return attemptSync(this.subject, tryOnce, block, deadline);
  }

  /** A buffer with the message: a large one is not kept. */
  #put(type: bigint, data: Bytes): MessageBuffer {
    const size = byteLengthOf(data);
    const fits = size <= this.#buffer.capacity;
    const buffer = fits ? this.#buffer : new MessageBuffer(size);
    buffer.put(type, data);
    return buffer;
  }

  /** Sends a message that is in a buffer; false when there is no room. */
  #send(bytes: Bytes, size: number, flags: number): boolean {
    this.closing.checkOpen();
    const { msgsnd } = sysMsg();
    for (;;) {
      if (msgsnd(this.id, bytes, size, flags) === 0) return true;
      const error = errno();
      // A call that may block says EAGAIN only where the runtime's signal handler has
      // left that in errno.
      if (error === EAGAIN) return false;
      if (error !== EINTR) throw this.#failure(error, "msgsnd");
    }
  }

  /** Linux would wait for ever for room that cannot come. */
  #checkFits(size: number): void {
    const bytes = new Uint8Array(msqidDs.size);
    // Who may only write to the queue is not told its size, and waits.
    if (sysMsg().msgctl(this.id, IPC_STAT, bytes) === -1) return;
    const maxBytes = Number(msqidDs.decode(bytes).msg_qbytes);
    // There may be as many messages as bytes: an empty one takes room, too.
    if (Math.max(size, 1) <= maxBytes) return;
    const limit = { name: "msg_qbytes", value: maxBytes };
    throw ipcError(EINVAL, "msgsnd", this.subject, limit);
  }

  /**
   * To the caller, a queue that was removed is one condition: EIDRM. The kernel says
   * EINVAL to a call that comes after the removal.
   */
  #failure(error: number, syscall: string): Error {
    if (error !== EINVAL) return ipcError(error, syscall, this.subject);
    const bytes = new Uint8Array(msqidDs.size);
    const { msgctl } = sysMsg();
    if (msgctl(this.id, IPC_STAT, bytes) === -1 && errno() !== EACCES) {
      return ipcError(EIDRM, syscall, this.subject);
    }
    return ipcError(error, syscall, this.subject, systemLimit(MSGMAX));
  }
}

/** A call on a thread of the pool that `call` makes, where it can be interrupted. */
function interruptible(
  syscall: number,
  bytes: Bytes,
  acts: boolean,
  call: () => Promise<void>,
): BlockingCall | undefined {
  const interrupter = Interrupter.open();
  if (interrupter === undefined) return undefined;
  const address = pointerTo(bytes);
  return {
    acts,
    interrupt: () => interrupter.interrupt(syscall, address),
    async block() {
      using _ = interrupter;
      await call();
    },
  };
}

/** One message that is being sent. */
class Sending {
  readonly #queue: QueueHandle;
  readonly #message: MessageBuffer;
  /** Whether a thread of the pool has sent it. */
  done = false;

  constructor(queue: QueueHandle, message: MessageBuffer) {
    this.#queue = queue;
    this.#message = message;
  }

  tryOnce(): true | undefined {
    return this.done || this.#queue.sendNow(this.#message) || undefined;
  }

  /** There is no call that waits for room: this one sends. */
  blockingCall(): BlockingCall | undefined {
    const { bytes, capacity } = this.#message;
    return interruptible(SYS_msgsnd, bytes, true, async () => {
      const { msgsnd_nonblocking: call } = sysMsg();
      this.done = await call(this.#queue.id, bytes, capacity, 0) === 0;
    });
  }
}

/** One message that is being received. */
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
   * msgrcv into a buffer without room for data: it returns with E2BIG when a message
   * comes, which stays in the queue. An empty message is taken all the same.
   */
  blockingCall(): BlockingCall | undefined {
    const bytes = new Uint8Array(8); // the type alone
    const { type, flags } = this.#selection;
    return interruptible(SYS_msgrcv, bytes, false, async () => {
      const { msgrcv_nonblocking: call } = sysMsg();
      const { id } = this.#queue;
      const size = await call(id, bytes, 0, type, flags & ~MSG_NOERROR);
      if (size === -1) return;
      this.#taken = new BigInt64Array(bytes.buffer)[0]!;
      if (this.#ended) this.end();
    });
  }

  /** An empty message that is not wanted any more goes back. */
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
