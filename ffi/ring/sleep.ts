// Sleeping until a ring has changed: a flag that says that a thread sleeps, and a futex
// word behind it. While the flag is 0, no side makes a system call.

import type { Closing } from "../kernel/closing.ts";
import { type Liveness, startTimer } from "../kernel/liveness.ts";
import type { Mapping } from "../kernel/mapping.ts";
import { futexWord, sleepAt, wakeAt } from "../memory/futex.ts";
import { durationOf } from "../libc/time.ts";
import type { Pending, Source } from "../wait/attempt.ts";
import type { Armed } from "../wait/cancellable.ts";
import { FutexSource } from "../wait/futexes.ts";
import { isOver, remaining, timeoutError } from "../wait/options.ts";
import { spin } from "../wait/spin.ts";
import type { Region } from "./region.ts";

/** How long to sleep until the peers are looked after: some wake no thread, or have died. */
export const SLICE = 100; // ms
const POLLS = 200; // tries in a row, before the processor is yielded: some microseconds
const PROBE = 32; // waits after which polling is tried again where it was in vain

// In the padding of the trailer.
const CONSUMER = 0;
const PRODUCERS = 64;
const RECEIVERS = 64;

let sliceTime: Uint8Array<ArrayBuffer> | undefined;

/** Those who sleep until something changes. */
export class Sleepers {
  readonly #mapping: Mapping;
  readonly #int32: Int32Array<ArrayBuffer>;
  readonly #flag: number; // index
  readonly #word: number; // offset
  readonly #address: bigint; // of the word

  private constructor(region: Region, offset: number) {
    this.#mapping = region.mapping;
    this.#int32 = region.int32;
    this.#flag = (region.trailer + offset) >> 2;
    this.#word = region.trailer + offset + 4;
    this.#address = region.mapping.address + BigInt(this.#word);
  }

  /** The consumer, which waits for messages. */
  static forMessages(region: Region): Sleepers {
    return new Sleepers(region, CONSUMER);
  }

  /** The producers, which wait for space. */
  static forSpace(region: Region): Sleepers {
    return new Sleepers(region, PRODUCERS);
  }

  /** The receivers of a broadcast. */
  static forBroadcast(region: Region): Sleepers {
    return new Sleepers(region, RECEIVERS);
  }

  /** Says that this thread is about to sleep. Returns the word to sleep with. */
  announce(): number {
    const value = Atomics.load(this.#int32, this.#word >> 2);
    Atomics.store(this.#int32, this.#flag, 1); // before another look at the ring
    return value;
  }

  /** Wakes all that sleep. To be called after each change. */
  wake(): void {
    if (Atomics.load(this.#int32, this.#flag) !== 0) this.#wakeNow();
  }

  #wakeNow(): void {
    if (Atomics.exchange(this.#int32, this.#flag, 0) === 0) return;
    Atomics.add(this.#int32, this.#word >> 2, 1);
    wakeAt(this.#address);
  }

  /** Blocks this thread. Returns whether so many milliseconds have passed. */
  sleepSync(value: number, milliseconds: number): boolean {
    const time = milliseconds === SLICE
      ? sliceTime ??= durationOf(SLICE)
      : durationOf(milliseconds);
    return sleepAt(this.#address, value, time, this.#mapping.subject);
  }

  /** The source of a wait that does not block. */
  source(subject: string, value: number, closing: Closing): FutexSource {
    const word = { mapping: this.#mapping, offset: this.#word };
    return new FutexSource(subject, () => futexWord(word, value), closing);
  }
}

/** One participant's way of waiting. */
export class Waiting implements Source {
  readonly subject: string;
  readonly spins: boolean;
  readonly #closing: Closing;
  readonly #sleepers: Sleepers;
  readonly #review: () => void;
  #skip = 0;

  /** `review` looks after the peers; what it throws ends the wait. */
  constructor(
    subject: string,
    spins: boolean,
    closing: Closing,
    sleepers: Sleepers,
    review: () => void,
  ) {
    this.subject = subject;
    this.spins = spins;
    this.#closing = closing;
    this.#sleepers = sleepers;
    this.#review = review;
  }

  get liveness(): Liveness {
    return this.#closing.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed | undefined {
    const value = this.#sleepers.announce();
    if (wait.retry()) return undefined;
    const source = this.#sleepers.source(this.subject, value, this.#closing);
    const endSlice = startTimer(async () => {
      const left = armed.takeBack();
      if (left instanceof Promise) await left;
      try {
        this.#lookAfter();
      } catch (error) {
        wait.reject(error);
        return;
      }
      wait.resolve();
    }, SLICE);
    const armed = source.arm({
      deadline: wait.deadline,
      resolve() {
        endSlice();
        wait.resolve();
      },
      reject(reason) {
        endSlice();
        wait.reject(reason);
      },
      retry() {
        const hasEnded = wait.retry();
        if (hasEnded) endSlice();
        return hasEnded;
      },
    });
    return {
      takeBack() {
        endSlice();
        return armed.takeBack();
      },
    };
  }

  /** Calls `tryOnce` until it succeeds, blocking this thread. */
  sync<T>(tryOnce: () => T | undefined, deadline: number): T {
    let got = tryOnce();
    if (got === undefined && this.spins) {
      got = this.#poll(tryOnce);
      if (got === undefined) {
        spin(() => (got = tryOnce()) !== undefined, deadline);
      }
    }
    while (got === undefined) {
      const value = this.#sleepers.announce();
      got = tryOnce();
      if (got !== undefined) break;
      if (isOver(deadline)) throw timeoutError(this.subject);
      const time = Math.min(SLICE, remaining(deadline));
      const isOverdue = this.#sleepers.sleepSync(value, time);
      got = tryOnce();
      if (got === undefined && isOverdue) this.#lookAfter();
    }
    return got;
  }

  /** Polls on this processor alone, unless that was in vain lately. */
  #poll<T>(tryOnce: () => T | undefined): T | undefined {
    if (this.#skip > 0) {
      this.#skip--;
      return undefined;
    }
    for (let i = 0; i < POLLS; i++) {
      const got = tryOnce();
      if (got !== undefined) return got;
    }
    this.#skip = PROBE;
    return undefined;
  }

  #lookAfter(): void {
    if (!this.#closing.closed) this.#review();
  }
}
