// Messages of POSIX queues that are C structs.

import type { Fields, FieldValues, FieldViews, Struct } from "../struct.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import type {
  PosixMessage,
  PosixMessageQueue,
  PosixSendOptions,
} from "./posix.ts";

/** A message of a POSIX queue that is a C struct. */
export interface TypedPosixMessage<F extends Fields> {
  /** The priority, 0 to 32767. */
  readonly priority: number;
  /** The fields of the struct. */
  readonly value: FieldValues<F>;
}

/**
 * A POSIX message queue whose messages are C structs. Made by
 * {@linkcode PosixMessageQueue.typed}; its calls are those of the queue, and fail as
 * those do. A message that is shorter than the struct is a `RangeError` when it is
 * received; it is out of the queue then.
 */
export class TypedPosixMessageQueue<F extends Fields> {
  readonly #queue: PosixMessageQueue;
  readonly #layout: Struct<F>;

  /** Made by {@linkcode PosixMessageQueue.typed}. */
  constructor(queue: PosixMessageQueue, layout: Struct<F>) {
    this.#queue = queue;
    this.#layout = layout;
  }

  /** {@linkcode PosixMessageQueue.sendSync} of a struct. */
  sendSync(
    value: FieldViews<F>,
    options?: PosixSendOptions & SyncWaitOptions,
  ): void {
    this.#queue.sendSync(this.#layout.encode(value), options);
  }

  /** {@linkcode PosixMessageQueue.send} of a struct. */
  async send(
    value: FieldViews<F>,
    options?: PosixSendOptions & WaitOptions,
  ): Promise<void> {
    await this.#queue.send(this.#layout.encode(value), options);
  }

  /** {@linkcode PosixMessageQueue.trySend} of a struct. */
  trySend(value: FieldViews<F>, options?: PosixSendOptions): boolean {
    return this.#queue.trySend(this.#layout.encode(value), options);
  }

  /** {@linkcode PosixMessageQueue.receiveSync} of a struct. */
  receiveSync(options?: SyncWaitOptions): TypedPosixMessage<F> {
    return this.#decode(this.#queue.receiveSync(options));
  }

  /** {@linkcode PosixMessageQueue.receive} of a struct. */
  async receive(options?: WaitOptions): Promise<TypedPosixMessage<F>> {
    return this.#decode(await this.#queue.receive(options));
  }

  /** {@linkcode PosixMessageQueue.tryReceive} of a struct. */
  tryReceive(): TypedPosixMessage<F> | null {
    const message = this.#queue.tryReceive();
    return message === null ? null : this.#decode(message);
  }

  /** The messages as they come, until the queue object is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<
    TypedPosixMessage<F>,
    void,
    unknown
  > {
    for await (const message of this.#queue) yield this.#decode(message);
  }

  #decode({ priority, data }: PosixMessage): TypedPosixMessage<F> {
    return { priority, value: this.#layout.decode(data) };
  }
}
