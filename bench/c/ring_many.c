/* A ring with four producers: who serves has three children. */
#include <signal.h>
#include <sys/prctl.h>

#include "ring.h"

#define PRODUCERS 4

static void open_channel(bool serves) {
  lipc_ring ring;
  open_ring(&ring, addresses[0]);
  if (!serves) {
    if (lipc_consumer_init(&consumer, &ring) != 0) fail("consumer");
    return;
  }
  ready();
  for (int i = 1; i < PRODUCERS; i++) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    break;
  }
  if (lipc_producer_init(&producer, &ring) != 0) fail("producer");
}

static void send_message(void) {
  while (lipc_try_write(&producer, 1, message, size) != 0) sched_yield();
}

static void receive_message(void) { receive(true); }
