// <poll.h>

import { i16, i32, struct } from "../struct.ts";
import { header } from "./library.ts";

export const poll = header({
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout)
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
});

// EPOLLIN and the others of <sys/epoll.h> have the same values.
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
export const POLLRDHUP = 0x2000;

/** struct pollfd */
export const pollfd = struct({ fd: i32, events: i16, revents: i16 });
