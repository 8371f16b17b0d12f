/* A broadcast: the timed one transmits, and who serves has so many receivers. */
#include <signal.h>
#include <sys/prctl.h>

#include "ring.h"

static lipc_transmitter transmitter;
static lipc_receiver receiver;

static void open_channel(bool serves) {
  lipc_ring ring;
  open_ring(&ring, addresses[0]);
  if (!serves) {
    if (lipc_transmitter_init(&transmitter, &ring) != 0) fail("transmitter");
    return;
  }
  for (int i = 1; i < atoi(addresses[1]); i++) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lipc_receiver_init(&receiver, &ring);
    return;
  }
  if (lipc_receiver_init(&receiver, &ring) != 0) fail("receiver");
  ready();
}

/* Who serves receives. */
static void send_message(void) {
  lipc_receiver_wait(&receiver, -1);
  lipc_receive(&receiver, take, NULL, BATCH);
}

static void receive_message(void) {
  if (lipc_transmit(&transmitter, 1, message, size) != 0) fail("transmit");
}
