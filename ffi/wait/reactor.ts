// Waiting for descriptors: one epoll for all of a thread, and at most one outstanding
// call on the runtime's pool of threads, however many descriptors there are.
//
// A pass is one epoll_wait on this thread that does not wait. It resolves all that is
// ready, in the kernel's order, and their continuations run before the next pass. When a
// pass finds nothing, the reactor spins a little for the whole set, and then waits on a
// thread of the pool.

import { ClosedError } from "../errors.ts";
import { beforeClose } from "../kernel/descriptor.ts";
import { systemLimit } from "../kernel/limits.ts";
import { alwaysRefed, background, type Liveness } from "../kernel/liveness.ts";
import {
  check,
  EEXIST,
  ENOENT,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { POLLERR, POLLHUP, POLLIN } from "../libc/poll.ts";
import { runtime } from "../libc/runtime/mod.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  epollEvent,
  sysEpoll,
} from "../libc/sys_epoll.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, sysEventfd } from "../libc/sys_eventfd.ts";
import { unistd } from "../libc/unistd.ts";
import type { Source } from "./attempt.ts";
import { type Armed, cancellable, type Settle } from "./cancellable.ts";
import type { Limits } from "./options.ts";
import { spin } from "./spin.ts";
import { WaiterQueue } from "./waiters.ts";
import {
  isOverdue,
  letReturn,
  lookBetween,
  yieldToContinuations,
  yieldToEventLoop,
} from "./yield.ts";

/** A descriptor to wait for: a Descriptor, or the number of a foreign one. */
export interface Waitable {
  readonly fd: number;
  /** Name used in error messages. */
  readonly subject: string;
  /** Whether waits for it keep the program alive; if absent, they do. */
  readonly liveness?: Liveness | undefined;
}

/** One who waits for a descriptor, time and again: one wait at a time. */
export class Waiter implements Armed {
  readonly watch: Watch;
  /** What it waits for; 0 for close() alone. */
  readonly events: number;
  readonly subject: string;
  /** Who is told of the pending wait; undefined if there is none. */
  settle: Settle | undefined;

  constructor(watch: Watch, events: number, subject: string) {
    this.watch = watch;
    this.events = events;
    this.subject = subject;
  }

  /** Takes the wait back, where another one has succeeded. */
  remove(): void {
    remove(this);
  }

  takeBack(): Promise<void> | undefined {
    remove(this);
    return endIfIdle();
  }
}

/** A descriptor that is, or was, waited for. */
class Watch {
  readonly fd: number;
  /** Its name in epoll: an index of `slots`, and a number that is never used again. */
  readonly slot: number = freeSlots.pop() ?? slots.length;
  readonly generation: number = nextGeneration++;
  /** Whether an object of this thread will close it. */
  readonly owned: boolean;
  /** Whether it is that of the descriptor still. */
  isOpen = true;
  /**
   * The events that epoll reports as long as they are there; -1 while the descriptor is
   * not in epoll. With 0 an error or a hang-up is reported once (EPOLLET).
   */
  armed = -1;
  /** The waiters, in the order of their calls. Mostly there is one. */
  first: Waiter | undefined;
  others: Waiter[] = NO_WAITERS;

  constructor(fd: number) {
    this.fd = fd;
    this.owned = beforeClose(fd, () => dropped(this));
    slots[this.slot] = this;
  }

  /** A copy: who is told may wait again, or take others back. */
  get waiters(): Waiter[] {
    return this.first === undefined ? [] : [this.first, ...this.others];
  }

  add(waiter: Waiter): void {
    if (this.first === undefined) this.first = waiter;
    else if (this.others === NO_WAITERS) this.others = [waiter];
    else this.others.push(waiter);
  }

  remove(waiter: Waiter): void {
    const { others } = this;
    if (this.first !== waiter) others.splice(others.indexOf(waiter), 1);
    else this.first = others.length === 0 ? undefined : others.shift();
  }
}

const NO_WAITERS: Waiter[] = []; // stays empty
// Of one epoll_wait; the rest comes with the next. So few that what a pass has read, and
// its continuations answer, is in the cache still. The kernel puts what it has reported
// behind the rest, so all are served in turn.
const MAX_EVENTS = 32;
const ALWAYS = POLLERR | POLLHUP; // reported whether asked for or not
// A Worker that is terminated leaves its call behind: it frees its thread of the pool
// after this many milliseconds.
const SLICE = 10_000;
const WAKEUP = 0; // the generation of the eventfd

