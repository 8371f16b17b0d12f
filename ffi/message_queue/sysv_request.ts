// Requests and replies over one System V queue. A queue does not report whether a message
// was received; a reply does.

import { byteLengthOf, copyOf, setBytes, viewOf } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { inspected } from "../inspect_object.ts";
import { checkInternal, internal } from "../internal.ts";
import { errno, ESRCH } from "../libc/errno.ts";
import { signal as libc } from "../libc/signal.ts";
import { i64, struct } from "../struct.ts";
import { untilClosed } from "../wait/iteration.ts";
import { type Limits, limitsOf, type WaitOptions } from "../wait/options.ts";
import type { SysvMessage } from "./sysv_buffer.ts";
import type { QueueHandle } from "./sysv_handle.ts";
import { checkData, FIRST, type Selection } from "./sysv_selection.ts";

// A request begins with the type of its reply: the process id in the high 32 bits, and a
// number in the low ones that this process has not used recently. So a reply is received
// by its own request only, also after a timeout or when a process id is used again.
// Requests themselves have types below 2^32.
const head = struct({ reply_type: i64 });
const NUMBERS = 2n ** 32n;
let next = BigInt(crypto.getRandomValues(new Uint32Array(1))[0]!);

function newReplyType(): bigint {
  next = (next + 1n) % NUMBERS;
  return BigInt(Deno.pid) * NUMBERS + next;
}

function isAlive(pid: number): boolean {
  return libc().kill(pid, 0) === 0 || errno() !== ESRCH;
}

function replyOf(type: bigint): Selection {
  return { ...FIRST, type };
}

// The reply types of requests that this thread has abandoned, by queue id: their replies
// may still arrive. Above the maximum the oldest are forgotten, and their replies stay in
// the queue until this process has ended.
const MAX_ABANDONED = 1024;
const MAX_TRIES = 32; // at a time
const abandoned = new Map<number, Set<bigint>>();

function abandon(id: number, type: bigint): void {
  let types = abandoned.get(id);
  if (types === undefined) abandoned.set(id, types = new Set());
  types.add(type);
  if (types.size <= MAX_ABANDONED) return;
  const [oldest] = types;
  types.delete(oldest!);
}

/** Removes some of the replies to abandoned requests. */
function removeAbandoned(queue: QueueHandle): void {
  const types = abandoned.get(queue.id);
  if (types === undefined) return;
  for (const type of [...types].slice(0, MAX_TRIES)) {
    types.delete(type);
    if (queue.tryReceive(replyOf(type)) === undefined) types.add(type); // as the last
  }
  if (types.size === 0) abandoned.delete(queue.id);
}

/** Removes the replies to processes that have ended. */
function removeOfEnded(queue: QueueHandle): void {
  const ended = new Set<bigint>();
  try {
    for (let index = 0;; index++) {
      const message = queue.peek(index);
      if (message === undefined) break;
      const type = BigInt(message.type);
      if (type >= NUMBERS && !isAlive(Number(type / NUMBERS))) ended.add(type);
    }
  } catch (error) {
    // A kernel without MSG_COPY cannot peek: such replies stay.
    if (!(error instanceof IpcError && error.code === "ENOSYS")) throw error;
  }
  for (const type of ended) queue.tryReceive(replyOf(type));
}

/** Sends a request and waits for its reply. */
export async function request(
  queue: QueueHandle,
  data: Uint8Array,
  requestType: bigint,
  limits: Limits,
): Promise<Uint8Array<ArrayBuffer>> {
  removeAbandoned(queue);
  const type = newReplyType();
  const message = new Uint8Array(head.size + byteLengthOf(data));
  head.write(message, { reply_type: type });
  setBytes(message, data, head.size);
  await queue.send(message, requestType, limits);
  try {
    return (await queue.receive(replyOf(type), limits)).data;
  } catch (error) {
    abandon(queue.id, type);
    throw error;
  }
}

// Set by the class, whose constructor is private.
let make: (queue: QueueHandle, message: SysvMessage) => SysvRequest;

/**
 * A request, received by {@linkcode SysvMessageQueue.requests}. The client waits for its
 * reply. It holds no resource, so it has no `close()`.
 */
export class SysvRequest {
  readonly #queue: QueueHandle;
  readonly #type: number | bigint;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #replyType: bigint;

  /** Made by {@linkcode SysvMessageQueue.requests}. */
  private constructor(
    token: typeof internal,
    queue: QueueHandle,
    { type, data }: SysvMessage,
  ) {
    checkInternal(token, "a SysvRequest", "SysvMessageQueue.requests()");
    this.#queue = queue;
    this.#type = type;
    this.#data = copyOf(viewOf(data, head.size));
    this.#replyType = head.decode(data).reply_type;
  }

  static {
    make = (queue, message) => new SysvRequest(internal, queue, message);
  }

  /** The type of the request: a number if it is a safe integer, else a bigint. */
  get type(): number | bigint {
    return this.#type;
  }

  /** The bytes of the request. */
  get data(): Uint8Array<ArrayBuffer> {
    return this.#data;
  }

  /** The process id of the client. */
  get pid(): number {
    return Number(this.#replyType / NUMBERS);
  }

  /**
   * `msgsnd(id, reply, size, 0)`: sends the reply. If the client has stopped waiting, its
   * next request removes the reply from the queue; if the client ends before it receives
   * the reply, the next call of {@linkcode SysvMessageQueue.requests} removes it.
   *
   * @param data The bytes of the reply.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns Whether the reply was sent; false if the client process has ended.
   * @throws {ClosedError} If the queue object is closed.
   * @throws {DOMException} `TimeoutError` if the queue is still full after the timeout.
   * @throws {IpcError} As {@linkcode SysvMessageQueue.send}.
   *
   * @see {@link https://man7.org/linux/man-pages/man2/msgsnd.2.html | msgsnd(2)}
   */
  async reply(data: Uint8Array, options?: WaitOptions): Promise<boolean> {
    checkData(data);
    const limits = limitsOf(options);
    if (!isAlive(this.pid)) return false;
    const type = this.#replyType;
    if (this.#queue.trySend(data, type)) return true;
    removeOfEnded(this.#queue); // they may fill the queue
    await this.#queue.send(data, type, limits);
    return true;
  }

  /** What `Deno.inspect` shows. */
  [Symbol.for("Deno.customInspect")](): string {
    if (!(#type in this)) return inspected("SysvRequest", {}); // prototype
    const { type, pid } = this;
    return inspected("SysvRequest", { type, pid, bytes: this.#data.length });
  }
}

/** Yields the requests as they arrive, until the queue object is closed. */
export async function* requests(
  queue: QueueHandle,
  selection: Selection,
  options: WaitOptions,
): AsyncGenerator<SysvRequest, void, unknown> {
  removeOfEnded(queue);
  const next = () => queue.receive(selection, limitsOf(options));
  for await (const message of untilClosed(next)) {
    // A message that is too short for a request is dropped.
    if (message.data.length >= head.size) yield make(queue, message);
  }
}
