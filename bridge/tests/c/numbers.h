/* A queue by its key (System V) or its name (POSIX), and the numbers that go through it. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include <fcntl.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include "peer.h"

/* The number, and its complement: a message that is torn is recognised. */
struct letter {
  long type;
  long numbers[2];
};

struct queue {
  int sysv;
  mqd_t posix;
  int is_posix;
};

static inline struct queue open_queue(const char *name) {
  struct queue queue = {-1, -1, name[0] == '/'};
  if (queue.is_posix) {
    queue.posix = mq_open(name, O_RDWR | O_CREAT, 0600, NULL);
    if (queue.posix < 0) give_up("mq_open");
  } else {
    queue.sysv = msgget(atoi(name), IPC_CREAT | 0666);
    if (queue.sysv < 0) give_up("msgget");
  }
  return queue;
}

static inline void send_letter(struct queue queue, const struct letter *letter) {
  size_t size = sizeof letter->numbers;
  int result = queue.is_posix
                   ? mq_send(queue.posix, (const char *)letter->numbers, size, 0)
                   : msgsnd(queue.sysv, letter, size, 0);
  if (result != 0) give_up("send");
}

/* Returns the size of the message. In a POSIX queue all are of type 1. */
static inline ssize_t receive_letter(struct queue queue, struct letter *letter) {
  static char bytes[8192]; /* mq_receive wants room for the longest message */
  if (!queue.is_posix) {
    ssize_t got = msgrcv(queue.sysv, letter, sizeof letter->numbers, 0, 0);
    if (got < 0) give_up("msgrcv");
    return got;
  }
  ssize_t got = mq_receive(queue.posix, bytes, sizeof bytes, NULL);
  if (got < 0) give_up("mq_receive");
  letter->type = 1;
  memcpy(letter->numbers, bytes, sizeof letter->numbers);
  return got;
}

#endif
