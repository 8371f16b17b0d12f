/* A System V queue: messages of type 1 go to the one who serves, 2 come back. */
#include <sys/ipc.h>
#include <sys/msg.h>

#include "bench.h"

struct msg {
  long type;
  char data[];
};

static int queue;
static long incoming;
static struct msg *sent, *received;

static void open_channel(bool serves) {
  queue = atoi(addresses[0]);
  sent = calloc(1, sizeof *sent + size);
  received = calloc(1, sizeof *received + size);
  sent->type = serves ? 2 : 1;
  incoming = serves ? 1 : 2;
  if (serves) ready();
}

static void send_message(void) {
  if (msgsnd(queue, sent, size, 0) < 0) die("msgsnd");
}

static void receive_message(void) {
  if (msgrcv(queue, received, size, incoming, 0) < 0) die("msgrcv");
}
