// What producers, consumers and receivers have in common: a place in a ring, which ends
// with close(), or with the memory.

import { Closing } from "../kernel/closing.ts";
import { inspectAs } from "../inspect_object.ts";
import { checkInternal } from "../internal.ts";
import type { Region } from "./region.ts";

/** Options of everything that takes part in a ring. */
export interface RingWaitOptions {
  /**
   * Whether a wait tries again for some microseconds before it sleeps. That is faster if
   * the peer runs on another processor, and it takes processor time.
   *
   * @default {true}
   */
  spin?: boolean | undefined;
}

/** Reads and checks the option. */
export function spinOf(options: RingWaitOptions | undefined): boolean {
  const spin = options?.spin ?? true;
  if (typeof spin === "boolean") return spin;
  throw new TypeError(`Argument "spin" must be a boolean: ${String(spin)}`);
}

/** The region of a participant. For this module alone. */
export let regionOf: (participant: RingParticipant) => Region;
/** Tells the waits of a participant that it is closed. For this module alone. */
export let closingOf: (participant: RingParticipant) => Closing;

/** The base class of all that takes part in a ring. */
export abstract class RingParticipant implements Disposable {
  readonly #region: Region;
  readonly #closing: Closing;
  readonly #leave: () => void;
  readonly #unlisten: () => void;

  /**
   * Internal. `leave` is called once, while the memory is still mapped.
   *
   * @ignore
   */
  protected constructor(token: symbol, region: Region, leave: () => void) {
    checkInternal(token, new.target.name, "the methods of a ring");
    this.#region = region;
    this.#leave = leave;
    this.#closing = new Closing(region.subject);
    this.#unlisten = region.mapping.closing.listen(() => this.#close());
  }

  static {
    regionOf = (participant) => participant.#region;
    closingOf = (participant) => participant.#closing;
    inspectAs(this, ({ capacity, maxMessageLength, closed }) => ({
      capacity,
      maxMessageLength,
      closed,
    }));
  }

  /** The bytes that the ring has for records. A message takes 8 more than its length, rounded up to a multiple of 8. */
  get capacity(): number {
    return this.#region.capacity;
  }

  /** The length of the longest message, in bytes: an eighth of the capacity. */
  get maxMessageLength(): number {
    return this.#region.maxLength;
  }

  /** Whether this object, or its memory, is closed. */
  get closed(): boolean {
    return this.#closing.closed;
  }

  /**
   * Keeps the program alive while waits of this object are pending. This is the default.
   */
  ref(): void {
    this.#closing.liveness.ref();
  }

  /** Lets the program end while waits of this object are pending. */
  unref(): void {
    this.#closing.liveness.unref();
  }

  /**
   * Leaves the ring. The others are told, and the ring stays. Closing twice does nothing.
   * Closing the memory closes this object, too.
   */
  close(): void {
    this.#close();
  }

  /** Closes this object. */
  [Symbol.dispose](): void {
    this.#close();
  }

  #close(): void {
    if (this.#closing.closed) return;
    this.#unlisten();
    // A buffer that was transferred away belongs to another thread.
    if (this.#region.int32.length > 0) this.#leave();
    this.#closing.close();
  }
}
