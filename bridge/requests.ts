// Requests and replies across machines. A request has a client that waits for its reply, so
// nothing is stored: core NATS carries both, and a reply that comes too late is dropped.
//
// The client's side serves the requests of its queue and asks over NATS. The server's side
// is a client of the server's queue: so the reply finds the bridge there, and over NATS the
// way back.

import {
  headers,
  type Msg,
  type NatsConnection,
  RequestError,
} from "@nats-io/transport-node";
import {
  IpcError,
  SysvMessageQueue,
  type SysvRequest,
} from "@linux/ipc/message-queue";
import {
  Bridge,
  type BridgeOptions,
  type Counts,
  type Flow,
  newCounts,
  type Run,
} from "./bridge.ts";
import { checkSubject, findStream, managerOf } from "./connection.ts";
import { BridgeError } from "./error.ts";
import { isRemoved } from "./source.ts";
import { SysvQueue } from "./sysv_queue.ts";
import { pause, within } from "./wait.ts";

/** Options of {@linkcode outgoingRequests} and {@linkcode incomingRequests}. */
export interface RequestOptions extends BridgeOptions {
  /**
   * The type of the requests in the queue.
   *
   * @default {1}
   */
  readonly type?: number | undefined;
  /**
   * The time in milliseconds that a reply may take, also from a bridge that is started
   * meanwhile.
   *
   * @default {30000}
   */
  readonly timeout?: number | undefined;
  /**
   * How many requests are on the way at most; the others wait in the queue.
   *
   * @default {64}
   */
  readonly window?: number | undefined;
}

const LAST_REPLIES = 2000; // ms, for replies that are on the way when a bridge is stopped
const ASK_AGAIN = 200; // ms, while there is no bridge on the other side
const HEAD = 8; // bytes: the type of the reply, before the data of a request
const FAILED = "Ipc-Error";
const GROUP = "ipc-nats"; // of bridges that share the requests

/** The queue of requests. */
function queueOf(
  queue: SysvMessageQueue | (() => SysvMessageQueue),
): SysvQueue {
  const open = typeof queue === "function" ? queue : undefined;
  const opened = typeof queue === "function" ? queue() : queue;
  if (opened instanceof SysvMessageQueue) return new SysvQueue(opened, open);
  throw new TypeError('Argument "queue" must be a SysvMessageQueue');
}

/** Opens the queue again that was removed. */
function reopen(queue: SysvQueue): void {
  if (!queue.reopen()) throw new BridgeError(`${queue.name} was removed`);
}

/** What both sides have in common. */
abstract class Requests implements Flow {
  abstract readonly name: string;
  protected readonly queue: SysvQueue;
  protected readonly subject: string;
  protected readonly type: number;
  protected readonly timeout: number;
  protected readonly window: number;
  protected readonly counts: Counts;

  constructor(
    queue: SysvQueue,
    subject: string,
    options: RequestOptions | undefined,
    counts: Counts,
  ) {
    const { type = 1, timeout = 30_000, window = 64 } = options ?? {};
    if (!(Number.isInteger(type) && type >= 1 && type <= 0xffffffff)) {
      throw new RangeError(
        `Option "type" must be an integer from 1 to 4294967295: ${type}`,
      );
    }
    if (!(timeout >= 1 && timeout <= 3_600_000)) {
      throw new RangeError(
        `Option "timeout" must be from 1 to 3600000: ${timeout}`,
      );
    }
    if (!(Number.isInteger(window) && window >= 1 && window <= 1024)) {
      throw new RangeError(
        `Option "window" must be an integer from 1 to 1024: ${window}`,
      );
    }
    this.queue = queue;
    this.subject = subject;
    this.type = type;
    this.timeout = timeout;
    this.window = window;
    this.counts = counts;
  }

  async run(connection: NatsConnection, run: Run): Promise<void> {
    await this.#check(connection);
    await this.pass(connection, run);
  }

  close(): void {
    this.queue.close();
  }

  protected abstract pass(connection: NatsConnection, run: Run): Promise<void>;

  protected count(request: Uint8Array, reply: Uint8Array): void {
    this.counts.messages++;
    this.counts.bytes += request.length + reply.length;
  }

  /** A stream would answer the requests itself, and the queue must fit into a message. */
  async #check(connection: NatsConnection): Promise<void> {
    const maxPayload = connection.info?.max_payload ?? Infinity;
    const maxSize = this.queue.maxSize;
    if (maxSize > maxPayload) {
      throw new BridgeError(
        `A message of ${this.queue.name} can have ${maxSize} bytes, which is more than ` +
          `${maxPayload}, the max_payload of the NATS server`,
      );
    }
    const stream = await managerOf(connection)
      .then((manager) => findStream(manager, this.subject))
      .catch(() => undefined); // no JetStream, so no stream
    if (stream === undefined) return;
    throw new BridgeError(
      `The stream ${stream} has the subject ${this.subject}: requests need a subject ` +
        "without a stream",
    );
  }
}

/** The side of the clients. */
class OutgoingRequests extends Requests {
  readonly name = `requests of ${this.queue.name} -> ${this.subject}`;

  protected async pass(connection: NatsConnection, run: Run): Promise<void> {
    run.ready();
    const pending = new Set<Promise<void>>();
    try {
      while (!run.signal.aborted) {
        await this.#serve(connection, pending, run);
      }
    } finally {
      await within(Promise.allSettled(pending), LAST_REPLIES);
    }
  }

