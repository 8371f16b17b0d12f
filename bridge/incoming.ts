// From a subject to a queue. The server is told of a message when the queue has taken it;
// until then it delivers the message again, to this bridge or to the next one.

import {
  type ConsumerInfo,
  type ConsumerMessages,
  jetstream,
  type JetStreamManager,
  type JsMsg,
  type StreamInfo,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { join } from "node:path";
import { setAside } from "./aside.ts";
import {
  Bridge,
  type Counts,
  type Flow,
  newCounts,
  type Run,
} from "./bridge.ts";
import {
  checkSubject,
  consumerFor,
  hasMessage,
  HEADER_ROOM,
  managerOf,
  nameFor,
  riskOf,
  streamFor,
} from "./connection.ts";
import { Delivered } from "./delivered.ts";
import { BridgeError } from "./error.ts";
import {
  type CheckedOptions,
  type StreamOptions,
  streamOptionsOf,
} from "./outgoing.ts";
import { PRIORITY, TYPE } from "./source.ts";
import { fileNameOf, stateDirectory } from "./state.ts";
import {
  type Arrived,
  type IncomingQueue,
  isGone,
  Poison,
  reopened,
  type Target,
  targetOf,
} from "./target.ts";
import { pause, within } from "./wait.ts";

/** Options of {@linkcode incoming}. */
export interface IncomingOptions extends StreamOptions {
  /**
   * The name of the durable consumer: bridges with the same one share the messages, each of
   * which goes to one of them.
   *
   * @default {"ipc_" and the subject}
   */
  readonly durable?: string | undefined;
  /**
   * The time in milliseconds after which the server delivers a message again of which it
   * has not heard: so long the successor of a bridge that was killed waits for the messages
   * that it had.
   *
   * @default {2000}
   */
  readonly ackWait?: number | undefined;
}

// ms, of an idle server: after two that are missing, messages are asked for again.
const HEARTBEAT = 1000;
const LOOK_AGAIN = 200; // ms, at the messages of a predecessor
const TRY_AGAIN = 200; // ms, to open a queue

/** The server, for what is not a message. */
interface Server {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
}

/** Messages that have arrived, in the order of the stream. */
class Hand {
  readonly #messages: JsMsg[] = [];
  #arrival = Promise.withResolvers<void>();

  get size(): number {
    return this.#messages.length;
  }

  get first(): JsMsg | undefined {
    return this.#messages[0];
  }

  /** How many have a number up to this one. */
  countTo(number: number): number {
    return this.#messages.filter(({ seq }) => seq <= number).length;
  }

  has(number: number): boolean {
    return this.#messages.some(({ seq }) => seq === number);
  }

  put(message: JsMsg): void {
    const all = this.#messages;
    let at = all.length;
    while (at > 0 && all[at - 1]!.seq > message.seq) at--;
    const isRepeated = at > 0 && all[at - 1]!.seq === message.seq;
    if (isRepeated) all[at - 1] = message;
    else all.splice(at, 0, message);
    this.#arrival.resolve();
    this.#arrival = Promise.withResolvers<void>();
  }

  /** Acknowledges a message, as it was delivered last: others may be before it by now. */
  acknowledge(number: number): void {
    const at = this.#messages.findIndex(({ seq }) => seq === number);
    const [message] = this.#messages.splice(at, 1);
    message!.ack();
  }

  /** Waits for another message, or for the signal. */
  async arrival(signal: AbortSignal, timeout = 2 ** 31 - 1): Promise<void> {
    await within(this.#arrival.promise, timeout, signal);
  }

  /** Tells the server that all are being worked on. */
  working(): void {
    for (const message of this.#messages) message.working();
  }

  /** Gives all back to the server. */
  giveBack(): void {
    for (const message of this.#messages.splice(0)) message.nak();
  }
}

/** The incoming flow. */
class Incoming implements Flow {
  readonly name: string;
  readonly #target: Target;
  readonly #subject: string;
  readonly #options: CheckedOptions;
  readonly #durable: string;
  readonly #ackWait: number;
  readonly #maxSize: number | undefined;
  readonly #aside: string;
  readonly #delivered: Delivered;
  readonly #counts: Counts;

  constructor(
    target: Target,
    subject: string,
    options: IncomingOptions | undefined,
    counts: Counts,
  ) {
    this.#options = streamOptionsOf(options);
    const { durable = nameFor(subject), ackWait = 2000 } = options ?? {};
    if (!(ackWait >= 100 && ackWait <= 3_600_000)) {
      throw new RangeError(
        `Option "ackWait" must be from 100 to 3600000: ${ackWait}`,
      );
    }
    if (!/^[^\s.*>/\\]+$/.test(durable)) {
      throw new RangeError(
        `Option "durable" must be without spaces, dots, slashes and wildcards: ${durable}`,
      );
    }
    this.#target = target;
    this.#subject = subject;
    this.#durable = durable;
    this.#ackWait = ackWait;
    this.#maxSize = options?.maxSize;
    this.#counts = counts;
    this.name = `${subject} -> ${target.name}`;
    const directory = stateDirectory(options?.state);
    const name = fileNameOf(options?.name ?? `in ${subject} ${target.name}`);
    this.#aside = join(directory, "aside", name);
    this.#delivered = new Delivered(join(directory, `${name}.delivered`));
  }

  async run(connection: NatsConnection, run: Run): Promise<void> {
    const manager = await managerOf(connection);
    const stream = await this.#stream(manager, run);
    const consumer = await consumerFor(manager, {
      stream: stream.config.name,
      subject: this.#subject,
      durable: this.#durable,
      window: this.#options.window,
      ackWait: this.#ackWait,
    });
    const hand = new Hand();
    const pulling = await this.#pull(connection, consumer, hand);
    const ended = new AbortController();
    const closed = pulling.closed().finally(() => ended.abort());
    const signal = AbortSignal.any([run.signal, ended.signal]);
    const timer = setInterval(() => hand.working(), this.#ackWait / 3);
    run.ready();
    try {
      const server = { connection, manager };
      await this.#awaitPredecessor(server, consumer, hand, signal);
      while (!signal.aborted) await this.#next(hand, signal, run);
      const error = ended.signal.aborted ? await closed : undefined;
      if (error instanceof Error) throw error;
    } finally {
      clearInterval(timer);
      await pulling.close();
      await this.#giveBack(connection, hand);
    }
  }

  close(): void {
    this.#delivered.close();
    this.#target.close();
  }

  /** The longest message for the queue. */
  get #limit(): number {
    return Math.min(this.#maxSize ?? Infinity, this.#target.maxSize);
  }

  async #stream(manager: JetStreamManager, run: Run): Promise<StreamInfo> {
    const stream = await streamFor(manager, {
      ...this.#options,
      name: this.#options.stream,
      subject: this.#subject,
      maxSize: undefined,
    });
    const { name, max_msg_size } = stream.config;
    const longest = max_msg_size - HEADER_ROOM;
    if (longest > this.#limit && this.#maxSize === undefined) {
      throw new BridgeError(
        `A message of the stream ${name} can have ${longest} bytes, and one of ` +
          `${this.#target.name} at most ${this.#limit}. Raise that limit (msgmax and ` +
          'msgmnb, or mq_msgsize), or give "maxSize": longer messages are set aside then',
      );
    }
    const risk = riskOf(stream);
    if (risk !== undefined) run.log(`messages may be lost: ${risk}`);
    this.#delivered.of(BigInt(Date.parse(stream.created)));
    return stream;
  }

  async #pull(
    connection: NatsConnection,
    { stream_name, name }: ConsumerInfo,
    hand: Hand,
  ): Promise<ConsumerMessages> {
    const consumer = await jetstream(connection).consumers.get(
      stream_name,
      name,
    );
    return await consumer.consume({
      callback: (message) => {
        hand.put(message);
        this.#counts.inHand = hand.size;
      },
      max_messages: this.#options.window,
      idle_heartbeat: HEARTBEAT,
      abort_on_missing_resource: true,
    });
  }

  /**
   * Waits for the messages that a predecessor had and did not acknowledge, so that those
   * behind them do not overtake them. The server delivers them again after `ackWait`; what
   * does not come by then is in the hands of another bridge, or gone.
   */
  async #awaitPredecessor(
    server: Server,
    consumer: ConsumerInfo,
    hand: Hand,
    signal: AbortSignal,
  ): Promise<void> {
    const last = consumer.delivered.stream_seq;
    const end = performance.now() + this.#ackWait * 3;
    for (let now = consumer; now.ack_floor.stream_seq < last;) {
      const isLate = performance.now() > end;
      await this.#acknowledgeOld(server, now, last, hand, isLate);
      if (isLate || hand.countTo(last) >= consumer.num_ack_pending) return;
      await hand.arrival(signal, LOOK_AGAIN);
      if (signal.aborted) return;
      const { size } = hand; // before the server counts what it has delivered
      now = await server.manager.consumers.info(now.stream_name, now.name);
      if (now.num_ack_pending <= size) return;
    }
  }

  /**
   * Acknowledges the messages that the queue has taken, and, if the others do not come,
   * those that the stream does not have any more. A server that was killed may wait for
   * these for ever.
   */
  async #acknowledgeOld(
    { connection, manager }: Server,
    { stream_name, name, ack_floor }: ConsumerInfo,
    last: number,
    hand: Hand,
    isLate: boolean,
  ): Promise<void> {
    for (let seq = ack_floor.stream_seq + 1; seq <= last; seq++) {
      if (hand.has(seq)) continue;
      const isDone = this.#delivered.has(seq) ||
        (isLate && !await hasMessage(manager, stream_name, seq));
      if (!isDone) continue;
      connection.publish(
        `$JS.ACK.${stream_name}.${name}.1.${seq}.${seq}.0.0`,
        "+ACK",
      );
    }
  }

  /** Gives the first message in hand to the queue, and tells the server. */
  async #next(hand: Hand, signal: AbortSignal, run: Run): Promise<void> {
    const { first } = hand;
    if (first === undefined) {
      await hand.arrival(signal);
    } else if (this.#delivered.has(first.seq)) {
      this.#counts.dropped++;
      hand.acknowledge(first.seq);
    } else if (await this.#give(first, signal, run)) {
      this.#delivered.add(first.seq);
      hand.acknowledge(first.seq);
    }
    this.#counts.inHand = hand.size;
  }

  /** Gives a message to the queue, or sets it aside; false if neither was done. */
  async #give(
    message: JsMsg,
    signal: AbortSignal,
    run: Run,
  ): Promise<boolean> {
    try {
      const arrived = arrivedOf(message);
      this.#checkSize(arrived);
      if (!this.#target.trySend(arrived)) {
        this.#counts.stalls++;
        await this.#target.send(arrived, signal);
      }
      this.#counts.messages++;
      this.#counts.bytes += arrived.data.length;
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      if (error instanceof Poison) {
        this.#setAside(message, error.message);
        return true;
      }
      if (!isGone(error)) throw new BridgeError((error as Error).message);
      await this.#reopen(error as Error, signal, run);
      return false;
    }
  }

  #checkSize({ data: { length } }: Arrived): void {
    if (length <= this.#limit) return;
    throw new Poison(
      `It has ${length} bytes; ${this.#target.name} takes at most ${this.#limit}`,
    );
  }

  async #reopen(error: Error, signal: AbortSignal, run: Run): Promise<void> {
    run.log(error.message);
    if (!reopened(this.#target)) {
      throw new BridgeError(`${this.#target.name} has gone: ${error.message}`);
    }
    await pause(TRY_AGAIN, signal);
  }

  #setAside(message: JsMsg, reason: string): void {
    const { data, headers, seq } = message;
    const id = `${headers?.get("Nats-Msg-Id") || "message"}-${seq}`;
    setAside(this.#aside, id, data, {
      reason,
      from: this.#subject,
      to: this.#target.name,
      ...Object.fromEntries(
        [...headers ?? []].map(([name, values]) => [name, values.join()]),
      ),
    });
    this.#counts.aside++;
  }

  async #giveBack(connection: NatsConnection, hand: Hand): Promise<void> {
    if (connection.isClosed()) return;
    hand.giveBack();
    this.#counts.inHand = 0;
    await connection.flush().catch(() => {}); // the last acknowledgements
  }
}

