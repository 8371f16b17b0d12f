// From a queue to a subject. A message is in the queue or in the journal until the server
// has acknowledged it, and has the same identifier each time it is published.
//
// Messages are published in batches, and stay in their order: each names the one before it,
// without which the server does not accept it.

import {
  jetstream,
  JetStreamApiError,
  type JetStreamClient,
  type StreamInfo,
} from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { IpcError } from "@linux/ipc/message-queue";
import { UnixListener } from "@linux/ipc/socket";
import { setAside } from "./aside.ts";
import {
  Bridge,
  type BridgeOptions,
  type Counts,
  type Flow,
  newCounts,
  type Run,
} from "./bridge.ts";
import {
  checkSubject,
  hasCode,
  HEADER_ROOM,
  managerOf,
  riskOf,
  streamFor,
} from "./connection.ts";
import { BridgeError } from "./error.ts";
import { type Entry, Journal } from "./journal.ts";
import {
  isRemoved,
  type OutgoingQueue,
  type Source,
  sourceOf,
} from "./source.ts";
import { fileNameOf, stateDirectory } from "./state.ts";
import { pause } from "./wait.ts";

/** Options of the bridges that keep messages in a stream. */
export interface StreamOptions extends BridgeOptions {
  /**
   * The directory for the journal and for messages that are set aside. Two bridges can use
   * the same one.
   *
   * @default {$STATE_DIRECTORY; of root /var/lib/ipc-nats; else
   * ~/.local/state/ipc-nats}
   */
  readonly state?: string | undefined;
  /**
   * The name of the journal, in the directory.
   *
   * @default {the queue and the subject}
   */
  readonly name?: string | undefined;
  /**
   * The name of the stream.
   *
   * @default {the stream that has the subject; if there is none, "ipc_" and the subject}
   */
  readonly stream?: string | undefined;
  /**
   * Whether to create the stream if it is missing: with the subject, as a work queue, in
   * files, and so that it refuses messages when it is full.
   *
   * @default {true}
   */
  readonly create?: boolean | undefined;
  /**
   * The maximum number of bytes in a stream that is created.
   *
   * @default {268435456}
   */
  readonly maxBytes?: number | undefined;
  /**
   * The time in milliseconds in which a stream that is created recognises a message that
   * is published again.
   *
   * @default {120000}
   */
  readonly duplicateWindow?: number | undefined;
  /**
   * The longest message to pass on, in bytes. Longer ones are set aside.
   *
   * @default {what the queue allows: msgmax, mq_msgsize; 65536 for sockets}
   */
  readonly maxSize?: number | undefined;
  /**
   * How many messages are on the way at most: outgoing, not acknowledged by the server;
   * incoming, delivered by the server and not taken by the queue.
   *
   * @default {64}
   */
  readonly window?: number | undefined;
}

/** Options of {@linkcode outgoing}. */
export type OutgoingOptions = StreamOptions;

const PUBLISH_TIMEOUT = 5000; // ms, after which the connection is given up
const JOURNAL_BYTES = 1 << 24; // of all messages on the way, about
const WRONG_LAST_MESSAGE = 10070;
const TOO_LARGE = 10054;
const FULL =
  /maximum (?:bytes|messages)[\w ]* exceeded|insufficient[\w ]* resources|resource limits exceeded/;
const STALL = 50; // ms

/** The options that both directions have, checked. */
export interface CheckedOptions {
  readonly create: boolean;
  readonly maxBytes: number;
  readonly duplicateWindow: number;
  readonly stream: string | undefined;
  readonly window: number;
}

/** Checks the options, and fills in the defaults. */
export function streamOptionsOf(
  options: StreamOptions | undefined,
): CheckedOptions {
  const { window = 64, maxSize } = options ?? {};
  checkCount("window", window, 1, 1024);
  if (maxSize !== undefined) checkCount("maxSize", maxSize, 1, 2 ** 26);
  return {
    create: options?.create ?? true,
    maxBytes: options?.maxBytes ?? 2 ** 28,
    duplicateWindow: options?.duplicateWindow ?? 120_000,
    stream: options?.stream,
    window,
  };
}

function checkCount(name: string, value: number, min: number, max: number) {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new RangeError(
    `Option "${name}" must be an integer from ${min} to ${max}: ${value}`,
  );
}

/** Keeps other bridges in this IPC namespace away from a queue, as long as it is open. */
function claim({ exclusive, identity, name }: Source): Disposable {
  if (!exclusive) return { [Symbol.dispose]() {} };
  const hash = createHash("sha256").update(identity).digest("hex");
  try {
    return UnixListener.listen({ abstract: `ipc-nats ${hash}` });
  } catch (error) {
    if (!(error instanceof IpcError && error.code === "EADDRINUSE")) {
      throw error;
    }
    throw new BridgeError(`Another bridge takes the messages of ${name}`);
  }
}

