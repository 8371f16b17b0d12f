/* Two named semaphores: the first wakes the one who serves, the second the other. */
#include <fcntl.h>
#include <semaphore.h>

#include "bench.h"

static sem_t *mine, *other;

static sem_t *open_semaphore(const char *name) {
  sem_t *semaphore = sem_open(name, 0);
  if (semaphore == SEM_FAILED) die(name);
  return semaphore;
}

static void open_channel(bool serves) {
  mine = open_semaphore(addresses[serves ? 0 : 1]);
  other = open_semaphore(addresses[serves ? 1 : 0]);
  if (serves) ready();
}

static void send_message(void) {
  if (sem_post(other) < 0) die("sem_post");
}

static void receive_message(void) {
  if (sem_wait(mine) < 0) die("sem_wait");
}
