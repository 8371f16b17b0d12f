// <poll.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int poll(struct pollfd *fds, nfds_t nfds, int timeout)
  poll: { parameters: ["buffer", "u32", "i32"], result: "i32" },
} as const;

export const poll: Header<typeof functions> = header(functions);

// EPOLLIN and the others of <sys/epoll.h> have the same values.
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLNVAL = 32;
export const POLLRDHUP = 0x2000;

const pollfdFields = { fd: "i32", events: "i16", revents: "i16" } as const;

/** struct pollfd */
export const pollfd: CStruct<typeof pollfdFields> = cStruct(pollfdFields);
