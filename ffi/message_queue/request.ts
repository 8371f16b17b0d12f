// Requests and their replies on one queue: the answer to "it cannot be known whether
// a message really arrived".

import { checkBytes } from "../arguments.ts";
import { IpcError } from "../errors.ts";
import { errno, ESRCH } from "../libc/errno.ts";
import { signal as libc } from "../libc/signal.ts";
import { i64, struct } from "../struct.ts";
import type { WaitOptions } from "../wait/options.ts";
import type {
  SysvMessage,
  SysvMessageQueue,
  SysvReceiveOptions,
  SysvSendOptions,
} from "./sysv.ts";

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

/** Takes replies out of the queue that nobody waits for any more. */
export class Leftovers {
  readonly #queue: SysvMessageQueue;
  readonly #types = new Set<bigint>();

  constructor(queue: SysvMessageQueue) {
    this.#queue = queue;
  }

  /** A reply of this type may still come, and is not wanted. */
  add(type: bigint): void {
    this.#types.add(type);
  }

  /** Removes those that have come since. */
  remove(): void {
    for (const type of this.#types) {
      if (this.#queue.tryReceive({ type }) !== null) this.#types.delete(type);
    }
  }

  /** Removes the replies to processes that are dead. */
  removeOfTheDead(): void {
    const dead = new Set<bigint>();
    try {
      for (let index = 0;; index++) {
        const message = this.#queue.peek(index);
        if (message === null) break;
        const type = BigInt(message.type);
        if (type >= NUMBERS && !isAlive(Number(type / NUMBERS))) dead.add(type);
      }
    } catch (error) {
      // Some kernels cannot peek; there such replies stay until somebody removes them.
      if (!(error instanceof IpcError && error.code === "ENOSYS")) throw error;
    }
    for (const type of dead) this.#queue.tryReceive({ type });
  }
}

/** Sends a request and waits for its reply. */
export async function request(
  queue: SysvMessageQueue,
  leftovers: Leftovers,
  data: Uint8Array<ArrayBuffer>,
  options: SysvSendOptions & WaitOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  checkBytes("data", data);
  leftovers.remove();
  const type = newReplyType();
  const message = new Uint8Array(head.size + data.byteLength);
  head.write(message, { reply_type: type });
  message.set(data, head.size);
  const { timeout, signal } = options;
  const begun = performance.now();
  await queue.send(message, options);
  const left = timeout === undefined
    ? undefined
    : Math.max(timeout - (performance.now() - begun), 0);
  try {
    return (await queue.receive({ type, timeout: left, signal })).data;
  } catch (error) {
    leftovers.add(type);
    throw error;
  }
}

/** A request that a process sent and waits with for the reply. */
export class SysvRequest {
  /** The type of the request: a number where that is exact, else a bigint. */
  readonly type: number | bigint;
  /** The bytes of the request. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** The process that asks. */
  readonly pid: number;
  readonly #queue: SysvMessageQueue;
  readonly #leftovers: Leftovers;
  readonly #replyType: bigint;

  /** Made by {@linkcode SysvMessageQueue.requests}. */
  constructor(
    queue: SysvMessageQueue,
    leftovers: Leftovers,
    message: SysvMessage,
  ) {
    const { reply_type } = head.decode(message.data);
    this.type = message.type;
    this.data = message.data.slice(head.size);
    this.pid = Number(reply_type / NUMBERS);
    this.#queue = queue;
    this.#leftovers = leftovers;
    this.#replyType = reply_type;
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
  async reply(
    data: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<boolean> {
    const send = { ...options, type: this.#replyType };
    if (!isAlive(this.pid)) return false;
    if (this.#queue.trySend(data, send)) return true;
    this.#leftovers.removeOfTheDead(); // what fills the queue may be for nobody
    await this.#queue.send(data, send);
    return true;
  }
}

/** The requests as they come, until the queue object is closed. */
export async function* requests(
  queue: SysvMessageQueue,
  leftovers: Leftovers,
  options: SysvReceiveOptions & WaitOptions = {},
): AsyncGenerator<SysvRequest, void, unknown> {
  leftovers.removeOfTheDead();
  for await (const message of queue.messages(options)) {
    // What is no request: too short, or of a program that knows nothing of them.
    if (message.data.length < head.size) continue;
    yield new SysvRequest(queue, leftovers, message);
  }
}
