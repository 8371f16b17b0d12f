// Requests and replies over one System V queue. A queue does not report whether a message
// was received; a reply does.
//
// Requests and replies share the room of the queue. Requests fill at most half of it, and
// a server whose reply does not fit takes more requests out of the queue: so they cannot
// block each other for ever. A client that stops waiting says so, in an empty message,
// which fits into a full queue; the server then drops the reply.

import { byteLengthOf, copyOf, setBytes, viewOf } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { cStruct } from "../libc/c_struct.ts";
import { errno, ESRCH } from "../libc/errno.ts";
import { runtime } from "../libc/runtime/mod.ts";
import { signal as libc } from "../libc/signal.ts";
import { MSG_NOERROR, msqidDs } from "../libc/sys_msg.ts";
import { linkedTo } from "../libc/unistd.ts";
import { untilClosed } from "../wait/iteration.ts";
import { type Limits, limitsOf, type WaitOptions } from "../wait/options.ts";
import { WaiterQueue } from "../wait/waiters.ts";
import { MessageBuffer, type SysvMessage } from "./sysv_buffer.ts";
import { QueueHandle } from "./sysv_handle.ts";
import { checkData, FIRST, type Selection } from "./sysv_selection.ts";

// A request begins with the type of its reply. Its bits are, from the lowest:
// 32 for a number that this process has not used recently, 22 for the process id
// (PID_MAX_LIMIT of the kernel), 8 for a tag of the PID namespace, 1 that is set in the
// message of a client that stops waiting. So a reply is received by its own request only,
// also after a timeout or when a process id is used again. Requests themselves have types
// below 2^32.
const head = cStruct({ reply_type: "i64" });
const NUMBERS = 1n << 32n;
/** The highest type of a request. */
export const MAX_REQUEST: number = 2 ** 32 - 1;
const PIDS = 1n << 22n;
const TAG_SHIFT = 54n;
const TAGS = 1n << 8n;
const WITHDRAWN = 1n << 62n;
let next = BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);

let ownTag: bigint | undefined;

/** The tag of this process's PID namespace: 1 to 255; 0 if it is unknown. */
function namespaceTag(): bigint {
  if (ownTag !== undefined) return ownTag;
  try {
    const [inode] = linkedTo("/proc/self/ns/pid").match(/\d+/) ?? [];
    ownTag = 1n + BigInt(inode!) % (TAGS - 1n);
  } catch {
    ownTag = 0n; // no /proc
  }
  return ownTag;
}

function newReplyType(): bigint {
  next = (next + 1n) % NUMBERS;
  return namespaceTag() << TAG_SHIFT | BigInt(runtime.pid) * NUMBERS | next;
}

function pidOf(type: bigint): number {
  return Number(type / NUMBERS % PIDS);
}

/**
 * Whether the client of a reply type has ended. Unknown, so false, in another PID
 * namespace: the process id says nothing here.
 */
function hasEnded(type: bigint): boolean {
  const tag = (type >> TAG_SHIFT) % TAGS;
  if (tag !== 0n && tag !== namespaceTag()) return false;
  return isDead(pidOf(type));
}

/** False for 0, which is no process. */
function isDead(pid: number): boolean {
  return libc().kill(pid, 0) === -1 && errno() === ESRCH;
}

function only(type: bigint): Selection {
  return { ...FIRST, type };
}

/** The same queue: the object of the caller may be closed. */
function reopened({ id, subject, key }: QueueHandle): QueueHandle {
  return new QueueHandle(id, subject, key);
}

// The reply types of requests that this thread has withdrawn. A server in C replies all
// the same. Above the maximum the oldest are forgotten, and their replies stay in the
// queue until this process has ended.
const late = new Set<bigint>();
const MAX_LATE = 1024;
const EMPTY = new Uint8Array();

