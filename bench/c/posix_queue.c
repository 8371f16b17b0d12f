/* Two POSIX queues: the first goes to the one who serves, the second back. */
#include <mqueue.h>

#include "bench.h"

static mqd_t outgoing, incoming;
static char *received;
static size_t longest;

static void open_channel(bool serves) {
  struct mq_attr attributes;
  outgoing = mq_open(addresses[serves ? 1 : 0], O_WRONLY);
  incoming = mq_open(addresses[serves ? 0 : 1], O_RDONLY);
  if (outgoing == (mqd_t)-1 || incoming == (mqd_t)-1) die("mq_open");
  if (mq_getattr(incoming, &attributes) < 0) die("mq_getattr");
  longest = attributes.mq_msgsize;
  received = malloc(longest);
  if (serves) ready();
}

static void send_message(void) {
  if (mq_send(outgoing, message, size, 0) < 0) die("mq_send");
}

static void receive_message(void) {
  if (mq_receive(incoming, received, longest, NULL) < 0) die("mq_receive");
}
