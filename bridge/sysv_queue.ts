// The System V queue of a bridge, which a bridge that was given a function opens again when
// it was removed.

import { ipcLimits } from "@linux/ipc/limits";
import { SysvMessageQueue } from "@linux/ipc/message-queue";

/** A System V queue that a bridge uses. */
export class SysvQueue {
  /** Its name, in messages: by its key, which it keeps. */
  readonly name: string;
  readonly #open: (() => SysvMessageQueue) | undefined;
  #queue: SysvMessageQueue;

  /** The queue is closed with the bridge if the function has opened it. */
  constructor(queue: SysvMessageQueue, open?: () => SysvMessageQueue) {
    this.#queue = queue;
    this.#open = open;
    this.name = nameOf(queue);
  }

  get now(): SysvMessageQueue {
    return this.#queue;
  }

  /** The most bytes that a message can have. */
  get maxSize(): number {
    const { maxSize } = ipcLimits().sysvMessageQueues; // msgmax
    const { maxBytes } = SysvMessageQueue.stat({ id: this.#queue.id });
    return Math.min(maxBytes, maxSize);
  }

  /** Opens the queue again that was removed. False if it cannot be. */
  reopen(): boolean {
    if (this.#open === undefined) return false;
    this.#queue.close();
    this.#queue = this.#open();
    return true;
  }

  close(): void {
    if (this.#open !== undefined) this.#queue.close();
  }
}

function nameOf({ id }: SysvMessageQueue): string {
  const { key } = SysvMessageQueue.stat({ id });
  return key === 0
    ? `private queue ${id}`
    : `queue 0x${key.toString(16).padStart(8, "0")}`;
}
