/* A process whose first thread ends, and whose second one waits for an eventfd.
 *
 * Usage: dead_leader
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "peer.h"

static void *wait_for_it(void *argument) {
  int event = eventfd(0, 0);
  if (event == -1) give_up("eventfd");
  printf("ready\n");
  char value[8];
  if (read(event, value, sizeof value) == -1) give_up("read");
  return argument;
}

int main(void) {
  print_at_once();
  pthread_t thread;
  if (pthread_create(&thread, NULL, wait_for_it, NULL) != 0) give_up("pthread_create");
  pthread_exit(NULL);
}
