// A WHATWG ReadableStream as a source of bytes. A read of it cannot be taken back: what
// a wait has given up is kept, and belongs to the next one.

import {
  byteLengthOf,
  checkBytes,
  checkKept,
  copyOf,
  isBytes,
  setBytes,
  viewOf,
} from "../arguments.ts";
import { Liveness } from "../kernel/liveness.ts";
import { cancellable } from "../wait/cancellable.ts";
import {
  isOver,
  lastMoment,
  type Limits,
  limitsOf,
  timeoutError,
  type WaitOptions,
} from "../wait/options.ts";
import { isOverdue, yieldToEventLoop } from "../wait/yield.ts";

const SUBJECT = "readable stream";

/** Reads the chunks of a stream. It blocks nothing, and cannot try. */
export class WebStreamSource {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #liveness = new Liveness();
  #next: Promise<void> | undefined; // the read that has begun
  #arrived: ReadableStreamReadResult<Uint8Array> | undefined; // its result
  #chunk: Uint8Array = new Uint8Array(0);
  #start = 0;
  #end = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#reader = stream.getReader();
  }

  async read(
    buffer: Uint8Array<ArrayBuffer>,
    options?: WaitOptions,
  ): Promise<number | null> {
    const limits = limitsOf(options);
    const last = lastMoment(limits.deadline);
    for (let over = false; this.#start === this.#end; over = isOver(last)) {
      if (over) throw timeoutError(SUBJECT); // all chunks were empty
      if (!await this.#receive(limits)) return null;
      if (isOverdue()) await yieldToEventLoop();
    }
    checkKept("chunk", this.#chunk, this.#end);
    const size = Math.min(this.#end - this.#start, byteLengthOf(buffer));
    const end = this.#start + size;
    setBytes(buffer, viewOf(this.#chunk, this.#start, end));
    this.#start = end;
    return size;
  }

  /** Receives the next chunk; false at the end. */
  async #receive(limits: Limits): Promise<boolean> {
    const next = this.#next ??= this.#reader.read().then((result) => {
      this.#arrived = result; // perhaps after the wait
    });
    this.#liveness.begin();
    try {
      const inTime = await cancellable(limits, (settle) => {
        next.then(() => settle.resolve(), (error) => {
          this.#next = undefined;
          settle.reject(error);
        });
        return { takeBack() {} };
      });
      if (!inTime) throw timeoutError(SUBJECT);
    } finally {
      this.#liveness.end();
    }
    await next;
    const { done, value } = this.#arrived!;
    this.#next = this.#arrived = undefined;
    if (done) return false;
    checkBytes("chunk", value);
    this.#chunk = value;
    this.#start = 0;
    this.#end = byteLengthOf(value);
    return true;
  }

  ref(): void {
    this.#liveness.ref();
  }

  unref(): void {
    this.#liveness.unref();
  }

  close(): void {
    this.#reader.cancel().catch(() => {}); // that it failed is told by its reads
  }

  /** Gives the stream back; returns what of it was received and not read. */
  release(): Uint8Array<ArrayBuffer> {
    this.#next?.catch(() => {}); // rejected, unless its chunk has arrived
    this.#reader.releaseLock();
    const value = this.#arrived?.value;
    if (isBytes(value)) return copyOf(value);
    return copyOf(viewOf(this.#chunk, this.#start, this.#end));
  }
}
