// What has messages and no limit to them: one side may be so many ahead of the other.

import { type AsyncChannel, task } from "./task.ts";

const AHEAD = 256; // messages; half of them are acknowledged at a time

/** Messages of another process or thread, in the order in which they came. */
export class Inbox {
  readonly #messages: unknown[] = [];
  #taken = 0;
  #wake: (() => void) | undefined;

  /** Called with each message that comes. */
  readonly put = (message: unknown): void => {
    this.#messages.push(message);
    this.#wake?.();
  };

  /** The next one. */
  async take(): Promise<unknown> {
    while (this.#taken === this.#messages.length) {
      this.#messages.length = this.#taken = 0;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#messages[this.#taken++];
  }
}

/** A channel of messages; one way, it is kept from running ahead too far. */
export function channelOf(
  inbox: Inbox,
  post: (message: Uint8Array<ArrayBuffer>) => void,
): AsyncChannel {
  const message = new Uint8Array(task.size);
  let credit = AHEAD;
  let count = 0;
  return {
    async send() {
      if (task.part === "give" && credit-- === 0) {
        await inbox.take();
        credit = AHEAD / 2 - 1;
      }
      post(message);
    },
    async receive() {
      await inbox.take();
      if (task.part === "take" && ++count % (AHEAD / 2) === 0) post(message);
    },
  };
}
