// Requests and their replies on one queue: the answer to "it cannot be known whether
// a message really arrived".

import { byteLengthOf, copyOf, setBytes, viewOf } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { errno, ESRCH } from "../libc/errno.ts";
import { checkInternal, internal } from "../internal.ts";
import { signal as libc } from "../libc/signal.ts";
import { i64, struct } from "../struct.ts";
import { untilClosed } from "../wait/iteration.ts";
import { type Limits, limitsOf, type WaitOptions } from "../wait/options.ts";
import type { QueueHandle } from "./sysv_handle.ts";
import type { SysvMessage } from "./sysv_buffer.ts";
import { checkData, FIRST, type Selection } from "./sysv_selection.ts";

// A request begins with the type that its reply shall have: the process id, then a
// number that the process has not used for long. So replies to the living and the
// dead, and to a request that was given up and the next one, never meet; nor do they
// meet requests, whose types are below all of these.
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

// Replies that may still come to this thread, and are not wanted, by the id of their
// queue. Of too many the oldest are forgotten: their replies stay until this process
// has ended.
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

/** Removes some of the abandoned replies that have come since. */
function removeAbandoned(queue: QueueHandle): void {
  const types = abandoned.get(queue.id);
  if (types === undefined) return;
  for (const type of [...types].slice(0, MAX_TRIES)) {
    types.delete(type);
    if (queue.tryReceive(replyOf(type)) === undefined) types.add(type); // as the last
  }
  if (types.size === 0) abandoned.delete(queue.id);
}

/** Removes the replies to processes that are dead. */
function removeOfTheDead(queue: QueueHandle): void {
  const dead = new Set<bigint>();
  try {
    for (let index = 0;; index++) {
      const message = queue.peek(index);
      if (message === undefined) break;
      const type = BigInt(message.type);
      if (type >= NUMBERS && !isAlive(Number(type / NUMBERS))) dead.add(type);
    }
  } catch (error) {
    // Some kernels cannot peek; there such replies stay.
    if (!(error instanceof IpcError && error.code === "ENOSYS")) throw error;
  }
  for (const type of dead) queue.tryReceive(replyOf(type));
}

/** Sends a request and waits for its reply. */
export async function request(
  queue: QueueHandle,
  data: Uint8Array<ArrayBuffer>,
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

// Set by the class: its constructor is for this module alone.
let make: (queue: QueueHandle, message: SysvMessage) => SysvRequest;

/** A request that a process sent and waits with for the reply. */
export class SysvRequest {
  readonly #queue: QueueHandle;
  readonly #type: number | bigint;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #replyType: bigint;

  /** Made by `SysvMessageQueue.requests`. */
  private constructor(
    token: typeof internal,
    queue: QueueHandle,
    { type, data }: SysvMessage,
  ) {
    checkInternal(token, "a SysvRequest");
    this.#queue = queue;
    this.#type = type;
    this.#data = copyOf(viewOf(data, head.size));
    this.#replyType = head.decode(data).reply_type;
  }

  static {
    make = (queue, message) => new SysvRequest(internal, queue, message);
  }

  /** The type of the request: a number where that is exact, else a bigint. */
  get type(): number | bigint {
    return this.#type;
  }

  /** The bytes of the request. */
  get data(): Uint8Array<ArrayBuffer> {
    return this.#data;
  }

  /** The process that asks. */
  get pid(): number {
    return Number(this.#replyType / NUMBERS);
  }

  /**
   * `msgsnd(id, reply, size, 0)`: answers. What is sent to a process that has given
   * up is taken away by its next request, and what is sent to one that dies before it
   * takes it, by the next server.
   *
   * @param data The bytes of the reply.
   * @param options `timeout` in milliseconds, and `signal`.
   * @returns Whether the reply was sent; false when the process that asked is dead.
   * @throws {ClosedError} If the queue object is closed.
   * @throws {DOMException} `TimeoutError` if the queue was full for so long.
   * @throws {IpcError} As {@linkcode SysvMessageQueue.send}.
   */
  async reply(data: Uint8Array, options?: WaitOptions): Promise<boolean> {
    checkData(data);
    const limits = limitsOf(options);
    if (!isAlive(this.pid)) return false;
    const type = this.#replyType;
    if (this.#queue.trySend(data, type)) return true;
    removeOfTheDead(this.#queue); // what fills the queue may be for them
    await this.#queue.send(data, type, limits);
    return true;
  }
}

/** The requests as they come, until the queue object is closed. */
export async function* requests(
  queue: QueueHandle,
  selection: Selection,
  options: WaitOptions,
): AsyncGenerator<SysvRequest, void, unknown> {
  removeOfTheDead(queue);
  const next = () => queue.receive(selection, limitsOf(options));
  for await (const message of untilClosed(next)) {
    // No request: too short, or of a program that knows nothing of them.
    if (message.data.length >= head.size) yield make(queue, message);
  }
}
