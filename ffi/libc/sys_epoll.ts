// <sys/epoll.h>

import { type Header, header } from "./library.ts";
import { machine } from "./machine.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // int epoll_create1(int flags)
  epoll_create1: { parameters: ["i32"], result: "i32" },
  // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
  epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout)
  epoll_wait: { parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  // The same, on a thread of the pool.
  epoll_wait_nonblocking: {
    name: "epoll_wait",
    parameters: ["i32", "buffer", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
} as const;

export const sysEpoll: Header<typeof functions> = header(functions);

export const EPOLL_CLOEXEC = 0x80000;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLLET = 0x8000_0000;

const epollEventFields = { events: "u32", data: "u64" } as const;

/** struct epoll_event; `data` is ours to use: the descriptor's number. */
export const epollEvent: CStruct<typeof epollEventFields> = cStruct(
  epollEventFields,
  {
    packed: machine.EPOLL_EVENT_PACKED,
  },
);
