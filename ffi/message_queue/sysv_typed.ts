// Messages that are C structs.

import type { Fields, FieldValues, FieldViews, Struct } from "../struct.ts";
import type { SyncWaitOptions, WaitOptions } from "../wait/options.ts";
import type { SysvMessage } from "./sysv_buffer.ts";
import type { SysvReceiveOptions, SysvSendOptions } from "./sysv_selection.ts";
import type { SysvMessageQueue } from "./sysv.ts";

/** A message that is a C struct. */
export interface TypedSysvMessage<F extends Fields> {
  /** The type: a number where that is exact, else a bigint. */
  readonly type: number | bigint;
  /** The fields of the struct. */
  readonly value: FieldValues<F>;
}

/**
 * A System V message queue whose messages are C structs. Made by
 * {@linkcode SysvMessageQueue.typed}; its calls are those of the queue, and fail as
 * those do. A message that is shorter than the struct is a `RangeError` when it is
 * received; it is out of the queue then.
 */
export class TypedSysvMessageQueue<F extends Fields> {
  readonly #queue: SysvMessageQueue;
  readonly #layout: Struct<F>;

  /** Made by {@linkcode SysvMessageQueue.typed}. */
  constructor(queue: SysvMessageQueue, layout: Struct<F>) {
    this.#queue = queue;
    this.#layout = layout;
  }

  /** {@linkcode SysvMessageQueue.sendSync} of a struct. */
  sendSync(
    value: FieldViews<F>,
    options?: SysvSendOptions & SyncWaitOptions,
  ): void {
    this.#queue.sendSync(this.#layout.encode(value), options);
  }

  /** {@linkcode SysvMessageQueue.send} of a struct. */
  async send(
    value: FieldViews<F>,
    options?: SysvSendOptions & WaitOptions,
  ): Promise<void> {
    await this.#queue.send(this.#layout.encode(value), options);
  }

  /** {@linkcode SysvMessageQueue.trySend} of a struct. */
  trySend(value: FieldViews<F>, options?: SysvSendOptions): boolean {
    return this.#queue.trySend(this.#layout.encode(value), options);
  }

  /** {@linkcode SysvMessageQueue.receiveSync} of a struct. */
  receiveSync(
    options?: SysvReceiveOptions & SyncWaitOptions,
  ): TypedSysvMessage<F> {
    return this.#decode(this.#queue.receiveSync(options));
  }

  /** {@linkcode SysvMessageQueue.receive} of a struct. */
  async receive(
    options?: SysvReceiveOptions & WaitOptions,
  ): Promise<TypedSysvMessage<F>> {
    return this.#decode(await this.#queue.receive(options));
  }

  /** {@linkcode SysvMessageQueue.tryReceive} of a struct. */
  tryReceive(options?: SysvReceiveOptions): TypedSysvMessage<F> | null {
    const message = this.#queue.tryReceive(options);
    return message === null ? null : this.#decode(message);
  }

  /** The messages as they come, until the queue object is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<
    TypedSysvMessage<F>,
    void,
    unknown
  > {
    for await (const message of this.#queue) yield this.#decode(message);
  }

  #decode({ type, data }: SysvMessage): TypedSysvMessage<F> {
    return { type, value: this.#layout.decode(data) };
  }
}
