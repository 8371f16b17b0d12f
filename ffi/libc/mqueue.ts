// <mqueue.h>

import { type Header, header } from "./library.ts";
import { type CStruct, cStruct } from "./c_struct.ts";

const functions = {
  // mqd_t mq_open(const char *name, int oflag, mode_t mode, struct mq_attr *attr)
  mq_open: { parameters: ["buffer", "i32", "u32", "buffer"], result: "i32" },
  // int mq_unlink(const char *name)
  mq_unlink: { parameters: ["buffer"], result: "i32" },
  // int mq_getattr(mqd_t mqdes, struct mq_attr *attr)
  mq_getattr: { parameters: ["i32", "buffer"], result: "i32" },
  // int mq_send(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio)
  mq_send: { parameters: ["i32", "buffer", "u32", "u32"], result: "i32" },
  // ssize_t mq_receive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio)
  mq_receive: { parameters: ["i32", "buffer", "u32", "buffer"], result: "i32" },
  // int mq_timedsend(mqd_t mqdes, const char *msg_ptr, size_t msg_len, unsigned int msg_prio, const struct timespec *abs_timeout)
  mq_timedsend: {
    parameters: ["i32", "buffer", "u32", "u32", "buffer"],
    result: "i32",
  },
  // ssize_t mq_timedreceive(mqd_t mqdes, char *msg_ptr, size_t msg_len, unsigned int *msg_prio, const struct timespec *abs_timeout)
  mq_timedreceive: {
    parameters: ["i32", "buffer", "u32", "buffer", "buffer"],
    result: "i32",
  },
} as const;

export const mqueue: Header<typeof functions> = header(functions);

/** One more than the highest priority. */
export const MQ_PRIO_MAX = 32768;

const mqAttrFields = {
  mq_flags: "i64",
  mq_maxmsg: "i64",
  mq_msgsize: "i64",
  mq_curmsgs: "i64",
  __pad: 32,
} as const;

/** struct mq_attr */
export const mqAttr: CStruct<typeof mqAttrFields> = cStruct(mqAttrFields);