/** The outgoing flow. */
class Outgoing implements Flow {
  readonly name: string;
  readonly #source: Source;
  readonly #subject: string;
  readonly #options: CheckedOptions;
  readonly #limit: number;
  readonly #aside: string;
  readonly #counts: Counts;
  readonly #journal: Journal;
  #claim: Disposable;
  #failures = 0;

  constructor(
    source: Source,
    subject: string,
    options: OutgoingOptions | undefined,
    counts: Counts,
  ) {
    this.#options = streamOptionsOf(options);
    this.#source = source;
    this.#subject = subject;
    this.#counts = counts;
    this.#limit = options?.maxSize ?? source.maxSize;
    this.name = `${source.name} -> ${subject}`;
    const directory = stateDirectory(options?.state);
    const name = fileNameOf(options?.name ?? `out ${source.name} ${subject}`);
    this.#aside = join(directory, "aside", name);
    const maxSize = source.slotSize(this.#limit);
    const most = Math.max(4, Math.floor(JOURNAL_BYTES / maxSize));
    this.#claim = claim(source);
    try {
      this.#journal = Journal.open(join(directory, `${name}.journal`), {
        slots: Math.min(this.#options.window, most) + 1,
        maxSize,
        identity: source.identity,
      });
    } catch (error) {
      this.#claim[Symbol.dispose]();
      throw error;
    }
  }

