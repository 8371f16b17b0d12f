// poll(2): asking which events are there, now or blocking the thread.

import { EAGAIN, errno, ipcError, isInterruption } from "../libc/errno.ts";
import { poll, pollfd } from "../libc/poll.ts";
import { remaining } from "./options.ts";

const request = new Uint8Array(pollfd.size);
const requestView = pollfd.view(request);

/** Blocks this thread until one of `events` is there, or the deadline passes. */
export function readySync(
  { fd }: { readonly fd: number },
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
  if (error !== EAGAIN && !isInterruption(error)) throw ipcError(error, "poll");
}
