// Waiting for descriptors: one epoll for all of a thread, and at most one outstanding
// call on the runtime's pool of threads, however many descriptors there are.
//
// A pass is one epoll_wait on this thread that does not wait. It resolves all that is
// ready, in the kernel's order (where much is, every second time in the opposite one),
// and their continuations run before the next pass. When a pass finds nothing, the
// reactor spins a little for the whole set, and then waits on a thread of the pool.

import { ClosedError } from "../errors.ts";
import { beforeClose } from "../kernel/descriptor.ts";
import { systemLimit } from "../kernel/limits.ts";
import { alwaysRefed, background, type Liveness } from "../kernel/liveness.ts";
import {
  check,
  EAGAIN,
  EEXIST,
  EINTR,
  ENOENT,
  ENOSPC,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { poll, POLLERR, pollfd, POLLHUP, POLLIN } from "../libc/poll.ts";
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
import { type Limits, remaining } from "./options.ts";
import { spin } from "./spin.ts";
import { WaiterQueue } from "./waiters.ts";
import {
  isOverdue,
  letReturn,
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

/** One pending wait. */
export class Waiter implements Armed {
  /** Undefined if the wait has failed, or what it waits for is always there. */
  readonly watch: Watch | undefined;
  readonly events: number;
  readonly subject: string;
  readonly settle: Settle;

  constructor(
    watch: Watch | undefined,
    events: number,
    subject: string,
    settle: Settle,
  ) {
    this.watch = watch;
    this.events = events;
    this.subject = subject;
    this.settle = settle;
  }

  /** Takes the wait back, where another one has succeeded. */
  remove(): void {
    if (this.watch !== undefined) remove(this.watch, this);
  }

  takeBack(): Promise<void> | undefined {
    this.remove();
    return endIfIdle();
  }
}

/** A descriptor that is, or was, waited for. */
interface Watch {
  readonly fd: number;
  /** Its name in epoll: the number of a descriptor may be used again. */
  readonly token: number;
  /** In the order of their calls. Mostly one, in an array that is never used again. */
  waiters: Waiter[];
  /**
   * The events that epoll reports as long as they are there; -1 while the descriptor is
   * not in epoll. With 0 an error or a hang-up is reported once (EPOLLET).
   */
  armed: number;
  /** Whether an object of this thread will close it. */
  readonly owned: boolean;
  /** Whether it is that of the descriptor still. */
  isOpen: boolean;
}

const NO_WAITERS: Waiter[] = []; // stays empty
const MAX_EVENTS = 256; // of one epoll_wait; the rest comes with the next
// Of more events than that, every second pass dispatches the last ones first. Who is
// answered early in a pass has asked again before the next one, who is answered late has
// not: in the same order each time, some would be served twice as often as others.
const FEW = 16;
const ALWAYS = POLLERR | POLLHUP; // reported whether asked for or not
// A Worker that is terminated leaves its call behind: it frees its thread of the pool
// after this many milliseconds.
const SLICE = 10_000;
const WAKEUP = 0; // the token of the eventfd

// Each thread has its own instance of this module, and so its own epoll.
let epoll = -1;
let wakeup = -1; // an eventfd that ends the outstanding call
let outstanding: Promise<void> | undefined;
let running = false;
let pending = 0;
let passes = 0;
let resolvedLast = 0; // waiters, by the last pass: they may be about to wait again
let nextToken = 1;
const watches = new Map<number, Watch>(); // by descriptor
const tokens = new Map<number, Watch>();
let wake: () => void = () => {};

const event = new Uint8Array(epollEvent.size);
const eventView = epollEvent.view(event);
const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const drained = new Uint8Array(8);

const WORDS = epollEvent.size / 4;
const DATA = epollEvent.offsets.data / 4;
const reported = new Uint8Array(epollEvent.size * MAX_EVENTS); // of a pass
const words = new Uint32Array(reported.buffer);
const unread = runtime.pinned(new Uint8Array(epollEvent.size)); // of the outstanding call

const MAX_WATCHES = "/proc/sys/fs/epoll/max_user_watches";

/** How many waits are pending on this thread. For tests. */
export function pendingWaits(): number {
  return pending;
}

function control(operation: number, watch: Watch, events: number): number {
  eventView.events = events === 0 ? EPOLLET : events;
  eventView.data = BigInt(watch.token);
  return sysEpoll().epoll_ctl(epoll, operation, watch.fd, event);
}

function open(): void {
  if (epoll !== -1) return;
  const { epoll_create1, epoll_ctl } = sysEpoll();
  const created = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  try {
    const flags = EFD_CLOEXEC | EFD_NONBLOCK;
    wakeup = check(sysEventfd().eventfd(0, flags), "eventfd");
    eventView.events = POLLIN;
    eventView.data = BigInt(WAKEUP);
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
  const isInUse = outstanding !== undefined || running || tokens.size > 0;
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
  watch.armed = events;
  tokens.set(watch.token, watch);
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
  if (!tokens.delete(watch.token)) return;
  control(EPOLL_CTL_DEL, watch, 0);
  closeIfUnused();
}

/** Resolves the waiters of one descriptor; returns how many. */
function dispatch(watch: Watch, events: number): number {
  const { waiters } = watch;
  let count = 0;
  // A copy: who is resolved may wait again, or take others back.
  for (const waiter of waiters.length === 1 ? waiters : waiters.slice()) {
    const { events: wanted, settle } = waiter;
    if (wanted === 0) continue; // for close()
    if ((events & (wanted | ALWAYS)) === 0) continue;
    if (!remove(watch, waiter)) continue; // by one before it
    settle.resolve();
    count++;
  }
  if (count === 0) disarm(watch);
  return count;
}

/** Whether a wait has to share the thread with others. */
function isCrowded(): boolean {
  return pending > 0 || resolvedLast > 1;
}

/** Looks once for all descriptors; returns how many waiters were resolved. */
function pass(): number {
  passes++;
  let resolved = 0;
  const count = sysEpoll().epoll_wait(epoll, reported, MAX_EVENTS, 0);
  const isReversed = count > FEW && (passes & 1) !== 0;
  for (let at = 0; at < count; at++) {
    const index = (isReversed ? count - 1 - at : at) * WORDS;
    const token = words[index + DATA]!;
    // A pass leaves it to the outstanding call, which would go on waiting.
    if (token === WAKEUP && outstanding === undefined) {
      unistd().read(wakeup, drained, drained.length);
    }
    const watch = tokens.get(token); // undefined: closed since it was reported
    if (watch !== undefined) resolved += dispatch(watch, words[index]!);
  }
  return resolvedLast = resolved;
}

/** Runs passes while there are waiters. */
async function run(): Promise<void> {
  running = true;
  let resolved = 1;
  while (pending > 0) {
    if (isOverdue(resolved)) yieldToEventLoop();
    await yieldToContinuations();
    if (pending === 0) break;
    resolved = pass();
    if (resolved > 0 || spin(() => (resolved = pass()) > 0)) continue;
    outstanding ??= waitElsewhere();
    await new Promise<void>((resolve) => wake = resolve);
    resolved = 1;
  }
  running = false;
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
  for (const watch of [...tokens.values()]) {
    for (const waiter of watch.waiters.slice()) {
      if (remove(watch, waiter)) waiter.settle.reject(reason);
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
function remove(watch: Watch, waiter: Waiter): boolean {
  const index = watch.waiters.indexOf(waiter);
  if (index === -1) return false;
  if (watch.waiters.length === 1) watch.waiters = NO_WAITERS;
  else watch.waiters.splice(index, 1);
  if (waiter.events !== 0) pending--;
  if (!watch.owned && watch.waiters.length === 0) forget(watch);
  if (pending === 0) wake();
  return true;
}

/** Ends the waits for a descriptor that is about to be closed. */
function dropped(watch: Watch): void {
  const ended = watch.waiters.slice();
  for (const waiter of ended) remove(watch, waiter);
  const call = endIfIdle();
  for (const { settle, subject } of ended) {
    const reject = () => settle.reject(new ClosedError(subject));
    if (call === undefined) reject();
    else call.then(reject);
  }
  forget(watch);
}

/** The watch of a descriptor, made with the first wait for it. */
function watchOf(fd: number): Watch {
  const known = watches.get(fd);
  if (known !== undefined) return known;
  const watch: Watch = {
    fd,
    token: nextToken++,
    waiters: NO_WAITERS,
    armed: -1,
    owned: beforeClose(fd, () => dropped(watch)),
    isOpen: true,
  };
  watches.set(fd, watch);
  return watch;
}

/** Begins a wait for one of `events`, or with 0 for close() alone. */
export function watch(
  { fd, subject }: Waitable,
  events: number,
  settle: Settle,
): Waiter {
  return begin(watchOf(fd), subject, events, settle);
}

function begin(
  found: Watch,
  subject: string,
  events: number,
  settle: Settle,
): Waiter {
  try {
    open();
    const armed = Math.max(found.armed, 0);
    // The number of a foreign descriptor may be another file's since the last wait.
    const isArmed = found.owned && (armed & events) === events;
    if (events !== 0 && !isArmed) arm(found, armed | events);
  } catch (error) {
    if (!found.owned && found.waiters.length === 0) forget(found);
    closeIfUnused();
    // A regular file and some devices cannot be waited for: they are always ready.
    if ((error as { errno?: number }).errno !== EPERM) settle.reject(error);
    else yieldToEventLoop().then(() => settle.resolve());
    return new Waiter(undefined, events, subject, settle);
  }
  const waiter = new Waiter(found, events, subject, settle);
  if (found.waiters.length === 0) found.waiters = [waiter];
  else found.waiters.push(waiter);
  if (events !== 0) {
    pending++;
    if (running) wake();
    else run();
  }
  return waiter;
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
  #watch: Watch | undefined;

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
    const { fd, subject } = this.#target;
    if (this.#watch?.isOpen !== true) this.#watch = watchOf(fd);
    return begin(this.#watch, subject, this.#events, wait);
  }
}

const request = new Uint8Array(pollfd.size);
const requestView = pollfd.view(request);

/** Blocks this thread until one of `events` is there, or the deadline passes. */
export function readySync(
  { fd }: Waitable,
  events: number,
  deadline: number,
): void {
  requestView.fd = fd;
  requestView.events = events;
  const limit = deadline === Infinity ? -1 : remaining(deadline);
  if (poll().poll(request, 1, limit) === -1) checkInterrupted();
}

/** Which of `events` are there now; an error and a hang-up whether asked for or not. */
export function eventsNow(fd: number, events: number): number {
  requestView.fd = fd;
  requestView.events = events;
  pollNow(request, 1);
  return requestView.revents;
}

/** poll(2) of so many rows of a table, which tells what is there without waiting. */
export function pollNow(table: Uint8Array<ArrayBuffer>, rows: number): void {
  // Where nothing is there, a signal can interrupt even a poll that does not wait.
  while (poll().poll(table, rows, 0) === -1) checkInterrupted();
}

/** Throws unless it was a signal that poll has failed of. */
function checkInterrupted(): void {
  const error = errno();
  // The runtime's signal handler may leave the EAGAIN of its own write in errno.
  if (error !== EINTR && error !== EAGAIN) throw ipcError(error, "poll");
}