  /** Serves the requests until the signal is aborted or the queue is removed. */
  async #serve(
    connection: NatsConnection,
    pending: Set<Promise<void>>,
    { signal, log }: Run,
  ): Promise<void> {
    try {
      const { type } = this;
      for await (const request of this.queue.now.requests({ type, signal })) {
        const asking = this.#ask(connection, request, signal)
          .catch((error: Error) => log(`a request failed: ${error.message}`))
          .finally(() => {
            pending.delete(asking);
            this.counts.inHand = pending.size;
          });
        this.counts.inHand = pending.add(asking).size;
        if (pending.size >= this.window) {
          this.counts.stalls++;
          await Promise.race(pending);
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isRemoved(error)) reopen(this.queue);
      else {throw error instanceof IpcError
          ? new BridgeError(error.message)
          : error;}
    }
  }

  async #ask(
    connection: NatsConnection,
    request: SysvRequest,
    signal: AbortSignal,
  ): Promise<void> {
    const { timeout } = this;
    const reply = await this.#reply(connection, request.data, signal);
    const reason = reply.headers?.get(FAILED);
    if (reason) throw new Error(reason);
    // Of a client that has gone, the reply is dropped.
    if (await request.reply(reply.data, { timeout })) {
      this.count(request.data, reply.data);
    } else {
      this.counts.dropped++;
    }
  }

  /** Asks, and asks again while there is no bridge on the other side. */
  async #reply(
    connection: NatsConnection,
    data: Uint8Array,
    signal: AbortSignal,
  ): Promise<Msg> {
    const end = performance.now() + this.timeout;
    for (;;) {
      const timeout = Math.max(1, end - performance.now());
      try {
        return await connection.request(this.subject, data, { timeout });
      } catch (error) {
        const isAlone = error instanceof RequestError && error.isNoResponders();
        if (!isAlone || timeout <= ASK_AGAIN || signal.aborted) throw error;
        await pause(ASK_AGAIN, signal);
      }
    }
  }
}

/** The side of the servers. */
class IncomingRequests extends Requests {
  readonly name = `requests of ${this.subject} -> ${this.queue.name}`;

  protected async pass(connection: NatsConnection, run: Run): Promise<void> {
    const pending = new Set<Promise<void>>();
    const subscription = connection.subscribe(this.subject, { queue: GROUP });
    run.signal.addEventListener("abort", () => subscription.unsubscribe());
    run.ready();
    for await (const message of subscription) {
      const asking = this.#ask(message, run).finally(() => {
        pending.delete(asking);
        this.counts.inHand = pending.size;
      });
      this.counts.inHand = pending.add(asking).size;
      if (pending.size >= this.window) {
        this.counts.stalls++;
        await Promise.race(pending);
      }
    }
    await Promise.allSettled(pending);
  }

  async #ask(message: Msg, { signal, log }: Run): Promise<void> {
    const { type, timeout } = this;
    const queue = this.queue.now;
    try {
      checkRequest(message.data, this.queue.maxSize);
      const reply = await queue.request(message.data, {
        type,
        timeout,
        signal,
      });
      if (message.respond(reply)) this.count(message.data, reply);
    } catch (error) {
      const text = (error as Error).message;
      log(`a request failed: ${text}`);
      const about = headers();
      about.set(FAILED, text);
      message.respond(new Uint8Array(), { headers: about });
      if (!signal.aborted && isRemoved(error) && queue === this.queue.now) {
        reopen(this.queue);
      }
    }
  }
}

function checkRequest({ length }: Uint8Array, maxSize: number): void {
  if (length + HEAD <= maxSize) return;
  throw new Error(
    `the request has ${length} bytes, and the queue takes at most ${
      maxSize - HEAD
    }`,
  );
}

/**
 * Passes the requests of a System V queue (`queue.request()`, or a C program that does the
 * same) on to a subject, and the replies back to the clients. Where
 * {@linkcode incomingRequests} runs, the requests are served.
 *
 * **At most once.** A request is not stored: if a bridge or the connection is lost, its
 * client gets no reply, and waits until its own timeout. A reply to a client that has gone
 * is dropped.
 *
 * @param queue The queue, or a function that opens it.
 * @param subject The subject, without wildcards, and without a stream.
 * @param options Where the server is; the type of the requests; limits.
 * @returns The bridge, which is running.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If the subject has wildcards, or an option is out of range.
 */
export function outgoingRequests(
  queue: SysvMessageQueue | (() => SysvMessageQueue),
  subject: string,
  options?: RequestOptions,
): Bridge {
  checkSubject(subject);
  const counts = newCounts();
  const requests = queueOf(queue);
  const flow = new OutgoingRequests(requests, subject, options, counts);
  return new Bridge(flow, options ?? {}, counts);
}

/**
 * Passes the requests of a subject on to a System V queue, whose server
 * (`queue.requests()`, or a C program that does the same) replies to them, and the replies
 * back. Several such bridges share the requests.
 *
 * @param subject The subject, without wildcards, and without a stream.
 * @param queue The queue, or a function that opens it.
 * @param options Where the server is; the type of the requests; limits.
 * @returns The bridge, which is running.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If the subject has wildcards, or an option is out of range.
 */
export function incomingRequests(
  subject: string,
  queue: SysvMessageQueue | (() => SysvMessageQueue),
  options?: RequestOptions,
): Bridge {
  checkSubject(subject);
  const counts = newCounts();
  const requests = queueOf(queue);
  const flow = new IncomingRequests(requests, subject, options, counts);
  return new Bridge(flow, options ?? {}, counts);
}