// Each thread has its own instance of this module, and so its own epoll.
let epoll = -1;
let wakeup = -1; // an eventfd that ends the outstanding call
let outstanding: Promise<void> | undefined;
let running = false;
let pending = 0;
let passes = 0;
let isPassing = false;
let resolvedLast = 0; // waiters, by the last pass: they may be about to wait again
let nextGeneration = WAKEUP + 1;
let registered = 0; // watches that are in epoll
const watches = new Map<number, Watch>(); // by descriptor
const slots: (Watch | undefined)[] = [];
const freeSlots: number[] = [];
let sleeper: (() => void) | undefined; // wakes the passes, where they sleep

const event = new Uint8Array(epollEvent.size);
const eventWords = new Uint32Array(event.buffer);
const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const drained = new Uint8Array(8);

// struct epoll_event as words; of its data, the first is the slot.
const WORDS = epollEvent.size / 4;
const EVENTS = epollEvent.offsets.events / 4;
const SLOT = epollEvent.offsets.data / 4;
const GENERATION = SLOT + 1;
const reported = new Uint8Array(epollEvent.size * MAX_EVENTS); // of a pass
const words = new Uint32Array(reported.buffer);
const unread = runtime.pinned(new Uint8Array(epollEvent.size)); // of the outstanding call

const MAX_WATCHES = "/proc/sys/fs/epoll/max_user_watches";

/** How many waits are pending on this thread. For tests. */
export function pendingWaits(): number {
  return pending;
}

function control(operation: number, watch: Watch, events: number): number {
  eventWords[EVENTS] = events === 0 ? EPOLLET : events;
  eventWords[SLOT] = watch.slot;
  eventWords[GENERATION] = watch.generation;
  return sysEpoll().epoll_ctl(epoll, operation, watch.fd, event);
}

function open(): void {
  if (epoll !== -1) return;
  const { epoll_create1, epoll_ctl } = sysEpoll();
  const created = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  try {
    const flags = EFD_CLOEXEC | EFD_NONBLOCK;
    wakeup = check(sysEventfd().eventfd(0, flags), "eventfd");
    eventWords[EVENTS] = POLLIN;
    eventWords[GENERATION] = WAKEUP;
    check(epoll_ctl(created, EPOLL_CTL_ADD, wakeup, event), "epoll_ctl");
    epoll = created;
  } catch (error) {
    unistd().close(created);
    if (wakeup !== -1) unistd().close(wakeup);
    wakeup = -1;
    throw error;
  }
}

/** Closes the epoll when it watches nothing, so that a Worker leaves nothing open. */
function closeIfUnused(): void {
  const isInUse = outstanding !== undefined || running || registered > 0;
  if (epoll === -1 || isInUse) return;
  unistd().close(epoll);
  unistd().close(wakeup);
  epoll = wakeup = -1;
}

/** Has epoll report these events of a descriptor as long as they are there. */
function arm(watch: Watch, events: number): void {
  const operation = watch.armed === -1 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (control(operation, watch, events) === -1) {
    const error = errno();
    // A foreign descriptor may have been closed, and its number used again.
    const other = error === ENOENT
      ? EPOLL_CTL_ADD
      : error === EEXIST
      ? EPOLL_CTL_MOD
      : undefined;
    if (other === undefined) {
      const limit = error === ENOSPC ? systemLimit(MAX_WATCHES) : undefined;
      throw ipcError(error, "epoll_ctl", watch.fd, limit);
    }
    check(control(other, watch, events), "epoll_ctl", watch.fd);
  }
  if (watch.armed === -1) registered++;
  watch.armed = events;
}

/** Stops the report of events that no waiter wants. */
function disarm(watch: Watch): void {
  let events = 0;
  for (const waiter of watch.waiters) events |= waiter.events;
  if (events !== watch.armed) arm(watch, events);
}

function forget(watch: Watch): void {
  watch.isOpen = false;
  if (watches.get(watch.fd) === watch) watches.delete(watch.fd);
  if (slots[watch.slot] === watch) {
    slots[watch.slot] = undefined;
    freeSlots.push(watch.slot);
  }
  if (watch.armed === -1) return;
  watch.armed = -1;
  registered--;
  control(EPOLL_CTL_DEL, watch, 0);
  closeIfUnused();
}

