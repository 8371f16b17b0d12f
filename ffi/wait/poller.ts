// Waiting for descriptors without occupying the runtime's thread pool: one epoll
// and at most one outstanding wait for all of them, however many there are.

import { ClosedError } from "../errors.ts";
import { closing } from "../libc/descriptor.ts";
import {
  check,
  EAGAIN,
  EINTR,
  ENOENT,
  EPERM,
  errno,
  ipcError,
} from "../libc/errno.ts";
import { poll, POLLERR, pollfd, POLLHUP, POLLIN } from "../libc/poll.ts";
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  epollEvent,
  EPOLLONESHOT,
  sysEpoll,
} from "../libc/sys_epoll.ts";
import { EFD_CLOEXEC, EFD_NONBLOCK, sysEventfd } from "../libc/sys_eventfd.ts";
import { unistd } from "../libc/unistd.ts";
import { cancellable, type Settle } from "./cancellable.ts";
import { remaining, timeoutError } from "./options.ts";

/** One pending wait. */
interface Waiter extends Settle {
  readonly events: number;
  /** What errors call the descriptor: not the same to all who wait for it. */
  readonly subject: string;
}

/** What can be waited for: a Descriptor, or the number of a foreign one. */
export interface Waitable {
  readonly fd: number;
  /** What errors call it. */
  readonly subject: string;
}

/** What is waited for on one descriptor. */
interface Watch {
  readonly fd: number;
  readonly waiters: Set<Waiter>;
}

const MAX_EVENTS = 64; // of one epoll_wait; the rest comes with the next
const ALWAYS = POLLERR | POLLHUP; // reported whether asked for or not
// A Worker that is terminated leaves its wait behind: it frees its thread of the
// pool after this many milliseconds.
const SLICE = 10_000;

// Each thread has its own instance of this module, and so its own epoll.
let epoll = -1;
let wakeup = -1; // an eventfd that ends the outstanding epoll_wait
let outstanding = false;
let pending = 0;
const watches = new Map<number, Watch>();
let fresh: Watch[] = []; // have got a waiter, and epoll does not know of it yet
const event = new Uint8Array(epollEvent.size);
const eventView = epollEvent.view(event);
const one = new Uint8Array(new BigUint64Array([1n]).buffer);
const drained = new Uint8Array(8);
const arrived = new Uint8Array(epollEvent.size * MAX_EVENTS);
const arrivedViews = Array.from(
  { length: MAX_EVENTS },
  (_, index) => epollEvent.view(arrived, index * epollEvent.size),
);

const request = new Uint8Array(pollfd.size);
const requestView = pollfd.view(request);

/** How many waits are pending on this thread. For tests. */
export function pendingWaits(): number {
  return pending;
}

function control(operation: number, fd: number, events: number): number {
  eventView.events = events;
  eventView.data = BigInt(fd);
  return sysEpoll().epoll_ctl(epoll, operation, fd, event);
}

function start(): void {
  if (epoll !== -1) return;
  const created = check(
    sysEpoll().epoll_create1(EPOLL_CLOEXEC),
    "epoll_create1",
  );
  try {
    const flags = EFD_CLOEXEC | EFD_NONBLOCK;
    wakeup = check(sysEventfd().eventfd(0, flags), "eventfd");
    epoll = created;
    check(control(EPOLL_CTL_ADD, wakeup, POLLIN), "epoll_ctl");
  } catch (error) {
    unistd().close(created);
    if (wakeup !== -1) unistd().close(wakeup);
    epoll = wakeup = -1;
    throw error;
  }
}

/**
 * Nobody waits. To begin again costs little beside such a wait, and so a Worker that
 * ends leaves nothing open.
 */
function stop(): void {
  unistd().close(epoll);
  unistd().close(wakeup);
  epoll = wakeup = -1;
}

/** What the waiters of one descriptor want. */
function wanted(watch: Watch): number {
  let events = 0;
  for (const waiter of watch.waiters) events |= waiter.events;
  return events;
}

/** Has epoll report, once, what the waiters of one descriptor want. */
function arm(watch: Watch): void {
  const events = wanted(watch) | EPOLLONESHOT;
  if (control(EPOLL_CTL_MOD, watch.fd, events) === 0) return;
  let number = errno();
  if (number === ENOENT) {
    if (control(EPOLL_CTL_ADD, watch.fd, events) === 0) return;
    number = errno();
  }
  if (number === EPERM) dispatch(watch.fd, ~0); // a file, which is always ready
  else rejectAll(watch, (w) => ipcError(number, "epoll_ctl", w.subject));
}

