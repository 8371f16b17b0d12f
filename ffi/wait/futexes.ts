// Pending for words in memory without a thread for each: one futex_waitv(2) on the
// runtime's pool for up to 127 of them. Before Linux 5.16 a word has a call of its own.
//
// A thread that sleeps on a word consumes one wake-up. If the waiter has gone by then,
// the wake-up is passed on: another process may sleep on the same word.

import { EAGAIN, errno } from "../libc/errno.ts";
import {
  FUTEX_32,
  FUTEX_WAIT,
  FUTEX_WAITV_MAX,
  FUTEX_WAKE,
  futexWaitv,
  linuxFutex,
} from "../libc/linux_futex.ts";
import { pointerTo } from "../libc/string.ts";
import { SYS_futex, SYS_futex_waitv } from "../libc/sys_syscall.ts";
import { CLOCK_MONOTONIC, durationOf, monotonicIn } from "../libc/time.ts";
import type { Pending, Source } from "./attempt.ts";
import type { Armed } from "./cancellable.ts";
import { background, type Liveness } from "../kernel/liveness.ts";
import type { Ending } from "../kernel/closing.ts";
import { type BlockingCall, PoolSource } from "./pool.ts";
import { letReturn } from "./yield.ts";

const FUTEX = BigInt(SYS_futex);
const FUTEX_WAITV = BigInt(SYS_futex_waitv);
const MAX_WORDS = FUTEX_WAITV_MAX - 1; // the other one ends the call
const MAX_GROUPS = 8; // calls at a time, of the 32 threads of the pool
// A Worker that is terminated leaves its call behind, which may consume a wake-up for
// that long.
const SLICE = 50; // ms

/** A word, as long as it is mapped. */
export interface FutexWord {
  readonly address: bigint;
  /** The value that is waited with. */
  readonly value: number;
  /** Whether the word has another value, or cannot be read any more. */
  changed(): boolean;
  /** Keeps the word mapped until what this returns is called. */
  pin(): () => void;
}

interface Waiter {
  readonly word: FutexWord;
  resolve(): void;
}

let sleeping = 0;

/** How many words are waited for in the kernel, from this thread. For tests. */
export function sleepingWords(): number {
  return sleeping;
}

/** Wakes one that sleeps on a word. */
export function wakeOne(address: bigint): void {
  linuxFutex().futex(FUTEX, address, FUTEX_WAKE, 1, null);
}

/** Waiters that share a call. */
class Group {
  readonly #waiters = new Set<Waiter>();
  readonly #wakeup = new Int32Array(1);
  readonly #wakeupAddress = pointerTo(new Uint8Array(this.#wakeup.buffer));
  readonly #table = new Uint8Array(futexWaitv.size * FUTEX_WAITV_MAX);
  #running = false;
  #outstanding: Promise<unknown> | undefined;

  get hasRoom(): boolean {
    return this.#waiters.size < MAX_WORDS;
  }