/** Tells the server that this client waits no more for the reply. */
function withdraw(caller: QueueHandle, type: bigint): void {
  const queue = reopened(caller);
  try {
    // In this order, and the server sends its reply before it looks for this message: so
    // at least one of the two sees what the other has sent.
    const sent = mayReply(queue, type) &&
      queue.sendNow(new MessageBuffer(0).put(type | WITHDRAWN, EMPTY));
    if (queue.tryReceive(only(type)) === undefined) {
      late.add(type);
      const [oldest] = late;
      if (late.size > MAX_LATE) late.delete(oldest!);
    } else if (sent) {
      queue.tryReceive(only(type | WITHDRAWN));
    }
  } catch (error) {
    if (!(error instanceof IpcError)) throw error; // the queue was removed
  }
}

/** Whether a server may reply: false if the one that took the request has ended. */
function mayReply(queue: QueueHandle, type: bigint): boolean {
  const { msg_lrpid } = msqidDs.view(queue.stat());
  return !isDead(msg_lrpid) ||
    messagesIn(queue).some(({ data }) =>
      data.length >= head.size && head.decode(data).reply_type === type
    );
}

/** Whether the client has withdrawn the request of this reply. */
function isWithdrawn(queue: QueueHandle, type: bigint): boolean {
  const withdrawn = type | WITHDRAWN;
  return withdrawn !== type && queue.tryReceive(only(withdrawn)) !== undefined;
}

const MAX_PEEKS = 1000; // the kernel counts from the first message each time

/** Copies of the first messages in a queue. */
function messagesIn(queue: QueueHandle): SysvMessage[] {
  const messages: SysvMessage[] = [];
  try {
    while (messages.length < MAX_PEEKS) {
      const message = queue.tryPeek(messages.length);
      if (message === undefined) break;
      messages.push(message);
    }
  } catch (error) {
    // A kernel without MSG_COPY cannot peek.
    if (!(error instanceof IpcError && error.code === "ENOSYS")) throw error;
  }
  return messages;
}

/** Removes the messages for processes that have ended, and late replies to this thread. */
function removeUnclaimed(queue: QueueHandle): void {
  for (const message of messagesIn(queue)) {
    const type = BigInt(message.type);
    if (type < NUMBERS) continue;
    if (late.delete(type)) queue.tryReceive(only(type | WITHDRAWN));
    else if (!hasEnded(type)) continue;
    queue.tryReceive(only(type));
  }
}

/**
 * Whether a request of this size leaves room for replies: half of the queue, without the
 * bytes that are neither requests nor replies.
 */
function leavesRoom(queue: QueueHandle, size: number, foreign = 0): boolean {
  const { msg_cbytes, msg_qbytes } = msqidDs.view(queue.stat());
  const bytes = Number(msg_cbytes) - foreign;
  return bytes <= 0 || 2 * (bytes + size) <= Number(msg_qbytes) - foreign;
}

/** The bytes of messages that are neither requests of this type nor replies. */
function foreignBytes(queue: QueueHandle, requestType: bigint): number {
  return messagesIn(queue)
    .filter(({ type }) => type < NUMBERS && BigInt(type) !== requestType)
    .reduce((sum, { data }) => sum + data.length, 0);
}

function sendRequest(
  queue: QueueHandle,
  message: MessageBuffer,
  type: bigint,
): boolean {
  const size = message.capacity;
  if (leavesRoom(queue, size) && queue.sendNow(message)) return true;
  queue.checkFits(size);
  removeUnclaimed(queue);
  const foreign = foreignBytes(queue, type);
  return leavesRoom(queue, size, foreign) && queue.sendNow(message);
}

// The requests of this thread that are not sent yet, for each queue.
const senders = new Map<number, WaiterQueue>();

/** Sends a request and waits for its reply. */
export async function request(
  queue: QueueHandle,
  data: Uint8Array,
  requestType: bigint,
  limits: Limits,
): Promise<Uint8Array<ArrayBuffer>> {
  if (late.size > 0) removeUnclaimed(queue);
  const type = newReplyType();
  const bytes = new Uint8Array(head.size + byteLengthOf(data));
  head.write(bytes, { reply_type: type });
  setBytes(bytes, data, head.size);
  const message = new MessageBuffer(bytes.length).put(requestType, bytes);
  const waiters = senders.get(queue.id) ?? new WaiterQueue();
  senders.set(queue.id, waiters);
  try {
    const tryOnce = () => sendRequest(queue, message, requestType) || undefined;
    await queue.poll(tryOnce, limits, waiters);
  } finally {
    if (!waiters.busy) senders.delete(queue.id);
  }
  try {
    return (await queue.receive(only(type), limits)).data;
  } catch (error) {
    withdraw(queue, type);
    throw error;
  }
}

