/* Two rings in shared memory: one to who serves, one back. */
#include "ring.h"

static bool spins, batches;

static void open_channel(bool serves) {
  lipc_ring to, from;
  spins = strcmp(addresses[2], "sleep") != 0;
  batches = strcmp(addresses[2], "batch") == 0;
  open_ring(&to, addresses[serves ? 1 : 0]);
  open_ring(&from, addresses[serves ? 0 : 1]);
  if (lipc_producer_init(&producer, &to) != 0) fail("producer");
  if (lipc_consumer_init(&consumer, &from) != 0) fail("consumer");
  if (serves) ready();
}

static void send_batch(void) {
  lipc_bytes all[BATCH];
  for (int i = 0; i < BATCH; i++) all[i] = (lipc_bytes){message, size};
  for (int sent = 0; sent < BATCH;) {
    const int count = lipc_try_write_all(&producer, 1, all + sent, BATCH - sent);
    if (count > 0) sent += count;
  }
}

static void send_message(void) {
  if (batches) {
    send_batch();
  } else if (spins) {
    while (lipc_try_write(&producer, 1, message, size) != 0) {
    }
  } else if (lipc_write(&producer, 1, message, size, -1) != 0) {
    fail("write");
  }
}

static void receive_message(void) { receive(spins); }