  /** Adds a waiter; returns how to remove it. */
  add(waiter: Waiter): () => Promise<unknown> | undefined {
    this.#waiters.add(waiter);
    if (this.#running) this.#interrupt();
    else this.#run();
    return () => {
      if (!this.#waiters.delete(waiter)) return undefined;
      this.#interrupt();
      if (this.#waiters.size > 0) return undefined;
      if (this.#outstanding !== undefined) letReturn();
      return this.#outstanding;
    };
  }

  /** Ends the outstanding call: another one waits for other words. */
  #interrupt(): void {
    if (this.#outstanding === undefined) return;
    Atomics.add(this.#wakeup, 0, 1);
    wakeOne(this.#wakeupAddress);
  }

  async #run(): Promise<void> {
    this.#running = true;
    await null; // for those that begin together
    while (this.#waiters.size > 0) await this.#wait([...this.#waiters]);
    this.#running = false;
  }

  async #wait(waiters: readonly Waiter[]): Promise<void> {
    this.#write(0, this.#wakeupAddress, this.#wakeup[0]!);
    waiters.forEach(({ word }, index) => {
      this.#write(index + 1, word.address, word.value);
    });
    const unpins = waiters.map(({ word }) => word.pin());
    const { futex_waitv_nonblocking: call } = linuxFutex();
    const end = monotonicIn(SLICE);
    const count = waiters.length + 1;
    sleeping += waiters.length;
    const outstanding = background(
      call(FUTEX_WAITV, this.#table, count, 0, end, CLOCK_MONOTONIC),
    );
    this.#outstanding = outstanding;
    const index = Number(await outstanding);
    this.#outstanding = undefined;
    sleeping -= waiters.length;
    waiters.forEach((waiter, place) => {
      // Of several that were woken the call tells one only.
      if (place === index - 1 || waiter.word.changed()) this.#woken(waiter);
    });
    for (const unpin of unpins) unpin();
  }

  #write(index: number, address: bigint, value: number): void {
    futexWaitv.write(this.#table, {
      val: BigInt(value >>> 0),
      uaddr: address,
      flags: FUTEX_32,
      __reserved: 0,
    }, index * futexWaitv.size);
  }

  #woken(waiter: Waiter): void {
    if (this.#waiters.delete(waiter)) waiter.resolve();
    else wakeOne(waiter.word.address);
  }
}

const groups: Group[] = [];
let hasWaitv: boolean | undefined;

/** Whether the kernel knows futex_waitv. */
function supported(): boolean {
  if (hasWaitv !== undefined) return hasWaitv;
  const word = new Uint32Array(1);
  const row = futexWaitv.encode({
    val: 1n, // the word is 0, so the call does not wait
    uaddr: pointerTo(new Uint8Array(word.buffer)),
    flags: FUTEX_32,
    __reserved: 0,
  });
  const { futex_waitv } = linuxFutex();
  const result = futex_waitv(FUTEX_WAITV, row, 1, 0, null, CLOCK_MONOTONIC);
  return hasWaitv = result === -1n && errno() === EAGAIN;
}

function groupWithRoom(): Group | undefined {
  const found = groups.find((group) => group.hasRoom);
  if (found !== undefined || groups.length === MAX_GROUPS) return found;
  const group = new Group();
  groups.push(group);
  return group;
}

/** A call that waits for one word. */
function callFor(word: FutexWord): BlockingCall {
  return {
    async block(milliseconds) {
      const unpin = word.pin();
      const { futex_nonblocking: call } = linuxFutex();
      const time = durationOf(milliseconds);
      await background(
        call(FUTEX, word.address, FUTEX_WAIT, word.value >>> 0, time),
      );
      unpin();
    },
  };
}

/** A word, as the source of an attempt. */
export class FutexSource implements Source {
  readonly subject: string;
  readonly spins = true;
  readonly #wordOf: () => FutexWord;
  readonly #closing: Ending;

  /** `wordOf` is asked for each wait: the memory may be resized in between. */
  constructor(subject: string, wordOf: () => FutexWord, closing: Ending) {
    this.subject = subject;
    this.#wordOf = wordOf;
    this.#closing = closing;
  }

  get liveness(): Liveness {
    return this.#closing.liveness;
  }

  isDeferred(): boolean {
    return false;
  }

  served(): void {}

  arm(wait: Pending): Armed {
    const word = this.#wordOf();
    const group = supported() ? groupWithRoom() : undefined;
    if (group === undefined) return this.#alone(word).arm(wait);
    const remove = group.add({
      word,
      resolve() {
        unlisten();
        wait.resolve();
      },
    });
    const unlisten = this.#closing.listen(() => {
      Promise.resolve(remove()).then(() => wait.resolve());
    });
    return {
      takeBack() {
        unlisten();
        return remove();
      },
    };
  }

  #alone(word: FutexWord): PoolSource {
    return new PoolSource(this.subject, this.#closing, () => callFor(word));
  }
}