// Requests that a service has not served, and that did not fit into the queue again, for
// the next service of the same selection on this thread.
const unserved = new Map<string, SysvMessage[]>();

/** Serves the requests of a selection. */
class Service {
  readonly queue: QueueHandle;
  readonly #selection: Selection;
  readonly #key: string;
  /** Requests that were taken out of the queue to make room for a reply. */
  readonly #held: SysvMessage[];
  #receiving = false;
  #ended = false;

  constructor(queue: QueueHandle, selection: Selection) {
    this.queue = queue;
    this.#selection = selection;
    this.#key = `${queue.id} ${selection.type} ${selection.flags}`;
    this.#held = unserved.get(this.#key) ?? [];
    unserved.delete(this.#key);
  }

  /** The next request. A message that cannot be one is dropped. */
  async next(limits: Limits): Promise<SysvRequest> {
    const { most, flags } = this.#selection;
    for (;;) {
      this.queue.closing.checkOpen();
      const { type, data } = this.#held.shift() ?? await this.#receive(limits);
      if (data.length < head.size) continue;
      const { reply_type } = head.decode(data);
      if (reply_type < 1n) continue;
      const cut = (flags & MSG_NOERROR) !== 0 && data.length > most;
      const bytes = copyOf(viewOf(data, head.size, cut ? most : data.length));
      return make(this, type, bytes, reply_type);
    }
  }

  /** Sends a reply; false if the client waits no more. */
  reply(
    type: bigint,
    data: Uint8Array<ArrayBuffer>,
    limits: Limits,
  ): Promise<boolean> {
    const { queue } = this;
    const message = new MessageBuffer(byteLengthOf(data)).put(type, data);
    return queue.poll(() => {
      if (hasEnded(type) || isWithdrawn(queue, type)) return false;
      if (!this.#send(message)) return undefined;
      if (!isWithdrawn(queue, type)) return true;
      queue.tryReceive(only(type));
      return false;
    }, limits);
  }

  /** Puts back what it has not served. */
  end(): void {
    this.#ended = true;
    const queue = reopened(this.queue);
    const held = this.#held;
    try {
      while (held.length > 0 && sendAgain(queue, held[0]!)) held.shift();
    } catch (error) {
      if (!(error instanceof IpcError)) throw error;
      return; // the queue was removed
    }
    if (held.length > 0) unserved.set(this.#key, held);
  }

  async #receive(limits: Limits): Promise<SysvMessage> {
    this.#receiving = true;
    try {
      return await this.queue.receive(this.#selection, limits);
    } finally {
      this.#receiving = false;
    }
  }

  /** Sends a reply, if need be into the room of messages that it removes. */
  #send(reply: MessageBuffer): boolean {
    const { queue } = this;
    if (queue.sendNow(reply)) return true;
    queue.checkFits(reply.capacity);
    removeUnclaimed(queue);
    do {
      if (queue.sendNow(reply)) return true;
    } while (this.#hold());
    return false;
  }

  /** Takes one more request out of the queue; false if there is none. */
  #hold(): boolean {
    // A pending receive takes the requests itself.
    if (this.#receiving || this.#ended) return false;
    const { type, flags } = this.#selection;
    const whole = { ...only(type), flags: flags & ~MSG_NOERROR };
    const message = this.queue.tryReceive(whole);
    if (message === undefined) return false;
    this.#held.push(message);
    return true;
  }
}

function sendAgain(queue: QueueHandle, { type, data }: SysvMessage): boolean {
  const message = new MessageBuffer(data.length).put(BigInt(type), data);
  return queue.sendNow(message);
}

// Set by the class, whose constructor is private.
let make: (
  service: Service,
  type: number | bigint,
  data: Uint8Array<ArrayBuffer>,
  replyType: bigint,
) => SysvRequest;

/**
 * A request, received by
 * {@linkcode SysvMessageQueue.prototype.requests | SysvMessageQueue.requests}. The client
 * waits for its reply. It holds no resource, so it has no `close()`.
 *
 * @example A service that answers one request
 * ```ts
 * import { SysvMessageQueue } from "@linux/ipc/message-queue";
 * import { assertEquals } from "@std/assert";
 *
 * using queue = SysvMessageQueue.create(null);
 * using client = SysvMessageQueue.fromId(queue.id); // usually in another process
 * const asked = client.request(new TextEncoder().encode("time"), { timeout: 1000 });
 * for await (const request of queue.requests()) {
 *   assertEquals(new TextDecoder().decode(request.data), "time");
 *   await request.reply(new TextEncoder().encode("noon"));
 *   break;
 * }
 * assertEquals(new TextDecoder().decode(await asked), "noon");
 * queue.remove();
 * ```
 */
export class SysvRequest {
  readonly #service: Service;
  readonly #type: number | bigint;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #replyType: bigint;

  /**
   * Made by {@linkcode SysvMessageQueue.prototype.requests | SysvMessageQueue.requests}.
   *
   * @ignore
   */
  private constructor(
    token: typeof internal,
    service: Service,
    type: number | bigint,
    data: Uint8Array<ArrayBuffer>,
    replyType: bigint,
  ) {
    checkInternal(token, "SysvRequest", "SysvMessageQueue.requests()");
    this.#service = service;
    this.#type = type;
    this.#data = data;
    this.#replyType = replyType;
  }

  static {
    make = (...of) => new SysvRequest(internal, ...of);
  }

  /** The type of the request: a number if it is a safe integer, else a bigint. */
  get type(): number | bigint {
    return this.#type;
  }

  /** The bytes of the request. */
  get data(): Uint8Array<ArrayBuffer> {
    return this.#data;
  }

  /** The process id of the client, in the PID namespace of the client. */
  get pid(): number {
    return pidOf(this.#replyType);
  }

  /**
   * `msgsnd(id, reply, size, IPC_NOWAIT)`: sends the reply.
   *
   * While the queue is full, the call removes the replies to processes that have ended,
   * takes requests out of the queue, which `requests()` yields next, and is repeated
   * after 1, 2, 4 ... and then every 20 milliseconds.
   *
   * Whether a client has ended is known only in the PID namespace of this process.
   * A client in another one counts as alive.
   *
   * @param data The bytes of the reply: at most 8192, or what /proc/sys/kernel/msgmax
   * says.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns Whether the reply was sent; false if the client has stopped waiting, because
   * of a timeout or a signal, or its process has ended.
   * @throws {TypeError} If the data is not a Uint8Array.
   * @throws {RangeError} If the timeout is negative or NaN.
   * @throws {ClosedError} If the queue object is closed, before or during the wait.
   * @throws {DOMException} `TimeoutError` if the queue is still full after the timeout.
   * @throws {IpcError} EINVAL if the reply is larger than msgmax, or than the whole
   * queue; EACCES without write permission; EIDRM if the queue was removed, before or
   * during the wait; ENOMEM.
   * @throws The reason of the signal if it is aborted.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  async reply(data: Uint8Array, options?: WaitOptions): Promise<boolean> {
    checkData(data);
    return await this.#service.reply(
      this.#replyType,
      data,
      limitsOf(options),
    );
  }

  static {
    inspectAs(this, (request) => ({
      type: request.type,
      pid: request.pid,
      bytes: request.#data.length,
    }));
  }
}

/** Yields the requests as they arrive, until the queue object is closed. */
export async function* requests(
  queue: QueueHandle,
  selection: Selection,
  options: WaitOptions,
): AsyncGenerator<SysvRequest, void, unknown> {
  const service = new Service(queue, selection);
  try {
    if (!queue.closing.closed) removeUnclaimed(queue);
    yield* untilClosed(() => service.next(limitsOf(options)));
  } finally {
    service.end();
  }
}
