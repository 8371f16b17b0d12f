/*
 * Two semaphores of a System V set: the first wakes the one who serves, the second
 * the other.
 */
#include <sys/ipc.h>
#include <sys/sem.h>

#include "bench.h"

static int set;
static struct sembuf take = {.sem_op = -1}, give = {.sem_op = 1};

static void open_channel(bool serves) {
  set = atoi(addresses[0]);
  take.sem_num = atoi(addresses[serves ? 1 : 2]);
  give.sem_num = atoi(addresses[serves ? 2 : 1]);
  if (serves) ready();
}

static void send_message(void) {
  if (semop(set, &give, 1) < 0) die("semop");
}

static void receive_message(void) {
  if (semop(set, &take, 1) < 0) die("semop");
}