/** Resolves the waiters of one descriptor; returns how many. */
function dispatch(watch: Watch, events: number): number {
  const { first, others } = watch;
  const rest = others.length === 0 ? NO_WAITERS : others.slice();
  let count = first !== undefined && tell(first, events) ? 1 : 0;
  for (const waiter of rest) if (tell(waiter, events)) count++;
  if (count === 0) disarm(watch);
  return count;
}

/** Resolves a waiter, if it waits for one of the events; returns whether it has. */
function tell(waiter: Waiter, events: number): boolean {
  const { events: wanted, settle } = waiter;
  if (wanted === 0) return false; // for close()
  if ((events & (wanted | ALWAYS)) === 0) return false;
  if (!remove(waiter)) return false; // by one before it
  settle!.resolve();
  return true;
}

/** Whether a wait has to share the thread with others. */
function isCrowded(): boolean {
  return pending > 0 || resolvedLast > 1;
}

/** Looks once for all descriptors; returns how many waiters were resolved. */
function pass(): number {
  passes++;
  isPassing = true;
  let resolved = 0;
  const count = sysEpoll().epoll_wait(epoll, reported, MAX_EVENTS, 0);
  for (let at = 0; at < count; at++) {
    const index = at * WORDS;
    const generation = words[index + GENERATION]!;
    // A pass leaves it to the outstanding call, which would go on waiting.
    if (generation === WAKEUP && outstanding === undefined) {
      unistd().read(wakeup, drained, drained.length);
    }
    const watch = slots[words[index + SLOT]!];
    // Else it was closed since it was reported.
    if (watch?.generation === generation) {
      resolved += dispatch(watch, words[index + EVENTS]!);
    }
  }
  isPassing = false;
  return resolvedLast = resolved;
}

/** A pass between two others, unless that is within one of them. */
function passBetween(): void {
  if (!isPassing && pending > 0) pass();
}

/** Wakes the passes. To resolve a promise a second time is a call of the runtime. */
function wake(): void {
  const resolve = sleeper;
  sleeper = undefined;
  resolve?.();
}

/** Runs passes while there are waiters. */
async function run(): Promise<void> {
  running = true;
  await null; // who begins a wait is told nothing before it has begun
  lookBetween(passBetween);
  let resolved = 1;
  while (pending > 0) {
    if (isOverdue(resolved)) yieldToEventLoop();
    await yieldToContinuations();
    if (pending === 0) break;
    resolved = pass();
    if (resolved > 0 || spin(() => (resolved = pass()) > 0)) continue;
    outstanding ??= waitElsewhere();
    await new Promise<void>((resolve) => sleeper = resolve);
    resolved = 1;
  }
  running = false;
  lookBetween(undefined);
  closeIfUnused();
  if (outstanding === undefined) return;
  await yieldToEventLoop(); // the next wait may have begun by then
  endIfIdle();
}

/**
 * Waits on a thread of the pool. What that reports is left to a pass, which is reported it
 * again: by the time that the thread has returned, passes may have dispatched it.
 */
async function waitElsewhere(): Promise<void> {
  const { epoll_wait_nonblocking: call } = sysEpoll();
  const slice = Math.min(SLICE, runtime.longestBlock);
  const forget = runtime.onExit(interrupt);
  try {
    // -1 can only be EINTR: the other errors are mistakes in the arguments.
    await background(call(epoll, unread, 1, slice));
  } catch (error) { // the runtime may not start a thread
    await null; // until `outstanding` is set
    failAll(error);
  }
  forget();
  outstanding = undefined;
  if (pending > 0) pass();
  wake();
  closeIfUnused();
}

/** Ends all waits with an error. */
function failAll(reason: unknown): void {
  for (const watch of slots.slice()) {
    for (const waiter of watch?.waiters ?? []) {
      const { settle } = waiter;
      if (remove(waiter)) settle!.reject(reason);
    }
  }
}

/** Ends the outstanding call. */
function interrupt(): void {
  unistd().write(wakeup, one, one.length);
}

/**
 * Ends the outstanding call when there are no waiters, so that the program can end.
 * Returns a promise for that; undefined if there is no such call.
 */