  async run(connection: NatsConnection, run: Run): Promise<void> {
    const manager = await managerOf(connection);
    const stream = await streamFor(manager, {
      ...this.#options,
      name: this.#options.stream,
      subject: this.#subject,
      maxSize: this.#limit,
    });
    this.#checkLimits(connection, stream, run);
    const client = jetstream(connection);
    run.ready();
    while (!run.signal.aborted) {
      if (this.#journal.entries.length === 0) await this.#fill(run.signal);
      this.#counts.inHand = this.#journal.entries.length;
      if (this.#journal.entries.length > 0) await this.#publish(client, run);
    }
  }

  close(): void {
    this.#journal.close();
    this.#source.close();
    this.#claim[Symbol.dispose]();
  }

  #checkLimits(connection: NatsConnection, stream: StreamInfo, run: Run): void {
    const limit = this.#limit;
    const maxPayload = connection.info?.max_payload ?? Infinity;
    const { name, max_msg_size } = stream.config;
    const maxSize = max_msg_size > 0 ? max_msg_size : Infinity;
    for (
      const [of, most] of [
        ["max_payload of the NATS server", maxPayload],
        [`max_msg_size of the stream ${name}`, maxSize],
      ] as const
    ) {
      if (limit + HEADER_ROOM <= most) continue;
      throw new BridgeError(
        `A message of ${this.#source.name} can have ${limit} bytes; with ${HEADER_ROOM} ` +
          `for headers that is more than ${most}, the ${of}. Raise that, or give a ` +
          'smaller "maxSize": longer messages are set aside then',
      );
    }
    const risk = riskOf(stream);
    if (risk !== undefined) run.log(`messages may be lost: ${risk}`);
    for (const text of this.#journal.damaged.splice(0)) run.log(text);
  }

  /** Takes messages into the journal, as soon as there are some. */
  async #fill(signal: AbortSignal): Promise<void> {
    try {
      this.#source.fill(this.#journal, (type, data, reason) => {
        this.#setAside(`refused-${Date.now()}-${this.#counts.aside}`, {
          type,
          data,
          reason,
        });
      });
      if (this.#journal.entries.length > 0) return;
      await this.#source.wait(this.#journal, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#reopenAfter(error);
    }
  }

  #reopenAfter(error: unknown): void {
    if (!isRemoved(error)) {
      throw error instanceof IpcError ? new BridgeError(error.message) : error;
    }
    if (!this.#source.reopen()) {
      throw new BridgeError(`${this.#source.name} was removed`);
    }
    this.#claim[Symbol.dispose]();
    this.#claim = claim(this.#source);
    this.#journal.moveTo(this.#source.identity);
  }

  /** Publishes what is in the journal, up to the first message that is not accepted. */
  async #publish(client: JetStreamClient, run: Run): Promise<void> {
    const entries = [...this.#journal.entries];
    const outcomes = await Promise.allSettled(
      entries.map((entry, at) =>
        this.#publishOne(client, entry, entries[at - 1])
      ),
    );
    const refused = outcomes.findIndex(({ status }) => status === "rejected");
    const accepted = refused === -1 ? entries : entries.slice(0, refused);
    this.#remove(accepted);
    if (refused === -1) return;
    const { reason } = outcomes[refused] as PromiseRejectedResult;
    await this.#after(reason, entries[refused]!, run);
  }

  async #publishOne(
    client: JetStreamClient,
    entry: Entry,
    before: Entry | undefined,
  ): Promise<void> {
    if (entry.data.length > this.#limit) {
      throw new TooLong(`it has more than ${this.#limit} bytes`);
    }
    const { header } = this.#source;
    const journal = this.#journal;
    const { duplicate } = await client.publish(
      this.#subject,
      entry.data.slice(),
      {
        msgID: journal.idOf(entry),
        timeout: PUBLISH_TIMEOUT,
        ...(before === undefined
          ? {}
          : { expect: { lastMsgID: journal.idOf(before) } }),
        ...(header === undefined ? {} : { headers: headersOf(header, entry) }),
      },
    );
    if (duplicate) {
      this.#counts.dropped++;
    } else {
      this.#counts.messages++;
      this.#counts.bytes += entry.data.length;
    }
  }

  #remove(entries: readonly Entry[]): void {
    try {
      this.#source.remove(this.#journal, entries);
    } catch (error) {
      this.#reopenAfter(error);
      this.#journal.done(entries);
    }
    if (entries.length > 0) this.#failures = 0;
    this.#counts.inHand = this.#journal.entries.length;
  }

  /** What follows from a message that was not accepted. */
  async #after(reason: unknown, entry: Entry, run: Run): Promise<void> {
    // The message before it is not the last one of the stream: others publish there, too.
    if (hasCode(reason, WRONG_LAST_MESSAGE)) return;
    if (reason instanceof TooLong || hasCode(reason, TOO_LARGE)) {
      const id = this.#journal.idOf(entry);
      this.#setAside(id, { ...entry, reason: (reason as Error).message });
      this.#remove([entry]);
    } else if (isFull(reason)) {
      this.#counts.stalls++;
      run.log(`waiting: ${(reason as Error).message}`);
      await pause(STALL * 2 ** Math.min(this.#failures++, 4), run.signal);
    } else throw reason;
  }

  #setAside(
    id: string,
    { type, data, reason }: { type: bigint; data: Uint8Array; reason: string },
  ): void {
    setAside(this.#aside, id, data, {
      reason,
      from: this.#source.name,
      to: this.#subject,
      ...(this.#source.header === undefined
        ? {}
        : { [this.#source.header]: `${type}` }),
    });
    this.#counts.aside++;
  }
}

/** A message that is longer than the limit. */
class TooLong extends Error {}

/** Whether the stream has no room now. */
function isFull(reason: unknown): boolean {
  return reason instanceof JetStreamApiError && FULL.test(reason.message);
}

function headersOf(name: string, { type }: Entry) {
  const all = headers();
  all.set(name, `${type}`);
  return all;
}

/**
 * Passes the messages of a queue on to a subject of NATS JetStream, **at least once** and
 * in their order. It takes over the queue: nothing else should receive from it, and a
 * second bridge in the same IPC namespace is refused.
 *
 * A message of a System V queue is copied (`MSG_COPY`), published, and then taken. The
 * kernel writes a message of a POSIX queue right into the journal, a file in memory, where
 * it stays until it is published; so does a message of a ring. Whenever the bridge or the
 * server is killed, the message is published again with its identifier, and the server
 * drops what it has already, within its duplicate window. Of a socket's clients, what they
 * have sent and the bridge has not received is lost with their connection.
 *
 * Types and priorities become the headers `Ipc-Type` and `Ipc-Priority`. While the stream
 * is full, or the server is away, the bridge takes no more than `window` messages: the
 * queue fills, and its senders wait.
 *
 * @param queue The queue. Of a function that opens it, the bridge closes the queue, and
 * opens a System V queue again when it was removed; otherwise the caller keeps ownership.
 * @param subject The subject, without wildcards.
 * @param options Where the server and the stream are; limits.
 * @returns The bridge, which is running.
 * @throws {TypeError} If an argument has the wrong type.
 * @throws {RangeError} If the subject has wildcards, or an option is out of range.
 * @throws {BridgeError} If another bridge takes the messages of the queue, or the journal
 * is damaged. Later `done` rejects with it: if the server refuses the credentials, if the
 * stream is missing and not to be created, if the longest message of the queue is longer
 * than the server or the stream accepts, or if the queue was removed.
 * @throws {IpcError} If the queue cannot be examined, or the journal cannot be created:
 * ENOSPC, EACCES.
 */
export function outgoing(
  queue: OutgoingQueue | (() => OutgoingQueue),
  subject: string,
  options?: OutgoingOptions,
): Bridge {
  checkSubject(subject);
  const counts = newCounts();
  const source = sourceOf(queue, options?.maxSize);
  try {
    const flow = new Outgoing(source, subject, options, counts);
    return new Bridge(flow, options ?? {}, counts);
  } catch (error) {
    source.close();
    throw error;
  }
}