/** Tells epoll of the waits that began since the last time, all together. */
function armFresh(): void {
  const list = fresh;
  fresh = [];
  for (const watch of list) if (watch.waiters.size > 0) arm(watch);
  if (outstanding) stopIfIdle(); // they may have been the last, and aborted
  else if (pending > 0) run();
  else stop();
}

/** Waits, and wakes who waited, for as long as anybody waits. */
async function run(): Promise<void> {
  outstanding = true;
  const { epoll_wait } = sysEpoll();
  while (pending > 0) {
    const count = await epoll_wait(epoll, arrived, MAX_EVENTS, SLICE);
    // -1 can only be EINTR: the other errors are mistakes in the arguments.
    for (let index = 0; index < count; index++) {
      const { events, data } = arrivedViews[index]!;
      const fd = Number(data);
      dispatch(fd, events);
      const watch = watches.get(fd);
      if (watch !== undefined && watch.waiters.size > 0) arm(watch);
    }
  }
  outstanding = false;
  stop();
}

/** Ends the outstanding wait when nobody is left, so that the program can end. */
function stopIfIdle(): void {
  if (pending === 0 && outstanding) unistd().write(wakeup, one, one.length);
}

function dispatch(fd: number, events: number): void {
  if (fd === wakeup) {
    unistd().read(wakeup, drained, drained.length);
    return;
  }
  const watch = watches.get(fd);
  if (watch === undefined) return; // closed after the event was reported
  for (const waiter of watch.waiters) {
    if ((events & (waiter.events | ALWAYS)) === 0) continue;
    remove(watch, waiter);
    waiter.resolve();
  }
}

function remove(watch: Watch, waiter: Waiter): void {
  if (watch.waiters.delete(waiter)) pending--;
}

function rejectAll(watch: Watch, reason: (waiter: Waiter) => Error): void {
  for (const waiter of watch.waiters) {
    remove(watch, waiter);
    waiter.reject(reason(waiter));
  }
}

// Whoever waits for a descriptor is told at once when it is closed here.
closing.listener = (fd) => {
  const watch = watches.get(fd);
  if (watch === undefined) return;
  watches.delete(fd);
  if (epoll !== -1) control(EPOLL_CTL_DEL, fd, 0);
  if (watch.waiters.size === 0) return;
  rejectAll(watch, ({ subject }) => new ClosedError(subject));
  stopIfIdle();
};

/** The watch of a descriptor, made with the first wait for it. */
function watchOf(fd: number): Watch {
  const known = watches.get(fd);
  if (known !== undefined) return known;
  const watch = { fd, waiters: new Set<Waiter>() };
  watches.set(fd, watch);
  return watch;
}

/**
 * Resolves when one of `events` (POLLIN, POLLOUT) is likely to be there: try,
 * and wait again when it is not. Rejects when the deadline has passed, when the
 * signal is aborted, and when the descriptor is closed.
 */
export function ready(
  target: Waitable,
  events: number,
  deadline: number,
  signal?: AbortSignal,
): Promise<void> {
  return cancellable(target.subject, deadline, signal, (settle) => {
    start();
    const watch = watchOf(target.fd);
    const waiter: Waiter = { events, subject: target.subject, ...settle };
    watch.waiters.add(waiter);
    pending++;
    if (fresh.push(watch) === 1) queueMicrotask(armFresh);
    return () => {
      remove(watch, waiter);
      stopIfIdle();
    };
  });
}

/** Blocks this thread until one of `events` is there, or the deadline passes. */
export function readySync(
  target: Waitable,
  events: number,
  deadline: number,
): void {
  for (;;) {
    requestView.fd = target.fd;
    requestView.events = events;
    const limit = deadline === Infinity ? -1 : remaining(deadline);
    const count = poll().poll(request, 1, limit);
    if (count > 0) return;
    if (count === -1) checkInterrupted();
    if (deadline !== Infinity && remaining(deadline) === 0) {
      throw timeoutError(target.subject);
    }
  }
}

/** poll(2) of so many rows of a table, which tells what is there without waiting. */
export function pollNow(table: Uint8Array<ArrayBuffer>, rows: number): void {
  // Where nothing is there, a signal can interrupt even a poll that does not wait.
  while (poll().poll(table, rows, 0) === -1) checkInterrupted();
}

/** Throws unless it was a signal that poll has failed of. */
function checkInterrupted(): void {
  const number = errno();
  // The runtime's signal handler may leave the EAGAIN of its own write in errno.
  if (number !== EINTR && number !== EAGAIN) throw ipcError(number, "poll");
}