export function endIfIdle(): Promise<void> | undefined {
  if (pending > 0 || outstanding === undefined) return undefined;
  interrupt();
  letReturn();
  return outstanding;
}

/** Takes a wait back; false if it has ended. */
function remove(waiter: Waiter): boolean {
  if (waiter.settle === undefined) return false;
  waiter.settle = undefined;
  const { watch } = waiter;
  watch.remove(waiter);
  if (waiter.events !== 0) pending--;
  if (!watch.owned && watch.first === undefined) forget(watch);
  if (pending === 0) wake();
  return true;
}

/** Ends the waits for a descriptor that is about to be closed. */
function dropped(watch: Watch): void {
  const ended = watch.waiters.map(({ settle, subject }) => {
    return () => settle!.reject(new ClosedError(subject));
  });
  for (const waiter of watch.waiters) remove(waiter);
  const call = endIfIdle();
  for (const reject of ended) {
    if (call === undefined) reject();
    else call.then(reject);
  }
  forget(watch);
}

/** The watch of a descriptor, made with the first wait for it. */
function watchOf(fd: number): Watch {
  const known = watches.get(fd);
  if (known !== undefined) return known;
  const watch = new Watch(fd);
  watches.set(fd, watch);
  return watch;
}

/** Begins a wait for one of `events`, or with 0 for close() alone. */
export function watch(
  { fd, subject }: Waitable,
  events: number,
  settle: Settle,
): Waiter {
  const waiter = new Waiter(watchOf(fd), events, subject);
  begin(waiter, settle);
  return waiter;
}

/** Begins a wait; if that fails, there is none. */
function begin(waiter: Waiter, settle: Settle): void {
  const { watch, events } = waiter;
  try {
    open();
    const armed = Math.max(watch.armed, 0);
    // The number of a foreign descriptor may be another file's since the last wait.
    const isArmed = watch.owned && (armed & events) === events;
    if (events !== 0 && !isArmed) arm(watch, armed | events);
  } catch (error) {
    if (!watch.owned && watch.first === undefined) forget(watch);
    closeIfUnused();
    // A regular file and some devices cannot be waited for: they are always ready.
    if ((error as { errno?: number }).errno !== EPERM) settle.reject(error);
    else yieldToEventLoop().then(() => settle.resolve());
    return;
  }
  waiter.settle = settle;
  watch.add(waiter);
  if (events === 0) return;
  pending++;
  if (running) wake();
  else run();
}

/**
 * Resolves to true when one of `events` (POLLIN, POLLOUT) is likely to be there, to
 * false when the deadline has passed. Rejects when the signal is aborted, and when the
 * descriptor is closed.
 */
export function ready(
  target: Waitable,
  events: number,
  limits: Limits,
): Promise<boolean> {
  return cancellable(limits, (settle) => watch(target, events, settle));
}

/** One direction of a descriptor, as the source of attempts. */
export class DescriptorSource implements Source {
  /** Its waiters, in the order of their calls. */
  readonly queue: WaiterQueue = new WaiterQueue();
  readonly #target: Waitable;
  readonly #events: number;
  #servedAfter = -1; // passes
  #waiter: Waiter | undefined;

  constructor(target: Waitable, events: number) {
    this.#target = target;
    this.#events = events;
  }

  get subject(): string {
    return this.#target.subject;
  }

  get liveness(): Liveness {
    return this.#target.liveness ?? alwaysRefed;
  }

  /** While others wait, the reactor spins for the whole set. */
  get spins(): boolean {
    return !isCrowded();
  }

  /** While others wait, a reader is served once in a pass. */
  isDeferred(): boolean {
    return this.#servedAfter === passes && isCrowded();
  }

  served(): void {
    if (this.#events === POLLIN) this.#servedAfter = passes;
  }

  arm(wait: Settle): Armed {
    this.#servedAfter = -1; // there is no pass before what is always ready
    const waiter = this.#idleWaiter();
    begin(waiter, wait);
    return waiter;
  }

  /** The last one, if its wait is over, and the descriptor the same. */
  #idleWaiter(): Waiter {
    const last = this.#waiter;
    if (last?.settle === undefined && last?.watch.isOpen) return last;
    const { fd, subject } = this.#target;
    return this.#waiter = new Waiter(watchOf(fd), this.#events, subject);
  }
}