function arrivedOf({ data, headers }: JsMsg): Arrived {
  return {
    data,
    type: headers?.get(TYPE) ?? "",
    priority: headers?.get(PRIORITY) ?? "",
  };
}

/**
 * Passes the messages of a subject of NATS JetStream on to a queue, **at least once** and in
 * their order. A message is acknowledged when the queue has taken it. A bridge that was
 * killed between the two would repeat it, but for a file that has the numbers of the
 * messages that the queue has taken last.
 *
 * The headers `Ipc-Type` and `Ipc-Priority` become the type and the priority; without them
 * these are 1 and 0. A message that the queue can never take is set aside, as a file with
 * the reason. While the queue is full, the bridge has `window` messages at most, and the
 * others stay in the stream.
 *
 * @param subject The subject, without wildcards.
 * @param queue The queue. Of a function that opens it, the bridge closes the queue, and
 * opens it again when it was removed, or when the reader of a socket has gone; otherwise
 * the caller keeps ownership.
 * @param options Where the server and the stream are; the consumer; limits.
 * @returns The bridge, which is running.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If the subject has wildcards, or an option is out of range.
 * @throws {BridgeError} If another bridge uses the same file. Later `done` rejects with it:
 * if the server refuses the credentials, if the stream is missing and not to be created, if
 * the stream accepts longer messages than the queue, or if the queue was removed.
 * @throws {IpcError} If the queue cannot be examined, or the file cannot be created: ENOSPC,
 * EACCES.
 */
export function incoming(
  subject: string,
  queue: IncomingQueue | (() => IncomingQueue),
  options?: IncomingOptions,
): Bridge {
  checkSubject(subject);
  const counts = newCounts();
  const target = targetOf(queue, options?.maxSize);
  try {
    const flow = new Incoming(target, subject, options, counts);
    return new Bridge(flow, options ?? {}, counts);
  } catch (error) {
    target.close();
    throw error;
  }
}
